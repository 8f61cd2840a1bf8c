//! Decoded blocks, found by where their bytes lie in guest memory and by mode.

mod compiled;

use super::key::{Key, NumberMap};
use super::tier::Tier;
use super::{Block, LINKS, Link, NO_BLOCK, NO_LINK, Workshop, decode};
use crate::fault::Stop;
use crate::ir::uop::MAX_INSTRUCTION;
use crate::mem::ram::{PAGE, Place, pieces_of};
use crate::state::cpu::{Cpu, Env};
use crate::state::observed::{BuiltBlock, Observed, Watch};
use std::cell::Cell;
use std::collections::HashMap;

const JUMP_ENTRIES: usize = 4096;
/// Most blocks that are kept: with their micro-ops about 200 bytes each, and as much again for finding them.
pub const MAX_BLOCKS: usize = 1 << 19;
/// Most micro-ops in them for each block that there may be; a block has three on average.
const UOPS_PER_BLOCK: usize = 8;
/// Most entries in the lists of the pages' blocks, likewise: one block is in two lists at most, and a list may hold
/// numbers of blocks that are gone.
const ENTRIES_PER_BLOCK: usize = 4;
const NO_PAGE: u64 = u64::MAX;
const NO_JUMP: Jump = Jump { rip: 0, stamp: u64::MAX, page: NO_PAGE, second: NO_PAGE, block: NO_BLOCK, generation: 0 };

#[derive(Clone, Copy)]
struct Jump {
    rip: u64,
    stamp: u64,
    /// Physical page that the fetch TLB held.
    page: u64,
    /// The same of the next page, if the block reaches into it.
    second: u64,
    block: u32,
    generation: u32,
}

/// The bytes of a page that a block depends on, from the first to behind the last.
#[derive(Clone, Copy)]
struct Registered {
    /// It may be gone, and its number another one's.
    block: u32,
    start: u16,
    end: u16,
}

/// What a remembered jump depends on beside its address.
#[inline(always)]
fn jump_stamp(cpu: &Cpu) -> u64 {
    u64::from(cpu.tlb.epoch) << 32 | cpu.derived.context << 16 | cpu.derived.code_stamp
}

/// Processors that run the same code do not evict each other.
#[inline(always)]
fn jump_slot(cpu: &Cpu, linear: u64) -> usize {
    (linear ^ linear >> 12 ^ (cpu.derived.code_stamp & 0xFF00) << 1) as usize & (JUMP_ENTRIES - 1)
}

/// Linear address of the page behind that of `linear`.
#[inline(always)]
fn page_behind(cpu: &Cpu, linear: u64) -> u64 {
    cpu.wrap_operand((linear & !0xFFF).wrapping_add(PAGE))
}

/// All decoded blocks of a machine; its processors share them.
pub struct CodeCache {
    blocks: Vec<Block>,
    free: Vec<u32>,
    map: NumberMap<Key, u32>,
    pages: NumberMap<u32, Vec<Registered>>,
    jumps: Box<[Jump; JUMP_ENTRIES]>,
    /// The generation of the next block.
    generation: u32,
    /// Where blocks are decoded.
    workshop: Workshop,
    /// Most blocks.
    limit: usize,
    /// Micro-ops of all blocks.
    uops: usize,
    /// Entries in `pages`.
    entries: usize,
    /// There were too many of one of them when the last block came.
    full: bool,
    /// How often compiled blocks that begin at a place were dropped because they were written.
    rewritten: NumberMap<usize, u32>,
    /// How many cycles there must be before the boundary for compiled code to be entered.
    least_stay: u64,
    /// Compiles what is hot, if there is somebody who does.
    tier: Option<Box<dyn Tier>>,
    /// What has happened so far.
    pub counts: CacheCounts,
}

/// What has happened in a cache, for `--stats`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Searches for the block at RIP; blocks that are linked need none.
    pub lookups: u64,
    /// Blocks decoded: the searches that were misses.
    pub built: u64,
    /// Blocks dropped because their bytes were written.
    pub dropped: u64,
    /// Blocks dropped because there were too many.
    pub evicted: u64,
}

impl Default for CodeCache {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            free: Vec::new(),
            map: HashMap::default(),
            pages: HashMap::default(),
            jumps: Box::new([NO_JUMP; JUMP_ENTRIES]),
            generation: 1,
            workshop: Workshop::default(),
            limit: MAX_BLOCKS,
            uops: 0,
            entries: 0,
            full: false,
            rewritten: HashMap::default(),
            least_stay: 0,
            tier: None,
            counts: CacheCounts::default(),
        }
    }
}

impl CodeCache {
    /// A block by its number.
    #[inline(always)]
    pub fn block(&self, id: u32) -> &Block {
        &self.blocks[id as usize]
    }

