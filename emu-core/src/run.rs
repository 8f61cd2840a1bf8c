//! The loop of one processor: boundary, block, next block.

mod branches;
mod tiered;

use crate::block::Block;
use crate::block::cache::CodeCache;
use crate::event::boundary::Boundary;
use crate::exec::table::execute;
use crate::fault::{Exec, Stop};
use crate::ir::uop::Uop;
use crate::mem::ram::Ram;
use crate::observe::{Instruction, Observer, View, Watch, Watching};
use crate::pmu::is_branch;
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
    /// The observer has asked for it.
    Observer,
}

/// How far a processor may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Cycle: it comes back at the first instruction boundary at or after this. Where that falls changes nothing.
    pub stop: u64,
    /// Cycle at which its turn ends, at least `stop`: what gives its time away (PAUSE, UMWAIT) waits until then.
    pub turn_end: u64,
    /// It comes back after one instruction, one iteration of a repeated one, or one event that was delivered.
    pub step: bool,
}

impl Slice {
    /// A turn in one piece.
    pub fn turn(end: u64) -> Self {
        Self { stop: end, turn_end: end, step: false }
    }
}

impl Cpu {
    /// Runs a whole turn until `limit` cycles: to the first instruction boundary at or after that.
    pub fn run(&mut self, env: &mut Env, cache: &mut CodeCache, limit: u64) -> RunExit {
        self.begin_turn();
        self.run_slice(env, cache, Slice::turn(limit), None)
    }

    /// The processor's turn begins: MWAIT has waited for it.
    pub fn begin_turn(&mut self) {
        if self.sys.activity == Activity::Mwait {
            self.set_activity(Activity::Active);
            self.refresh_attention();
        }
    }

    /// The processor's turn is over: a PAUSE at its end has nothing to give away.
    pub fn end_turn(&mut self) {
        self.carried.gives_way = false;
    }

