//! The host is aarch64.

// What dynasm! makes of a field of one bit compares its bounds.
#![allow(clippy::absurd_extreme_comparisons, clippy::eq_op)]

mod enter;
mod generate;
mod registers;

pub use enter::Thunks;
pub use generate::generate;

use std::arch::asm;

/// B, whose displacement is in the low 26 bits, in words (Arm ARM C6.2, "B").
const BRANCH: u32 = 0x1400_0000;

/// What lets the 32 bits at address `site`, a branch, lead to `target`. Code memory is smaller than what a branch reaches.
pub fn way(site: usize, target: usize) -> u32 {
    BRANCH | (target.wrapping_sub(site) >> 2) as u32 & 0x03FF_FFFF
}

/// Code has changed: the processor's caches of instructions are told (Arm ARM B2.4.4, "Concurrent modification and execution
/// of instructions"). `address` is where it is executed; what it was written by is an alias, and data caches know none.
pub fn see_code(address: usize, bytes: usize) {
    let sizes: u64;
    // SAFETY: reads a register that Linux lets programs read, and touches no memory.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) sizes, options(nomem, nostack, preserves_flags)) };
    let line = |field: u64| 4usize << (sizes >> field & 15);
    let lines = |size: usize| (address & !(size - 1)..address + bytes).step_by(size);
    for at in lines(line(16)) {
        // SAFETY: the address is one of the executable mapping's; cleaning a line changes no memory.
        unsafe { asm!("dc cvau, {}", in(reg) at, options(nostack, preserves_flags)) };
    }
    // SAFETY: orders what is before and behind, no more.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
    for at in lines(line(0)) {
        // SAFETY: as above; an invalidated line is fetched again.
        unsafe { asm!("ic ivau, {}", in(reg) at, options(nostack, preserves_flags)) };
    }
    // SAFETY: as above.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}

#[cfg(test)]
mod tests {
    use super::way;

    #[test]
    fn way_leads_forth_and_back_by_words() {
        assert_eq!(way(0x1000, 0x1000), 0x1400_0000);
        assert_eq!(way(0x1000, 0x1004), 0x1400_0001);
        assert_eq!(way(0x1004, 0x1000), 0x17FF_FFFF);
        assert_eq!(way(0x1000, 0x1000 + (63 << 20)), 0x14FC_0000);
    }
}
