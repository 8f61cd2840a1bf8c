//! Extended page tables (SDM Vol. 3C 29.3 "The Extended Page Table Mechanism (EPT)").

mod sub_page;

pub use sub_page::{SubPage, sub_page_write};

use crate::arch::addr::physical_mask;
use crate::caps::{EptVpidCap, ProcessorFacts};
use crate::exit::qualification::EptViolation;
use serde::{Deserialize, Serialize};

/// Read or execute bits of an EPT entry.
pub mod entry {
    /// Read access.
    pub const READ: u64 = 1 << 0;
    /// Write access.
    pub const WRITE: u64 = 1 << 1;
    /// Execute access; with mode-based execute control, for supervisor-mode linear addresses.
    pub const EXECUTE: u64 = 1 << 2;
    /// Ignore PAT memory type (leaf).
    pub const IGNORE_PAT: u64 = 1 << 6;
    /// The entry maps a page (PDPTE, PDE).
    pub const LARGE: u64 = 1 << 7;
    /// Accessed (with EPTP bit 6).
    pub const ACCESSED: u64 = 1 << 8;
    /// Dirty (leaf, with EPTP bit 6).
    pub const DIRTY: u64 = 1 << 9;
    /// Execute access for user-mode linear addresses (with mode-based execute control).
    pub const USER_EXECUTE: u64 = 1 << 10;
    /// Verify guest paging (leaf, with “guest-paging verification”).
    pub const VERIFY_GUEST_PAGING: u64 = 1 << 57;
    /// Paging-write access (leaf, with “EPT paging-write control”).
    pub const PAGING_WRITE: u64 = 1 << 58;
    /// Supervisor shadow stack (leaf, with EPTP bit 7).
    pub const SUPERVISOR_SHADOW_STACK: u64 = 1 << 60;
    /// Sub-page write permissions (leaf of a 4-KByte page, with their control).
    pub const SUB_PAGE: u64 = 1 << 61;
    /// Suppress #VE (with “EPT-violation #VE”).
    pub const SUPPRESS_VE: u64 = 1 << 63;
    /// Physical address, bits 51:12.
    pub const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;
}

/// EPTP bits 5:3: one less than the page-walk length.
pub const EPTP_WALK_LENGTH: u64 = 7 << 3;
/// EPTP bit 6: accessed and dirty flags.
pub const EPTP_ACCESSED_DIRTY: u64 = 1 << 6;
/// EPTP bit 7: enforcement of access rights for supervisor shadow-stack pages.
pub const EPTP_SHADOW_STACK: u64 = 1 << 7;

/// Whether VM entry, INVEPT and EPTP switching accept `eptp`.
pub fn eptp_valid(eptp: u64, cap: EptVpidCap, cpu: &ProcessorFacts) -> bool {
    let memory_type = match eptp & 7 {
        0 => cap.contains(EptVpidCap::MEMORY_TYPE_UC),
        6 => cap.contains(EptVpidCap::MEMORY_TYPE_WB),
        _ => false,
    };
    let walk_length = match (eptp >> 3) & 7 {
        3 => cap.contains(EptVpidCap::WALK_LENGTH_4),
        4 => cap.contains(EptVpidCap::WALK_LENGTH_5),
        _ => false,
    };
    memory_type
        && walk_length
        && (eptp & EPTP_ACCESSED_DIRTY == 0 || cap.contains(EptVpidCap::ACCESSED_DIRTY))
        && (eptp & EPTP_SHADOW_STACK == 0 || cap.contains(EptVpidCap::SUPERVISOR_SHADOW_STACK))
        && eptp & 0xF00 == 0
        && eptp & !physical_mask(cpu.maxphyaddr) == 0
}

/// Memory type of the memory that a page maps (SDM Vol. 3A 12.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum MemoryType {
    /// Uncacheable.
    Uc = 0,
    /// Write combining.
    Wc = 1,
    /// Write through.
    Wt = 4,
    /// Write protected.
    Wp = 5,
    /// Write back.
    Wb = 6,
    /// Uncacheable, overridden by WC in MTRRs (PAT only).
    UcMinus = 7,
}

impl MemoryType {
    /// From a PAT, MTRR or EPT encoding; `None` for reserved values. 7 is valid in the PAT only.
    pub const fn from_bits(bits: u8) -> Option<MemoryType> {
        match bits {
            0 => Some(Self::Uc),
            1 => Some(Self::Wc),
            4 => Some(Self::Wt),
            5 => Some(Self::Wp),
            6 => Some(Self::Wb),
            7 => Some(Self::UcMinus),
            _ => None,
        }
    }
}

