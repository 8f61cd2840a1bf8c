//! The software TLB: linear page and context to a host offset into guest memory.
//!
//! An entry is found by one compare, because tag and permission are one number: the page's linear address with
//! the number of the translation context (address space and privilege) in its low 12 bits. Whatever needs more than
//! a plain access – a device, ROM writes, a page with decoded code, a watched page, an alignment check – has no tag.
//!
//! The tag of writes may be withheld for reasons of the emulator's own: the page holds decoded code, or its first write
//! since a snapshot is to be noticed. Such a write takes the slow path, but by the translation that is held: a guest that
//! has changed its paging structures and invalidated nothing must not be able to tell.

mod faulted;
mod saved;

pub use saved::TlbState;

use emu_vmx::tags::{Invalidation, Mapping};
use serde::{Deserialize, Serialize};

/// Entries; a power of two.
pub const ENTRIES: usize = 4096;
/// A tag that no access has.
pub const NO_TAG: u64 = u64::MAX;

/// A context that no address space has: with it no fast path finds anything. In the last page of all its tag is not
/// [`NO_TAG`], which empty entries have.
pub const NO_CONTEXT: u64 = 0xFFE;

/// One translation.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Entry {
    /// Tag of plain reads.
    pub read: u64,
    /// Tag of plain writes.
    pub write: u64,
    /// Added (wrapping) to a linear address it gives an offset into guest memory.
    pub addend: u64,
    /// Linear page and context of the translation whatever its permissions, for purges.
    pub key: u64,
}

const EMPTY: Entry = Entry { read: NO_TAG, write: NO_TAG, addend: 0, key: NO_TAG };

/// What an entry has beside its tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The page of the translation.
    pub extent: Extent,
    /// Plain writes are allowed, whether or not the entry has their tag.
    pub writable: bool,
}

const NO_DETAIL: Detail = Detail { extent: Extent::PAGE, writable: false };

/// Which linear addresses the page of a translation has, and whether it is global.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// log2 of the page size; an entry holds 4 KiB of the page.
    pub shift: u8,
    /// The page is global: it stays when CR3 is loaded.
    pub global: bool,
}

impl Extent {
    /// A page of 4 KiB that is not global.
    pub const PAGE: Extent = Extent { shift: 12, global: false };
}

/// A translation for fetches.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[repr(C)]
pub struct FetchEntry {
    /// Linear page and context.
    pub key: u64,
    /// Physical page address.
    pub physical: u64,
    extent: Extent,
}

/// Entries for fetches; a power of two. That of an address is in the slot of its page's number.
pub const FETCH_ENTRIES: usize = 256;
const NO_FETCH: FetchEntry = FetchEntry { key: NO_TAG, physical: 0, extent: Extent::PAGE };

/// Names an address space: a translation is used only in the space that it was made in (SDM Vol. 3A 4.10.2, Vol. 3C
/// 29.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AddressSpace {
    /// Process-context identifier; 0 without CR4.PCIDE.
    pub pcid: u16,
    /// Virtual-processor identifier; 0 outside VMX non-root operation and without "enable VPID".
    pub vpid: u16,
    /// EPT hierarchy, with EPT.
    pub ep4ta: Option<u64>,
    /// Flags of control registers by which entries were judged: another judgement needs other entries.
    pub flags: u64,
    /// PKRU and PKRS, likewise.
    pub keys: (u32, u32),
}

impl AddressSpace {
    /// A translation in this space.
    fn mapping(&self, page: u64, extent: Extent) -> Mapping {
        let Extent { shift, global } = extent;
        Mapping::Linear { vpid: self.vpid, pcid: self.pcid, ep4ta: self.ep4ta, page, shift, global }
    }
}

/// The number of the space in a key or tag.
fn space_of(key: u64) -> u64 {
    key >> 2 & 0x3FF
}

/// A key or tag with another space.
fn in_space(key: u64, space: u64) -> u64 {
    if key == NO_TAG { NO_TAG } else { key & !0xFFC | space << 2 }
}

/// A translation for accesses that are allowed but not plain: to a device, or writes to a page with code.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct SlowEntry {
    /// Tag of reads.
    pub read: u64,
    /// Tag of writes.
    pub write: u64,
    /// Physical page address.
    pub physical: u64,
}

