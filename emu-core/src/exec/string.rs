//! String instructions (SDM Vol. 1 7.3.9): MOVS, STOS, LODS, SCAS, CMPS; INS and OUTS are in [`super::io`].
//!
//! A repeated instruction does as many iterations as the time slice has cycles for, then runs again from its own
//! address, so that interrupts come between iterations as on a processor. MOVS and STOS do a page's part of a run at
//! once where both pages are plain memory.

use crate::fault::{Exec, Stop};
use crate::flags::{DF, FlagSource};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::mem::ram::PAGE;
use crate::state::cpu::{Cpu, Env};
use crate::state::observed::Watch;

const RAX: u8 = 0;
const RCX: usize = 1;
/// Register-file number of the source index.
pub const RSI: usize = 6;
/// Register-file number of the destination index.
pub const RDI: usize = 7;
/// Segment of the destination.
pub const ES: u8 = 0;
/// Iterations in one go at most.
const MAX_RUN: u64 = 4096;
/// Bytes of a run that are stored one element at a time; a multiple of every element's size.
const FILL_SEED: usize = 256;
/// `r1` of a micro-op: repeat while equal, while not equal.
const WHILE_EQUAL: u8 = 1;

impl Cpu {
    /// Adds `bytes` to an index register, as wide as the address size: 32 bits clear the upper half.
    #[inline(always)]
    pub(crate) fn advance(&mut self, register: usize, u: &Uop, bytes: u64) {
        let mask = u.address_mask();
        let old = self.gpr[register];
        let new = old.wrapping_add(bytes) & mask;
        self.gpr[register] = if mask == 0xFFFF { old & !mask | new } else { new };
    }

    /// What one iteration adds to an index register.
    #[inline(always)]
    pub(crate) fn stride<W: Width>(&self) -> u64 {
        if self.flags.has(DF) { 0u64.wrapping_sub(W::BYTES) } else { W::BYTES }
    }

    /// `[seg:rSI]`'s offset.
    #[inline(always)]
    pub(crate) fn source_offset(&self, u: &Uop) -> u64 {
        self.gpr[RSI] & u.address_mask()
    }

    /// `[ES:rDI]`'s offset.
    #[inline(always)]
    pub(crate) fn destination_offset(&self, u: &Uop) -> u64 {
        self.gpr[RDI] & u.address_mask()
    }

    /// Runs `iteration` – which does at most that many iterations, and says how many and whether to go on – until the
    /// count is 0, the condition ends it, or the slice is used up. A fault leaves the registers of the iterations
    /// that were completed.
    #[inline(always)]
    pub(crate) fn repeat(
        &mut self,
        env: &mut Env,
        u: &Uop,
        mut iteration: impl FnMut(&mut Cpu, &mut Env, u64) -> Result<(u64, bool), Stop>,
    ) -> Exec {
        let count = self.gpr[RCX] & u.address_mask();
        if count == 0 {
            return Ok(());
        }
        let slice = self.block_limit.saturating_sub(self.cycles).clamp(1, MAX_RUN);
        // Where a counter asks in which cycle what happens, that is the last iteration's, however the run is cut.
        let placed = self.pmu.looks_at_some_cycles(self.config.model.pmu());
        let alone = self.carried.single_step || placed || self.notes.watch.contains(Watch::ITERATIONS);
        let slice = if alone { 1 } else { slice };
        let wanted = count.min(slice);
        let mut done = 0;
        let (limit, walking) = (self.block_limit, self.config.cycles.as_ref().map_or(0, |table| table.most_walking()));
        let mut pages = (walking != 0).then_some((u64::MAX, u64::MAX));
        let result = loop {
            // How long translations take is not known before: near the limit, one iteration at a time, unless the one
            // before had its pages in the TLB and they are those of the next.
            let here = (walking != 0).then(|| self.string_pages(u));
            let left = limit.saturating_sub(self.cycles + walking).max(1);
            let most = if here == pages { wanted - done } else { left.min(wanted - done) };
            // What goes through caches may have taken longer than iterations do.
            let most = if self.has_caches() { most.min(limit.saturating_sub(self.cycles).max(1)) } else { most };
            pages = here;
            match iteration(self, env, most) {
                Ok((n, go_on)) => {
                    done += n;
                    // The next iteration's device sees its own time.
                    self.cycles += n;
                    self.advance(RCX, u, 0u64.wrapping_sub(n));
                    // A device, a breakpoint or a store into code asks for the boundary; a port has taken time.
                    if !go_on || done >= wanted || self.leaves_block() || self.cycles >= limit {
                        break Ok(go_on);
                    }
                }
                Err(stop) => break Err(stop),
            }
        };
        match result {
            Ok(go_on) => {
                // The iterations are all that it costs.
                self.cycles -= u64::from(u.cost);
                self.carried.repeating = go_on && done < count;
                if self.carried.repeating {
                    self.again(u);
                }
                Ok(())
            }
            Err(stop) => Err(stop),
        }
    }