/// Effective memory type under EPT (29.3.7.2): with CR0.CD = 1 uncacheable; with “ignore PAT” the EPT type; else the
/// EPT type in the place of the MTRR type of SDM Vol. 3A Table 12-7.
pub const fn effective_memory_type(
    ept: MemoryType,
    ignore_pat: bool,
    pat: MemoryType,
    cache_disable: bool,
) -> MemoryType {
    use MemoryType as T;
    if cache_disable {
        return T::Uc;
    }
    if ignore_pat {
        return ept;
    }
    match (ept, pat) {
        (_, T::Wc) => T::Wc,
        (T::Wc | T::Wp, T::UcMinus) => T::Wc,
        (_, T::Uc | T::UcMinus) | (T::Uc, _) => T::Uc,
        (T::Wc, T::Wb) => T::Wc,
        (T::Wc, _) => T::Uc,
        (T::Wt, T::Wb) => T::Wt,
        (T::Wp, T::Wb) => T::Wp,
        (T::Wp, T::Wt) => T::Uc,
        (_, T::Wt) => T::Wt,
        (_, T::Wp) => T::Wp,
        (_, T::Wb) => T::Wb,
    }
}

/// An EPT page table, the last of the tables on a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageTable {
    /// Host-physical address.
    pub address: u64,
    /// AND of the permission bits of all entries above it.
    pub permissions: u64,
}

/// Memory that holds EPT paging structures. Addresses are host-physical and aligned to 8 bytes.
pub trait EptMemory {
    /// Reads an entry.
    fn read_u64(&mut self, address: u64) -> u64;
    /// Sets bits of an entry (accessed, dirty), as a locked OR.
    fn set_bits(&mut self, address: u64, bits: u64);
    /// The page table to which a walk would come now, if it is known without one.
    #[inline(always)]
    fn known_table(&mut self, _config: &EptConfig, _guest_physical: u64) -> Option<PageTable> {
        None
    }
    /// A walk has come to a page table by the entries `above` it, addresses and values from the root on. None of them has
    /// a flag left to set.
    #[inline(always)]
    fn note_table(&mut self, _config: &EptConfig, _guest_physical: u64, _above: &[(u64, u64)], _table: PageTable) {}
}

/// What EPT is set up to do: from the VMCS and the CPU model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EptConfig {
    /// EPT pointer.
    pub eptp: u64,
    /// Capabilities.
    pub cap: EptVpidCap,
    /// Physical-address width.
    pub maxphyaddr: u8,
    /// “Mode-based execute control for EPT”.
    pub mode_based_execute: bool,
    /// With “sub-page write permissions for EPT”, the sub-page-permission-table pointer.
    pub sub_page: Option<u64>,
    /// “EPT paging-write control”.
    pub paging_write: bool,
    /// “Enable PML”, and the PML index is not in 0–511: an access that must set an accessed or dirty flag is not made
    /// (29.3.6).
    pub log_full: bool,
}

/// Whether an access is to a shadow stack, and whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShadowStack {
    /// It is none.
    #[default]
    No,
    /// A user-mode shadow-stack access.
    User,
    /// A supervisor-mode shadow-stack access: EPTP bit 7 enforces rights for it.
    Supervisor,
}

/// An access to a guest-physical address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EptAccess {
    /// Data read.
    pub read: bool,
    /// Data write.
    pub write: bool,
    /// The write is that of a read-modify-write: it needs read access, too. Whether an EPT violation tells of the read is
    /// left to the implementation (30.2.1 "Basic VM-Exit Information"); this one does with `read` alone.
    pub reads_too: bool,
    /// Instruction fetch.
    pub fetch: bool,
    /// The linear address is a user-mode address (U/S = 1 in every paging-structure entry): chooses the execute
    /// permission under mode-based execute control.
    pub user_address: bool,
    /// The access is to an entry of the guest's paging structures, in the course of a page walk.
    pub paging_structure: bool,
    /// The access is judged and not made: no flag is set.
    pub judged: bool,
    /// The access is to a shadow stack.
    pub shadow_stack: ShadowStack,
    /// Bytes of a write, all of them in one page of 4 KBytes: what sub-page write permissions go by. 0 counts as 1.
    pub bytes: u16,
}

