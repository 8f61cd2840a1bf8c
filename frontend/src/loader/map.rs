//! The memory map that a kernel is given: the BIOS's own (INT 15h, AX=E820h), or, before there is one, what the
//! machine's own BIOS will say.

use serde::{Deserialize, Serialize};

/// What a region of the memory map is (ACPI specification, "INT 15H, E820H - Query System Address Map").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u32)]
pub enum MemoryKind {
    /// Free for the kernel.
    Usable = 1,
    /// Not to be touched.
    Reserved = 2,
    /// ACPI tables, free after they are read.
    AcpiReclaimable = 3,
    /// ACPI non-volatile storage.
    AcpiNvs = 4,
}

/// One region of physical memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryRegion {
    /// First address.
    pub base: u64,
    /// Length in bytes.
    pub length: u64,
    /// What it is.
    pub kind: MemoryKind,
}

impl MemoryRegion {
    /// A region from `base` to before `end`.
    pub fn new(base: u64, end: u64, kind: MemoryKind) -> Self {
        Self { base, length: end.saturating_sub(base), kind }
    }

    /// The first address after it.
    pub fn end(&self) -> u64 {
        self.base.saturating_add(self.length)
    }
}

/// Where the PC's memory below 4 GiB ends at most: devices live above it.
pub const LOW_MEMORY_END: u64 = 0xc000_0000;
const MIB: u64 = 1 << 20;
const FOUR_GIB: u64 = 1 << 32;
/// Start of the extended BIOS data area.
const EBDA: u64 = 0x9_fc00;
/// The ACPI tables take the end of the memory below 4 GiB, if there are at least 2 MiB.
const ACPI_TABLES: u64 = 0x1_0000;
const LEAST_FOR_ACPI: u64 = 2 * MIB;

/// The memory map that the machine's own BIOS has with this much memory.
pub fn standard_memory_map(memory_mib: u64) -> Vec<MemoryRegion> {
    use MemoryKind::{AcpiReclaimable, Reserved, Usable};
    let bytes = memory_mib.saturating_mul(MIB);
    let low_end = bytes.min(LOW_MEMORY_END);
    let tables = if low_end < LEAST_FOR_ACPI { low_end } else { low_end - ACPI_TABLES };
    let regions = [
        (0, EBDA, Usable),
        (EBDA, 0xa_0000, Reserved),
        (0xf_0000, MIB, Reserved),
        (MIB, tables, Usable),
        (tables, low_end, AcpiReclaimable),
        (0xfec0_0000, 0xfef0_0000, Reserved),
        (0xfffc_0000, FOUR_GIB, Reserved),
        (FOUR_GIB, FOUR_GIB + bytes.saturating_sub(LOW_MEMORY_END), Usable),
    ];
    regions.iter().filter(|region| region.0 < region.1).map(|r| MemoryRegion::new(r.0, r.1, r.2)).collect()
}

/// A firmware's entry of 20 bytes: base, length, kind.
pub fn parse_e820(entry: &[u8; 20]) -> MemoryRegion {
    let number = |at: usize, size: usize| {
        entry.iter().skip(at).take(size).rev().fold(0, |value: u64, byte| value << 8 | u64::from(*byte))
    };
    // What is not defined is to be taken as reserved.
    let kind = match number(16, 4) {
        1 => MemoryKind::Usable,
        3 => MemoryKind::AcpiReclaimable,
        4 => MemoryKind::AcpiNvs,
        _ => MemoryKind::Reserved,
    };
    MemoryRegion { base: number(0, 8), length: number(8, 8), kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_map_of_a_pc_leaves_the_hole_below_4_gib() {
        let usable = |mib| -> u64 {
            standard_memory_map(mib).iter().filter(|r| r.kind == MemoryKind::Usable).map(|r| r.length).sum()
        };
        assert_eq!(usable(512), 512 * MIB - (MIB - EBDA) - ACPI_TABLES);
        assert_eq!(usable(8192), 8192 * MIB - (MIB - EBDA) - ACPI_TABLES);
        assert_eq!(standard_memory_map(8192).last().map(|r| r.base), Some(FOUR_GIB));
        assert_eq!(usable(1), EBDA);
    }

    #[test]
    fn e820_kind_that_is_not_defined_is_reserved() {
        let mut entry = [0; 20];
        entry[1] = 1;
        entry[9] = 2;
        entry[16] = 9;
        assert_eq!(parse_e820(&entry), MemoryRegion { base: 0x100, length: 0x200, kind: MemoryKind::Reserved });
        entry[16] = 3;
        assert_eq!(parse_e820(&entry).kind, MemoryKind::AcpiReclaimable);
    }
}