    /// Runs a part of a turn. However a turn is sliced, and whether or not somebody watches, the same instructions run at
    /// the same cycles.
    pub fn run_slice(
        &mut self,
        env: &mut Env,
        cache: &mut CodeCache,
        slice: Slice,
        watching: Option<Watching>,
    ) -> RunExit {
        self.set_watch(watching.as_ref().map_or(Watch::empty(), |watching| watching.watch));
        let mut observer = watching.map(|watching| watching.observer);
        // Whether the observer is to be asked next: it has been told something.
        let mut told = false;
        let each = self.notes.watch.contains(Watch::INSTRUCTIONS);
        self.scratch.turn_end = slice.turn_end;
        self.scratch.step = slice.step;
        self.scratch.progressed = false;
        self.carried.asleep = false;
        self.see_new_code(env.ram);
        loop {
            self.scratch.flow.exact = true;
            (self.scratch.walking, self.scratch.resumes_to) = (0, 0);
            if let Some(observer) = &mut observer {
                told |= self.tell(env.ram, *observer);
                if std::mem::take(&mut told) && observer.stops() {
                    return RunExit::Observer;
                }
            }
            // VMX operation blocks A20M (SDM Vol. 3C 24.8).
            env.ram.block_a20m(self.vmx.on());
            self.notice_memory_map(env);
            if env.ram.has_stale_pages() {
                cache.drop_stale(env);
            }
            cache.make_room();
            if env.bus.attention() || !env.outbox.is_empty() {
                return RunExit::Signals;
            }
            self.give_way(slice);
            if self.cycles >= slice.stop || slice.step && self.scratch.progressed {
                return RunExit::Budget;
            }
            self.check_apic_timer();
            self.check_pmu();
            let deadline = self.next_deadline();
            let mut block_limit = slice.stop.min(deadline);
            if slice.step {
                // An instruction may cost nothing: then no block runs whole.
                block_limit = block_limit.min(self.cycles + u64::from(self.config.cycles.is_none()));
            }
            self.block_limit = block_limit;
            if let Some(non_root) = &self.vmx.non_root
                && self.cycles >= non_root.timer_deadline
            {
                self.attention |= Attention::VMX;
            }
            if !self.attention.is_empty() {
                match self.boundary(env) {
                    // What it has sent does not wait for the instruction.
                    Boundary::Run if !env.outbox.is_empty() => continue,
                    Boundary::Run => {}
                    // Delivery of an event may itself have written memory or reached a device.
                    Boundary::Again => {
                        self.scratch.progressed = true;
                        continue;
                    }
                    // MWAIT may end sooner: whoever gives the turns says when.
                    Boundary::Stopped if self.sys.activity != Activity::Mwait && self.wake_deadline() < slice.stop => {
                        // Nothing happens before a timer's end.
                        self.cycles = self.cycles.max(self.wake_deadline());
                        continue;
                    }
                    Boundary::Stopped => {
                        self.carried.asleep = true;
                        return RunExit::Stopped;
                    }
                }
                (self.block_limit, self.scratch.resumes_to) = (block_limit, 0);
            }
            let fetched = self.fetch(env, cache, block_limit);
            if let Some(observer) = &mut observer {
                told |= self.tell(env.ram, *observer);
            }
            // The fetch has taken time, and what is due by now comes before the instruction.
            if fetched.is_ok() && self.scratch.walking != 0 {
                continue;
            }
            if let Ok(id) = fetched
                && each
                && let Some(observer) = &mut observer
            {
                let block = cache.block(id);
                let last = self.rip().wrapping_add(u64::from(block.alone.len) - 1);
                if last <= self.derived.cs_bound {
                    let instruction = Instruction { rip: self.rip(), uop: &block.alone };
                    observer.before_instruction(View { cpu: self, ram: env.ram }, instruction);
                    if observer.stops() {
                        return RunExit::Observer;
                    }
                }
            }
            if self.attention.contains(Attention::STEP) {
                self.begin_step();
            }
            self.scratch.progressed = true;
            // It was given up because it needs its own time, and its translations have taken theirs.
            self.cycles += std::mem::take(&mut self.scratch.owed);
            match fetched {
                Ok(id) => match observer.as_mut().filter(|_| each) {
                    Some(observer) => {
                        told = true;
                        self.run_watched(env, cache, id, *observer);
                    }
                    None if self.pmu.watches || self.micro.any() || self.derived.records_branches => {
                        self.run_counted(env, cache, id);
                    }
                    None if !cache.has_tier() => {
                        self.run_chain::<false>(env, cache, id);
                    }
                    None if !cache.is_interpreted(id) => self.run_tiered(env, cache, id),
                    None => match self.run_chain::<true>(env, cache, id) {
                        Some(next) if self.cycles < self.block_limit => self.run_tiered(env, cache, next),
                        _ => {}
                    },
                },
                Err(stop) => self.stopped(env, stop),
            }
            // Who spins comes here for each PAUSE: nothing above has anything to do then.
            if self.carried.gives_way
                && self.attention.is_empty()
                && observer.is_none()
                && !env.bus.attention()
                && env.outbox.is_empty()
                && !env.ram.has_stale_pages()
            {
                env.ram.block_a20m(self.vmx.on());
                self.notice_memory_map(env);
                self.give_way(slice);
                if self.cycles >= slice.stop {
                    return RunExit::Budget;
                }
            }
        }
    }

    /// PAUSE has given away what is left of the turn, unless something waits.
    #[inline(always)]
    fn give_way(&mut self, slice: Slice) {
        if std::mem::take(&mut self.carried.gives_way) && self.attention.is_empty() {
            self.give_time_until(slice.turn_end.min(self.idle_deadline()));
        }
    }

    /// Runs instructions one by one from block `id` on, for as long as nothing asks for the boundary, and tells of each; of
    /// the first it has been told that it begins.
    fn run_watched(&mut self, env: &mut Env, cache: &mut CodeCache, mut id: u32, observer: &mut dyn Observer) {
        // What an instruction notes ends the run behind it: nothing else lowers this.
        let limit = self.block_limit;
        loop {
            let start = self.rip();
            if !self.watch_block(env, cache, id, limit, observer) {
                return;
            }
            let rip = self.rip();
            match self.follow(env, cache, id, rip.wrapping_sub(start)) {
                Some(next) if self.block_limit == limit => id = next,
                _ => return,
            }
            let uop = &cache.block(id).alone;
            if rip.wrapping_add(u64::from(uop.len) - 1) > self.derived.cs_bound {
                return;
            }
            observer.before_instruction(View { cpu: self, ram: env.ram }, Instruction { rip, uop });
            if observer.stops() {
                return;
            }
        }
    }

