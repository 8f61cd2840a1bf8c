//! The host is x86-64.

mod enter;
mod generate;
mod registers;
mod x87;

pub use enter::Thunks;
pub use generate::generate;

/// What lets the 32 bits at address `site`, the displacement of a jump, lead to `target`.
pub fn way(site: usize, target: usize) -> u32 {
    target.wrapping_sub(site + 4) as u32
}

/// Code has changed: the processor sees it by itself.
pub fn see_code(_address: usize, _bytes: usize) {}