const SLOW_ENTRIES: usize = 64;
const SLOW_EMPTY: SlowEntry = SlowEntry { read: NO_TAG, write: NO_TAG, physical: 0 };

fn slow_slot(linear: u64) -> usize {
    (linear >> 12 ^ linear >> 18) as usize & (SLOW_ENTRIES - 1)
}

/// The slot of a linear address. Pages 16 MiB apart, as buffers and stacks often are, have different ones; so have
/// neighbours, always: an access across two pages is no hit because its first page's slot cannot have its last page's
/// tag.
#[inline(always)]
fn data_slot(linear: u64) -> usize {
    ((linear >> 12) + (linear >> 24)) as usize & (ENTRIES - 1)
}

fn fetch_slot(linear: u64) -> usize {
    (linear >> 12) as usize & (FETCH_ENTRIES - 1)
}

/// The TLB of one processor.
pub struct Tlb {
    entries: Box<[Entry; ENTRIES]>,
    /// Of the entries.
    details: Box<[Detail; ENTRIES]>,
    fetch: Box<[FetchEntry; FETCH_ENTRIES]>,
    slow: Box<[SlowEntry; SLOW_ENTRIES]>,
    /// Number of the present address space (bits 11:2 of a context), 1 to 1022.
    space: u64,
    /// Highest space number in use.
    last_space: u64,
    /// Address spaces that still have a number.
    spaces: Vec<(AddressSpace, u64)>,
    present: AddressSpace,
    /// Changes with every invalidation, so that caches of fetched blocks notice.
    pub epoch: u32,
    /// What a translation that somebody remembers was good for: the context of plain accesses in bits 11:0, and above it a
    /// number that changes whenever an entry may have lost a tag. No two processors' are ever the same.
    pub stamp: u64,
    /// Misses, for `--stats`.
    pub misses: u64,
    /// log2 of the largest page entered since the last flush: one address may have as many entries as that has parts.
    largest: u8,
    /// Slots whose entry is of a global page, a bit each: flushes that keep them need not look at all entries.
    global_slots: Box<[u64; ENTRIES / 64]>,
    /// A global page has been entered since the last flush.
    globals: bool,
    /// Slots whose entry may have the tag of writes, a bit each.
    write_slots: Box<[u64; ENTRIES / 64]>,
}

const LAST_SPACE: u64 = 1022;
/// Spaces that keep their translations.
const MOST_SPACES: usize = 64;

impl Default for Tlb {
    fn default() -> Self {
        Self {
            entries: Box::new([EMPTY; ENTRIES]),
            details: Box::new([NO_DETAIL; ENTRIES]),
            fetch: Box::new([NO_FETCH; FETCH_ENTRIES]),
            slow: Box::new([SLOW_EMPTY; SLOW_ENTRIES]),
            space: 1,
            last_space: 1,
            spaces: vec![(AddressSpace::default(), 1)],
            present: AddressSpace::default(),
            epoch: 0,
            stamp: 0,
            misses: 0,
            largest: 12,
            global_slots: Box::new([0; ENTRIES / 64]),
            globals: false,
            write_slots: Box::new([0; ENTRIES / 64]),
        }
    }
}

impl Tlb {
    /// All entries, for compiled code; that of an address is in slot `(linear >> 12) + (linear >> 24)`, as far as
    /// [`ENTRIES`] goes.
    pub fn all(&self) -> &[Entry; ENTRIES] {
        &self.entries
    }

    /// All entries for fetches, likewise.
    pub fn all_fetches(&self) -> &[FetchEntry; FETCH_ENTRIES] {
        &self.fetch
    }

    /// The entry slot of a linear address.
    #[inline(always)]
    pub fn slot(&self, linear: u64) -> &Entry {
        &self.entries[data_slot(linear)]
    }

    /// The translations that are remembered under the stamps of before are good no more.
    fn lose_tags(&mut self) {
        self.stamp += 1 << 12;
    }

    /// Plain accesses have this context from now on.
    pub fn stamp_context(&mut self, context: u64) {
        self.stamp = self.stamp & !0xFFF | context;
    }