    /// Runs instructions one by one from block `id` on, for as long as nothing asks for the boundary: performance counters
    /// want each of them, or last branch records, caches and branch prediction do.
    #[cold]
    #[inline(never)]
    fn run_counted(&mut self, env: &mut Env, cache: &mut CodeCache, mut id: u32) {
        loop {
            let start = self.rip();
            let last = start.wrapping_add(u64::from(cache.block(id).len) - 1);
            if self.carried.single_step || last > self.derived.cs_bound {
                self.run_one(env, cache, id, start);
                return;
            }
            if !self.run_part(env, cache, id, start) || self.cycles >= self.block_limit || self.scratch.step {
                return;
            }
            let delta = self.rip().wrapping_sub(start);
            match self.follow(env, cache, id, delta) {
                Some(next) if self.cycles < self.block_limit => id = next,
                _ => return,
            }
        }
    }

    /// The block behind `id` when RIP has moved by `delta`; `None` if its fetch did not complete.
    fn follow(&mut self, env: &mut Env, cache: &mut CodeCache, id: u32, delta: u64) -> Option<u32> {
        if delta == 0 {
            return Some(id);
        }
        if let Some(next) = cache.linked(cache.block(id), delta) {
            return Some(next);
        }
        self.scratch.flow.exact = true;
        match cache.find(self, env) {
            Ok(next) => {
                cache.link(id, delta, next);
                Some(next)
            }
            Err(stop) => {
                self.stopped(env, stop);
                None
            }
        }
    }

    /// Runs the instructions of one block, and tells of each; whether the next block may follow at once.
    #[inline]
    fn watch_block(
        &mut self,
        env: &mut Env,
        cache: &CodeCache,
        id: u32,
        limit: u64,
        observer: &mut dyn Observer,
    ) -> bool {
        let start = self.rip();
        let block = cache.block(id);
        if self.carried.single_step || start.wrapping_add(u64::from(block.len) - 1) > self.derived.cs_bound {
            let done = self.run_one(env, cache, id, start);
            self.tell(env.ram, observer);
            if done {
                let instruction = Instruction { rip: start, uop: &block.alone };
                observer.after_instruction(View { cpu: self, ram: env.ram }, instruction);
            }
            return false;
        }
        for (n, uop) in block.uops.iter().enumerate() {
            let rip = start.wrapping_add(uop.off.into());
            if n != 0 {
                self.set_rip(rip);
                observer.before_instruction(View { cpu: self, ram: env.ram }, Instruction { rip, uop });
                if observer.stops() {
                    return false;
                }
                self.set_rip(start);
            }
            if self.run_alone(env, block, &uop.showing_flags(), start).is_err() {
                self.tell(env.ram, observer);
                return false;
            }
            let branched = self.scratch.flow.branched;
            if !branched {
                self.set_rip(start.wrapping_add(uop.next()));
            }
            self.tell(env.ram, observer);
            observer.after_instruction(View { cpu: self, ram: env.ram }, Instruction { rip, uop });
            if self.block_limit != limit || self.cycles >= limit || self.scratch.step || observer.stops() {
                return false;
            }
            if branched {
                break;
            }
        }
        true
    }

    /// The block at RIP. What its translation has written may have been code itself.
    fn fetch(&mut self, env: &mut Env, cache: &mut CodeCache, block_limit: u64) -> Result<u32, Stop> {
        let id = cache.find(self, env)?;
        if !env.ram.has_stale_pages() {
            return Ok(id);
        }
        cache.drop_stale(env);
        (self.block_limit, self.scratch.resumes_to) = (block_limit, 0);
        cache.find(self, env)
    }

