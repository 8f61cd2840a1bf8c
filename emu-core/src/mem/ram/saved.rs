//! Saving and restoring guest memory.

use super::super::image::MemoryImage;
use super::{LEGACY_PAGES, Legacy, PAGE, Ram};
use crate::cycles::cache::Cache;
use crate::state::DamagedState;
use serde::{Deserialize, Serialize};

/// How addresses find RAM and ROM, as far as it changes while a machine runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RamState {
    /// What answers reads and writes in the pages from A0000h to FFFFFh.
    legacy: Vec<(Legacy, Legacy)>,
    /// The A20 gate is open.
    a20: bool,
    /// VMX operation holds the gate open for the processor that ran last.
    a20m_blocked: bool,
    /// What the cache holds that processors share, if caches are modelled.
    shared_cache: Option<Cache>,
}

impl Ram {
    /// The map and the gate.
    pub fn save(&self) -> RamState {
        let Self {
            // In the image, or loaded anew from the same files.
            bytes: _,
            image: _,
            changed: _,
            // Configuration.
            ram_size: _,
            low_end: _,
            rom_offset: _,
            rom_start: _,
            legacy_rom_offset: _,
            legacy,
            // Of decoded code, which is dropped.
            code: _,
            fast_writes: _,
            code_epoch: _,
            stale: _,
            patience: _,
            // Processors save whether they have seen its last change.
            map_epoch: _,
            a20,
            a20m_blocked,
            shared_cache,
        } = self;
        RamState { legacy: legacy.to_vec(), a20: *a20, a20m_blocked: *a20m_blocked, shared_cache: shared_cache.clone() }
    }

    /// The map and the gate without what depends on who ran last: equal for machines that cannot be told apart.
    pub fn guest_state(&self) -> RamState {
        RamState { a20m_blocked: false, ..self.save() }
    }

    /// The contents of RAM. Pages that were not written since the last image are shared with it; the caller makes all
    /// TLBs withhold their writes, so that later ones are noticed.
    pub(crate) fn save_pages(&mut self) -> MemoryImage {
        for (number, changed) in self.changed.iter_mut().enumerate() {
            if std::mem::take(changed) {
                let start = number * PAGE as usize;
                self.image.set_page(number as u32, &self.bytes[start..start + PAGE as usize]);
            }
        }
        self.fast_writes.fill(false);
        self.image.clone()
    }

    /// Checks that a state can be one of this memory.
    pub(crate) fn check(&self, state: &RamState, image: &MemoryImage) -> Result<(), DamagedState> {
        if state.legacy.len() != LEGACY_PAGES {
            return Err(DamagedState("the memory map has another number of pages"));
        }
        if image.size() != self.size() {
            return Err(DamagedState("the memory has another size"));
        }
        match (&self.shared_cache, &state.shared_cache) {
            (Some(this), Some(other)) if this.is_like(other) => {}
            (None, None) => {}
            _ => return Err(DamagedState("the cache that processors share is of another kind")),
        }
        Ok(())
    }

    /// Takes a state back that [`Ram::check`] has accepted. The caller drops all decoded blocks and restores all TLBs.
    pub(crate) fn restore(&mut self, state: &RamState, image: &MemoryImage) {
        let RamState { legacy, a20, a20m_blocked, shared_cache } = state;
        self.shared_cache.clone_from(shared_cache);
        self.legacy.copy_from_slice(legacy);
        self.a20 = *a20;
        self.a20m_blocked = *a20m_blocked;
        self.map_epoch += 1;

        let size = PAGE as usize;
        let mut put = |number: usize| {
            let page = &mut self.bytes[number * size..(number + 1) * size];
            match image.page(number as u32) {
                Some(bytes) => page.copy_from_slice(bytes),
                None => page.fill(0),
            }
        };
        image.unshared(&self.image).for_each(&mut put);
        let changed = self.changed.iter().enumerate().filter(|(_, changed)| **changed);
        changed.for_each(|(number, _)| put(number));
        self.image = image.clone();
        self.changed.fill(false);

        self.code.fill(0);
        self.fast_writes.fill(false);
        self.stale.clear();
        self.patience.fill(0);
        self.code_epoch += 1;
    }
}
