//! Where guests have their registers while compiled code runs, and what lies on the host's stack.

use emu_core::ir::uop::MAX_UOPS;

/// Host registers by number that no guest register lives in: RAX, RCX and RDX are for every template's own use.
pub const RAX: u8 = 0;
/// See [`RAX`].
pub const RCX: u8 = 1;
/// See [`RAX`].
pub const RDX: u8 = 2;
/// The host register that holds how many cycles are left until the boundary. Where instructions have costs of their own,
/// these are above its low [`COUNT_BITS`], which hold [`NO_INSTRUCTIONS`] and how many instructions have been executed since
/// it was loaded.
pub const BUDGET: u8 = 15;
/// Bits of a number of instructions.
pub const COUNT_BITS: u8 = 18;
/// What the count begins with: a branch takes back what does not follow it in the block, of which all was counted before the
/// count began.
pub const NO_INSTRUCTIONS: i32 = MAX_UOPS as i32;
/// Instructions that a cycle has at most, in code that is compiled.
pub const PER_CYCLE: usize = 8;
/// Cycles that are counted at a time, so that the number of instructions never needs more than its bits.
pub const MOST_CYCLES: i32 = 16_000;

// A branch gives back what the rest of its block costs, even if that was paid before the count began.
const _: () = assert!((MOST_CYCLES as usize + MAX_UOPS * 255) * PER_CYCLE + MAX_UOPS < 1 << COUNT_BITS);
// A block is executed if its cycles can be counted, and its price is a number of an instruction.
const _: () = assert!(MAX_UOPS * 255 < MOST_CYCLES as usize && MAX_UOPS * 255 + 1 < 1 << (31 - COUNT_BITS));

/// What a number of cycles and of instructions changes [`BUDGET`] by.
pub fn price(priced: bool, cycles: u64, instructions: usize) -> i32 {
    if priced { ((cycles as i32) << COUNT_BITS) - instructions as i32 } else { cycles as i32 }
}

/// The host register in which a guest's register lives while compiled code runs, for RAX, RCX, RDX, RBX, RSP, RBP, RSI,
/// RDI, R8 and R9; the others stay in memory. RBP of the host is the processor's address, RSP the host's stack.
pub const PINNED: [u8; 10] = [3, 6, 7, 8, 9, 10, 11, 12, 13, 14];

/// The host register of a guest register, if it has one.
pub fn pinned(register: u8) -> Option<u8> {
    PINNED.get(usize::from(register)).copied()
}

/// What lies on the host's stack while compiled code runs: offsets from RSP.
pub mod frame {
    /// The address of [`Context`](crate::enter::Context).
    pub const CONTEXT: i32 = 0;
    /// Where guest memory begins.
    pub const RAM: i32 = 8;
    /// Where the TLB's entries begin.
    pub const TLB: i32 = 16;
    /// RIP of the first byte of the page that runs.
    pub const PAGE: i32 = 24;
    /// Where the TLB's entries for fetches begin.
    pub const FETCHES: i32 = 32;
    /// Where the table of jumps of 64-bit mode begins.
    pub const JUMPS: i32 = 40;
    /// For a template that reaches memory twice.
    pub const SPARE: i32 = 48;
    /// Cycle from which [`BUDGET`](super::BUDGET) counts down.
    pub const LIMIT: i32 = 56;
    /// The host's own MXCSR.
    pub const MXCSR: i32 = 64;
    /// Not 0: XMM0 to XMM15 and MXCSR of the host are the guest's.
    pub const VECTORS: i32 = 68;
    /// Not 0: the host's x87 FPU is the guest's.
    pub const X87: i32 = 69;
    /// For what is looked up in the TLB.
    pub const FOUND: i32 = 72;
    /// Where the table of jumps of 32-bit code begins.
    pub const NARROW_JUMPS: i32 = 80;
    /// Its size: with the registers that are saved, it keeps the stack aligned to 16 bytes.
    pub const SIZE: i32 = 88;
}
