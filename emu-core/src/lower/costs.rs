//! What the instructions of a block cost when the clock is the model's.
//!
//! The code is cut into runs: a run ends behind a branch or an instruction that nothing overlaps with, and where the
//! next instruction begins in another [`WINDOW`] of the page. An instruction costs what the estimate of its run's rest
//! grows by when it is put before it. That depends on its place and on the bytes from there on, and so neither on where
//! blocks begin and end nor on how a run of the machine was cut.

use super::work::{Kind, Works, ends_run};
use crate::cycles::estimate::{Run, UNIT};
use crate::cycles::table::Table;
use crate::ir::uop::{MAX_INSTRUCTION, Uop};
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction};

/// Bytes of a page in which a run must begin each of its instructions.
const WINDOW: usize = 128;
/// Runs whose costs are remembered.
const REMEMBERED: usize = 4096;

/// A run whose costs have been found.
#[derive(Default)]
struct Known {
    kinds: Box<[Kind]>,
    costs: Box<[u8]>,
}

/// Finds out what instructions cost, and keeps what it needs for that. It belongs to one table.
#[derive(Default)]
pub struct Costs {
    works: Works,
    run: Run,
    /// The instructions of the run that is being read.
    instructions: Vec<Instruction>,
    kinds: Vec<Kind>,
    costs: Vec<u8>,
    /// By a hash of the kinds. The same instructions with other immediates cost the same.
    known: Vec<Known>,
}

impl Costs {
    /// Sets the costs of a block's micro-ops. `bytes` are those of the page from the block's start on, `place` is where
    /// in the page that is, `bits` says how wide the code is. Returns how many of the bytes the costs depend on.
    pub fn assign(&mut self, table: &Table, bits: u32, bytes: &[u8], place: usize, uops: &mut [Uop]) -> usize {
        let mut decoder = Decoder::with_ip(bits, bytes, 0, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        let (mut first, mut at) = (0, 0);
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
            self.instructions.push(instruction);
            self.kinds.push(Kind::of(&instruction));
            let from = place + at;
            at += instruction.len();
            if ends_run(&instruction) || (place + at) / WINDOW != from / WINDOW {
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
        if self.known.is_empty() {
            self.known.resize_with(REMEMBERED, Known::default);
        }
        let slot = self.kinds.iter().fold(0, |hash: u64, kind| kind.mix(hash)) as usize % REMEMBERED;
        if *self.known[slot].kinds != *self.kinds {
            self.estimate(table);
            self.known[slot] = Known { kinds: self.kinds.as_slice().into(), costs: self.costs.as_slice().into() };
        }
        let count = self.kinds.len();
        for (uop, cost) in uops.iter_mut().zip(&self.known[slot].costs) {
            uop.cost = *cost;
        }
        self.instructions.clear();
        self.kinds.clear();
        count
    }

    fn estimate(&mut self, table: &Table) {
        self.run.clear();
        self.costs.clear();
        self.costs.resize(self.instructions.len(), 0);
        let mut behind = 0;
        for (instruction, cost) in self.instructions.iter().zip(&mut self.costs).rev() {
            self.run.put_before(table, &self.works.of(table, instruction));
            let whole = ((self.run.estimate(table) + UNIT / 2) / UNIT).max(1).max(behind);
            *cost = u8::try_from(whole - behind).unwrap_or(u8::MAX);
            behind = whole;
        }
    }
}
