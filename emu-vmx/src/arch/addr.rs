//! Addresses: page sizes, canonical form, physical width (SDM Vol. 1 3.3.7.1 "Canonical Addressing",
//! Vol. 3A 4.1.4 "Enumeration of Paging Features by CPUID").

/// log2 of the smallest page.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in the smallest page.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
/// Offset within a 4 KiB page.
pub const PAGE_OFFSET_MASK: u64 = PAGE_SIZE - 1;
/// Bytes in a 2 MiB page.
pub const PAGE_SIZE_2M: u64 = 1 << 21;
/// Bytes in a 4 MiB page (32-bit paging).
pub const PAGE_SIZE_4M: u64 = 1 << 22;
/// Bytes in a 1 GiB page.
pub const PAGE_SIZE_1G: u64 = 1 << 30;
/// The widest physical address that the architecture allows.
pub const MAXPHYADDR_LIMIT: u8 = 52;

/// Linear-address width: 48 bits with 4-level paging, 57 with CR4.LA57.
pub const fn linear_width(la57: bool) -> u8 {
    if la57 { 57 } else { 48 }
}

/// Whether bits 63:`width`–1 of `address` are all equal; `width` is 48 or 57.
pub const fn is_canonical(address: u64, width: u8) -> bool {
    sign_extend(address, width) == address
}

/// Copies bit `width`–1 into all higher bits; `width` is in 1–64.
pub const fn sign_extend(address: u64, width: u8) -> u64 {
    let shift = (64 - width as u32) & 63;
    (((address << shift) as i64) >> shift) as u64
}

/// Mask of the bits that a physical address of `maxphyaddr` bits may have.
pub const fn physical_mask(maxphyaddr: u8) -> u64 {
    if maxphyaddr >= 64 { u64::MAX } else { (1 << maxphyaddr) - 1 }
}

/// Whether `address` has a bit at or above `maxphyaddr`.
pub const fn beyond_physical(address: u64, maxphyaddr: u8) -> bool {
    address & !physical_mask(maxphyaddr) != 0
}

/// Whether `address` is a multiple of 4096.
pub const fn page_aligned(address: u64) -> bool {
    address & PAGE_OFFSET_MASK == 0
}