    /// How many of `wanted` iterations may be made at once, if the first began at a cycle: just the one if it has walked. What
    /// its walks take was not known before, and the next iteration may have to walk again, if its two pages have one entry
    /// of the TLB.
    #[inline(always)]
    fn after_walks(&self, began: u64, wanted: u64) -> u64 {
        if self.cycles == began { wanted } else { 1 }
    }

    /// The pages of the next source and of the next destination.
    fn string_pages(&self, u: &Uop) -> (u64, u64) {
        let base = |segment: u8| self.seg_access[usize::from(segment) & 7].base;
        let page = |segment: u8, offset: u64| base(segment).wrapping_add(offset) / PAGE;
        (page(u.seg, self.source_offset(u)), page(0, self.destination_offset(u)))
    }

    /// The same instruction runs again; it is counted when it completes.
    fn again(&mut self, u: &Uop) {
        let rip = self.rip().wrapping_add(u64::from(u.off));
        self.branch_to(rip);
        self.leave_block();
        self.instructions = self.instructions.wrapping_sub(1);
    }

    /// Iterations that stay in the page of `ea`, within the segment's plain bounds and within the address size.
    #[inline]
    fn run_length<W: Width>(&self, u: &Uop, seg: u8, ea: u64, write: bool, down: bool) -> u64 {
        let segment = &self.seg_access[seg as usize & 7];
        let bound = if write { segment.write_bound } else { segment.read_bound };
        let in_page = segment.base.wrapping_add(ea) % PAGE;
        if ea.wrapping_add(W::BYTES - 1) >= bound {
            // The segment needs a closer look: an expand-down one ends somewhere below.
            1
        } else if down {
            (in_page / W::BYTES + 1).min(ea / W::BYTES + 1)
        } else {
            let to_end = |end: u64| end.saturating_sub(ea) / W::BYTES;
            ((PAGE - in_page) / W::BYTES).min(to_end(bound)).min(to_end(u.address_mask())).max(1)
        }
    }
}

/// Copies `n` elements as one at a time would, wherever the two runs lie; the offsets are those of the first element.
fn copy_run<W: Width>(env: &mut Env, from: usize, to: usize, n: usize, down: bool) {
    let size = W::BYTES as usize;
    let len = n * size;
    let distance = to.abs_diff(from);
    let (low_from, low_to) = if down { (from + size - len, to + size - len) } else { (from, to) };
    // Elements that are read after they were written: the destination runs ahead into the source.
    let chases = distance != 0 && distance < len && (to > from) != down;
    if !chases {
        env.ram.copy_within(low_from, low_to, len);
    } else if !down && distance >= size {
        // The bytes between the two repeat: double them.
        env.ram.copy_within(from, to, distance);
        double(env.ram.page_bytes_mut(to, len), distance);
    } else {
        for k in 0..n {
            let at = |start: usize| if down { start - k * size } else { start + k * size };
            let value = W::load(env.ram.bytes(), at(from));
            W::store(env.ram.page_bytes_mut(at(to), size), value);
        }
    }
}

/// Stores `n` elements as one at a time would, the lowest at `start`.
fn fill_run<W: Width>(env: &mut Env, start: usize, n: usize, value: u64) {
    let size = W::BYTES as usize;
    let place = env.ram.page_bytes_mut(start, n * size);
    let bytes = &value.to_le_bytes()[..size];
    if bytes.iter().all(|byte| *byte == bytes[0]) {
        place.fill(bytes[0]);
        return;
    }
    // The host's memmove stores wider pieces than elements are.
    let seed = place.len().min(FILL_SEED);
    place[..seed].chunks_exact_mut(size).for_each(|element| W::store(element, value));
    double(place, seed);
}

/// Repeats the first `done` bytes of `place` until it is full.
fn double(place: &mut [u8], mut done: usize) {
    while done < place.len() {
        let part = done.min(place.len() - done);
        place.copy_within(..part, done);
        done += part;
    }
}

/// MOVS.
pub fn movs<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = cpu.read::<W>(env, u.seg, cpu.source_offset(u))?;
    cpu.write::<W>(env, ES, cpu.destination_offset(u), value)?;
    let stride = cpu.stride::<W>();
    cpu.advance(RSI, u, stride);
    cpu.advance(RDI, u, stride);
    Ok(())
}

