//! Sub-page write permissions (SDM Vol. 3C 31.3.4 "Sub-Page Write Permissions"). What it leaves to the model is in
//! docs/conformance.md.

use super::{EptAccess, EptConfig, EptFault, EptMemory, entry};
use crate::arch::addr::physical_mask;

/// Whether sub-page write permissions allow a write that the page's own have `refused`.
#[cold]
pub(super) fn allow<M: EptMemory>(
    config: &EptConfig,
    table: u64,
    guest_physical: u64,
    access: EptAccess,
    refused: EptFault,
    memory: &mut M,
) -> Result<(), EptFault> {
    let read = |address| memory.read_u64(address);
    match sub_page_write(table, guest_physical, access.bytes, config.maxphyaddr, read) {
        SubPage::Allowed => Ok(()),
        SubPage::Denied { at } => Err(match refused {
            EptFault::Violation { qualification, convertible, .. } => {
                EptFault::Violation { qualification, convertible, at }
            }
            other => other,
        }),
        SubPage::Miss => Err(EptFault::SubPage { miss: true }),
        SubPage::Misconfiguration => Err(EptFault::SubPage { miss: false }),
    }
}

/// What the sub-page-permission table says (31.3.4.2 "Determining an Access's Sub-Page Write Permission").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubPage {
    /// The write is allowed.
    Allowed,
    /// EPT violation.
    Denied {
        /// How many bytes into the write the first region begins that it may not be made to.
        at: u16,
    },
    /// SPP miss: an entry above the last is not valid.
    Miss,
    /// SPP misconfiguration: a reserved bit is set.
    Misconfiguration,
}

/// log2 of a sub-page region's bytes.
const REGION_SHIFT: u32 = 7;
/// Bit 0 of the entries above the last: the entry is valid.
const SPPT_VALID: u64 = 1;
/// Reserved bits of the last entry; the others, bit 2*n* of region *n*, are write permissions.
const SPPT_RESERVED: u64 = 0xAAAA_AAAA_AAAA_AAAA;

