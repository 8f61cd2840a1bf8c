//! What the instructions of a block cost when the clock is the model's.
//!
//! The code is cut into runs: a run ends behind a branch or an instruction that nothing overlaps with, and where the
//! next instruction begins in another [`WINDOW`] of the page. An instruction costs what the estimate of its run's rest
//! grows by when it is put before it. That depends on its place and on the bytes from there on, and so neither on where
//! blocks begin and end nor on how a run of the machine was cut.

use super::work::{Kind, Works, ends_run};
use crate::cycles::estimate::{Run, UNIT, Work};
use crate::cycles::table::Table;
use crate::ir::uop::{MAX_INSTRUCTION, Uop};
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction};
use std::sync::Arc;

/// Bytes of a page in which a run must begin each of its instructions.
const WINDOW: usize = 128;
/// Runs whose costs are remembered.
const REMEMBERED: usize = 65_536;
/// Kinds of instructions whose work is remembered.
const KINDS: usize = 1024;

/// An instruction of a run whose costs have been found.
#[derive(Clone, Copy)]
struct Known {
    kind: Kind,
    cost: u8,
}

/// An instruction of a block, as it was decoded: all of it that costs depend on.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    kind: Kind,
    len: u8,
    /// A run ends behind it.
    ends: bool,
}

impl Seen {
    /// What is seen of an instruction.
    pub fn of(i: &Instruction) -> Self {
        Self { kind: Kind::of(i), len: i.len() as u8, ends: ends_run(i) }
    }
}

/// Finds out what instructions cost, and remembers what it has found by one table.
#[derive(Default)]
pub struct Costs {
    /// The table that everything remembered is by.
    table: Option<Arc<Table>>,
    works: Works,
    run: Run,
    /// The instructions that [`Costs::see`] was told.
    seen: Vec<Seen>,
    /// The instructions of the run that is being read.
    reading: Vec<Seen>,
    /// Runs by a hash of their kinds. The same instructions with other immediates cost the same.
    known: Vec<Box<[Known]>>,
    /// What instructions do, by a hash of their kind.
    done: Vec<Option<(Kind, Work)>>,
}

impl Costs {
    /// Forgets what it was told of the last block. From now on costs are by `table`.
    pub fn begin(&mut self, table: &Arc<Table>) {
        self.seen.clear();
        if !self.table.as_ref().is_some_and(|known| Arc::ptr_eq(known, table)) {
            *self = Self { table: Some(Arc::clone(table)), ..Self::default() };
        }
    }

    /// The next instruction of the block whose costs will be assigned.
    #[inline]
    pub fn see(&mut self, seen: Seen) {
        self.seen.push(seen);
    }

    /// Sets the costs of a block's micro-ops. `bytes` are those of the page from the block's start on, `place` is where
    /// in the page that is, `bits` says how wide the code is. Returns how many of the bytes the costs depend on.
    pub fn assign(&mut self, table: &Table, bits: u32, bytes: &[u8], place: usize, uops: &mut [Uop]) -> usize {
        let seen = std::mem::take(&mut self.seen);
        let mut block = Reading { first: 0, from: 0, at: 0, place };
        for next in &seen {
            self.read(table, bits, bytes, &mut block, *next, uops);
        }
        self.seen = seen;
        if block.first == uops.len() {
            return block.at;
        }
        // The last run goes on behind the block.
        let mut decoder = Decoder::with_ip(bits, bytes.get(block.at..).unwrap_or_default(), 0, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        while block.first < uops.len() {
            let decoded = decoder.can_decode() && {
                decoder.decode_out(&mut instruction);
                !instruction.is_invalid()
            };
            if !decoded {
                let cut_off = !decoder.can_decode() || decoder.last_error() == DecoderError::NoMoreBytes;
                self.settle(table, bits, &bytes[block.from..], uops.get_mut(block.first..).unwrap_or_default());
                return if cut_off { bytes.len() } else { bytes.len().min(block.at + MAX_INSTRUCTION) };
            }
            self.read(table, bits, bytes, &mut block, Seen::of(&instruction), uops);
        }
        block.at
    }

    /// The costs of an instruction that is not all in one page: it is a run of its own.
    pub fn assign_alone(&mut self, table: &Table, bits: u32, bytes: &[u8], uop: &mut Uop) {
        let bytes = &bytes[..bytes.len().min(usize::from(uop.len))];
        self.seen.truncate(1);
        self.assign(table, bits, bytes, 0, std::slice::from_mut(uop));
    }

    /// Takes the next instruction; the costs of its run, if that ends here.
    fn read(&mut self, table: &Table, bits: u32, bytes: &[u8], block: &mut Reading, next: Seen, uops: &mut [Uop]) {
        self.reading.push(next);
        let from = block.place + block.at;
        block.at += usize::from(next.len);
        if next.ends || (block.place + block.at) / WINDOW != from / WINDOW {
            let rest = uops.get_mut(block.first..).unwrap_or_default();
            let count = self.settle(table, bits, &bytes[block.from..], rest);
            block.first += count.min(rest.len());
            block.from = block.at;
        }
    }

    /// The run that has been read is complete, and begins where `bytes` do: the costs of its instructions, as far as they
    /// are in `uops`. Returns how many it has.
    fn settle(&mut self, table: &Table, bits: u32, bytes: &[u8], uops: &mut [Uop]) -> usize {
        if self.known.is_empty() {
            self.known.resize_with(REMEMBERED, Box::default);
            self.done.resize_with(KINDS, || None);
        }
        let slot = self.reading.iter().fold(0, |hash: u64, next| next.kind.mix(hash)) as usize % REMEMBERED;
        let known = &self.known[slot];
        if known.len() != self.reading.len() || known.iter().zip(&self.reading).any(|(a, b)| a.kind != b.kind) {
            self.known[slot] = self.estimate(table, bits, bytes);
        }
        for (uop, known) in uops.iter_mut().zip(&self.known[slot]) {
            uop.cost = known.cost;
        }
        let count = self.reading.len();
        self.reading.clear();
        count
    }

    /// The costs of the run that has been read, which begins where `bytes` do.
    fn estimate(&mut self, table: &Table, bits: u32, bytes: &[u8]) -> Box<[Known]> {
        self.run.clear();
        let mut found: Box<[Known]> = self.reading.iter().map(|next| Known { kind: next.kind, cost: 0 }).collect();
        let mut at = self.reading.iter().map(|next| usize::from(next.len)).sum::<usize>();
        let mut behind = 0;
        for (next, known) in self.reading.iter().zip(&mut found).rev() {
            at -= usize::from(next.len);
            let slot = &mut self.done[next.kind.mix(0) as usize % KINDS];
            let work = match slot {
                Some((kind, work)) if *kind == next.kind => work,
                _ => {
                    let bytes = bytes.get(at..).unwrap_or_default();
                    let instruction = Decoder::new(bits, bytes, DecoderOptions::NONE).decode();
                    &slot.insert((next.kind, self.works.of(table, &instruction))).1
                }
            };
            self.run.put_before(table, work);
            let whole = ((self.run.estimate(table) + UNIT / 2) / UNIT).max(1).max(behind);
            known.cost = u8::try_from(whole - behind).unwrap_or(u8::MAX);
            behind = whole;
        }
        found
    }
}

/// How far the runs of a block were read.
struct Reading {
    /// Micro-ops that have their costs.
    first: usize,
    /// Where the present run begins in the bytes.
    from: usize,
    /// Where the next instruction begins.
    at: usize,
    /// Where the block begins in its page.
    place: usize,
}
