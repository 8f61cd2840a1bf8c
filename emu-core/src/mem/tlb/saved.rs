//! Saving and restoring the TLB: a guest that has changed its paging structures and invalidated nothing sees what it
//! holds.

use super::*;
use crate::mem::ram::{PAGE, Ram};
use crate::state::DamagedState;
use serde::{Deserialize, Serialize};

/// A translation for plain accesses.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct SavedEntry {
    key: u64,
    /// Page of the allocation of [`Ram`].
    page: u64,
    readable: bool,
    detail: Detail,
}

/// The contents of a TLB.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TlbState {
    entries: Vec<SavedEntry>,
    fetch: Vec<FetchEntry>,
    slow: Vec<SlowEntry>,
    space: u64,
    last_space: u64,
    spaces: Vec<(AddressSpace, u64)>,
    present: AddressSpace,
    largest: u8,
    globals: bool,
    misses: u64,
}

/// log2 of the smallest and the largest page.
const SHIFTS: std::ops::RangeInclusive<u8> = 12..=30;
/// More misses than a TLB ever counts.
const MOST_MISSES: u64 = 1 << 55;
const DAMAGED: DamagedState = DamagedState("the TLB holds what no processor has put there");

impl Tlb {
    /// What the TLB holds.
    pub fn save(&self) -> TlbState {
        let Self {
            entries,
            details,
            fetch,
            slow,
            space,
            last_space,
            spaces,
            present,
            // For caches, which are dropped.
            epoch: _,
            // For whoever remembers entries, which are others then.
            stamp: _,
            misses,
            largest,
            // Made anew from the entries.
            global_slots: _,
            globals,
            // Made anew from the entries.
            write_slots: _,
        } = self;
        // No space has the number that NO_TAG has, either.
        let entries = entries.iter().zip(details.iter()).filter(|(entry, _)| self.lives(entry.key));
        TlbState {
            entries: entries
                .map(|(entry, detail)| SavedEntry {
                    key: entry.key,
                    page: (entry.key & !0xFFF).wrapping_add(entry.addend) / PAGE,
                    readable: entry.read != NO_TAG,
                    detail: *detail,
                })
                .collect(),
            fetch: fetch.iter().filter(|entry| self.lives(entry.key)).copied().collect(),
            slow: slow.iter().filter(|entry| self.lives(entry.tag())).copied().collect(),
            space: *space,
            last_space: *last_space,
            spaces: spaces.clone(),
            present: *present,
            largest: *largest,
            globals: *globals,
            misses: *misses,
        }
    }

    /// Checks that a state can be one of a TLB over `ram`.
    pub(crate) fn check(state: &TlbState, ram: &Ram) -> Result<(), DamagedState> {
        let TlbState { entries, fetch, slow: _, space, last_space, spaces, present: _, largest, globals: _, misses } =
            state;
        let end = ram.bytes().len() as u64 / PAGE;
        let end_of_ram = ram.size() / PAGE;
        let sound = entries.iter().all(|entry| {
            SHIFTS.contains(&entry.detail.extent.shift)
                && entry.page < if entry.detail.writable { end_of_ram } else { end }
        }) && fetch.iter().all(|entry| SHIFTS.contains(&entry.extent.shift) && entry.physical % PAGE == 0)
            && (1..=LAST_SPACE).contains(last_space)
            && (1..=*last_space).contains(space)
            && spaces.len() <= MOST_SPACES
            && spaces.iter().all(|(_, number)| (1..=*last_space).contains(number))
            && SHIFTS.contains(largest)
            && *misses <= MOST_MISSES;
        if sound { Ok(()) } else { Err(DAMAGED) }
    }

    /// Takes back a state that [`Tlb::check`] has accepted. All writes are withheld until they come.
    pub(crate) fn restore(&mut self, state: &TlbState) {
        let TlbState { entries, fetch, slow, space, last_space, spaces, present, largest, globals, misses } = state;
        let mut tlb = Self {
            space: *space,
            last_space: *last_space,
            spaces: spaces.clone(),
            present: *present,
            epoch: self.epoch.wrapping_add(1),
            stamp: self.stamp + (1 << 12),
            misses: *misses,
            ..Self::default()
        };
        for SavedEntry { key, page, readable, detail } in entries {
            let read = if *readable { *key } else { NO_TAG };
            let addend = (page * PAGE).wrapping_sub(key & !0xFFF);
            tlb.insert(*key, Entry { read, write: NO_TAG, addend, key: *key }, *detail);
        }
        for entry in fetch {
            tlb.fetch[fetch_slot(entry.key)] = *entry;
        }
        for entry in slow {
            tlb.insert_slow(entry.tag(), *entry);
        }
        // The largest page and whether there were global ones count those that have been overwritten since.
        tlb.largest = *largest;
        tlb.globals = *globals;
        *self = tlb;
    }
}

impl SlowEntry {
    /// The tag of one of its accesses.
    fn tag(&self) -> u64 {
        if self.read != NO_TAG { self.read } else { self.write }
    }
}