    /// The block that follows `block` within its page when RIP has moved by `delta`.
    #[inline(always)]
    pub fn linked(&self, block: &Block, delta: u64) -> Option<u32> {
        let link = block.links.iter().find(|link| link.delta == delta)?;
        self.is_current(link.block, link.generation).then_some(link.block)
    }

    /// Whether a block's number still means what it meant when its generation was noted.
    #[inline(always)]
    fn is_current(&self, block: u32, generation: u32) -> bool {
        self.blocks.get(block as usize).is_some_and(|block| block.generation == generation)
    }

    /// Notes that `to` follows `from` when RIP moves by `delta`; ignored unless both lie in one page.
    pub fn link(&mut self, from: u32, delta: u64, to: u32) {
        let target = &self.blocks[to as usize];
        let (to_key, straddles, generation) = (target.key, target.second_page.is_some(), target.generation);
        let source = &mut self.blocks[from as usize];
        // The linear page must be the same too: a delta within the page says so, given the physical page is.
        let same_page = source.key.leads_to(to_key, delta);
        if straddles || !same_page || source.second_page.is_some() {
            return;
        }
        // A void link with the same delta would hide the new one.
        let same = source.links.iter().position(|link| link.delta == delta);
        let slot = same.unwrap_or(usize::from(source.next_link) % LINKS);
        source.links[slot] = Link { delta, block: to, generation };
        source.next_link = source.next_link.wrapping_add(1);
    }

    /// The block at the processor's RIP, decoded if need be. A fault of the fetch is parked.
    #[inline(always)]
    pub fn find(&mut self, cpu: &mut Cpu, env: &mut Env) -> Result<u32, Stop> {
        self.counts.lookups += 1;
        let rip = cpu.rip();
        let (linear, within) = if cpu.derived.mode.is_64bit() {
            (rip, true)
        } else {
            (cpu.sys.segments[1].base.wrapping_add(rip) & 0xFFFF_FFFF, rip <= cpu.derived.cs_bound)
        };
        let stamp = jump_stamp(cpu);
        let jump = &self.jumps[jump_slot(cpu, linear)];
        // The fetch TLB must know its pages: what a fetch translates does not depend on where blocks begin.
        if jump.rip == linear
            && jump.stamp == stamp
            && within
            && cpu.tlb.fetch_page(linear, cpu.derived.context) == Some(jump.page)
            && (jump.second == NO_PAGE
                || cpu.tlb.fetch_page(page_behind(cpu, linear), cpu.derived.context) == Some(jump.second))
            && self.is_current(jump.block, jump.generation)
        {
            return Ok(jump.block);
        }
        self.find_by_place(cpu, env, linear, within)
    }

    /// [`CodeCache::find`] where nothing is remembered.
    #[inline(never)]
    fn find_by_place(&mut self, cpu: &mut Cpu, env: &mut Env, linear: u64, within: bool) -> Result<u32, Stop> {
        if !within {
            return self.find_beyond(cpu, env);
        }
        let physical = cpu.translate_fetch(env, linear)?;
        let Place::Memory(offset) = env.ram.place(physical, false) else {
            return self.build_byte_by_byte(cpu, env, linear, physical);
        };
        let key = Key::new(offset, cpu.derived.mode);
        let found = match self.map.get(&key).copied() {
            Some(id) => match self.blocks[id as usize].second_page {
                None => Some(id),
                Some(second) => {
                    let next = Self::next_page(cpu, env, linear)?;
                    if next & !0xFFF == second {
                        Some(id)
                    } else {
                        self.remove(id);
                        None
                    }
                }
            },
            None => None,
        };
        let id = match found {
            Some(id) => id,
            // Blocks are in use here; it comes again where none is.
            None if self.full => return Err(Stop::Alone),
            None => self.build(cpu, env, linear, offset, key)?,
        };
        let Block { second_page, generation, key, .. } = self.blocks[id as usize];
        if key != Key::NONE {
            self.jumps[jump_slot(cpu, linear)] = Jump {
                rip: linear,
                stamp: jump_stamp(cpu),
                page: physical & !0xFFF,
                second: second_page.unwrap_or(NO_PAGE),
                block: id,
                generation,
            };
        }
        Ok(id)
    }

    /// EIP behind the last byte of 4 GiB is 0; elsewhere there is no code beyond the limit.
    #[cold]
    fn find_beyond(&mut self, cpu: &mut Cpu, env: &mut Env) -> Result<u32, Stop> {
        let rip = cpu.rip() & 0xFFFF_FFFF;
        if rip > cpu.derived.cs_bound {
            return cpu.gp(0);
        }
        cpu.set_rip(rip);
        self.find(cpu, env)
    }