/// REP MOVS.
pub fn rep_movs<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let down = cpu.flags.has(DF);
    let size = W::BYTES as usize;
    cpu.repeat(env, u, |cpu, env, wanted| {
        let (source, destination) = (cpu.source_offset(u), cpu.destination_offset(u));
        let began = cpu.cycles;
        // The source's place holds even if the destination takes its TLB entry. Caches see the source before the destination
        // is translated.
        if !cpu.has_caches()
            && let Some(from) = cpu.plain_place(env, u.seg, source, size, false)?
            && let Some(to) = cpu.plain_place(env, ES, destination, size, true)?
        {
            let n = cpu.after_walks(began, wanted);
            let n = n.min(cpu.run_length::<W>(u, u.seg, source, false, down));
            let n = n.min(cpu.run_length::<W>(u, ES, destination, true, down));
            copy_run::<W>(env, from, to, n as usize, down);
            let bytes = cpu.stride::<W>().wrapping_mul(n);
            cpu.advance(RSI, u, bytes);
            cpu.advance(RDI, u, bytes);
            return Ok((n, true));
        }
        movs::<W>(cpu, env, u).map(|()| (1, true))
    })
}

/// STOS.
pub fn stos<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = W::get(&cpu.gpr, RAX);
    cpu.write::<W>(env, ES, cpu.destination_offset(u), value)?;
    let stride = cpu.stride::<W>();
    cpu.advance(RDI, u, stride);
    Ok(())
}

/// REP STOS.
pub fn rep_stos<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let down = cpu.flags.has(DF);
    let value = W::get(&cpu.gpr, RAX);
    let size = W::BYTES as usize;
    cpu.repeat(env, u, |cpu, env, wanted| {
        let (destination, began) = (cpu.destination_offset(u), cpu.cycles);
        if let Some(to) = cpu.plain_place(env, ES, destination, size, true)? {
            let n = cpu.after_walks(began, wanted).min(cpu.run_length::<W>(u, ES, destination, true, down));
            let n = cpu.touch_run(env.ram, to, size, n, down);
            let start = if down { to - (n as usize - 1) * size } else { to };
            fill_run::<W>(env, start, n as usize, value);
            let bytes = cpu.stride::<W>().wrapping_mul(n);
            cpu.advance(RDI, u, bytes);
            return Ok((n, true));
        }
        stos::<W>(cpu, env, u).map(|()| (1, true))
    })
}

/// LODS.
pub fn lods<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = cpu.read::<W>(env, u.seg, cpu.source_offset(u))?;
    W::set(&mut cpu.gpr, RAX, value);
    let stride = cpu.stride::<W>();
    cpu.advance(RSI, u, stride);
    Ok(())
}

/// REP LODS.
pub fn rep_lods<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.repeat(env, u, |cpu, env, _| lods::<W>(cpu, env, u).map(|()| (1, true)))
}

#[inline(always)]
fn record_compare<W: Width>(cpu: &mut Cpu, a: u64, b: u64) {
    cpu.flags.record(FlagSource::Sub, W::TOP, a, b, a.wrapping_sub(b) & W::MASK);
}

/// SCAS.
pub fn scas<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let b = cpu.read::<W>(env, ES, cpu.destination_offset(u))?;
    let a = W::get(&cpu.gpr, RAX);
    record_compare::<W>(cpu, a, b);
    let stride = cpu.stride::<W>();
    cpu.advance(RDI, u, stride);
    Ok(())
}

/// REPE SCAS, REPNE SCAS.
pub fn rep_scas<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let wanted_zf = u.r1 == WHILE_EQUAL;
    cpu.repeat(env, u, |cpu, env, _| scas::<W>(cpu, env, u).map(|()| (1, cpu.flags.zf() == wanted_zf)))
}

/// CMPS.
pub fn cmps<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let a = cpu.read::<W>(env, u.seg, cpu.source_offset(u))?;
    let b = cpu.read::<W>(env, ES, cpu.destination_offset(u))?;
    record_compare::<W>(cpu, a, b);
    let stride = cpu.stride::<W>();
    cpu.advance(RSI, u, stride);
    cpu.advance(RDI, u, stride);
    Ok(())
}

/// REPE CMPS, REPNE CMPS.
pub fn rep_cmps<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let wanted_zf = u.r1 == WHILE_EQUAL;
    cpu.repeat(env, u, |cpu, env, _| cmps::<W>(cpu, env, u).map(|()| (1, cpu.flags.zf() == wanted_zf)))
}