    /// Runs blocks from `id` on – at least one instruction – for as long as nothing asks for the boundary. If `TIERED`, up to
    /// a block that is compiled, or counts its runs until it is, either: that block.
    #[inline(never)]
    fn run_chain<const TIERED: bool>(&mut self, env: &mut Env, cache: &mut CodeCache, mut id: u32) -> Option<u32> {
        // What changes these leaves the chain.
        let plain = !self.carried.single_step && self.derived.cs_bound == u64::MAX;
        let mut first_block = true;
        loop {
            let block = cache.block(id);
            if TIERED && !first_block && !block.is_interpreted() {
                return Some(id);
            }
            let start = self.rip();
            let [first, rest @ ..] = &block.uops[..] else { return None };
            let count = block.uops.len() as u64;
            let delta = loop {
                // A block runs whole if it ends in time, so that the limit falls on the same instruction wherever
                // blocks begin.
                if self.cycles + block.bound > self.block_limit || !plain {
                    if !first_block && self.cycles >= self.block_limit {
                        return None;
                    }
                    let last = start.wrapping_add(u64::from(block.len) - 1);
                    if self.carried.single_step || last > self.derived.cs_bound {
                        self.run_one(env, cache, id, start);
                        return None;
                    }
                    if self.cycles + block.bound > self.block_limit {
                        self.run_part(env, cache, id, start);
                        return None;
                    }
                }
                first_block = false;
                self.scratch.flow = block.flow;
                self.cycles += block.cost;
                // A repeated instruction that goes on later takes its count back.
                self.instructions = self.instructions.wrapping_add(count);
                let result = execute(self, env, first, rest);
                if result.is_err() || self.scratch.undone != 0 {
                    let undone = std::mem::take(&mut self.scratch.undone);
                    self.instructions = self.instructions.wrapping_sub(undone as u64);
                    self.cycles -= block.cost_of_last(undone);
                    if result.is_err() || !self.scratch.flow.branched {
                        self.cut_short(env, cache, id, start, undone, result);
                        return None;
                    }
                } else if !self.scratch.flow.branched {
                    self.set_rip(start.wrapping_add(u64::from(block.len)));
                }
                let delta = self.rip().wrapping_sub(start);
                if delta != 0 {
                    break delta;
                }
                if TIERED && !block.is_interpreted() {
                    return Some(id);
                }
            };
            // As in `follow`; a call would cost short blocks 3 %.
            match cache.linked(block, delta) {
                Some(next) => id = next,
                None => {
                    if self.cycles >= self.block_limit {
                        return None;
                    }
                    self.scratch.flow.exact = true;
                    match cache.find(self, env) {
                        Ok(next) => {
                            cache.link(id, delta, next);
                            id = next;
                        }
                        Err(stop) => {
                            self.stopped(env, stop);
                            return None;
                        }
                    };
                }
            }
        }
    }

    /// Runs the first instruction of a block alone; whether it completed.
    #[cold]
    #[inline(never)]
    fn run_one(&mut self, env: &mut Env, cache: &CodeCache, id: u32, start: u64) -> bool {
        let block = cache.block(id);
        let first = &block.alone;
        if start.wrapping_add(u64::from(first.len) - 1) > self.derived.cs_bound {
            if let Err(stop) = self.gp::<()>(0) {
                self.stopped(env, stop);
            }
            return false;
        }
        if self.run_alone(env, block, first, start).is_err() {
            return false;
        }
        if !self.scratch.flow.branched {
            self.set_rip(start.wrapping_add(u64::from(first.len)));
        }
        if self.carried.single_step {
            self.after_single_step();
        }
        true
    }

    /// Runs the instructions of a block one by one until the limit: the block does not end in time. Whether they completed.
    #[cold]
    #[inline(never)]
    fn run_part(&mut self, env: &mut Env, cache: &CodeCache, id: u32, start: u64) -> bool {
        let block = cache.block(id);
        for uop in &block.uops {
            if self.run_alone(env, block, &uop.showing_flags(), start).is_err() {
                return false;
            }
            if self.scratch.flow.branched {
                return true;
            }
            if self.cycles >= self.block_limit || self.scratch.step {
                self.set_rip(start.wrapping_add(uop.next()));
                return true;
            }
        }
        self.set_rip(start.wrapping_add(u64::from(cache.block(id).len)));
        true
    }

