//! Where in memory a kernel and what comes with it can go.

use super::map::{MemoryKind, MemoryRegion};
use super::{LoadError, field};

const FOUR_GIB: u64 = 1 << 32;
/// Where a kernel's information is put if it can be.
const INFORMATION: std::ops::Range<u64> = 0x8000..0x9_0000;

/// Finds places in memory for what comes with a kernel.
pub(crate) struct Places<'a> {
    map: &'a [MemoryRegion],
    taken: Vec<(u64, u64)>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(map: &'a [MemoryRegion]) -> Self {
        Self { map, taken: Vec::new() }
    }

    /// A fixed place must lie in usable memory. Its end.
    pub(crate) fn require(&self, what: &'static str, address: u64, size: u64) -> Result<u64, LoadError> {
        let wrong = || LoadError::DoesNotFit { what, address, size };
        let end = address.checked_add(size).ok_or_else(wrong)?;
        let usable = |region: &&MemoryRegion| region.kind == MemoryKind::Usable;
        let inside = self.map.iter().filter(usable).any(|r| r.base <= address && end <= r.end());
        if inside || size == 0 { Ok(end) } else { Err(wrong()) }
    }

    /// Takes a fixed place; it must lie in usable memory and be free.
    pub(crate) fn take(&mut self, what: &'static str, address: u64, size: u64) -> Result<(), LoadError> {
        let end = self.require(what, address, size)?;
        if self.overlaps(address, end) {
            return Err(field(
                "segments",
                format!("{what} at {address:#x}, {size:#x} bytes, overlaps another segment"),
            ));
        }
        self.taken.push((address, end));
        Ok(())
    }

    fn overlaps(&self, start: u64, end: u64) -> bool {
        self.taken.iter().any(|(s, e)| start < *e && *s < end)
    }

    /// The end of the highest place taken.
    pub(crate) fn highest(&self) -> u64 {
        self.taken.iter().map(|(_, end)| *end).max().unwrap_or(0)
    }

    /// Takes the lowest free place from `from` on that ends at or below `below`.
    pub(crate) fn lowest(
        &mut self,
        what: &'static str,
        size: u64,
        align: u64,
        from: u64,
        below: u64,
    ) -> Result<u64, LoadError> {
        let ends = self.taken.iter().map(|(_, end)| *end).chain(self.map.iter().map(|region| region.base));
        let mut starts: Vec<u64> =
            ends.chain([from]).filter_map(|at| at.max(from).checked_next_multiple_of(align)).collect();
        starts.sort_unstable();
        self.first_free(what, size, below, &starts)
    }

    /// Takes the highest free place from `from` on that ends at or below `below`.
    pub(crate) fn highest_free(
        &mut self,
        what: &'static str,
        size: u64,
        align: u64,
        from: u64,
        below: u64,
    ) -> Result<u64, LoadError> {
        let ends = self.taken.iter().map(|(start, _)| *start);
        let tops = self.map.iter().map(MemoryRegion::end);
        let mut starts: Vec<u64> = ends
            .chain(tops)
            .chain([below])
            .filter_map(|end| end.min(below).checked_sub(size))
            .map(|start| start - start % align)
            .filter(|start| *start >= from)
            .collect();
        starts.sort_unstable_by(|a, b| b.cmp(a));
        self.first_free(what, size, below, &starts)
    }

    /// Takes a place for what a kernel is told and what is needed for its start: in conventional memory, clear of the
    /// BIOS's data below and the EBDA and BIOS stacks above, or else behind everything.
    pub(crate) fn for_information(&mut self, what: &'static str, size: u64, align: u64) -> Result<u64, LoadError> {
        self.highest_free(what, size, align, INFORMATION.start, INFORMATION.end)
            .or_else(|_| self.lowest(what, size, align, self.highest(), FOUR_GIB))
    }

    fn first_free(&mut self, what: &'static str, size: u64, below: u64, starts: &[u64]) -> Result<u64, LoadError> {
        for start in starts {
            let fits = start.checked_add(size).is_some_and(|end| end <= below);
            if fits && self.take(what, *start, size).is_ok() {
                return Ok(*start);
            }
        }
        Err(LoadError::NoRoom { what, size })
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::standard_memory_map;
    use super::*;

    #[test]
    fn places_are_found_around_what_is_taken() {
        let map = standard_memory_map(16);
        let mut places = Places::new(&map);
        places.take("kernel", 0x10_0000, 0x1234).unwrap();
        assert!(places.take("other", 0x10_1000, 1).is_err());
        assert!(places.take("hole", 0xa_0000, 1).is_err());
        assert_eq!(places.lowest("module", 0x10, 0x1000, places.highest(), u64::MAX), Ok(0x10_2000));
        assert_eq!(places.highest_free("info", 0x100, 16, 0x1000, 0xa_0000), Ok(0x9_fb00));
        assert_eq!(places.highest_free("initrd", 0x1000, 0x1000, 0, u64::MAX), Ok(0xfe_f000));
        assert_eq!(places.highest_free("initrd", 0x1000, 0x1000, 0, u64::MAX), Ok(0xfe_e000));
        assert!(places.lowest("huge", 1 << 30, 1, 0, u64::MAX).is_err());
    }
}
