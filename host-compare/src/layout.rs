//! Where things lie, natively and in the guest: the same linear addresses in both.

/// Bytes in a page.
pub const PAGE: u64 = 4096;
/// The stub's registers; natively only.
pub const CONTEXT: u64 = 0x2345_6000;
/// The way out of 32-bit code; natively only.
pub const EXIT: u64 = 0x2345_8000;
/// Data below 4 GiB: two pages that can be written, then one that cannot; nothing lies around them.
pub const LOW_DATA: u64 = 0x3213_0000;
/// The same pages above 4 GiB.
pub const HIGH_DATA: u64 = 0x10_0400_0000;
/// Bytes of data that can be written.
pub const WRITABLE: usize = 2 * PAGE as usize;
/// All bytes of data.
pub const DATA: usize = 3 * PAGE as usize;
/// The page of code below 4 GiB.
pub const LOW_CODE: u64 = 0x3217_0000;
/// The same page above 4 GiB.
pub const HIGH_CODE: u64 = 0x10_0408_0000;
/// Offset of the instruction in its page.
pub const AT: usize = 0x800;