impl EptAccess {
    /// With EPT accessed and dirty flags, accesses to guest paging structures count as writes (29.3.3.2).
    fn effective(self, accessed_dirty: bool) -> EptAccess {
        if self.paging_structure && accessed_dirty { EptAccess { read: true, write: true, ..self } } else { self }
    }
}

/// A translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EptTranslation {
    /// Host-physical address of the byte.
    pub address: u64,
    /// log2 of the page size: 12, 21 or 30.
    pub page_shift: u8,
    /// AND of the permission bits (READ, WRITE, EXECUTE, USER_EXECUTE) of all entries. Without mode-based execute
    /// control USER_EXECUTE equals EXECUTE. A write that sub-page write permissions have allowed leaves WRITE 0: the next
    /// one is to be judged by itself.
    pub permissions: u64,
    /// EPT memory type of the page.
    pub memory_type: MemoryType,
    /// “Ignore PAT”.
    pub ignore_pat: bool,
    /// Bit 63 of the leaf.
    pub suppress_ve: bool,
    /// A later write need not set the dirty flag: it is set, or the flags are off.
    pub dirty: bool,
    /// The leaf entry that was used.
    pub leaf: u64,
    /// The access set the dirty flag of the leaf now: with “enable PML”, log it.
    pub dirty_set: bool,
}

/// Why there is no translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EptFault {
    /// VM exit 49.
    Misconfiguration,
    /// VM exit 62: no flag was set.
    PageModificationLogFull,
    /// VM exit 66: the sub-page write permission could not be determined. With `miss` a table is not there, else one is
    /// misconfigured.
    SubPage {
        /// SPP miss.
        miss: bool,
    },
    /// VM exit 48, or #VE when `convertible` (bit 63 of the deciding entry is 0; see “EPT-violation #VE”).
    Violation {
        /// Bits 6:0 of the exit qualification; the caller adds those about the linear address.
        qualification: EptViolation,
        /// The violation can become a virtualization exception.
        convertible: bool,
        /// How many bytes into the access the first one lies that is not allowed: 0 but for sub-page write permissions.
        at: u16,
    },
}

/// What an entry must not have (29.3.3.1 "EPT Misconfigurations"), as masks that a walk makes once.
struct Misconfigurations {
    /// Bits of the address beyond the physical-address width.
    beyond: u64,
    /// The bit of USER_EXECUTE, where it is an execute permission.
    user_execute: u64,
    /// Bit *n* is set if permissions *n* (READ, WRITE, EXECUTE; the last also for USER_EXECUTE) are not allowed.
    permissions: u8,
    /// The bit of PAGING_WRITE, where it is one: it needs READ.
    paging_write: u64,
    /// LARGE where pages of 2 MiB, of 1 GiB are not supported.
    no_2m: u64,
    no_1g: u64,
}

/// Bit *n* is set if *n* is a memory type that EPT knows.
const MEMORY_TYPES: u64 = 1 << MemoryType::Uc as u8
    | 1 << MemoryType::Wc as u8
    | 1 << MemoryType::Wt as u8
    | 1 << MemoryType::Wp as u8
    | 1 << MemoryType::Wb as u8;

impl Misconfigurations {
    #[inline(always)]
    fn of(config: &EptConfig) -> Self {
        // WRITE without READ; EXECUTE alone.
        let execute_only = config.cap.contains(EptVpidCap::EXECUTE_ONLY);
        let unless = |supported: EptVpidCap| if config.cap.contains(supported) { 0 } else { entry::LARGE };
        Self {
            beyond: entry::ADDRESS & !physical_mask(config.maxphyaddr),
            user_execute: if config.mode_based_execute { entry::USER_EXECUTE } else { 0 },
            permissions: 0b0100_0100 | if execute_only { 0 } else { 0b0001_0000 },
            paging_write: if config.paging_write { entry::PAGING_WRITE } else { 0 },
            no_2m: unless(EptVpidCap::PAGE_2M),
            no_1g: unless(EptVpidCap::PAGE_1G),
        }
    }

