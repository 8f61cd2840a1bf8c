//! What instructions were lowered to, by where they lie: when a page is written, most of its code is what it was, and
//! decoding that again costs several times as much as comparing its bytes.

use super::costs::Seen;
use super::lowerer::End;
use super::work::Kind;
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::state::derived::Mode;

/// Entries; a power of two. They are what a page or two of code has.
const ENTRIES: usize = 1024;

/// An instruction that was lowered.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Entry {
    /// Its bytes, and zeros behind them.
    bytes: u128,
    /// What it does, where the clock wants to know; that of no instruction otherwise.
    kind: Kind,
    /// What it was lowered to; no byte long if there is nothing.
    uop: Uop,
    /// [`Mode::key`] of its block.
    mode: u8,
    end: End,
    /// [`Seen::ends`].
    ends: bool,
}

/// Remembers what instructions were lowered to by one processor model. All that lowering depends on is compared.
pub struct Memo {
    entries: Box<[Entry; ENTRIES]>,
}

impl Default for Memo {
    fn default() -> Self {
        let uop = Uop::new(Op::Undefined, 0, 0, 0);
        let none = Entry { bytes: 0, kind: Kind::default(), uop, mode: 0, end: End::Ends, ends: false };
        Self { entries: Box::new([none; ENTRIES]) }
    }
}

/// The place of an instruction in guest memory and in its block: what its entry is found by.
#[derive(Clone, Copy)]
pub struct Site {
    slot: usize,
    off: u16,
    mode: u8,
}

impl Site {
    /// The site of the instruction `off` bytes into the block that begins at `offset` in guest memory.
    pub fn new(offset: usize, off: usize, mode: Mode) -> Self {
        // The same instruction is often lowered in two blocks, of which one begins within the other.
        let place = ((offset + off) as u64) << 9 ^ off as u64;
        let slot = (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & (ENTRIES - 1);
        Self { slot, off: off as u16, mode: mode.key() }
    }
}

/// The first `len` bytes, which are 1 to 15, of a number.
fn first(bytes: u128, len: u8) -> u128 {
    bytes & ((1 << (8 * len)) - 1)
}

impl Memo {
    /// What the instruction at the start of `bytes` was lowered to at `site`, if it is the same.
    pub fn find(&self, site: Site, bytes: u128) -> Option<(&Uop, End)> {
        let Entry { bytes: known, uop, mode, end, .. } = &self.entries[site.slot];
        let same = uop.len != 0 && uop.off == site.off && *mode == site.mode && first(bytes, uop.len) == *known;
        same.then_some((uop, *end))
    }

    /// Remembers that the instruction at the start of `bytes` has been lowered to `uop`, which has its length, and what
    /// the clock was told of it.
    pub fn note(&mut self, site: Site, bytes: u128, uop: Uop, end: End, seen: Option<Seen>) {
        let (kind, ends) = seen.map_or((Kind::default(), false), |seen| (seen.kind, seen.ends));
        self.entries[site.slot] = Entry { bytes: first(bytes, uop.len), kind, uop, mode: site.mode, end, ends };
    }

    /// What the clock was told of the instruction that [`Memo::find`] has found at `site`.
    pub fn seen(&self, site: Site) -> Option<Seen> {
        let Entry { kind, uop, ends, .. } = &self.entries[site.slot];
        (*kind != Kind::default()).then_some(Seen { kind: *kind, len: uop.len, ends: *ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::lower;
    use crate::model::CpuModel;

    /// Code of 64-bit mode, or of 32 bits.
    fn mode(is_64bit: bool) -> Mode {
        use crate::state::derived::Size;
        let size = if is_64bit { Size::Bits64 } else { Size::Bits32 };
        Mode { code: size, stack: size, protected: true, ..Mode::default() }
    }

    /// Lowers with what `memo` remembers and without it, which must not differ.
    fn check(memo: &mut Memo, offset: usize, mode: Mode, bytes: &[u8]) {
        let model = CpuModel::default_model();
        let (mut plain, mut known) = (Vec::new(), Vec::new());
        let len = lower(mode, &model, bytes, &mut plain, None, None);
        for _ in 0..2 {
            assert_eq!(lower(mode, &model, bytes, &mut known, Some((memo, offset)), None), len);
            assert_eq!(known, plain, "{bytes:02X?}");
        }
    }

    #[test]
    fn what_is_remembered_is_what_lowering_gives_whatever_was_written_in_between() {
        // mov eax, imm32; a RIP-relative load; inc or REX; jnz; ret.
        let code = b"\xB8\x11\x22\x33\x44\x48\x8B\x05\x10\0\0\0\x40\x90\x75\xF0\x66\x0F\x6F\xC1\xC3";
        let mut bytes = [0x90; 64];
        bytes[..code.len()].copy_from_slice(code);
        let mut memo = Memo::default();
        check(&mut memo, 0x1000, mode(true), &bytes);
        check(&mut memo, 0x1000, mode(false), &bytes);
        for start in 0..code.len() {
            check(&mut memo, 0x1000 + start, mode(true), &bytes[start..]);
        }
        for place in 0..code.len() {
            for byte in 0..=255 {
                let old = std::mem::replace(&mut bytes[place], byte);
                check(&mut memo, 0x1000, mode(true), &bytes);
                bytes[place] = old;
            }
        }
    }

    #[test]
    fn the_end_of_a_page_is_the_same_with_and_without_what_is_remembered() {
        let bytes = [0x48, 0xB8, 1, 2, 3, 4, 5, 6, 7, 8, 0x48, 0xB8, 1, 2, 3, 4, 5, 6, 7, 8];
        let mut memo = Memo::default();
        for len in (1..=bytes.len()).rev() {
            check(&mut memo, 0x2000 - len, mode(true), &bytes[..len]);
        }
        for len in 1..=bytes.len() {
            check(&mut memo, 0x1000, mode(true), &bytes[..len]);
        }
    }
}
