//! Accesses on their way through the modelled caches, and what they take there. Caches hold lines of guest memory, by where
//! they lie in it, and no data: what is read is always what memory holds.

use super::ram::{Place, Ram};
use super::walk::{Access, Kind};
use crate::cycles::cache::{Cache, Found};
use crate::cycles::parts::Parts;
use crate::cycles::table::Table;
use crate::fault::Stop;
use crate::state::cpu::{Cpu, Env};
use crate::state::micro::Micro;
use crate::state::pmu::Miss;
use emu_vmx::arch::cr::Cr0;
use std::sync::Arc;

/// What reaches for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Load,
    Store,
    Fetch,
    /// Nobody waits.
    Prefetch,
}

impl Cpu {
    /// The clock counts the cycles of `table`, with its parts `parts`; `ram` gets the cache that processors share. To be
    /// called before anything runs, and for all processors of the memory alike.
    pub fn model_clock(&mut self, table: Arc<Table>, parts: Parts, ram: &mut Ram) {
        ram.set_shared_cache(parts.caches.then(|| Cache::shared(&table.caches)));
        self.micro = Micro::new(&table, parts);
        self.pmu.modelled = parts;
        self.config.cycles = Some(table);
        self.refresh_context();
    }

    /// What the clock counts, in words: equal for processors whose runs take the same time.
    pub fn clock_name(&self) -> String {
        match &self.config.cycles {
            None => "ips".to_owned(),
            Some(table) => {
                let parts = self.micro.parts().names().map(|name| format!(",{name}"));
                format!("model{}, of {}", parts.collect::<String>(), table.name)
            }
        }
    }

    /// Whether accesses to memory go through modelled caches: then none of them is a plain one.
    #[inline(always)]
    pub(crate) fn has_caches(&self) -> bool {
        self.micro.caches.is_some()
    }

    /// Bytes of guest memory are read or written.
    #[inline(always)]
    pub(crate) fn touch(&mut self, ram: &mut Ram, offset: usize, len: usize, write: bool) {
        if self.has_caches() {
            self.touch_lines(ram, offset, len, if write { Use::Store } else { Use::Load });
        }
    }

    /// Of a run of `n` elements of `size` bytes that are written at `to`: how many take part in what the first one does to
    /// caches, so that each of the others changes nothing there and takes no time.
    #[inline(always)]
    pub(crate) fn touch_run(&mut self, ram: &mut Ram, to: usize, size: usize, n: u64, down: bool) -> u64 {
        if !self.has_caches() {
            return n;
        }
        let before = self.cycles;
        self.touch(ram, to, size, true);
        // Elements in the lines of the first one.
        let bytes = self.config.cycles.as_ref().map_or(1, |table| table.caches.line as usize);
        let most = match to % bytes {
            place if place + size > bytes => 1,
            place if down => place / size + 1,
            place => (bytes - place) / size,
        };
        if self.cycles == before { n.min(most as u64) } else { 1 }
    }

    #[inline(never)]
    fn touch_lines(&mut self, ram: &mut Ram, offset: usize, len: usize, what: Use) {
        let (first, last) = (self.line_of(offset), self.line_of(offset + len.max(1) - 1));
        self.reach(ram, first, what);
        if last != first {
            self.reach(ram, last, what);
        }
    }

    /// The number of the line of an offset into guest memory.
    #[inline(always)]
    fn line_of(&self, offset: usize) -> u32 {
        self.micro.caches.as_ref().map_or(0, |own| own.line_of(offset))
    }

    /// Reaches for a line, and takes the time for it. With CR0.CD a line that is nowhere comes nowhere (SDM Vol. 3A Table
    /// 12-5, "Cache Operating Modes": no-fill mode).
    #[inline(always)]
    fn reach(&mut self, ram: &mut Ram, line: u32, what: Use) {
        let fills = !self.sys.cr0.contains(Cr0::CD);
        let (Some(own), Some(shared)) = (&mut self.micro.caches, ram.shared_cache()) else { return };
        let found = own.access(shared, line, what == Use::Fetch, fills);
        if found != Found::L1 {
            self.pay(found, what);
        }
    }