    /// Physical address of the page behind that of `linear`, where an instruction goes on. The limit of CS is checked
    /// before the page is translated.
    fn next_page(cpu: &mut Cpu, env: &mut Env, linear: u64) -> Result<u64, Stop> {
        let left = PAGE - linear % PAGE;
        Self::require_code(cpu, left)?;
        cpu.translate_fetch(env, page_behind(cpu, linear))
    }

    /// #GP(0) unless the byte `at` bytes into the instruction at RIP lies within CS.
    fn require_code(cpu: &mut Cpu, at: u64) -> Result<(), Stop> {
        // The bound is the highest number in 64-bit mode.
        if cpu.derived.cs_bound != u64::MAX && cpu.rip() + at > cpu.derived.cs_bound { cpu.gp(0) } else { Ok(()) }
    }

    /// Drops the blocks whose bytes were written.
    pub fn drop_stale(&mut self, env: &mut Env) {
        for (page, written) in env.ram.take_stale_pages() {
            let mut registered = self.pages.remove(&page).unwrap_or_default();
            self.entries -= registered.len();
            let (mut kept, before) = (0, registered.len());
            registered.retain(|&Registered { block, start, end }| {
                let (start, end) = (usize::from(start), usize::from(end));
                let stays = end <= written.start || written.end <= start;
                if stays {
                    kept |= pieces_of(start, end - start);
                } else {
                    self.drop_written(block);
                }
                stays
            });
            let dropped = registered.len() < before;
            if !env.ram.keep_code(page, kept, dropped) {
                registered.drain(..).for_each(|registered| self.drop_written(registered.block));
            }
            if !registered.is_empty() {
                self.entries += registered.len();
                self.pages.insert(page, registered);
            }
        }
        self.full = self.is_full();
    }

    /// Drops a block of which a byte was written, or whoever has its number since.
    fn drop_written(&mut self, id: u32) {
        if self.blocks[id as usize].key != Key::NONE {
            self.note_rewritten(id);
            self.remove(id);
        }
    }

    /// Takes the instruction `index` out of a block, because it needs the exact time: the block ends before it, or if it
    /// is the first, behind it.
    pub fn isolate(&mut self, id: u32, index: usize) {
        let block = &mut self.blocks[id as usize];
        let before = block.uops.len();
        block.keep(index.max(1));
        Self::forget_code(&mut self.tier, block);
        self.uops -= before - block.uops.len();
        block.links = [NO_LINK; LINKS];
        // It runs before it may go: decoded anew, the instruction would have others behind it again, and never its time.
        self.full = false;
    }

    /// Drops every block.
    pub fn clear(&mut self) {
        if let Some(tier) = &mut self.tier {
            tier.clear();
        }
        // Remembered jumps name generations that no block has any more.
        self.blocks.clear();
        self.free.clear();
        self.map.clear();
        self.pages.clear();
        self.rewritten.clear();
        self.workshop.clear();
        (self.uops, self.entries, self.full) = (0, 0, false);
    }

