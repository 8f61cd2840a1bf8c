//! What the instructions of a block cost when the clock is the model's.
//!
//! The code is cut into runs: a run ends behind a branch or an instruction that nothing overlaps with, and where the
//! next instruction begins in another [`WINDOW`] of the page. An instruction costs what the estimate of its run's rest
//! grows by when it is put before it. That depends on its place and on the bytes from there on, and so neither on where
//! blocks begin and end nor on how a run of the machine was cut.

use super::work::{Works, ends_run};
use crate::cycles::estimate::{Run, UNIT, Work};
use crate::cycles::table::Table;
use crate::ir::uop::{MAX_INSTRUCTION, Uop};
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction};

/// Bytes of a page in which a run must begin each of its instructions.
const WINDOW: usize = 128;

/// Finds out what instructions cost, and keeps what it needs for that.
#[derive(Default)]
pub struct Costs {
    works: Works,
    run: Run,
    waiting: Vec<Work>,
}

impl Costs {
    /// Sets the costs of a block's micro-ops. `bytes` are those of the page from the block's start on, `place` is where
    /// in the page that is, `bits` says how wide the code is. Returns how many of the bytes the costs depend on.
    pub fn assign(&mut self, table: &Table, bits: u32, bytes: &[u8], place: usize, uops: &mut [Uop]) -> usize {
        let mut decoder = Decoder::with_ip(bits, bytes, 0, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        let (mut first, mut at) = (0, 0);
        self.waiting.clear();
        while first < uops.len() {
            let decoded = decoder.can_decode() && {
                decoder.decode_out(&mut instruction);
                !instruction.is_invalid()
            };
            if !decoded {
                let cut_off = !decoder.can_decode() || decoder.last_error() == DecoderError::NoMoreBytes;
                self.settle(table, uops.get_mut(first..).unwrap_or_default());
                return if cut_off { bytes.len() } else { bytes.len().min(at + MAX_INSTRUCTION) };
            }
            self.waiting.push(self.works.of(table, &instruction));
            at += instruction.len();
            if ends_run(&instruction) || (place + at) / WINDOW != (place + at - instruction.len()) / WINDOW {
                first += self.settle(table, &mut uops[first..]);
            }
        }
        at
    }

    /// The costs of an instruction that is not all in one page: it is a run of its own.
    pub fn assign_alone(&mut self, table: &Table, bits: u32, bytes: &[u8], uop: &mut Uop) {
        let bytes = &bytes[..bytes.len().min(usize::from(uop.len))];
        self.assign(table, bits, bytes, 0, std::slice::from_mut(uop));
    }

    /// The run that has been read is complete: the costs of its instructions, as far as they are in `uops`. Returns how
    /// many it has.
    fn settle(&mut self, table: &Table, uops: &mut [Uop]) -> usize {
        self.run.clear();
        let mut behind = 0;
        for (n, work) in self.waiting.iter().enumerate().rev() {
            self.run.put_before(table, work);
            let whole = ((self.run.estimate(table) + UNIT / 2) / UNIT).max(1).max(behind);
            if let Some(uop) = uops.get_mut(n) {
                uop.cost = u8::try_from(whole - behind).unwrap_or(u8::MAX);
            }
            behind = whole;
        }
        let count = self.waiting.len();
        self.waiting.clear();
        count
    }
}