    /// Whether the space of a key or tag has its number still: else the entry is never found again.
    fn lives(&self, key: u64) -> bool {
        self.spaces.iter().any(|(_, number)| *number == space_of(key))
    }

    /// Enters a translation.
    pub fn insert(&mut self, linear: u64, entry: Entry, detail: Detail) {
        let slot = data_slot(linear);
        let extent = detail.extent;
        if self.entries[slot].key != NO_TAG {
            self.lose_tags();
        }
        self.entries[slot] = entry;
        self.details[slot] = detail;
        let bit = 1 << (slot % 64);
        let of_slot = &mut self.global_slots[slot / 64];
        *of_slot = if extent.global { *of_slot | bit } else { *of_slot & !bit };
        self.write_slots[slot / 64] |= u64::from(entry.write != NO_TAG) << (slot % 64);
        self.note(extent);
    }

    /// Offset into guest memory of `linear`, if there is a translation with this tag that allows plain accesses of the
    /// kind, be their tag withheld or not.
    #[inline]
    pub fn held(&self, linear: u64, tag: u64, write: bool) -> Option<usize> {
        let slot = data_slot(linear);
        let entry = &self.entries[slot];
        let allowed = entry.key == tag && if write { self.details[slot].writable } else { entry.read == tag };
        allowed.then(|| linear.wrapping_add(entry.addend) as usize)
    }

    /// Gives the entry of a linear address, which [`Tlb::held`] has found, the tag of its writes.
    pub fn give_write_tag(&mut self, linear: u64) {
        let slot = data_slot(linear);
        let entry = &mut self.entries[slot];
        entry.write = entry.key;
        self.write_slots[slot / 64] |= 1 << (slot % 64);
    }

    /// Withholds the tags of all writes.
    pub fn withhold_write_tags(&mut self) {
        self.lose_tags();
        self.entries.iter_mut().for_each(|entry| entry.write = NO_TAG);
    }

    /// The physical page of a fetch, if it is known.
    #[inline(always)]
    pub fn fetch_page(&self, linear: u64, context: u64) -> Option<u64> {
        let entry = &self.fetch[fetch_slot(linear)];
        (entry.key == linear & !0xFFF | context).then_some(entry.physical)
    }

    /// Enters a translation for fetches.
    pub fn insert_fetch(&mut self, linear: u64, context: u64, physical: u64, extent: Extent) {
        self.fetch[fetch_slot(linear)] =
            FetchEntry { key: linear & !0xFFF | context, physical: physical & !0xFFF, extent };
        self.note(extent);
    }

    fn note(&mut self, extent: Extent) {
        self.largest = self.largest.max(extent.shift);
        self.globals |= extent.global;
    }

    /// The translation of an access that is not plain, if it is known.
    #[inline]
    pub fn slow(&self, linear: u64) -> &SlowEntry {
        &self.slow[slow_slot(linear)]
    }

    /// Enters a translation for accesses that are not plain.
    pub fn insert_slow(&mut self, linear: u64, entry: SlowEntry) {
        self.slow[slow_slot(linear)] = entry;
    }

    /// The context number of the present address space with a privilege of 0 to 3.
    pub fn context(&self, privilege: u64) -> u64 {
        self.space << 2 | privilege
    }

    /// The present address space.
    pub fn present(&self) -> &AddressSpace {
        &self.present
    }

    /// Makes `space` the present address space.
    pub fn switch(&mut self, space: AddressSpace) {
        if self.present != space {
            self.present = space;
            self.number_present();
        }
    }

    /// Forgets what `scope` says, and of large pages and others no more than that.
    pub fn invalidate(&mut self, scope: &Invalidation) {
        self.epoch = self.epoch.wrapping_add(1);
        self.lose_tags();
        match scope.linear_address() {
            Some(address) => self.purge(scope, address),
            None => self.flush(scope),
        }
    }

    /// Forgets everything.
    pub fn flush_all(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.lose_tags();
        self.spaces.clear();
        self.largest = 12;
        self.globals = false;
        self.number_present();
    }

