//! Where guests have their registers while compiled code runs, and what lies on the host's stack.
//!
//! X0 to X5, X16 and X17 are for every template's own use, X30 has return addresses of calls within compiled code; X18 is
//! the platform's. The vector registers stay the host's.

/// Where the TLB's entries begin.
pub const TLB: u8 = 6;
/// Where guest memory begins.
pub const RAM: u8 = 7;
/// RIP of the first byte of the page that runs.
pub const PAGE: u8 = 8;
/// How many cycles are left until the boundary.
pub const BUDGET: u8 = 15;
/// Reads 0.
pub const ZERO: u8 = 31;

/// The host register of each guest register, RAX to R15; that of the processor's address is X29.
pub const PINNED: [u8; 16] = [9, 10, 11, 12, 13, 14, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28];

/// The host register of a guest register; X31, which reads 0, of what is none.
pub fn pinned(register: u8) -> u8 {
    PINNED.get(usize::from(register)).copied().unwrap_or(ZERO)
}

/// What lies on the host's stack while compiled code runs: offsets from SP.
pub mod frame {
    /// The address of [`Context`](crate::context::Context).
    pub const CONTEXT: u32 = 96;
    /// Where the table of jumps of 64-bit mode begins.
    pub const JUMPS: u32 = 104;
    /// Where the table of jumps of 32-bit code begins.
    pub const NARROW_JUMPS: u32 = 112;
    /// Where the TLB's entries for fetches begin.
    pub const FETCHES: u32 = 120;
    /// Cycle from which [`BUDGET`](super::BUDGET) counts down.
    pub const LIMIT: u32 = 128;
    /// The return address of a call of a handler.
    pub const RETURN: u32 = 136;
    /// [`PAGE`](super::PAGE) while a handler runs.
    pub const PAGE: u32 = 144;
    /// Its size, a multiple of 16.
    pub const SIZE: u32 = 160;
}