    /// Executes one micro-op of the block at `start` and counts it. If it does not complete, RIP is its address and what
    /// it raised is delivered.
    fn run_alone(&mut self, env: &mut Env, block: &Block, uop: &Uop, start: u64) -> Exec {
        self.scratch.flow.exact = true;
        self.scratch.flow.branched = false;
        if self.has_caches()
            && let Some((first, last)) = block.place_of(env.ram, uop)
        {
            self.fetch_lines(env.ram, first, last);
        }
        self.cycles += u64::from(uop.cost);
        let from = self.derived.records_branches.then(|| self.place_of(start.wrapping_add(uop.off.into())));
        // As in a block: what asks for the time finds the instruction counted.
        let (before, watched) = (self.instructions, self.pmu.watches);
        if watched {
            self.retire(uop);
        }
        self.instructions = before.wrapping_add(1);
        let result = execute(self, env, uop, &[]);
        self.scratch.undone = 0;
        // A repeated one that goes on later is not counted yet.
        if watched && (result.is_err() || self.instructions == before) {
            self.pmu.take_back(is_branch(uop));
        }
        if let Err(stop) = result {
            self.instructions = before;
            self.cycles -= u64::from(uop.cost);
            if !self.scratch.flow.branched {
                self.set_rip(start.wrapping_add(uop.off.into()));
            }
            self.vmx.stopped_len = uop.len;
            self.stopped(env, stop);
            return result;
        }
        let mispredicted = self.micro.predictor.is_some() && self.see_branch(uop, start);
        if let Some(from) = from.filter(|_| self.scratch.flow.branched) {
            self.record_branch(uop, from, start.wrapping_add(uop.next()), mispredicted);
        }
        Ok(())
    }

    /// A block ended before its last instruction, and not by a branch: RIP is that of the first instruction that did not
    /// run.
    #[cold]
    #[inline(never)]
    fn cut_short(&mut self, env: &mut Env, cache: &mut CodeCache, id: u32, start: u64, undone: usize, result: Exec) {
        let block = cache.block(id);
        let done = block.uops.len().saturating_sub(undone);
        let next = block.uops.get(done);
        if !self.scratch.flow.branched {
            let offset = next.map_or(block.len, |uop| uop.off.into());
            self.set_rip(start.wrapping_add(offset.into()));
        }
        match result {
            Ok(()) => {}
            Err(Stop::Alone) => {
                // Breakpoints that it has met, and what an observer is to be told of it, come again.
                self.forget_debug_hits();
                self.notes.observed.clear();
                let walking = std::mem::take(&mut self.scratch.walking);
                self.cycles -= walking;
                self.scratch.owed = walking;
                cache.isolate(id, done);
            }
            Err(stop) => {
                self.vmx.stopped_len = next.map_or(0, |uop| uop.len);
                self.stopped(env, stop);
            }
        }
    }

    /// An instruction or a fetch did not complete.
    #[cold]
    fn stopped(&mut self, env: &mut Env, stop: Stop) {
        match stop {
            Stop::Fault => {
                let fault = self.scratch.fault;
                self.cycles += 1;
                self.vmx.stopped_len = 0;
                self.deliver_fault(env, fault);
            }
            Stop::Shutdown => self.shut_down(env),
            // It has been raised where time was not exact, and comes again where it is.
            Stop::Alone => {}
            Stop::VmExit => {
                self.cycles += 1;
                self.take_parked_exit(env);
            }
        }
    }

    /// Flushes the TLB if addresses have come to mean other places since it was filled.
    fn notice_memory_map(&mut self, env: &mut Env) {
        if self.derived.seen_map_epoch != env.ram.map_epoch() {
            self.derived.seen_map_epoch = env.ram.map_epoch();
            self.flush_tlb();
        }
    }

    /// Takes the fast write entries of pages that have come to hold code.
    pub fn see_new_code(&mut self, ram: &mut Ram) {
        if self.derived.seen_code_epoch != ram.code_epoch() {
            self.derived.seen_code_epoch = ram.code_epoch();
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