/// Looks up the write permissions of the 128-byte regions that `bytes` at `guest_physical` touch, all in one page. Every
/// one of them must be writable.
pub fn sub_page_write(
    sppt: u64,
    guest_physical: u64,
    bytes: u16,
    maxphyaddr: u8,
    mut read_u64: impl FnMut(u64) -> u64,
) -> SubPage {
    let mut table = sppt & entry::ADDRESS;
    for shift in [39, 30, 21] {
        let value = read_u64(table | ((guest_physical >> shift) & 0x1FF) << 3);
        if value & SPPT_VALID == 0 {
            return SubPage::Miss;
        }
        if value & !(entry::ADDRESS & physical_mask(maxphyaddr) | SPPT_VALID) != 0 {
            return SubPage::Misconfiguration;
        }
        table = value & entry::ADDRESS;
    }
    let permissions = read_u64(table | ((guest_physical >> 12) & 0x1FF) << 3);
    if permissions & SPPT_RESERVED != 0 {
        return SubPage::Misconfiguration;
    }
    let offset = guest_physical & 0xFFF;
    let last = (offset + u64::from(bytes.max(1)) - 1).min(0xFFF);
    let mut regions = offset >> REGION_SHIFT..=last >> REGION_SHIFT;
    match regions.find(|region| permissions >> (2 * region) & 1 == 0) {
        Some(region) => SubPage::Denied { at: (region << REGION_SHIFT).saturating_sub(offset) as u16 },
        None => SubPage::Allowed,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{GPA, access, config, qualification, tables};
    use super::super::{EPTP_SHADOW_STACK, ShadowStack, walk};
    use super::*;

    /// The table for GPA's page at 5000h, with `permissions` as the last entry.
    fn sub_pages(permissions: u64) -> [(u64, u64); 4] {
        [(0x5000, 0x6001), (0x6000, 0x7001), (0x7010, 0x8001), (0x8010, permissions)]
    }
    fn reading(entries: &[(u64, u64)]) -> impl FnMut(u64) -> u64 + '_ {
        |at| entries.iter().find(|entry| entry.0 == at).map_or(0, |entry| entry.1)
    }

    #[test]
    fn sub_page_write_is_allowed_if_every_region_that_it_touches_is_writable() {
        // Regions 6 and 8 of GPA's page are writable.
        let entries = sub_pages(1 << 12 | 1 << 16);
        let page = GPA & !0xFFF;
        for (offset, bytes, expected) in [
            (0x300, 0x80, SubPage::Allowed),
            (0x37F, 1, SubPage::Allowed),
            (0x37F, 0, SubPage::Allowed),
            (0x37F, 2, SubPage::Denied { at: 1 }),
            (0x37C, 8, SubPage::Denied { at: 4 }),
            (0x37C, 0x90, SubPage::Denied { at: 4 }),
            (0x3FF, 8, SubPage::Denied { at: 0 }),
            (0x400, 8, SubPage::Allowed),
            (0xFFF, 1, SubPage::Denied { at: 0 }),
            (0xFFF, 64, SubPage::Denied { at: 0 }),
        ] {
            let found = sub_page_write(0x5000, page | offset, bytes, 40, reading(&entries));
            assert_eq!(found, expected, "{bytes} bytes at {offset:#x}");
        }
    }

    #[test]
    fn sub_page_table_misses_where_an_entry_is_not_valid_and_is_misconfigured_where_a_reserved_bit_is_set() {
        for level in 0..3 {
            for bit in 0..64 {
                let mut entries = sub_pages(u64::MAX / 3);
                entries[level].1 ^= 1 << bit;
                let expected = match bit {
                    0 => SubPage::Miss,
                    // Another table: in this one nothing is writable, or not valid.
                    12..40 => continue,
                    _ => SubPage::Misconfiguration,
                };
                assert_eq!(sub_page_write(0x5000, GPA, 8, 40, reading(&entries)), expected, "{level} {bit}");
            }
            let mut entries = sub_pages(u64::MAX / 3);
            entries[level].1 = 2;
            assert_eq!(sub_page_write(0x5000, GPA, 8, 40, reading(&entries)), SubPage::Miss);
        }
        for bit in (1..64).step_by(2) {
            let entries = sub_pages(1 << bit);
            assert_eq!(sub_page_write(0x5000, GPA, 8, 40, reading(&entries)), SubPage::Misconfiguration, "{bit}");
        }
    }

    #[test]
    fn sub_page_permissions_are_asked_of_writes_to_4k_pages_that_are_marked_and_not_writable() {
        let config = EptConfig { sub_page: Some(0x5000), ..config() };
        let write = EptAccess { bytes: 8, ..access(false, true, false) };
        let walk_with = |config: &EptConfig, access, leaf, permissions| {
            let mut tables = tables(leaf);
            tables.0.extend(sub_pages(permissions));
            walk(config, GPA, access, &mut tables)
        };
        const READ_ONLY: u64 = 0x9_8035;
        let (all, none) = (u64::MAX / 3, 0);
        let allowed = walk_with(&config, write, entry::SUB_PAGE | READ_ONLY, all).unwrap();
        assert_eq!(
            (allowed.address, allowed.permissions & entry::WRITE),
            (0x9_8345, 0),
            "the next write is judged, too"
        );
        let both = EptAccess { bytes: 8, ..access(true, true, false) };
        assert!(walk_with(&config, both, entry::SUB_PAGE | READ_ONLY, all).is_ok());
        // W = 1 wins over a table that allows nothing; a read never asks.
        assert!(walk_with(&config, write, entry::SUB_PAGE | 0x9_8037, none).is_ok());
        assert!(walk_with(&config, access(true, false, false), entry::SUB_PAGE | READ_ONLY, 2).is_ok());
        let denied = [
            (EptConfig { sub_page: None, ..config }, write, entry::SUB_PAGE | READ_ONLY, all),
            (config, write, READ_ONLY, all),
            (config, write, entry::SUB_PAGE | READ_ONLY, none),
            (config, EptAccess { paging_structure: true, ..write }, entry::SUB_PAGE | READ_ONLY, all),
            // Execute-only: what reads, too, is not disallowed by the write-access bits alone.
            (config, both, entry::SUB_PAGE | 0x9_8034, all),
            (config, EptAccess { reads_too: true, ..write }, entry::SUB_PAGE | 0x9_8034, all),
        ];
        for (config, access, leaf, permissions) in denied {
            let found = qualification(walk_with(&config, access, leaf, permissions));
            let kind = if access.read { 0x03 } else { 0x02 };
            assert_eq!(found, kind | (leaf & 7) << 3, "{access:?} {leaf:#x} {permissions:#x}");
        }
        assert!(walk_with(&config, write, entry::SUB_PAGE | 0x9_8034, all).is_ok());
        let miss = walk_with(&EptConfig { sub_page: Some(0xA000), ..config }, write, entry::SUB_PAGE | READ_ONLY, all);
        assert_eq!(miss, Err(EptFault::SubPage { miss: true }));
        let misconfigured = walk_with(&config, write, entry::SUB_PAGE | READ_ONLY, 2);
        assert_eq!(misconfigured, Err(EptFault::SubPage { miss: false }));
    }

    #[test]
    fn sub_page_permissions_go_by_all_write_bits_and_are_nothing_to_large_pages_and_enforced_shadow_stacks() {
        let config = EptConfig { sub_page: Some(0x5000), ..config() };
        let write = EptAccess { bytes: 8, ..access(false, true, false) };
        let leaf = entry::SUB_PAGE | 0x9_8035;
        // An entry above the leaf without W asks the table, too, whatever W of the leaf is.
        for at in [0x1000, 0x2000, 0x3010] {
            for leaf in [leaf, leaf | entry::WRITE] {
                for (permissions, allowed) in [(u64::MAX / 3, true), (0, false)] {
                    let mut tables = tables(leaf);
                    tables.0.extend(sub_pages(permissions));
                    tables.0.entry(at).and_modify(|value| *value &= !entry::WRITE);
                    let found = walk(&config, GPA, write, &mut tables);
                    match allowed {
                        true => assert_eq!(found.unwrap().permissions & entry::WRITE, 0, "{at:#x}"),
                        false => assert_eq!(qualification(found), 0x2A, "{at:#x}"),
                    }
                }
            }
            let mut unmarked = tables(0x9_8037);
            unmarked.0.extend(sub_pages(u64::MAX / 3));
            unmarked.0.entry(at).and_modify(|value| *value &= !entry::WRITE);
            assert_eq!(qualification(walk(&config, GPA, write, &mut unmarked)), 0x2A, "{at:#x}");
        }
        // A large page has no sub-pages.
        let mut large = tables(0);
        large.0.extend(sub_pages(u64::MAX / 3));
        large.0.insert(0x3010, entry::SUB_PAGE | 0x60_00B5);
        assert_eq!(qualification(walk(&config, GPA, write, &mut large)), 0x2A);
        let enforcing = EptConfig { eptp: config.eptp | EPTP_SHADOW_STACK, ..config };
        for (config, shadow_stack, allowed) in [
            (&config, ShadowStack::Supervisor, true),
            (&enforcing, ShadowStack::Supervisor, false),
            (&enforcing, ShadowStack::User, true),
        ] {
            let mut tables = tables(leaf);
            tables.0.extend(sub_pages(u64::MAX / 3));
            let found = walk(config, GPA, EptAccess { shadow_stack, ..write }, &mut tables);
            assert_eq!(found.is_ok(), allowed, "{shadow_stack:?}");
        }
    }

    #[test]
    fn sub_page_permissions_come_before_the_flags_of_the_entries() {
        let flags = EptConfig { eptp: 0x1000 | 0x5E, sub_page: Some(0x5000), ..config() };
        let write = EptAccess { bytes: 8, ..access(false, true, false) };
        for (permissions, log_full, marked) in [(u64::MAX / 3, false, true), (0, false, false), (2, true, false)] {
            let mut tables = tables(entry::SUB_PAGE | 0x9_8035);
            tables.0.extend(sub_pages(permissions));
            let found = walk(&EptConfig { log_full, ..flags }, GPA, write, &mut tables);
            assert_eq!(found.map(|found| found.dirty_set).ok(), marked.then_some(true));
            assert_ne!(found, Err(EptFault::PageModificationLogFull), "the access is judged first");
            let bits = if marked { entry::ACCESSED | entry::DIRTY } else { 0 };
            assert_eq!(tables.0[&0x4010], entry::SUB_PAGE | 0x9_8035 | bits);
        }
    }
}
