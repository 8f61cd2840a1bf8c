//! The software TLB: linear page and context to a host offset into guest memory.
//!
//! An entry is found by one compare, because tag and permission are one number: the page's linear address with
//! the number of the translation context (address space and privilege) in its low 12 bits. Whatever needs more than
//! a plain access – a device, ROM writes, a page with decoded code, a watched page, an alignment check – has no tag.

/// Entries; a power of two.
pub const ENTRIES: usize = 1024;
/// A tag that no access has.
pub const NO_TAG: u64 = u64::MAX;

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

/// A translation for fetches.
#[derive(Debug, Clone, Copy)]
pub struct FetchEntry {
    /// Linear page and context.
    pub key: u64,
    /// Physical page address.
    pub physical: u64,
}

const FETCH_ENTRIES: usize = 256;

/// A translation for accesses that are allowed but not plain: to a device, or writes to a page with code.
#[derive(Debug, Clone, Copy)]
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

/// The TLB of one processor.
pub struct Tlb {
    entries: Box<[Entry; ENTRIES]>,
    fetch: Box<[FetchEntry; FETCH_ENTRIES]>,
    slow: Box<[SlowEntry; SLOW_ENTRIES]>,
    /// Number of the present address space (bits 11:2 of a context), 1 to 1022.
    space: u64,
    /// Highest space number in use.
    last_space: u64,
    /// Address spaces that still have a number: (identity, number).
    spaces: Vec<(u64, u64)>,
    identity: u64,
    /// Changes with every flush and purge, so that caches of fetched blocks notice.
    pub epoch: u32,
    /// Misses, for `--stats`.
    pub misses: u64,
    /// A page larger than 4 KiB has been entered since the last flush: purging one address must find all its parts.
    large_pages: bool,
}

const LAST_SPACE: u64 = 1022;

impl Default for Tlb {
    fn default() -> Self {
        Self {
            entries: Box::new([EMPTY; ENTRIES]),
            fetch: Box::new([FetchEntry { key: NO_TAG, physical: 0 }; FETCH_ENTRIES]),
            slow: Box::new([SLOW_EMPTY; SLOW_ENTRIES]),
            space: 1,
            last_space: 1,
            spaces: vec![(0, 1)],
            identity: 0,
            epoch: 0,
            misses: 0,
            large_pages: false,
        }
    }
}

impl Tlb {
    /// The entry slot of a linear address.
    #[inline(always)]
    pub fn slot(&self, linear: u64) -> &Entry {
        &self.entries[(linear >> 12) as usize & (ENTRIES - 1)]
    }

    /// Enters a translation.
    pub fn insert(&mut self, linear: u64, entry: Entry) {
        self.entries[(linear >> 12) as usize & (ENTRIES - 1)] = entry;
    }

    /// The physical page of a fetch, if it is known.
    #[inline(always)]
    pub fn fetch_page(&self, linear: u64, context: u64) -> Option<u64> {
        let entry = &self.fetch[(linear >> 12) as usize & (FETCH_ENTRIES - 1)];
        (entry.key == linear & !0xFFF | context).then_some(entry.physical)
    }

    /// Enters a translation for fetches.
    pub fn insert_fetch(&mut self, linear: u64, context: u64, physical: u64) {
        self.fetch[(linear >> 12) as usize & (FETCH_ENTRIES - 1)] =
            FetchEntry { key: linear & !0xFFF | context, physical: physical & !0xFFF };
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

    /// Makes `identity` (whatever names an address space: PCID, VPID, EPTP …) the present one.
    pub fn switch(&mut self, identity: u64) {
        if self.identity == identity {
            return;
        }
        self.identity = identity;
        match self.spaces.iter().find(|space| space.0 == identity) {
            Some(space) => self.space = space.1,
            None => self.take_new_space(),
        }
    }

    /// Forgets the translations of the present address space.
    pub fn flush_current(&mut self) {
        let identity = self.identity;
        self.spaces.retain(|space| space.0 != identity);
        self.take_new_space();
    }

    /// Forgets the translations of those address spaces whose identity `doomed` accepts.
    pub fn flush_spaces(&mut self, doomed: impl Fn(u64) -> bool) {
        self.spaces.retain(|space| !doomed(space.0));
        if doomed(self.identity) {
            self.take_new_space();
        }
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Forgets everything.
    pub fn flush_all(&mut self) {
        self.spaces.clear();
        self.large_pages = false;
        self.take_new_space();
    }

    /// Notes that a part of a page larger than 4 KiB is about to be entered.
    #[inline]
    pub fn note_large_page(&mut self) {
        self.large_pages = true;
    }

    /// Forgets one linear page in every address space.
    pub fn purge_page(&mut self, linear: u64) {
        if self.large_pages {
            return self.flush_all();
        }
        let page = linear & !0xFFF;
        let entry = &mut self.entries[(linear >> 12) as usize & (ENTRIES - 1)];
        if entry.key & !0xFFF == page {
            *entry = EMPTY;
        }
        let fetch = &mut self.fetch[(linear >> 12) as usize & (FETCH_ENTRIES - 1)];
        if fetch.key & !0xFFF == page {
            fetch.key = NO_TAG;
        }
        // Which page it is of does not matter much.
        self.slow[slow_slot(linear)] = SLOW_EMPTY;
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Takes the write tag from entries whose page of guest memory `keeps` does not accept.
    pub fn retain_writes(&mut self, mut keeps: impl FnMut(usize) -> bool) {
        for entry in self.entries.iter_mut().filter(|entry| entry.write != NO_TAG) {
            if !keeps((entry.key & !0xFFF).wrapping_add(entry.addend) as usize) {
                entry.write = NO_TAG;
            }
        }
    }

    fn take_new_space(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.last_space == LAST_SPACE {
            self.entries.fill(EMPTY);
            self.fetch.fill(FetchEntry { key: NO_TAG, physical: 0 });
            self.slow.fill(SLOW_EMPTY);
            self.spaces.clear();
            self.last_space = 0;
        }
        if self.spaces.len() >= 64 {
            self.spaces.remove(0);
        }
        self.last_space += 1;
        self.space = self.last_space;
        self.spaces.push((self.identity, self.space));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_leaves_other_address_spaces_alone() {
        let mut tlb = Tlb::default();
        tlb.switch(7);
        let seven = tlb.context(0);
        tlb.insert_fetch(0x5000, seven, 0x9000);
        tlb.switch(8);
        tlb.flush_current();
        tlb.switch(7);
        assert_eq!(tlb.context(0), seven);
        assert_eq!(tlb.fetch_page(0x5000, tlb.context(0)), Some(0x9000));
        tlb.flush_current();
        assert_eq!(tlb.fetch_page(0x5000, tlb.context(0)), None);
    }

    #[test]
    fn space_numbers_that_run_out_empty_the_table_before_reuse() {
        let mut tlb = Tlb::default();
        let first = tlb.context(0);
        tlb.insert_fetch(0x5000, first, 0x9000);
        for _ in 0..2 * LAST_SPACE {
            tlb.flush_all();
            assert_eq!(tlb.fetch_page(0x5000, tlb.context(0)), None);
        }
    }
}