    /// Whole address spaces lose their numbers; those that may keep their global pages get others.
    fn flush(&mut self, scope: &Invalidation) {
        let affects =
            |space: &AddressSpace, global| scope.affects(&space.mapping(0, Extent { global, ..Extent::PAGE }));
        let mut n = 0;
        while let Some((space, number)) = self.spaces.get(n).copied() {
            if !affects(&space, false) {
                n += 1;
            } else if affects(&space, true) || !self.globals {
                self.spaces.remove(n);
            } else {
                let new = self.new_number();
                if let Some(place) = self.spaces.get_mut(n) {
                    place.1 = new;
                    self.move_globals(number, new);
                }
                n += 1;
            }
        }
        self.number_present();
    }

    fn move_globals(&mut self, from: u64, to: u64) {
        for (entries, bits) in self.entries.chunks_exact_mut(64).zip(self.global_slots.iter()) {
            let mut left = *bits;
            while left != 0 {
                let entry = &mut entries[left.trailing_zeros() as usize];
                left &= left - 1;
                if space_of(entry.key) == from {
                    entry.read = in_space(entry.read, to);
                    entry.write = in_space(entry.write, to);
                    entry.key = in_space(entry.key, to);
                }
            }
        }
        for entry in self.fetch.iter_mut().filter(|entry| entry.extent.global && space_of(entry.key) == from) {
            entry.key = in_space(entry.key, to);
        }
    }

    /// Entries of one linear address.
    fn purge(&mut self, scope: &Invalidation, address: u64) {
        let spaces = &self.spaces;
        let affects = |key: u64, extent: Extent| {
            (key ^ address) >> extent.shift == 0
                && spaces
                    .iter()
                    .any(|space| space.1 == space_of(key) && scope.affects(&space.0.mapping(key & !0xFFF, extent)))
        };
        // All pages of a large page, if there are not more of them than slots, have slots one behind the other.
        let parts = |entries: usize| 1usize.checked_shl(u32::from(self.largest) - 12).unwrap_or(entries).min(entries);
        let first = |parts: usize| address & !((parts as u64) << 12).wrapping_sub(1);
        let data = parts(ENTRIES);
        let first_slot = data_slot(first(data));
        for n in 0..data {
            let slot = (first_slot + n) & (ENTRIES - 1);
            if affects(self.entries[slot].key, self.details[slot].extent) {
                self.entries[slot] = EMPTY;
            }
        }
        let fetch = parts(FETCH_ENTRIES);
        let first_slot = fetch_slot(first(fetch));
        for slot in first_slot..first_slot + fetch {
            if affects(self.fetch[slot].key, self.fetch[slot].extent) {
                self.fetch[slot] = NO_FETCH;
            }
        }
        // These are few; which page they are of does not matter much.
        self.slow.fill(SLOW_EMPTY);
    }

    /// Withholds the write tag of entries whose page of guest memory `keeps` does not accept.
    pub fn retain_writes(&mut self, mut keeps: impl FnMut(usize) -> bool) {
        self.lose_tags();
        for (entries, bits) in self.entries.chunks_exact_mut(64).zip(self.write_slots.iter_mut()) {
            let mut left = *bits;
            while left != 0 {
                let slot = left.trailing_zeros();
                left &= left - 1;
                let entry = &mut entries[slot as usize];
                if entry.write != NO_TAG && !keeps((entry.key & !0xFFF).wrapping_add(entry.addend) as usize) {
                    entry.write = NO_TAG;
                }
                if entry.write == NO_TAG {
                    *bits &= !(1 << slot);
                }
            }
        }
    }

    /// Finds the number of the present space, or gives it one.
    fn number_present(&mut self) {
        if let Some(space) = self.spaces.iter().find(|space| space.0 == self.present) {
            self.space = space.1;
            return;
        }
        self.epoch = self.epoch.wrapping_add(1);
        self.space = self.new_number();
        if self.spaces.len() >= MOST_SPACES {
            self.spaces.remove(0);
        }
        self.spaces.push((self.present, self.space));
    }