    #[inline(never)]
    fn pay(&mut self, found: Found, what: Use) {
        let Some(table) = &self.config.cycles else { return };
        let caches = &table.caches;
        let extra = match found {
            Found::L1 => 0,
            Found::L2 => caches.l2.extra,
            Found::L3 => caches.l3.extra,
            Found::Memory => caches.memory,
        };
        let share = match what {
            Use::Load => caches.loads,
            Use::Store => caches.stores,
            Use::Fetch => caches.fetches,
            Use::Prefetch => 0,
        };
        if matches!(found, Found::L3 | Found::Memory) {
            self.pmu.note(Miss::LastLevelReference);
        }
        if found == Found::Memory {
            self.pmu.note(Miss::LastLevel);
        }
        self.spend_cycles((u64::from(extra) * u64::from(share) + 50) / 100);
    }

    /// An instruction begins whose first and last byte lie at these offsets. Lines that the instruction before it lay in
    /// have been fetched: so it does not matter whether the two are in one block, and a repeated instruction fetches once
    /// however often it goes on.
    #[inline(always)]
    pub(crate) fn fetch_lines(&mut self, ram: &mut Ram, first: usize, last: usize) {
        let Some(own) = &mut self.micro.caches else { return };
        let lines = (own.line_of(first), own.line_of(last));
        if own.fetched != lines {
            let before = std::mem::replace(&mut own.fetched, lines);
            self.fetch_new_lines(ram, before, lines);
        }
    }

    fn fetch_new_lines(&mut self, ram: &mut Ram, before: (u32, u32), lines: (u32, u32)) {
        let known = |line| line == before.0 || line == before.1;
        if !known(lines.0) {
            self.reach(ram, lines.0, Use::Fetch);
        }
        if lines.1 != lines.0 && !known(lines.1) {
            self.reach(ram, lines.1, Use::Fetch);
        }
    }

    /// PREFETCHh, PREFETCHW: the line of `seg:ea` comes into all caches, if the TLB has its page and it is memory.
    pub(crate) fn prefetch(&mut self, env: &mut Env, seg: u8, ea: u64) {
        let linear = self.wrap_operand(self.seg_access[seg as usize & 7].base.wrapping_add(ea));
        let known = self.known_page(env, linear, Access::data(Kind::Read, self.sys.cpl == 3));
        if let Some(offset) = known.and_then(|physical| self.place_in_memory(env.ram, physical)) {
            self.touch_lines(env.ram, offset, 1, Use::Prefetch);
        }
    }

    /// Where the byte at `seg:ea` lies in guest memory, if that is where it lies; faults are those of a load, but for what a
    /// segment that may only be executed forbids.
    pub(crate) fn cacheable_place(
        &mut self,
        env: &mut Env,
        seg: u8,
        ea: u64,
        execute_only: bool,
    ) -> Result<Option<usize>, Stop> {
        let linear = match execute_only {
            true => self.wrap_operand(self.seg_access[seg as usize & 7].base.wrapping_add(ea)),
            false => self.linear(seg, ea, 1, false)?,
        };
        let target = self.operand_target(env, linear, 1, Access::data(Kind::Read, self.sys.cpl == 3))?;
        Ok(self.place_in_memory(env.ram, target.physical))
    }

    /// The place of a physical address, if memory answers there.
    fn place_in_memory(&self, ram: &Ram, physical: u64) -> Option<usize> {
        match ram.place(physical, false) {
            Place::Memory(offset) if physical & !0xFFF != self.lapic_page() => Some(offset),
            _ => None,
        }
    }

    /// CLFLUSH: a line leaves this processor's caches and the shared one.
    pub(crate) fn flush_line(&mut self, ram: &mut Ram, offset: usize) {
        let line = self.line_of(offset);
        if let Some(own) = &mut self.micro.caches {
            own.remove(line);
        }
        if let Some(shared) = ram.shared_cache() {
            shared.remove(line);
        }
    }

    /// INVD, WBINVD: this processor's caches and the shared one are empty (SDM Vol. 2B, WBINVD).
    pub(crate) fn empty_caches(&mut self, ram: &mut Ram) {
        if let Some(own) = &mut self.micro.caches {
            own.clear();
        }
        if let Some(shared) = ram.shared_cache() {
            shared.clear();
        }
    }

    /// Calls what reads memory, and leaves the caches alone meanwhile.
    pub(crate) fn beside_caches<R>(&mut self, call: impl FnOnce(&mut Self) -> R) -> R {
        let caches = self.micro.caches.take();
        let result = call(self);
        self.micro.caches = caches;
        result
    }
}