    #[inline(always)]
    fn has(&self, value: u64, level: u8, leaf: bool) -> bool {
        let reserved = match (level, leaf) {
            (1, _) => 0,
            (2, true) => 0x001F_F000 | self.no_2m,
            (3, true) => 0x3FFF_F000 | self.no_1g,
            // Non-leaf: bits 6:3; PML4E and PML5E also bit 7, which says "page" below them.
            (2 | 3, false) => 0x78,
            _ => 0xF8,
        };
        let permissions = value & 7 | (value & self.user_execute) >> 8;
        value & (self.beyond | reserved) != 0
            || self.permissions >> permissions & 1 != 0
            || leaf && MEMORY_TYPES >> (value >> 3 & 7) & 1 == 0
            || leaf && value & entry::READ == 0 && value & self.paging_write != 0
    }
}

/// Translates `guest_physical`. Sets accessed and dirty flags when EPTP enables them and the access is allowed.
// Inlined: what a caller does not want of the translation is then not made.
#[inline(always)]
pub fn walk<M: EptMemory>(
    config: &EptConfig,
    guest_physical: u64,
    access: EptAccess,
    memory: &mut M,
) -> Result<EptTranslation, EptFault> {
    use entry::*;
    let accessed_dirty = config.eptp & EPTP_ACCESSED_DIRTY != 0;
    let access = access.effective(accessed_dirty);
    let levels = (((config.eptp >> 3) & 7) as u8 + 1).clamp(4, 5);
    let misconfigurations = Misconfigurations::of(config);
    let present_mask = READ | WRITE | EXECUTE | misconfigurations.user_execute;
    let mut permissions = READ | WRITE | EXECUTE | USER_EXECUTE;
    let mut table = config.eptp & ADDRESS;
    // The entries on the way, and how many they are.
    let (mut used, mut depth) = ([(0u64, 0u64); 5], 0);
    let mut level = levels;
    // Guest-physical addresses wider than the tables cannot be mapped (bits above 47 with page-walk length 4).
    if guest_physical >> (12 + 9 * u32::from(levels)) != 0 {
        return Err(violation(config, access, 0, 0, true));
    }
    if let Some(known) = memory.known_table(config, guest_physical) {
        (table, permissions, level) = (known.address, known.permissions, 1);
    }
    let (leaf, shift, above) = loop {
        let shift = 12 + 9 * (level - 1);
        let at = table | ((guest_physical >> shift) & 0x1FF) << 3;
        let value = memory.read_u64(at);
        if let Some(slot) = used.get_mut(depth) {
            *slot = (at, value);
            depth += 1;
        }
        if value & present_mask == 0 {
            return Err(violation(config, access, 0, 0, value & SUPPRESS_VE == 0));
        }
        let is_leaf = level == 1 || (level <= 3 && value & LARGE != 0);
        if misconfigurations.has(value, level, is_leaf) {
            return Err(EptFault::Misconfiguration);
        }
        let above = permissions;
        permissions &= value;
        if is_leaf {
            break (value, shift, above);
        }
        table = value & ADDRESS;
        level -= 1;
        if level == 1 {
            let above = &used[..depth];
            if !accessed_dirty || above.iter().all(|(_, value)| value & ACCESSED != 0) {
                memory.note_table(config, guest_physical, above, PageTable { address: table, permissions });
            }
        }
    };
    if !config.mode_based_execute {
        permissions = permissions & !USER_EXECUTE | (permissions & EXECUTE) << 8;
    }
    let execute = if access.user_address { USER_EXECUTE } else { EXECUTE };
    // A walk's accesses to guest paging structures may write with the paging-write bit instead of the leaf's write access.
    let paging_write = config.paging_write && access.paging_structure && leaf & PAGING_WRITE != 0 && above & WRITE != 0;
    // The page of a supervisor shadow stack is marked as such; whether it may be written otherwise does not matter.
    let enforced = config.eptp & EPTP_SHADOW_STACK != 0 && access.shadow_stack == ShadowStack::Supervisor;
    let marked = leaf & SUPERVISOR_SHADOW_STACK != 0 && permissions & READ != 0 && above & WRITE != 0;
    let unwritable = access.write && permissions & WRITE == 0 && !paging_write;
    let unreadable = (access.read || access.reads_too) && permissions & READ == 0;
    let ordinary = unreadable || unwritable || (access.fetch && permissions & execute == 0);
    let denied = if enforced { !marked } else { ordinary };
    if denied {
        let refused = violation(config, access, permissions, leaf, leaf & SUPPRESS_VE == 0);
        // Eligible is a write that the write-access bits alone disallow, those above the leaf as well as the leaf's.
        let only_write = unwritable && !enforced && !unreadable;
        let eligible = only_write && !access.paging_structure && shift == 12 && leaf & SUB_PAGE != 0;
        match config.sub_page {
            Some(table) if eligible => {
                sub_page::allow(config, table, guest_physical, access, refused, memory)?;
            }
            _ => return Err(refused),
        }
    }
    let mut dirty_set = false;
    if accessed_dirty {
        let accessed = used.iter().take(depth).all(|&(_, value)| value & ACCESSED != 0);
        if config.log_full && (!accessed || access.write && leaf & DIRTY == 0) {
            return Err(EptFault::PageModificationLogFull);
        }
        for (n, &(at, value)) in used.iter().take(depth).enumerate() {
            let is_leaf = n + 1 == depth;
            let mut bits = ACCESSED & !value;
            if is_leaf && access.write && value & DIRTY == 0 {
                bits |= DIRTY;
                dirty_set = !access.judged;
            }
            if bits != 0 && !access.judged {
                memory.set_bits(at, bits);
            }
        }
    }
    let offset_mask = (1u64 << shift) - 1;
    Ok(EptTranslation {
        address: (leaf & ADDRESS & !offset_mask) | (guest_physical & offset_mask),
        page_shift: shift,
        permissions,
        // Reserved types are misconfigurations, so this is never taken from the fallback.
        memory_type: MemoryType::from_bits(((leaf >> 3) & 7) as u8).unwrap_or(MemoryType::Uc),
        ignore_pat: leaf & IGNORE_PAT != 0,
        suppress_ve: leaf & SUPPRESS_VE != 0,
        dirty: !accessed_dirty || leaf & DIRTY != 0 || dirty_set,
        leaf,
        dirty_set,
    })
}