    /// A number that no entry has; when they run out, all entries and spaces go.
    fn new_number(&mut self) -> u64 {
        if self.last_space == LAST_SPACE {
            self.lose_tags();
            self.entries.fill(EMPTY);
            self.fetch.fill(NO_FETCH);
            self.slow.fill(SLOW_EMPTY);
            self.spaces.clear();
            self.last_space = 0;
        }
        self.last_space += 1;
        self.last_space
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEVEN: AddressSpace = AddressSpace { pcid: 7, vpid: 0, ep4ta: None, flags: 0, keys: (0, 0) };
    const EIGHT: AddressSpace = AddressSpace { pcid: 8, ..SEVEN };
    const MOV_CR3_TO_SEVEN: Invalidation = Invalidation::Pcid { vpid: 0, pcid: 7 };

    fn fetch(tlb: &Tlb, linear: u64) -> Option<u64> {
        tlb.fetch_page(linear, tlb.context(0))
    }

    fn enter(tlb: &mut Tlb, linear: u64, extent: Extent) {
        let tag = linear | tlb.context(0);
        tlb.insert(linear, Entry { read: tag, write: NO_TAG, addend: 0, key: tag }, Detail { extent, writable: false });
        tlb.insert_fetch(linear, tlb.context(0), 0x9000, extent);
    }

    fn has(tlb: &Tlb, linear: u64) -> bool {
        let data = tlb.slot(linear).read == linear | tlb.context(0);
        assert_eq!(data, fetch(tlb, linear).is_some(), "data and fetches");
        data
    }

    #[test]
    fn flush_of_a_pcid_leaves_other_address_spaces_alone() {
        let mut tlb = Tlb::default();
        tlb.switch(SEVEN);
        enter(&mut tlb, 0x5000, Extent::PAGE);
        tlb.switch(EIGHT);
        tlb.invalidate(&Invalidation::Pcid { vpid: 0, pcid: 8 });
        assert!(!has(&tlb, 0x5000));
        tlb.switch(SEVEN);
        assert!(has(&tlb, 0x5000));
        tlb.invalidate(&MOV_CR3_TO_SEVEN);
        assert!(!has(&tlb, 0x5000));
    }

    #[test]
    fn flush_of_a_pcid_keeps_its_global_pages_and_takes_every_ept_hierarchy() {
        let mut tlb = Tlb::default();
        let nested = AddressSpace { ep4ta: Some(0x1000), ..SEVEN };
        for space in [nested, SEVEN] {
            tlb.switch(space);
            enter(&mut tlb, 0x5000, Extent::PAGE);
            enter(&mut tlb, 0x6000, Extent { global: true, ..Extent::PAGE });
            tlb.invalidate(&MOV_CR3_TO_SEVEN);
            assert_eq!((has(&tlb, 0x5000), has(&tlb, 0x6000)), (false, true));
        }
        tlb.invalidate(&Invalidation::Vpid { vpid: 0 });
        assert!(!has(&tlb, 0x6000));
        tlb.switch(nested);
        enter(&mut tlb, 0x5000, Extent::PAGE);
        tlb.switch(SEVEN);
        tlb.invalidate(&MOV_CR3_TO_SEVEN);
        tlb.switch(nested);
        assert!(!has(&tlb, 0x5000));
    }

    /// A machine taken from a snapshot has no entries of spaces that had lost their number.
    #[test]
    fn fault_forgets_nothing_for_the_sake_of_entries_that_nobody_finds() {
        let mut tlb = Tlb::default();
        let fault = Invalidation::LinearAddress { vpid: 0, pcid: 7, address: 0x5000, globals: true };
        tlb.switch(SEVEN);
        for (lost, forgotten) in [(false, true), (true, false)] {
            enter(&mut tlb, 0x5000, Extent::PAGE);
            if lost {
                tlb.invalidate(&MOV_CR3_TO_SEVEN);
            }
            let device = 0xFEE0_0000 | tlb.context(0);
            tlb.insert_slow(0xFEE0_0000, SlowEntry { read: device, write: device, physical: 0xFEE0_0000 });
            assert_eq!(tlb.forget_faulted(&fault, 12), forgotten);
            assert_eq!(tlb.slow(0xFEE0_0000).read == device, !forgotten);
        }
    }

    #[test]
    fn writes_are_withheld_from_a_page_that_is_not_kept_whatever_gave_their_tags() {
        let mut tlb = Tlb::default();
        // Slots at both ends of the table, and one that is taken twice.
        let pages = [0u64, 0x5000, 0x100_4000, (ENTRIES as u64 - 1) << 12];
        let writes = |tlb: &Tlb| pages.map(|page| tlb.slot(page).write == page | tlb.context(0));
        for page in pages {
            let tag = page | tlb.context(0);
            let write = if page == 0 { NO_TAG } else { tag };
            tlb.insert(
                page,
                Entry { read: tag, write, addend: 0, key: tag },
                Detail { extent: Extent::PAGE, writable: true },
            );
        }
        tlb.give_write_tag(0);
        let before = writes(&tlb);
        tlb.retain_writes(|_| true);
        assert_eq!(writes(&tlb), before);
        tlb.retain_writes(|offset| offset != 0);
        assert_eq!(writes(&tlb), [false, before[1], before[2], before[3]]);
        tlb.retain_writes(|_| false);
        assert_eq!(writes(&tlb), [false; 4]);
        tlb.give_write_tag(0);
        assert!(writes(&tlb)[0]);
        tlb.retain_writes(|_| false);
        assert_eq!(writes(&tlb), [false; 4]);
    }

    #[test]
    fn neighbouring_pages_never_have_the_same_slot() {
        for shift in 12..64 {
            for page in [0u64.wrapping_sub(1 << shift), 1 << shift, 3 << shift] {
                assert_ne!(data_slot(page), data_slot(page.wrapping_sub(0x1000)), "{page:#x}");
            }
        }
    }

    #[test]
    fn purge_of_an_address_takes_large_pages_wherever_their_slots_begin() {
        for (shift, address) in
            [(21, 0xFFFF_FFFF_FFE0_0000), (21, 0x7_FEE0_0000), (22, 0xFFC0_0000), (30, 0x3F_C000_0000)]
        {
            let mut tlb = Tlb::default();
            for part in [0, 0x1000, (1 << shift) - 0x1000] {
                enter(&mut tlb, address + part, Extent { shift, global: false });
                tlb.invalidate(&Invalidation::LinearAddress { vpid: 0, pcid: 0, address, globals: true });
                assert!(!has(&tlb, address + part), "{address:#x} + {part:#x}");
            }
        }
    }

    #[test]
    fn purge_of_an_address_takes_all_of_a_large_page_and_nothing_else() {
        let mut tlb = Tlb::default();
        tlb.switch(SEVEN);
        enter(&mut tlb, 0x20_5000, Extent { shift: 21, global: true });
        enter(&mut tlb, 0x40_1000, Extent::PAGE);
        enter(&mut tlb, 0x40_2000, Extent::PAGE);
        let invlpg = |address| Invalidation::LinearAddress { vpid: 0, pcid: 8, address, globals: true };
        tlb.invalidate(&invlpg(0x40_1000));
        tlb.invalidate(&invlpg(0x2F_FFFF));
        assert_eq!((has(&tlb, 0x20_5000), has(&tlb, 0x40_1000)), (false, true), "a global page; another PCID");
        tlb.invalidate(&Invalidation::LinearAddress { vpid: 0, pcid: 7, address: 0x40_1FFF, globals: true });
        assert_eq!((has(&tlb, 0x40_1000), has(&tlb, 0x40_2000)), (false, true));
    }

    #[test]
    fn space_numbers_that_run_out_empty_the_table_before_reuse() {
        let mut tlb = Tlb::default();
        enter(&mut tlb, 0x5000, Extent::PAGE);
        for _ in 0..2 * LAST_SPACE {
            tlb.flush_all();
            assert_eq!(fetch(&tlb, 0x5000), None);
        }
        enter(&mut tlb, 0x5000, Extent { global: true, ..Extent::PAGE });
        for _ in 0..2 * LAST_SPACE {
            tlb.invalidate(&Invalidation::Pcid { vpid: 0, pcid: 0 });
        }
        assert!(!has(&tlb, 0x5000), "also its global pages");
    }
}
