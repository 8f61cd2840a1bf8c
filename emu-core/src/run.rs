//! The loop of one processor: boundary, block, next block.

use crate::decode::cache::{Block, CodeCache};
use crate::event::boundary::Boundary;
use crate::exec::table::execute;
use crate::fault::{Exec, Stop};
use crate::mem::ram::Ram;
use crate::state::cpu::{Cpu, Env};
use crate::state::derived::Attention;
use crate::state::system::Activity;

/// Why a processor gave its time back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunExit {
    /// Its time is up.
    Budget,
    /// The board or an APIC message wants the scheduler.
    Signals,
    /// It does not execute until an event comes (HLT, shutdown, wait-for-SIPI).
    Stopped,
}

impl Cpu {
    /// Runs until `limit` cycles, or until something must be done outside. Its clock may pass `limit` by one block.
    pub fn run(&mut self, env: &mut Env, cache: &mut CodeCache, limit: u64) -> RunExit {
        // VMX operation blocks A20M (SDM Vol. 3C 24.8).
        env.ram.block_a20m(self.vmx.on());
        self.notice_memory_map(env);
        self.see_new_code(env.ram);
        if std::mem::take(&mut self.mwait) && self.sys.activity == Activity::Hlt {
            self.sys.activity = Activity::Active;
            self.refresh_attention();
        }
        loop {
            if env.ram.has_stale_pages() {
                cache.drop_stale(env);
            }
            if std::mem::take(&mut self.gives_way) && self.attention.is_empty() {
                self.cycles = self.cycles.max(limit.min(self.lapic.deadline));
            }
            if self.cycles >= limit {
                return RunExit::Budget;
            }
            self.check_apic_timer();
            if env.bus.attention() || !env.outbox.is_empty() {
                return RunExit::Signals;
            }
            let deadline = self.next_deadline();
            let block_limit = limit.min(deadline);
            self.block_limit = block_limit;
            if let Some(non_root) = &self.vmx.non_root
                && self.cycles >= non_root.timer_deadline
            {
                self.attention |= Attention::VMX;
            }
            if !self.attention.is_empty() {
                match self.boundary(env) {
                    Boundary::Run => {}
                    // Delivery of an event may itself have written memory or reached a device.
                    Boundary::Again => continue,
                    Boundary::Stopped if self.sys.activity == Activity::Hlt && deadline < limit => {
                        // Nothing happens before a timer's end.
                        self.cycles = self.cycles.max(deadline);
                        continue;
                    }
                    Boundary::Stopped => return RunExit::Stopped,
                }
                self.block_limit = block_limit;
                if self.attention.contains(Attention::STEP) {
                    self.begin_step();
                }
            }
            match cache.find(self, env) {
                Ok(id) => self.run_chain(env, cache, id),
                Err(stop) => self.stopped(env, stop),
            }
        }
    }

    /// Runs blocks from `id` on for as long as nothing asks for the boundary.
    fn run_chain(&mut self, env: &mut Env, cache: &mut CodeCache, mut id: u32) {
        // What changes these leaves the chain.
        let plain = !self.single_step && self.cs_bound == u64::MAX;
        loop {
            let start = self.rip();
            let block = cache.block(id);
            let [first, rest @ ..] = &block.uops[..] else { return };
            if !plain && (self.single_step || start.wrapping_add(u64::from(block.len) - 1) > self.cs_bound) {
                return self.run_one(env, block, start);
            }
            let count = block.uops.len() as u64;
            let delta = loop {
                self.branched = false;
                self.cycles += block.cost;
                // A repeated instruction that goes on later takes its count back.
                self.instructions = self.instructions.wrapping_add(count);
                let result = execute(self, env, first, rest);
                if result.is_err() || self.undone != 0 {
                    let undone = std::mem::take(&mut self.undone);
                    self.instructions = self.instructions.wrapping_sub(undone as u64);
                    self.cycles -= block.cost_of_last(undone);
                    if result.is_err() || !self.branched {
                        return self.cut_short(env, block, start, undone, result);
                    }
                } else if !self.branched {
                    self.set_rip(start.wrapping_add(u64::from(block.len)));
                }
                if self.cycles >= self.block_limit {
                    return;
                }
                let delta = self.rip().wrapping_sub(start);
                if delta != 0 {
                    break delta;
                }
            };
            match cache.linked(block, delta) {
                Some(next) => id = next,
                None => {
                    match cache.find(self, env) {
                        Ok(next) => {
                            cache.link(id, delta, next);
                            id = next;
                        }
                        Err(stop) => return self.stopped(env, stop),
                    };
                }
            }
        }
    }

    /// Runs the first instruction of a block alone.
    #[cold]
    #[inline(never)]
    fn run_one(&mut self, env: &mut Env, block: &Block, start: u64) {
        let first = &block.alone;
        if start.wrapping_add(u64::from(first.len) - 1) > self.cs_bound {
            let Err(stop) = self.gp::<()>(0) else { return };
            return self.stopped(env, stop);
        }
        self.branched = false;
        self.cycles += u64::from(first.cost);
        if let Err(stop) = execute(self, env, first, &[]) {
            self.cycles -= u64::from(first.cost);
            self.undone = 0;
            self.vmx.stopped_len = first.len;
            return self.stopped(env, stop);
        }
        self.instructions = self.instructions.wrapping_add(1);
        if !self.branched {
            self.set_rip(start.wrapping_add(u64::from(first.len)));
        }
        if self.single_step {
            self.after_single_step();
        }
    }

    /// A block ended before its last instruction, and not by a branch: RIP is that of the first instruction that did not
    /// run.
    #[cold]
    #[inline(never)]
    fn cut_short(&mut self, env: &mut Env, block: &Block, start: u64, undone: usize, result: Exec) {
        let next = block.uops.get(block.uops.len().saturating_sub(undone));
        if !self.branched {
            let offset = next.map_or(block.len, |uop| uop.off.into());
            self.set_rip(start.wrapping_add(offset.into()));
        }
        if let Err(stop) = result {
            self.vmx.stopped_len = next.map_or(0, |uop| uop.len);
            self.stopped(env, stop);
        }
    }

    /// An instruction or a fetch did not complete.
    #[cold]
    fn stopped(&mut self, env: &mut Env, stop: Stop) {
        match stop {
            Stop::Fault => {
                let fault = self.fault;
                self.cycles += 1;
                self.vmx.stopped_len = 0;
                self.deliver_fault(env, fault);
            }
            Stop::Shutdown => self.shut_down(env),
            Stop::VmExit => {
                self.cycles += 1;
                self.take_parked_exit(env);
            }
        }
    }

    /// Flushes the TLB if addresses have come to mean other places since it was filled.
    fn notice_memory_map(&mut self, env: &mut Env) {
        if self.seen_map_epoch != env.ram.map_epoch() {
            self.seen_map_epoch = env.ram.map_epoch();
            self.flush_tlb();
        }
    }

    /// Takes the fast write entries of pages that have come to hold code.
    pub fn see_new_code(&mut self, ram: &mut Ram) {
        if self.seen_code_epoch != ram.code_epoch() {
            self.seen_code_epoch = ram.code_epoch();
            self.tlb.retain_writes(|offset| ram.allow_fast_writes(offset));
        }
    }

    /// Forgets all translations.
    pub fn flush_tlb(&mut self) {
        self.select_address_space();
        self.tlb.flush_all();
        self.refresh_context();
    }
}
