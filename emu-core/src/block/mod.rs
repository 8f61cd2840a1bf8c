//! Blocks: decode once, run many. A block is found by where its bytes lie in guest memory and by mode.

pub mod cache;
pub mod key;
pub mod tier;

use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::lower::costs::Costs;
use crate::lower::memo::Memo;
use crate::lower::{self, Reach, flags};
use crate::mem::ram::{PAGE, Place, Ram};
use crate::state::cpu::Cpu;
use crate::state::scratch::Flow;
use key::Key;
use std::cell::Cell;
use tier::Code;

/// The number of no block.
const NO_BLOCK: u32 = u32::MAX;

/// Where a block leads to within its own page.
#[derive(Debug, Clone, Copy)]
struct Link {
    /// Target RIP minus this block's RIP.
    delta: u64,
    block: u32,
    /// The target's generation when the link was made.
    generation: u32,
}

const NO_LINK: Link = Link { delta: 0, block: NO_BLOCK, generation: 0 };

/// A run of instructions with one entry. Conditional branches may leave it before its end.
///
/// What going from block to block looks at is the first of the host's cache lines, the links are the second.
#[repr(C, align(64))]
pub struct Block {
    /// The instructions, for running them all.
    pub uops: Box<[Uop]>,
    /// Static cost of all instructions, cycles.
    pub cost: u64,
    /// It runs whole if so many cycles are left: all of them and, if the last instruction costs nothing, one more, so that
    /// it begins in time.
    pub bound: u64,
    /// Length in bytes.
    pub len: u32,
    /// How often it is interpreted before the tier is asked about it.
    quiet: Cell<u32>,
    /// Changes when another block takes this one's number: links made before are void. 0 while the number is free.
    generation: u32,
    /// What the tier has made of it.
    code: Option<Code>,
    /// What [`Scratch::flow`](crate::state::scratch::Scratch::flow) is as it begins: a single instruction's time is exact.
    pub flow: Flow,
    /// How often its compiled code was left at once of late.
    shorts: u16,
    next_link: u8,
    /// How many bytes from its first on it depends on, at least its length.
    reach: u16,
    /// Physical page that the last instruction reaches into, and its number in the linear address space is the next.
    pub second_page: Option<u64>,
    links: [Link; LINKS],
    key: Key,
    /// The first instruction, for running it alone.
    pub alone: Uop,
}

/// Exits of a block that lead on without a lookup.
const LINKS: usize = 4;

impl Block {
    /// Whether the block, which is about to run, is interpreted without a word to the tier.
    #[inline(always)]
    pub fn is_interpreted(&self) -> bool {
        match self.quiet.get() {
            0 => false,
            left => {
                self.quiet.set(left - 1);
                true
            }
        }
    }

    /// Static cost of the last `count` instructions.
    #[inline(always)]
    pub fn cost_of_last(&self, count: usize) -> u64 {
        sum_of_costs(&self.uops[self.uops.len().saturating_sub(count)..])
    }

    /// Offsets into guest memory of the first and of the last byte of one of its instructions; nothing where not all of it
    /// is memory.
    #[inline(always)]
    pub fn place_of(&self, ram: &Ram, uop: &Uop) -> Option<(usize, usize)> {
        if self.key == Key::NONE {
            return None;
        }
        let first = self.key.offset() + usize::from(uop.off);
        let last = first + usize::from(uop.len).max(1) - 1;
        match self.second_page {
            Some(page) if (first ^ last) >= PAGE as usize => match ram.place(page, false) {
                Place::Memory(offset) => Some((first, offset + last % PAGE as usize)),
                _ => None,
            },
            _ => Some((first, last)),
        }
    }

    /// Drops all instructions but the first `count`.
    fn keep(&mut self, count: usize) {
        if self.uops.len() > count {
            let mut uops: Vec<Uop> = self.uops[..count].iter().map(|uop| uop.showing_flags()).collect();
            crate::lower::flags::specialize(&mut uops);
            self.len = uops.last().map_or(0, |uop| uop.next() as u32);
            (self.cost, self.bound) = costs_of(&uops);
            self.flow = flow_of(&uops);
            self.uops = uops.into();
        }
    }
}

fn sum_of_costs(uops: &[Uop]) -> u64 {
    uops.iter().map(|uop| u64::from(uop.cost)).sum()
}

/// [`Block::cost`], [`Block::bound`].
fn costs_of(uops: &[Uop]) -> (u64, u64) {
    let cost = sum_of_costs(uops);
    (cost, cost + u64::from(uops.last().is_some_and(|uop| uop.cost == 0)))
}

fn flow_of(uops: &[Uop]) -> Flow {
    Flow { branched: false, exact: uops.len() == 1 }
}

/// Where blocks are decoded, what finds their costs, and what is remembered of earlier ones.
#[derive(Default)]
struct Workshop {
    uops: Vec<Uop>,
    costs: Costs,
    memo: Memo,
}

impl Workshop {
    /// Forgets what instructions were lowered to. What they cost depends on the table alone.
    fn clear(&mut self) {
        self.memo = Memo::default();
    }
}

/// Decodes the instructions at the start of `bytes`: none if the first is cut off.
/// `whole`: these are bytes of one page, and not of one instruction.
fn decode(cpu: &Cpu, bytes: &[u8], key: Key, workshop: &mut Workshop, whole: bool) -> Block {
    let Workshop { uops, costs, memo } = workshop;
    let (mode, model) = (cpu.derived.mode, &cpu.config.model);
    let memo = whole.then_some((memo, key.offset()));
    let Some(table) = &cpu.config.cycles else {
        let reach = lower::lower(mode, model, bytes, uops, memo, None);
        return block_of(uops, reach, key);
    };
    costs.begin(table, key.place().into());
    let mut reach = lower::lower(mode, model, bytes, uops, memo, Some(costs));
    let bits = mode.code.bits();
    if whole {
        reach.seen = reach.seen.max(costs.assign(table, bits, bytes, uops));
    } else if let Some(first) = uops.first_mut() {
        costs.assign_alone(table, bits, bytes, first);
    }
    block_of(uops, reach, key)
}

/// The block of micro-ops that were lowered from as many bytes as `reach` says.
fn block_of(uops: &mut [Uop], reach: Reach, key: Key) -> Block {
    let alone = uops.first().copied().unwrap_or(Uop::new(Op::Undefined, 0, 0, 1));
    flags::specialize(uops);
    let (cost, bound) = costs_of(uops);
    Block {
        len: reach.len as u32,
        alone,
        cost,
        bound,
        flow: flow_of(uops),
        uops: uops.into(),
        second_page: None,
        key,
        generation: 0,
        links: [NO_LINK; LINKS],
        next_link: 0,
        reach: reach.seen as u16,
        code: None,
        quiet: Cell::new(0),
        shorts: 0,
    }
}