#[cold]
fn violation(config: &EptConfig, access: EptAccess, permissions: u64, leaf: u64, convertible: bool) -> EptFault {
    let mut qualification = EptViolation::empty();
    qualification.set(EptViolation::READ, access.read);
    qualification.set(EptViolation::WRITE, access.write);
    qualification.set(EptViolation::FETCH, access.fetch);
    qualification.set(EptViolation::READABLE, permissions & entry::READ != 0);
    qualification.set(EptViolation::WRITABLE, permissions & entry::WRITE != 0);
    qualification.set(EptViolation::EXECUTABLE, permissions & entry::EXECUTE != 0);
    qualification
        .set(EptViolation::USER_EXECUTABLE, config.mode_based_execute && permissions & entry::USER_EXECUTE != 0);
    qualification.set(EptViolation::SHADOW_STACK, access.shadow_stack != ShadowStack::No);
    let controlled = config.eptp & EPTP_SHADOW_STACK != 0;
    let marked = controlled && leaf & entry::SUPERVISOR_SHADOW_STACK != 0;
    qualification.set(EptViolation::SUPERVISOR_SHADOW_STACK, marked);
    EptFault::Violation { qualification, convertible, at: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    #[derive(Default)]
    pub(super) struct Tables(pub(super) BTreeMap<u64, u64>);

    impl EptMemory for Tables {
        fn read_u64(&mut self, address: u64) -> u64 {
            self.0.get(&address).copied().unwrap_or(0)
        }
        fn set_bits(&mut self, address: u64, bits: u64) {
            *self.0.entry(address).or_default() |= bits;
        }
    }

    pub(super) const GPA: u64 = 0x40_2345;

    pub(super) fn config() -> EptConfig {
        EptConfig {
            eptp: 0x1000 | 0x1E,
            cap: EptVpidCap::all(),
            maxphyaddr: 40,
            mode_based_execute: false,
            sub_page: None,
            paging_write: false,
            log_full: false,
        }
    }
    /// GPA 402xxxh by four levels, `leaf` at the PTE.
    pub(super) fn tables(leaf: u64) -> Tables {
        let entries = [(0x1000, 0x2007), (0x2000, 0x3007), (0x3010, 0x4007), (0x4010, leaf)];
        Tables(entries.into_iter().collect())
    }
    pub(super) fn access(read: bool, write: bool, fetch: bool) -> EptAccess {
        EptAccess { read, write, fetch, ..EptAccess::default() }
    }
    pub(super) fn qualification(result: Result<EptTranslation, EptFault>) -> u64 {
        match result {
            Err(EptFault::Violation { qualification, .. }) => qualification.bits(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ept_walk_4k_page_gives_address_type_and_permissions() {
        let found = walk(&config(), GPA, access(true, true, false), &mut tables(0x9_8037)).unwrap();
        assert_eq!((found.address, found.page_shift, found.memory_type), (0x9_8345, 12, MemoryType::Wb));
        assert_eq!(found.permissions & 7, 7);
        assert!(found.dirty && !found.dirty_set);
    }

    #[test]
    fn ept_walk_not_present_is_a_violation_with_no_permission_bits() {
        assert_eq!(qualification(walk(&config(), GPA, access(false, true, false), &mut tables(0))), 0x02);
        assert_eq!(qualification(walk(&config(), 1 << 48, access(true, false, false), &mut tables(0))), 0x01);
    }

    #[test]
    fn ept_walk_read_only_leaf_denies_the_write_and_shows_the_and_of_permissions() {
        assert_eq!(qualification(walk(&config(), GPA, access(false, true, false), &mut tables(0x9_8035))), 0x2A);
    }

    #[test]
    fn ept_walk_of_supervisor_shadow_stacks_looks_at_bit_60_of_the_leaf_where_eptp_enforces_it() {
        let enforcing = EptConfig { eptp: config().eptp | EPTP_SHADOW_STACK, ..config() };
        let shadow = |shadow_stack| EptAccess { shadow_stack, ..access(false, true, false) };
        let (user, supervisor) = (shadow(ShadowStack::User), shadow(ShadowStack::Supervisor));
        let marked = entry::SUPERVISOR_SHADOW_STACK;
        for (config, access, leaf, expected) in [
            (&enforcing, supervisor, marked | 0x9_8035, None),
            (&enforcing, supervisor, marked | 0x9_8037, None),
            (&enforcing, supervisor, 0x9_8037, Some(0x203A)),
            (&enforcing, user, 0x9_8037, None),
            (&enforcing, user, marked | 0x9_8035, Some(0x602A)),
            (&config(), supervisor, 0x9_8037, None),
            (&config(), supervisor, marked | 0x9_8035, Some(0x202A)),
        ] {
            let found = walk(config, GPA, access, &mut tables(leaf));
            assert_eq!(found.is_err().then(|| qualification(found)), expected, "{access:?} {leaf:#x}");
        }
        // Above the leaf it must be writable.
        let mut upper = tables(marked | 0x9_8035);
        let value = upper.0[&0x2000];
        upper.0.insert(0x2000, value & !entry::WRITE);
        assert_eq!(qualification(walk(&enforcing, GPA, supervisor, &mut upper)), 0x602A);
    }

    #[test]
    fn ept_paging_writes_need_write_access_above_the_leaf_and_read_access_in_it() {
        let config = EptConfig { paging_write: true, ..config() };
        let walking = EptAccess { paging_structure: true, ..access(true, true, false) };
        let leaf = entry::PAGING_WRITE | 0x9_8035;
        assert!(walk(&config, GPA, walking, &mut tables(leaf)).is_ok());
        assert_eq!(qualification(walk(&config, GPA, access(true, true, false), &mut tables(leaf))), 0x2B);
        for at in [0x1000, 0x2000, 0x3010] {
            let mut tables = tables(leaf);
            tables.0.entry(at).and_modify(|value| *value &= !entry::WRITE);
            assert_eq!(qualification(walk(&config, GPA, walking, &mut tables)), 0x2B, "{at:#x}");
        }
        let execute_only = entry::PAGING_WRITE | 0x9_8034;
        let fetch = access(false, false, true);
        assert_eq!(walk(&config, GPA, fetch, &mut tables(execute_only)), Err(EptFault::Misconfiguration));
        let ignored = EptConfig { paging_write: false, ..config };
        assert!(walk(&ignored, GPA, fetch, &mut tables(execute_only)).is_ok());
    }

    #[test]
    fn ept_walk_misconfigurations() {
        let misconfigured = |leaf: u64, cap: EptVpidCap| {
            walk(&EptConfig { cap, ..config() }, GPA, access(true, false, false), &mut tables(leaf))
                == Err(EptFault::Misconfiguration)
        };
        let all = EptVpidCap::all();
        assert!(misconfigured(0x9_8032, all), "write without read");
        assert!(misconfigured(0x9_8034, all.difference(EptVpidCap::EXECUTE_ONLY)), "execute-only not supported");
        assert!(!misconfigured(0x9_8034, all), "execute-only is a violation for a read");
        assert!(misconfigured(0x9_803F | 0x10, all), "memory type 7");
        assert!(misconfigured(0x9_8017, all), "memory type 2");
        assert!(misconfigured(1 << 40 | 0x37, all), "beyond the physical-address width");
        let mut upper = tables(0x9_8037);
        upper.0.insert(0x2000, 0x300F);
        assert_eq!(walk(&config(), GPA, access(true, false, false), &mut upper), Err(EptFault::Misconfiguration));
        let mut pml4 = tables(0x9_8037);
        pml4.0.insert(0x1000, 0x2087);
        assert_eq!(walk(&config(), GPA, access(true, false, false), &mut pml4), Err(EptFault::Misconfiguration));
    }

    #[test]
    fn ept_walk_large_pages_need_clear_low_address_bits_and_support() {
        let mut t = tables(0);
        t.0.insert(0x3010, 0x60_00B7);
        let found = walk(&config(), GPA, access(true, false, false), &mut t).unwrap();
        assert_eq!((found.address, found.page_shift), (0x60_2345, 21));
        t.0.insert(0x3010, 0x60_10B7);
        assert_eq!(walk(&config(), GPA, access(true, false, false), &mut t), Err(EptFault::Misconfiguration));
        t.0.insert(0x3010, 0x60_00B7);
        let small = EptConfig { cap: EptVpidCap::all().difference(EptVpidCap::PAGE_2M), ..config() };
        assert_eq!(walk(&small, GPA, access(true, false, false), &mut t), Err(EptFault::Misconfiguration));
    }

    #[test]
    fn ept_accessed_and_dirty_flags_are_set_once_and_only_on_success() {
        let config = EptConfig { eptp: 0x1000 | 0x5E, ..config() };
        let mut t = tables(0x9_8037);
        let judged = EptAccess { judged: true, ..access(false, true, false) };
        assert!(walk(&config, GPA, judged, &mut t).is_ok_and(|found| !found.dirty_set));
        assert_eq!((t.0[&0x1000], t.0[&0x4010]), (0x2007, 0x9_8037));
        let read = walk(&config, GPA, access(true, false, false), &mut t).unwrap();
        assert!(!read.dirty && !read.dirty_set);
        assert_eq!((t.0[&0x1000], t.0[&0x4010]), (0x2107, 0x9_8137));
        let write = walk(&config, GPA, access(false, true, false), &mut t).unwrap();
        assert!(write.dirty && write.dirty_set);
        assert_eq!(t.0[&0x4010], 0x9_8337);
        assert!(!walk(&config, GPA, access(false, true, false), &mut t).unwrap().dirty_set);
        let mut denied = tables(0x9_8035);
        let structure = EptAccess { read: true, paging_structure: true, ..EptAccess::default() };
        assert_eq!(qualification(walk(&config, GPA, structure, &mut denied)), 0x2B, "counts as a write");
        assert_eq!(denied.0[&0x1000], 0x2007);
    }

    #[test]
    fn ept_mode_based_execute_chooses_by_the_linear_address() {
        let config = EptConfig { mode_based_execute: true, ..config() };
        let mut t =
            Tables([(0x1000, 0x2407), (0x2000, 0x3407), (0x3010, 0x4407), (0x4010, 0x9_8433)].into_iter().collect());
        let user = EptAccess { fetch: true, user_address: true, ..EptAccess::default() };
        assert!(walk(&config, GPA, user, &mut t).is_ok());
        assert_eq!(qualification(walk(&config, GPA, access(false, false, true), &mut t)), 0x5C);
    }

    #[test]
    fn ept_five_levels_translate_57_bits() {
        let config = EptConfig { eptp: 0x8000 | 0x26, ..config() };
        let mut t = tables(0x9_8037);
        t.0.insert(0x8008, 0x1007);
        let found = walk(&config, GPA | 1 << 48, access(true, false, false), &mut t).unwrap();
        assert_eq!(found.address, 0x9_8345);
    }

    #[test]
    fn effective_memory_type_follows_ept_and_pat() {
        use MemoryType as T;
        assert_eq!(effective_memory_type(T::Wb, false, T::Uc, false), T::Uc);
        assert_eq!(effective_memory_type(T::Wb, true, T::Uc, false), T::Wb);
        assert_eq!(effective_memory_type(T::Uc, false, T::Wc, false), T::Wc);
        assert_eq!(effective_memory_type(T::Wb, false, T::Wb, true), T::Uc);
    }
}
