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
/// Steps that are remembered.
const STEPS: usize = 16_384;
/// Kinds of instructions whose work is remembered.
const KINDS: usize = 1024;

/// An instruction was put before the rest of a run. All that its cost depends on is the rest's identity.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Step {
    rest: u128,
    kind: Kind,
    /// Cycles by which the estimate grows.
    cycles: u32,
    /// What the two are together; 0 of no step, and as a rest of no instructions.
    together: u128,
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
    /// The instructions of the run that is being read, and how far behind its beginning they begin, bytes.
    reading: Vec<(Seen, usize)>,
    /// Steps by a hash. The same instructions with other immediates cost the same, and what has been found of the end of
    /// one run is found again at the end of another.
    steps: Vec<Step>,
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
        self.reading.push((next, block.at - block.from));
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
        if self.steps.is_empty() {
            self.steps.resize(STEPS, Step::default());
            self.done.resize(KINDS, None);
        }
        let count = self.reading.len();
        let (mut rest, mut cycles) = (0, 0);
        // From there on the instructions are in `run`.
        let mut placed = count;
        self.run.clear();
        for index in (0..count).rev() {
            let kind = self.reading[index].0.kind;
            let slot = kind.mix(rest as u64) as usize % STEPS;
            let known = &self.steps[slot];
            if known.together == 0 || known.rest != rest || known.kind != kind {
                for earlier in (index..placed).rev() {
                    let work = self.work(table, bits, bytes, earlier);
                    self.run.put_before(table, &work);
                }
                placed = index;
                let whole = ((self.run.estimate(table) + UNIT / 2) / UNIT).max(1).max(cycles);
                let together = self.run.identity(table, whole);
                self.steps[slot] = Step { rest, kind, cycles: whole - cycles, together };
            }
            let step = &self.steps[slot];
            if let Some(uop) = uops.get_mut(index) {
                uop.cost = u8::try_from(step.cycles).unwrap_or(u8::MAX);
            }
            (rest, cycles) = (step.together, cycles + step.cycles);
        }
        self.reading.clear();
        count
    }

    /// What the instruction at an index of the run that has been read does; the run begins where `bytes` do.
    fn work(&mut self, table: &Table, bits: u32, bytes: &[u8], index: usize) -> Work {
        let (Seen { kind, .. }, at) = self.reading[index];
        match &mut self.done[kind.mix(0) as usize % KINDS] {
            Some((known, work)) if *known == kind => *work,
            slot => {
                let bytes = bytes.get(at..).unwrap_or_default();
                let instruction = Decoder::new(bits, bytes, DecoderOptions::NONE).decode();
                slot.insert((kind, self.works.of(table, &instruction))).1
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cycles::estimate::estimate;
    use crate::ir::op::Op;

    #[test]
    fn costs_are_the_same_whatever_was_remembered_and_add_up_to_the_estimate() {
        // add/xor/sub/adc r15, imm32; mov rax, [rdi + rcx * 8]; imul rax, r15; lock inc dword [rbx]; div ecx.
        let forms: [&[u8]; 8] = [
            b"\x49\x81\xC7\x11\x22\x33\x44",
            b"\x49\x81\xF7\x11\x22\x33\x44",
            b"\x49\x81\xEF\x11\x22\x33\x44",
            b"\x49\x81\xD7\x11\x22\x33\x44",
            b"\x48\x8B\x04\xCF",
            b"\x49\x0F\xAF\xC7",
            b"\xF0\xFF\x03",
            b"\xF7\xF1",
        ];
        let mut random = 0x2026_u32;
        let mut next = |below: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random as usize >> 16 & (below - 1)
        };
        for name in Table::names() {
            let table = Arc::new(Table::named(name).expect("it is built in"));
            let (mut known, mut works) = (Costs::default(), Works::default());
            for _ in 0..3000 {
                let kinds = if next(2) == 0 { 4 } else { 8 };
                let mut code: Vec<u8> = (0..1 + next(8)).flat_map(|_| forms[next(kinds)]).copied().collect();
                code.push(0xC3);
                let costs = |costs: &mut Costs| {
                    costs.begin(&table);
                    let mut decoder = Decoder::with_ip(64, &code, 0, DecoderOptions::NONE);
                    let seen: Vec<_> = decoder.iter().map(|i| Seen::of(&i)).collect();
                    seen.iter().for_each(|seen| costs.see(*seen));
                    let mut uops = vec![Uop::new(Op::Undefined, 0, 0, 1); seen.len()];
                    costs.assign(&table, 64, &code, 0, &mut uops);
                    uops.iter().map(|uop| uop.cost).collect::<Vec<_>>()
                };
                let remembered = costs(&mut known);
                assert_eq!(remembered, costs(&mut Costs::default()), "{name}: {code:02X?}");
                // The first four end no run before RET.
                if kinds == 4 {
                    let estimated = (estimate(&table, &works.of_code(&table, 64, &code)) + UNIT / 2) / UNIT;
                    let sum: u32 = remembered.iter().map(|cost| u32::from(*cost)).sum();
                    assert!(sum == estimated.max(1), "{name}: {code:02X?}: {sum} {estimated}");
                }
            }
        }
    }
}
