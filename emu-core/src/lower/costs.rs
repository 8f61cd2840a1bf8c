//! What the instructions of a block cost when the clock is the model's.
//!
//! The code is cut into runs: a run ends behind a branch or an instruction that nothing overlaps with, and where the
//! next instruction begins in another [`WINDOW`] of the page. An instruction costs what the estimate of its run's rest
//! grows by when it is put before it. That depends on its place and on the bytes from there on, and so neither on where
//! blocks begin and end nor on how a run of the machine was cut.

use super::first_bytes;
use super::work::{Kind, Kinds, Works};
use crate::cycles::estimate::{Run, UNIT, Work};
use crate::cycles::table::Table;
use crate::ir::uop::{MAX_INSTRUCTION, MAX_UOPS, Uop};
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction};
use std::sync::Arc;

/// Bytes of a page in which a run must begin each of its instructions.
const WINDOW: usize = 128;
/// Steps that are remembered.
const STEPS: usize = 16_384;
/// Kinds of instructions whose work is remembered.
const KINDS: usize = 1024;
/// Whole runs that are remembered.
const RUNS: usize = 1024;
/// Room for the instructions of a block and of the rest of its last run; a power of two.
const ROOM: usize = 256;
const _: () = assert!(ROOM >= MAX_UOPS + WINDOW);

/// An instruction was put before the rest of a run. All that its cost depends on is the rest's identity.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Step {
    rest: u128,
    /// That of no instruction if there is no step.
    kind: Kind,
    /// What the two are together; as a rest, 0 of no instructions.
    together: u128,
    /// Cycles by which the estimate grows.
    cycles: u32,
}

/// An instruction of a block, as it was decoded: all of it that costs depend on.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// What it does.
    pub kind: Kind,
    /// Its length, bytes.
    pub len: u8,
    /// A run ends behind it.
    pub ends: bool,
}

/// Instructions one behind the other.
struct Instructions {
    count: usize,
    kinds: [Kind; ROOM],
    /// Bytes.
    lens: [u8; ROOM],
}

impl Default for Instructions {
    fn default() -> Self {
        Self { count: 0, kinds: [Kind::default(); ROOM], lens: [0; ROOM] }
    }
}

impl Instructions {
    #[inline]
    fn push(&mut self, kind: Kind, len: u8) {
        let place = self.count % ROOM;
        (self.kinds[place], self.lens[place]) = (kind, len);
        self.count += 1;
    }
}

/// A run of the block in hand.
#[derive(Clone, Copy, Default)]
struct Part {
    /// Its first instruction.
    first: usize,
    /// Where that begins, bytes from the block's start.
    from: usize,
    /// The instruction behind its last.
    end: usize,
    /// A hash of its instructions' kinds.
    hash: u64,
}

/// What the instructions of a run cost.
#[derive(Clone, Default)]
struct Known {
    kinds: Vec<Kind>,
    costs: Vec<u8>,
}

/// Finds out what instructions cost, and remembers what it has found by one table.
#[derive(Default)]
pub struct Costs {
    /// The table that everything remembered is by.
    table: Option<Arc<Table>>,
    kinds: Kinds,
    works: Works,
    run: Run,
    /// The block's instructions, and behind them those of the rest of its last run.
    seen: Instructions,
    /// The runs that are complete.
    parts: Vec<Part>,
    /// The run that is not.
    part: Part,
    /// Where the block begins in its page.
    place: usize,
    /// Where the next instruction begins, bytes from the block's start.
    at: usize,
    /// Hashes of the runs that were last met, by themselves. What is met twice in a row is remembered whole.
    met: Vec<u64>,
    /// Whole runs by a hash.
    known: Vec<Known>,
    /// Steps by a hash. The same instructions with other immediates cost the same, and what has been found of the end of
    /// one run is found again at the end of another.
    steps: Vec<Step>,
    /// What instructions do, by a hash of their kind.
    done: Vec<Option<(Kind, Work)>>,
}

impl Costs {
    /// Forgets what it was told of the last block. The next one begins so many bytes into its page, and costs are by
    /// `table` from now on.
    pub fn begin(&mut self, table: &Arc<Table>, place: usize) {
        if !self.table.as_ref().is_some_and(|known| Arc::ptr_eq(known, table)) {
            *self = Self { table: Some(Arc::clone(table)), ..Self::default() };
            self.met.resize(RUNS, 0);
            self.known.resize(RUNS, Known::default());
            self.steps.resize(STEPS, Step::default());
            self.done.resize(KINDS, None);
        }
        self.parts.clear();
        self.seen.count = 0;
        (self.part, self.place, self.at) = (Part::default(), place, 0);
    }

    /// What costs depend on in the instruction that `decoder` has just decoded, and that `bytes` begin with.
    pub fn look(&mut self, decoder: &Decoder, i: &Instruction, bytes: u128) -> Seen {
        let (kind, ends) = self.kinds.of(decoder, i, bytes);
        Seen { kind, len: i.len() as u8, ends }
    }

    /// The next instruction of the block whose costs will be assigned.
    #[inline]
    pub fn see(&mut self, Seen { kind, len, ends }: Seen) {
        self.seen.push(kind, len);
        self.part.hash = kind.mix(self.part.hash);
        let begins = self.place + self.at;
        self.at += usize::from(len);
        if ends || (self.place + self.at) / WINDOW != begins / WINDOW {
            let end = self.seen.count;
            self.parts.push(Part { end, ..self.part });
            self.part = Part { first: end, from: self.at, end, hash: 0 };
        }
    }

