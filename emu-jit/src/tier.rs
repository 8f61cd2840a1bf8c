//! The tier: what is compiled, how its blocks are linked, and how they go.

use crate::context::{Calls, JUMP_BITS, Jump, Jumps, NO_JUMP, NOTHING, Remembered, STOPPED, Site, jump_slot};
use crate::host::{Thunks, generate};
use crate::made::Kind;
use crate::memory::CodeMemory;
use emu_core::block::tier::{Code, Exit, Left, Refused, Source, Tier};
use emu_core::ir::op::{Op, ROWS};
use emu_core::state::cpu::{Cpu, Env};
use std::cell::UnsafeCell;
use std::io;
use std::num::NonZeroU32;

/// Most bytes that the code of one block takes: 32 micro-ops of some hundred bytes at most.
const MOST_CODE: usize = 64 << 10;

/// A compiled block.
struct Compiled {
    /// Its number in the cache.
    block: u32,
    /// Address of its code.
    code: usize,
    /// Offset in its page.
    place: u16,
    /// Exits of others that lead here directly.
    incoming: Vec<u32>,
    /// Whether it is of 64-bit mode.
    wide: bool,
    /// Slots of its table of jumps that lead here, or did.
    slots: Vec<u16>,
    /// What its code names.
    _sites: Box<[Site]>,
    remembered: Box<[UnsafeCell<Remembered>]>,
}

/// An exit of a compiled block.
struct Way {
    /// Index of the block.
    from: u32,
    kind: Kind,
    /// Address of what leads to `stub`, or to another block.
    site: usize,
    /// Address of the code that leaves.
    stub: usize,
}

/// A template tier.
pub struct Templates {
    threshold: u32,
    memory: CodeMemory,
    thunks: Thunks,
    /// Whether the thunks are for blocks that are priced.
    priced: bool,
    /// Bytes of code that always stay.
    kept: usize,
    compiled: Vec<Option<Compiled>>,
    ways: Vec<Way>,
    jumps: Jumps,
    /// The memory map that the jumps were noted under.
    map_epoch: u64,
    /// Where the guest memory begins that accesses remember.
    ram: usize,
    calls: Box<Calls>,
}

impl Templates {
    /// A tier that has compiled nothing yet.
    pub fn new(threshold: u32) -> io::Result<Self> {
        let mut memory = CodeMemory::new()?;
        let (code, thunks) = Thunks::generate(memory.next(), false).map_err(io::Error::other)?;
        memory.push(&code);
        Ok(Self {
            threshold,
            kept: memory.used(),
            memory,
            thunks,
            priced: false,
            compiled: Vec::new(),
            ways: Vec::new(),
            jumps: [(); 2].map(|()| Box::new([NO_JUMP; 1 << JUMP_BITS])),
            map_epoch: 0,
            ram: 0,
            calls: Box::new([0; ROWS]),
        })
    }

    fn get(&self, code: Code) -> Option<&Compiled> {
        self.compiled.get(code.0.get() as usize - 1)?.as_ref()
    }

    /// What accesses remember are addresses of the host's: of other guest memory they know none.
    fn see_memory(&mut self, env: &mut Env) {
        let ram = env.ram.base() as usize;
        if self.ram != ram {
            self.ram = ram;
            let all = self.compiled.iter_mut().flatten().flat_map(|compiled| compiled.remembered.iter_mut());
            all.for_each(|remembered| *remembered.get_mut() = NOTHING);
        }
    }

    /// Has the thunks that blocks need, which are priced or not; `false` while there is code that needs the others.
    fn serves(&mut self, priced: bool) -> bool {
        if self.priced == priced {
            return true;
        }
        if !self.compiled.is_empty() {
            return false;
        }
        self.memory.truncate(0);
        let Ok((code, thunks)) = Thunks::generate(self.memory.next(), priced) else { return false };
        self.memory.push(&code);
        (self.kept, self.thunks, self.priced) = (self.memory.used(), thunks, priced);
        true
    }

    fn forget_jumps(&mut self) {
        self.jumps.iter_mut().for_each(|jumps| jumps.fill(NO_JUMP));
    }

    /// Notes where the block at RIP was found, for jumps that are not linked.
    fn note_jump(&mut self, cpu: &Cpu, env: &Env, code: Code) {
        if self.map_epoch != env.ram.map_epoch() {
            self.map_epoch = env.ram.map_epoch();
            self.forget_jumps();
        }
        let rip = cpu.rip();
        let slot = jump_slot(rip);
        let Some(page) = cpu.tlb.fetch_page(rip, cpu.derived.context) else { return };
        let Some(Some(compiled)) = self.compiled.get_mut(code.0.get() as usize - 1) else { return };
        let jump = Jump { rip, page, code: compiled.code as u64, unused: 0 };
        let old = &mut self.jumps[usize::from(compiled.wide)][slot];
        if (old.rip, old.page, old.code) != (jump.rip, jump.page, jump.code) {
            *old = jump;
            if !compiled.slots.contains(&(slot as u16)) {
                compiled.slots.push(slot as u16);
            }
        }
    }
}

