//! What walks of EPT remember: the page tables that they came to. Nothing of it can be seen: the entries above a page table
//! are read again and compared each time, at once and not one behind the other.

use crate::mem::ram::Ram;
use emu_vmx::ept::{EptConfig, PageTable};

/// Page tables; a power of two.
const KNOWN: usize = 64;
/// Entries above a page table, at most: PML5E to PDE.
const ABOVE: usize = 4;
/// Bits of an address that one page table translates: 2 MiB.
const REGION_SHIFT: u32 = 21;

/// A page table, and what led to it.
#[derive(Debug, Clone, Copy)]
struct Known {
    eptp: u64,
    mode_based_execute: bool,
    region: u64,
    /// Page of the local APIC's registers, which hide memory.
    own_page: u64,
    /// The entries: where they lie, and their values. All alike where there are fewer.
    above: [(u64, u64); ABOVE],
    count: u8,
    table: PageTable,
}

/// The EPT page tables that walks came to last.
#[derive(Debug, Clone)]
pub struct KnownTables(Box<[Option<Known>; KNOWN]>);

impl Default for KnownTables {
    fn default() -> Self {
        Self(Box::new([None; KNOWN]))
    }
}

fn slot(eptp: u64, region: u64) -> usize {
    (eptp >> 12 ^ region) as usize & (KNOWN - 1)
}

/// The quadword at a physical address, where no A20 gate and no device is in between.
#[inline(always)]
fn plain(ram: &Ram, own_page: u64, address: u64) -> Option<u64> {
    ram.quad_above_legacy(address).filter(|_| address & !0xFFF != own_page && ram.gate_a20(address) == address)
}

impl KnownTables {
    /// The page table for `guest_physical`, with how many entries lead to it, if the walk to it would still take the
    /// same way.
    #[inline(always)]
    pub fn find(&self, ram: &Ram, own_page: u64, config: &EptConfig, guest_physical: u64) -> Option<(PageTable, u8)> {
        let region = guest_physical >> REGION_SHIFT;
        let known = self.0[slot(config.eptp, region)].as_ref()?;
        let same = known.region == region
            && known.eptp == config.eptp
            && known.mode_based_execute == config.mode_based_execute
            && known.own_page == own_page
            && known.above.iter().all(|&(at, value)| plain(ram, own_page, at) == Some(value));
        same.then_some((known.table, known.count))
    }

    /// Remembers a page table and the entries `above` it, from the root on, if all of them lie in plain memory.
    pub fn note(
        &mut self,
        ram: &Ram,
        own_page: u64,
        config: &EptConfig,
        guest_physical: u64,
        above: &[(u64, u64)],
        table: PageTable,
    ) {
        let Some(&last) = above.last() else { return };
        if above.len() > ABOVE || above.iter().any(|&(at, value)| plain(ram, own_page, at) != Some(value)) {
            return;
        }
        let region = guest_physical >> REGION_SHIFT;
        let mut padded = [last; ABOVE];
        padded[..above.len()].copy_from_slice(above);
        self.0[slot(config.eptp, region)] = Some(Known {
            eptp: config.eptp,
            mode_based_execute: config.mode_based_execute,
            region,
            own_page,
            above: padded,
            count: above.len() as u8,
            table,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emu_vmx::caps::EptVpidCap;

    #[test]
    fn a_table_is_known_as_long_as_every_entry_above_it_and_the_way_to_them_are_what_they_were() {
        let mut ram = Ram::new(4 << 20).expect("memory");
        let config = EptConfig {
            eptp: 0x20_001E,
            cap: EptVpidCap::all(),
            maxphyaddr: 36,
            mode_based_execute: false,
            sub_page: None,
            paging_write: false,
            log_full: false,
        };
        let above = [(0x20_0000, 0x20_1007), (0x20_1000, 0x30_2007), (0x30_2008, 0x20_3007)];
        above.iter().for_each(|&(at, value)| _ = ram.store(at as usize, 8, value));
        let table = PageTable { address: 0x20_3000, permissions: 7 };
        let guest = 0x21_2345;
        let mut known = KnownTables::default();
        known.note(&ram, u64::MAX, &config, guest, &above, table);
        let found = Some((table, 3));
        assert_eq!(known.find(&ram, u64::MAX, &config, guest), found);
        assert_eq!(known.find(&ram, u64::MAX, &config, 0x3F_FFFF), found, "the same 2 MiB");
        assert_eq!(known.find(&ram, u64::MAX, &config, 0x40_0000), None);
        let other = EptConfig { mode_based_execute: true, ..config };
        assert_eq!(known.find(&ram, u64::MAX, &other, guest), None);
        assert_eq!(known.find(&ram, u64::MAX, &EptConfig { eptp: 0x20_005E, ..config }, guest), None);
        assert_eq!(known.find(&ram, 0x20_1000, &config, guest), None, "the local APIC hides an entry");
        for (at, value) in above {
            ram.store(at as usize, 8, value ^ 1 << 11);
            assert_eq!(known.find(&ram, u64::MAX, &config, guest), None, "{at:#x} was written");
            ram.store(at as usize, 8, value);
            assert_eq!(known.find(&ram, u64::MAX, &config, guest), found);
        }
        ram.set_a20(false);
        assert_eq!(known.find(&ram, u64::MAX, &config, guest), None, "A20 is closed");
    }
}