    /// Sets the costs of a block's micro-ops. `bytes` are those of the page from the block's start on, `bits` says how wide
    /// the code is. Returns how many of the bytes the costs depend on.
    pub fn assign(&mut self, table: &Table, bits: u32, bytes: &[u8], uops: &mut [Uop]) -> usize {
        let code = Code { table, bits, bytes };
        let reach = if self.part.first < uops.len() { self.read_on(code) } else { self.at };
        for index in 0..self.parts.len() {
            let part = self.parts[index];
            self.settle(code, part, uops.get_mut(part.first..).unwrap_or_default());
        }
        reach
    }

    /// Reads the rest of the last run, which goes on behind the block. Returns how many bytes decide on where it ends.
    fn read_on(&mut self, code: Code) -> usize {
        let bytes = code.from(self.at).bytes;
        let mut decoder = Decoder::with_ip(code.bits, bytes, 0, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        let complete = self.parts.len() + 1;
        while self.parts.len() < complete {
            let position = decoder.position();
            let decoded = decoder.can_decode() && {
                decoder.decode_out(&mut instruction);
                !instruction.is_invalid()
            };
            if !decoded {
                self.parts.push(Part { end: self.seen.count, ..self.part });
                let cut_off = !decoder.can_decode() || decoder.last_error() == DecoderError::NoMoreBytes;
                let all = code.bytes.len();
                return if cut_off { all } else { all.min(self.at + MAX_INSTRUCTION) };
            }
            let seen = self.look(&decoder, &instruction, first_bytes(&bytes[position..]));
            self.see(seen);
        }
        self.at
    }

    /// The costs of an instruction that is not all in one page: it is a run of its own.
    pub fn assign_alone(&mut self, table: &Table, bits: u32, bytes: &[u8], uop: &mut Uop) {
        if self.seen.count > 0 {
            let part = Part { first: 0, from: 0, end: 1, hash: self.seen.kinds[0].mix(0) };
            self.settle(Code { table, bits, bytes }, part, std::slice::from_mut(uop));
        }
    }

    /// The costs of a run's instructions, as far as they are in `uops`.
    fn settle(&mut self, code: Code, part: Part, uops: &mut [Uop]) {
        let slot = part.hash as usize % RUNS;
        let again = std::mem::replace(&mut self.met[slot], part.hash) == part.hash;
        let kinds = &self.seen.kinds[part.first..part.end];
        if again && self.known[slot].kinds == kinds {
            let costs = &self.known[slot].costs;
            uops.iter_mut().zip(costs).for_each(|(uop, cost)| uop.cost = *cost);
            return;
        }
        let mut costs = [0; ROOM];
        let costs = &mut costs[..kinds.len()];
        self.estimate(code, part, costs);
        uops.iter_mut().zip(&*costs).for_each(|(uop, cost)| uop.cost = *cost);
        if again {
            let kinds = self.seen.kinds[part.first..part.end].to_vec();
            self.known[slot] = Known { kinds, costs: costs.to_vec() };
        }
    }

    /// Finds out the costs of a run's instructions, of which there are as many as `costs`.
    fn estimate(&mut self, code: Code, part: Part, costs: &mut [u8]) {
        let (mut rest, mut cycles) = (0, 0);
        // From there on the instructions are in `self.run`.
        let mut placed = part.end;
        for (index, cost) in (part.first..part.end).zip(costs).rev() {
            let kind = self.seen.kinds[index];
            let slot = kind.mix(rest as u64) as usize % STEPS;
            let step = &self.steps[slot];
            if step.rest != rest || step.kind != kind {
                if placed == part.end {
                    self.run.clear();
                }
                for earlier in (index..placed).rev() {
                    let work = self.work(code, part, earlier);
                    self.run.put_before(code.table, &work);
                }
                placed = index;
                let whole = ((self.run.estimate(code.table) + UNIT / 2) / UNIT).max(1).max(cycles);
                let together = self.run.identity(code.table, whole);
                self.steps[slot] = Step { rest, kind, together, cycles: whole - cycles };
            }
            let step = &self.steps[slot];
            *cost = u8::try_from(step.cycles).unwrap_or(u8::MAX);
            (rest, cycles) = (step.together, cycles + step.cycles);
        }
    }

    /// What an instruction of a run does.
    fn work(&mut self, code: Code, part: Part, index: usize) -> Work {
        let kind = self.seen.kinds[index];
        match &mut self.done[kind.mix(0) as usize % KINDS] {
            Some((known, work)) if *known == kind => *work,
            slot => {
                let before: usize = self.seen.lens[part.first..index].iter().map(|len| usize::from(*len)).sum();
                let bytes = code.from(part.from + before).bytes;
                let instruction = Decoder::new(code.bits, bytes, DecoderOptions::NONE).decode();
                slot.insert((kind, self.works.of(code.table, &instruction))).1
            }
        }
    }
}

/// Code whose costs are wanted.
#[derive(Clone, Copy)]
struct Code<'a> {
    table: &'a Table,
    bits: u32,
    bytes: &'a [u8],
}

impl Code<'_> {
    /// The code from a place in the bytes on.
    fn from(self, at: usize) -> Self {
        Self { bytes: self.bytes.get(at..).unwrap_or_default(), ..self }
    }
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
                    costs.begin(&table, 0);
                    let mut decoder = Decoder::with_ip(64, &code, 0, DecoderOptions::NONE);
                    let mut uops = Vec::new();
                    while decoder.can_decode() {
                        let at = decoder.position();
                        let instruction = decoder.decode();
                        let seen = costs.look(&decoder, &instruction, first_bytes(&code[at..]));
                        costs.see(seen);
                        uops.push(Uop::new(Op::Undefined, 0, 0, 1));
                    }
                    costs.assign(&table, 64, &code, &mut uops);
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