    /// Keeps `limit` blocks at most, at least 1. A run is the same with any.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.max(1);
        self.full = self.is_full();
    }

    /// Whether a block more would be too many.
    fn is_full(&self) -> bool {
        self.blocks.len() - self.free.len() >= self.limit
            || self.uops >= self.limit.saturating_mul(UOPS_PER_BLOCK)
            || self.entries >= self.limit.saturating_mul(ENTRIES_PER_BLOCK)
    }

    /// Makes room if there is none. No block's number means anything afterwards: to be called between instructions.
    #[inline(always)]
    pub fn make_room(&mut self) {
        if self.full {
            self.evict();
        }
    }

    /// A guest that runs more code than is kept runs most of it once: there is nothing to choose by.
    #[cold]
    #[inline(never)]
    fn evict(&mut self) {
        self.counts.evicted += (self.blocks.len() - self.free.len()) as u64;
        self.clear();
    }

    fn remove(&mut self, id: u32) {
        let block = &mut self.blocks[id as usize];
        self.map.remove(&block.key);
        block.key = Key::NONE;
        self.uops -= block.uops.len();
        block.uops = Box::new([]);
        block.links = [NO_LINK; LINKS];
        block.generation = 0;
        Self::forget_code(&mut self.tier, block);
        self.free.push(id);
        self.counts.dropped += 1;
    }

    fn insert(&mut self, block: Block) -> u32 {
        self.counts.built += 1;
        let quiet = Cell::new(self.first_runs(&block));
        let block = Block { generation: self.next_generation(), quiet, ..block };
        self.uops += block.uops.len();
        match self.free.pop() {
            Some(id) => {
                self.uops -= self.blocks[id as usize].uops.len();
                self.blocks[id as usize] = block;
                id
            }
            None => {
                self.blocks.push(block);
                (self.blocks.len() - 1) as u32
            }
        }
    }

    fn next_generation(&mut self) -> u32 {
        let generation = self.generation;
        self.generation = generation.checked_add(1).unwrap_or_else(|| {
            // The numbers start again: nothing may remember the first ones.
            self.jumps.fill(NO_JUMP);
            for block in &mut self.blocks {
                block.links = [NO_LINK; LINKS];
            }
            1
        });
        generation
    }

    fn build(&mut self, cpu: &mut Cpu, env: &mut Env, linear: u64, offset: usize, key: Key) -> Result<u32, Stop> {
        let page_end = (offset & !0xFFF) + PAGE as usize;
        let bytes = &env.ram.bytes()[offset..page_end];
        let block = decode(cpu, bytes, key, &mut self.workshop, true);
        if block.uops.is_empty() {
            return self.build_straddling(cpu, env, linear, offset, key);
        }
        let reach = usize::from(block.reach);
        env.ram.mark_code(offset, reach);
        cpu.see_new_code(env.ram);
        if cpu.notes.watch.contains(Watch::BLOCKS) {
            let instructions = block.uops.len() as u32;
            cpu.note(Observed::Block(BuiltBlock { linear, size: block.len, instructions }));
        }
        let id = self.insert(block);
        self.register(id, key, &[(offset, reach)]);
        Ok(id)
    }

    /// The first instruction reaches into the next page.
    fn build_straddling(
        &mut self,
        cpu: &mut Cpu,
        env: &mut Env,
        linear: u64,
        offset: usize,
        key: Key,
    ) -> Result<u32, Stop> {
        let first = PAGE as usize - (offset & 0xFFF);
        let physical = Self::next_page(cpu, env, linear)?;
        let Place::Memory(second) = env.ram.place(physical, false) else {
            let physical = cpu.translate_fetch(env, linear)?;
            return self.build_byte_by_byte(cpu, env, linear, physical);
        };
        let mut bytes = [0; MAX_INSTRUCTION];
        let split = first.min(MAX_INSTRUCTION);
        bytes[..split].copy_from_slice(&env.ram.bytes()[offset..offset + split]);
        bytes[split..].copy_from_slice(&env.ram.bytes()[second..second + MAX_INSTRUCTION - split]);
        let mut block = decode(cpu, &bytes, key, &mut self.workshop, false);
        block.keep(1);
        block.second_page = Some(physical & !0xFFF);
        env.ram.mark_code(offset, first);
        let behind = usize::from(block.reach).saturating_sub(first).max(1);
        env.ram.mark_code(second, behind);
        cpu.see_new_code(env.ram);
        let id = self.insert(block);
        self.register(id, key, &[(offset, first), (second, behind)]);
        Ok(id)
    }

    /// An instruction that is not all in memory (a device's address, or nothing): one at a time, never kept. No byte is
    /// fetched that it does not have.
    fn build_byte_by_byte(&mut self, cpu: &mut Cpu, env: &mut Env, linear: u64, physical: u64) -> Result<u32, Stop> {
        let mut bytes = [0; MAX_INSTRUCTION];
        let mut n = 0;
        let mut block = loop {
            let at = cpu.wrap_operand(linear.wrapping_add(n as u64));
            let physical = if at & !0xFFF == linear & !0xFFF {
                (physical & !0xFFF) | at & 0xFFF
            } else {
                Self::require_code(cpu, n as u64)?;
                cpu.translate_fetch(env, at)?
            };
            // How often it is decoded is nobody's business.
            bytes[n] = cpu.beside_caches(|cpu| cpu.read_physical(env, physical, 1)) as u8;
            n += 1;
            let block = decode(cpu, &bytes[..n], Key::NONE, &mut self.workshop, false);
            if n == MAX_INSTRUCTION || !block.uops.is_empty() {
                break block;
            }
        };
        block.keep(1);
        block.second_page = Some(u64::MAX);
        if let Some(old) = self.map.remove(&Key::NONE) {
            self.free.push(old);
        }
        let id = self.insert(block);
        self.map.insert(Key::NONE, id);
        Ok(id)
    }

    /// Notes where a block is found, and what it depends on: so many bytes at an offset, within one page each.
    fn register(&mut self, id: u32, key: Key, parts: &[(usize, usize)]) {
        self.map.insert(key, id);
        self.entries += parts.len();
        for (offset, len) in parts {
            let start = (offset % PAGE as usize) as u16;
            let entry = Registered { block: id, start, end: start + *len as u16 };
            self.pages.entry((offset / PAGE as usize) as u32).or_default().push(entry);
        }
        self.full = self.is_full();
    }
}