impl Tier for Templates {
    fn threshold(&self) -> u32 {
        self.threshold
    }

    fn compile(&mut self, source: Source) -> Result<Code, Refused> {
        if !self.memory.has_room(MOST_CODE) || !self.serves(source.priced) {
            return Err(Refused::Full);
        }
        let index = self.compiled.len() as u32;
        let number = NonZeroU32::new(index + 1).ok_or(Refused::Full)?;
        let address = self.memory.next();
        let first = self.ways.len() as u32;
        let made = generate(&source, address, index, first, &self.thunks);
        let made = made.ok().flatten().ok_or(Refused::Block)?;
        let ways = made.exits.into_iter();
        self.ways.extend(ways.map(|exit| Way {
            from: index,
            kind: exit.kind,
            site: address + exit.site,
            stub: address + exit.stub,
        }));
        self.memory.push(&made.code);
        self.compiled.push(Some(Compiled {
            block: source.block,
            code: address,
            place: source.place,
            incoming: Vec::new(),
            wide: source.wide,
            slots: Vec::new(),
            _sites: made.sites,
            remembered: made.remembered,
        }));
        Ok(Code(number))
    }

    fn enter(&mut self, cpu: &mut Cpu, env: &mut Env, code: Code) -> Left {
        self.see_memory(env);
        self.note_jump(cpu, env, code);
        let rip = cpu.rip();
        let (address, place, block) = match self.get(code) {
            Some(compiled) => (compiled.code, compiled.place, compiled.block),
            None => unreachable!("the cache names only what was compiled and not forgotten"),
        };
        let page = rip.wrapping_sub(place.into());
        // SAFETY: the thunks and the block were pushed where they were generated for, and the block was not forgotten.
        let (exit, page, stopped) = unsafe { self.thunks.run(cpu, env, &self.jumps, &mut self.calls, address, page) };
        let place_of = |index: u32| {
            let compiled = self.compiled.get(index as usize).and_then(Option::as_ref);
            compiled.map_or((block, place), |compiled| (compiled.block, compiled.place))
        };
        if exit == STOPPED {
            let Some(stopped) = stopped else { unreachable!("a handler has said where it stopped") };
            let (block, _) = place_of(stopped.code);
            return Left { block, start: stopped.start, result: Some(stopped.result), exit: None };
        }
        let way = &self.ways[exit as usize];
        let (block, place) = place_of(way.from);
        let start = page.wrapping_add(place.into());
        cpu.scratch.undone = 0;
        let (result, exit) = match way.kind {
            Kind::Before => {
                cpu.set_rip(start);
                (None, None)
            }
            Kind::End => {
                cpu.set_rip(start);
                cpu.scratch.flow.branched = false;
                (Some(Ok(())), Some(Exit(exit)))
            }
            Kind::Jump(to) => {
                cpu.branch_to(page.wrapping_add(to.into()));
                (Some(Ok(())), Some(Exit(exit)))
            }
            Kind::Elsewhere => {
                cpu.scratch.flow.branched = true;
                (Some(Ok(())), None)
            }
        };
        Left { block, start, result, exit }
    }

    fn link(&mut self, exit: Exit, to: Code) {
        let Some(Some(target)) = self.compiled.get_mut(to.0.get() as usize - 1) else { return };
        let Some(way) = self.ways.get(exit.0 as usize) else { return };
        target.incoming.push(exit.0);
        let (site, code) = (way.site, target.code);
        self.memory.patch(site, code);
    }

    fn forget(&mut self, code: Code) {
        let Some(compiled) = self.compiled.get_mut(code.0.get() as usize - 1).and_then(Option::take) else { return };
        for way in compiled.incoming {
            let way = &self.ways[way as usize];
            self.memory.patch(way.site, way.stub);
        }
        for slot in compiled.slots {
            let jump = &mut self.jumps[usize::from(compiled.wide)][usize::from(slot)];
            if jump.code == compiled.code as u64 {
                *jump = NO_JUMP;
            }
        }
    }

    fn calls(&self) -> Vec<(Op, u64)> {
        let counts = Op::ALL.iter().zip(self.calls.iter());
        counts.filter(|(_, count)| **count != 0).map(|(op, count)| (*op, *count)).collect()
    }

    fn clear(&mut self) {
        self.compiled.clear();
        self.ways.clear();
        self.forget_jumps();
        self.memory.truncate(self.kept);
    }
}
