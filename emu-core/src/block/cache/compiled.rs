//! What a compiled tier has made of blocks, and when it is asked to.

use super::CodeCache;
use crate::block::Block;
use crate::block::key::Key;
use crate::block::tier::{Code, Exit, Left, Refused, Source, Tier};
use crate::ir::op::Op;
use crate::state::cpu::{Cpu, Env};

/// Instructions that make up for the way into compiled code and out of it.
const LONG_STAY: u64 = 16;
/// So many short stays, one behind the other, and a block is interpreted for [`PATIENCE`] runs.
const RELUCTANT: u16 = 32;
/// See [`RELUCTANT`].
const PATIENCE: u32 = 2048;
/// [`Block`]'s runs before the tier is asked about it, where that is no use. After as many it is asked again.
const NEVER: u32 = u32::MAX;

/// Most places of rewritten blocks that are remembered.
const MOST_REWRITTEN: usize = 1 << 16;

impl CodeCache {
    /// From now on `tier`, or nobody, compiles what is hot. A run is the same with and without.
    pub fn set_tier(&mut self, tier: Option<Box<dyn Tier>>) {
        self.clear();
        // What is compiled at once is always entered.
        self.least_stay = tier.as_ref().map_or(0, |tier| if tier.threshold() == 1 { 0 } else { LONG_STAY });
        self.tier = tier;
    }

    /// How many cycles there must be before the boundary for compiled code to be entered.
    #[inline(always)]
    pub fn least_stay(&self) -> u64 {
        self.least_stay
    }

    /// How often compiled code has called the handler of each operation, for those that it has.
    pub fn handler_calls(&self) -> Vec<(Op, u64)> {
        self.tier.as_ref().map_or_else(Vec::new, |tier| tier.calls())
    }

    /// Whether somebody compiles.
    #[inline(always)]
    pub fn has_tier(&self) -> bool {
        self.tier.is_some()
    }

    /// The compiled code of a block that is about to run, compiled now if it is not yet.
    #[inline(always)]
    pub fn code(&mut self, cpu: &Cpu, id: u32) -> Option<Code> {
        let block = &self.blocks[id as usize];
        if block.code.is_none() && block.quiet.get() == 0 {
            self.compile(cpu, id);
        }
        self.blocks[id as usize].code
    }

    /// [`Block::is_interpreted`] of a block.
    #[inline(always)]
    pub fn is_interpreted(&self, id: u32) -> bool {
        self.blocks[id as usize].is_interpreted()
    }

    /// The compiled code that was entered at a block has run for so many instructions.
    #[inline(always)]
    pub fn note_stay(&mut self, id: u32, instructions: u64) {
        if self.least_stay == 0 {
            return;
        }
        let block = &mut self.blocks[id as usize];
        if instructions >= LONG_STAY {
            block.shorts = 0;
        } else if block.shorts + 1 < RELUCTANT {
            block.shorts += 1;
        } else {
            // For a good while it is not tried again.
            block.quiet.set(PATIENCE);
        }
    }

    /// Asks the tier to compile a block. Where there is no more room, everything that was compiled goes, and the block
    /// waits for its next turn.
    #[cold]
    #[inline(never)]
    fn compile(&mut self, cpu: &Cpu, id: u32) {
        let (Some(tier), block) = (&mut self.tier, &mut self.blocks[id as usize]) else { return };
        let (place, wide) = (block.key.place(), block.key.is_64bit());
        let (cost, bound, records_data) = (block.cost, block.bound, cpu.records_data_pointers());
        let priced = cpu.config.cycles.is_some();
        match tier.compile(Source { block: id, uops: &block.uops, cost, bound, place, wide, priced, records_data }) {
            Ok(code) => block.code = Some(code),
            Err(Refused::Block) => block.quiet.set(NEVER),
            Err(Refused::Full) => {
                tier.clear();
                block.quiet.set(tier.threshold());
                for block in self.blocks.iter_mut().filter(|block| block.code.is_some()) {
                    block.code = None;
                    block.quiet.set(tier.threshold());
                }
            }
        }
    }

    /// Runs compiled code; `None` if nobody has compiled it.
    #[inline(always)]
    pub fn enter(&mut self, cpu: &mut Cpu, env: &mut Env, code: Code) -> Option<Left> {
        self.tier.as_mut().map(|tier| tier.enter(cpu, env, code))
    }

    /// Lets an exit of compiled code lead to `code`.
    pub fn link_code(&mut self, exit: Exit, code: Code) {
        if let Some(tier) = &mut self.tier {
            tier.link(exit, code);
        }
    }

    /// A block is dropped because it was written.
    pub(super) fn note_rewritten(&mut self, id: u32) {
        let block = &self.blocks[id as usize];
        if block.code.is_some() {
            if self.rewritten.len() >= MOST_REWRITTEN {
                self.rewritten.clear();
            }
            *self.rewritten.entry(block.key.offset()).or_default() += 1;
        }
    }

    pub(super) fn forget_code(tier: &mut Option<Box<dyn Tier>>, block: &mut Block) {
        if let (Some(tier), Some(code)) = (tier, block.code.take()) {
            tier.forget(code);
            block.quiet.set(tier.threshold() - 1);
        }
    }

    /// How often a new block is interpreted before the tier is asked about it. What a guest writes again and again is worth
    /// it less and less.
    pub(super) fn first_runs(&self, block: &Block) -> u32 {
        let Some(tier) = &self.tier else { return NEVER };
        let key = block.key;
        if key == Key::NONE || key.is_16bit() || key.enforces() || block.second_page.is_some() || block.uops.is_empty()
        {
            return NEVER;
        }
        let rewritten = self.rewritten.get(&key.offset()).copied().unwrap_or_default();
        (tier.threshold() - 1).saturating_mul(1u32.checked_shl(rewritten).unwrap_or(NEVER))
    }
}
