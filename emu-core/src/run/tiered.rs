//! The chain of blocks where somebody compiles the hot ones.

use crate::block::cache::CodeCache;
use crate::exec::table::execute;
use crate::fault::Exec;
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::{Mode, Size};

impl Cpu {
    /// [`Cpu::run_chain`] with a tier: what it has compiled it runs, and all other blocks run as they do there.
    #[inline(never)]
    pub(super) fn run_tiered(&mut self, env: &mut Env, cache: &mut CodeCache, mut id: u32) {
        // What changes these leaves the chain.
        if self.carried.single_step || !self.runs_flat_code() {
            self.run_chain::<false>(env, cache, id);
            return;
        }
        // What runs a few instructions only, before the boundary has something to do, is not worth the way in and out.
        let least = cache.least_stay();
        // Instructions may cost nothing, and iterations do not count as instructions.
        let began = (self.cycles, self.instructions);
        let mut start = self.rip();
        // An exit of compiled code that leads to block `id`.
        let mut way = None;
        loop {
            // What nobody compiles, or is not worth entering, runs as it does without a tier.
            if self.cycles < self.block_limit && cache.is_interpreted(id) {
                match self.run_chain::<true>(env, cache, id) {
                    Some(next) => (id, start, way) = (next, self.rip(), None),
                    None => return,
                }
            }
            let (mut exit, mut compiled) = (None, false);
            let code = cache.code(self, id);
            if let (Some(way), Some(code)) = (way, code) {
                cache.link_code(way, code);
            }
            let worthwhile = self.block_limit.saturating_sub(self.cycles) >= least;
            let (entered, before) = (id, self.instructions);
            let result = match code.filter(|_| worthwhile).and_then(|code| cache.enter(self, env, code)) {
                Some(left) => {
                    cache.note_stay(entered, self.instructions.wrapping_sub(before));
                    (id, start, exit, compiled) = (left.block, left.start, left.exit, true);
                    left.result
                }
                None if !self.ends_within_bound(cache, id, start) => {
                    if (self.cycles, self.instructions) == began || self.cycles < self.block_limit {
                        self.run_one(env, cache, id, start);
                    }
                    return;
                }
                None => self.run_block(env, cache, id),
            };
            let Some(result) = result else {
                // Compiled code may be left early, since it counts only so far.
                if compiled && self.cycles + cache.block(id).bound <= self.block_limit {
                    way = None;
                    continue;
                }
                if (self.cycles, self.instructions) == began || self.cycles < self.block_limit {
                    self.run_part(env, cache, id, start);
                }
                return;
            };
            let block = cache.block(id);
            if result.is_err() || self.scratch.undone != 0 {
                let undone = std::mem::take(&mut self.scratch.undone);
                self.instructions = self.instructions.wrapping_sub(undone as u64);
                self.cycles -= block.cost_of_last(undone);
                if result.is_err() || !self.scratch.flow.branched {
                    return self.cut_short(env, cache, id, start, undone, result);
                }
            } else if !self.scratch.flow.branched {
                self.set_rip(start.wrapping_add(u64::from(block.len)));
            }
            let rip = self.rip();
            let delta = rip.wrapping_sub(start);
            start = rip;
            way = exit;
            if delta == 0 {
                continue;
            }
            id = match cache.linked(block, delta) {
                Some(next) => next,
                None => {
                    if self.cycles >= self.block_limit {
                        return;
                    }
                    self.scratch.flow.exact = true;
                    match cache.find(self, env) {
                        Ok(next) => {
                            cache.link(id, delta, next);
                            // Only what the cache itself has linked lies in the same page.
                            way = exit.filter(|_| cache.linked(cache.block(id), delta) == Some(next));
                            next
                        }
                        Err(stop) => return self.stopped(env, stop),
                    }
                }
            };
        }
    }

    /// Whether RIP is the linear address and all of the address space is code, and the stack is as wide as the code: only
    /// such code is compiled.
    fn runs_flat_code(&self) -> bool {
        let Mode { code, stack, .. } = self.derived.mode;
        match code {
            Size::Bits64 => true,
            Size::Bits32 => {
                stack == Size::Bits32
                    && !self.derived.mode.real_segments()
                    && self.derived.cs_bound == u32::MAX.into()
                    && self.sys.segments[1].base == 0
            }
            Size::Bits16 => false,
        }
    }

    /// Whether the block's last byte lies within CS.
    #[inline(always)]
    fn ends_within_bound(&self, cache: &CodeCache, id: u32, start: u64) -> bool {
        let bound = self.derived.cs_bound;
        bound == u64::MAX || start.wrapping_add(u64::from(cache.block(id).len) - 1) <= bound
    }

    /// Interprets one block; `None` if it would not end in time.
    #[inline(always)]
    fn run_block(&mut self, env: &mut Env, cache: &CodeCache, id: u32) -> Option<Exec> {
        let block = cache.block(id);
        if self.cycles + block.bound > self.block_limit {
            return None;
        }
        // A block without instructions is none that was found.
        let [first, rest @ ..] = &block.uops[..] else { return None };
        self.scratch.flow = block.flow;
        self.cycles += block.cost;
        self.instructions = self.instructions.wrapping_add(block.uops.len() as u64);
        Some(execute(self, env, first, rest))
    }
}
