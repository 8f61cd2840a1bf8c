//! A whole PC that a library user can own: processors, memory and board, with the turns they take.

mod builder;
mod face;
mod registers;
mod snapshots;
mod turns;

pub use builder::{DEFAULT_HZ, DEFAULT_MEMORY, DEFAULT_TIME, PcBuilder, VIDEO_MEMORY, cmos};
pub use face::AccessError;
pub use registers::register_of;
pub use turns::Turn;

use crate::board::{Board, BoardConfig};
use crate::disk::ImageError;
use emu_core::block::cache::{CacheCounts, CodeCache};
use emu_core::block::tier::Tier;
use emu_core::bus::{ApicMessage, Bus};
use emu_core::cycles::parts::Parts;
use emu_core::cycles::table::Table;
use emu_core::hash::StableHash;
use emu_core::ir::op::Op;
use emu_core::lapic::route;
use emu_core::mem::ram::{Legacy, MemoryError, Ram, RomError};
use emu_core::model::{CpuModel, ModelError};
use emu_core::state::cpu::Cpu;
use std::sync::Arc;

/// A machine to be built.
#[derive(Debug)]
pub struct PcConfig {
    /// Logical processors, 1 to 254.
    pub processors: u32,
    /// Their model.
    pub model: Arc<CpuModel>,
    /// RAM, bytes.
    pub memory: u64,
    /// Cycles a processor runs before the next one's turn.
    pub quantum: u64,
    /// What instructions and events cost; without, an instruction is a cycle.
    pub cycles: Option<Arc<Table>>,
    /// What the clock counts beside them, with a table of cycles.
    pub parts: Parts,
    /// The system ROM; ends at 4 GiB.
    pub bios: Vec<u8>,
    /// The VGA BIOS at C0000h; none when empty.
    pub vga_bios: Vec<u8>,
    /// Other ROMs: address and bytes.
    pub option_roms: Vec<(u64, Vec<u8>)>,
    /// The devices.
    pub board: BoardConfig,
}

/// Why there is no such PC.
#[derive(Debug, thiserror::Error)]
pub enum PcError {
    /// A ROM does not fit.
    #[error(transparent)]
    Rom(#[from] RomError),
    /// The CPU model has no table of cycles.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The host has not enough memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A floppy image is none.
    #[error(transparent)]
    Floppy(#[from] ImageError),
}

/// Why [`Pc::run_until`] came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PcExit {
    /// The cycle asked for was reached.
    Limit,
    /// The guest powered off.
    PowerOff,
    /// isa-debug-exit asked for this status.
    ExitStatus(i32),
    /// The work given was done before the cycle asked for was reached ([`Pc::run_bounded`]); the run can go on.
    Work,
    /// Every processor is in HLT (or waits for a start-up IPI) with interrupts off, and nothing that is to come wakes one: no
    /// NMI or INIT of a device's, no input.
    Halted,
    /// The observer has asked for it; the processor that it was told of last.
    Observer {
        /// Processor.
        processor: u32,
    },
    /// A processor shut down after a triple fault: its number and RIP.
    Shutdown {
        /// Processor.
        processor: u32,
        /// RIP of the instruction that could not go on.
        rip: u64,
    },
}

/// The default quantum, in cycles.
pub const DEFAULT_QUANTUM: u64 = 1000;

/// A PC.
///
/// ```
/// use emu_devices::pc::{Pc, PcExit};
///
/// let mut pc = Pc::builder().memory(2 << 20).build()?;
/// pc.write_physical(0x7C00, &[0x40, 0xEB, 0xFD])?; // inc ax; jmp $-1
/// assert_eq!(pc.step(0, 100), PcExit::Limit);
/// assert_eq!(pc.run_for(1_000), PcExit::Limit);
/// println!("{:#x}: {}", pc.register(0, "RIP")?, pc.disassemble(0, 0x7C00, 2)?[0].text);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pc {
    /// The processors.
    pub cpus: Vec<Cpu>,
    /// Guest memory.
    pub ram: Ram,
    /// Everything else.
    pub board: Board,
    cache: CodeCache,
    outbox: Vec<ApicMessage>,
    quantum: u64,
    /// Cycle at which the present turn began, or the next one begins.
    now: u64,
    /// The cycle that the last run came to.
    reached: u64,
    /// The turn that a run left unfinished.
    turn: Option<Turn>,
    intr: bool,
    /// What the present run may still cost the host. It is no state: where a run is cut changes nothing in it.
    work: u64,
    /// A reset that something asks for ends the run.
    ends_at_reset: bool,
    /// Legacy pages as power-on leaves them.
    rom_pages: Vec<(u64, u64)>,
}

impl Pc {
    /// A PC to be built, with the defaults of the command line.
    pub fn builder() -> PcBuilder {
        PcBuilder::default()
    }

    /// A PC after power-on.
    pub fn new(config: PcConfig) -> Result<Self, PcError> {
        let mut ram = Ram::new(config.memory)?;
        ram.load_system_rom(&config.bios)?;
        let mut rom_pages = vec![(0xC_0000, 0x10_0000)];
        if !config.vga_bios.is_empty() {
            ram.load_legacy_rom(0xC_0000, &config.vga_bios)?;
        }
        for (address, rom) in &config.option_roms {
            ram.load_legacy_rom(*address, rom)?;
        }
        rom_pages.dedup();
        let hz = config.board.hz;
        let board = Board::new(config.board, &mut ram);
        let mut cpus: Vec<Cpu> =
            (0..config.processors.clamp(1, 254)).map(|n| Cpu::new(config.model.clone(), n, n)).collect();
        let several = cpus.len() > 1;
        for cpu in &mut cpus {
            cpu.config.takes_turns = several;
            cpu.config.hz = hz;
            if let Some(table) = &config.cycles {
                cpu.model_clock(table.clone(), config.parts, &mut ram);
            }
        }
        Ok(Self {
            cpus,
            ram,
            board,
            cache: CodeCache::default(),
            outbox: Vec::new(),
            quantum: config.quantum.max(1),
            now: 0,
            reached: 0,
            turn: None,
            intr: false,
            work: u64::MAX,
            ends_at_reset: false,
            rom_pages,
        })
    }

    /// The clock, in cycles since power-on: what the last run came to.
    pub fn now(&self) -> u64 {
        self.now.max(self.reached)
    }

    /// The turn that the last run left unfinished, if it did: which processor runs next.
    pub fn turn(&self) -> Option<Turn> {
        self.turn
    }

    /// Cycles of a processor's turn, at least 1.
    pub fn quantum(&self) -> u64 {
        self.quantum
    }

    /// Instructions executed by all processors.
    pub fn instructions(&self) -> u64 {
        self.cpus.iter().map(|cpu| cpu.instructions).sum()
    }

    /// Keeps so many decoded blocks at most, 512 Ki if nobody says. A run is the same with any number.
    pub fn set_cache_limit(&mut self, blocks: usize) {
        self.cache.set_limit(blocks);
    }

    /// From now on `tier`, or nobody, compiles what is hot. A run is the same with and without.
    pub fn set_tier(&mut self, tier: Option<Box<dyn Tier>>) {
        self.cache.set_tier(tier);
    }

    /// How often compiled code has called the interpreter for an operation, for statistics.
    pub fn handler_calls(&self) -> Vec<(Op, u64)> {
        self.cache.handler_calls()
    }

    /// What has happened in the cache of decoded blocks, for statistics.
    pub fn cache_counts(&self) -> CacheCounts {
        self.cache.counts
    }

    /// From now on a reset that the guest or an input event asks for is a [`PcExit::PowerOff`].
    pub fn end_at_reset(&mut self) {
        self.ends_at_reset = true;
    }

    /// The reset button: processors and devices start anew, memory and time stay.
    pub fn reset(&mut self) {
        self.work = self.work.saturating_sub(turns::RESET_WORK);
        for &(start, end) in &self.rom_pages {
            self.ram.set_legacy(start, end, Legacy::Rom, Legacy::Rom);
        }
        self.board.reset(&mut self.ram);
        self.ram.empty_shared_cache();
        let cycle = self.cpus.iter().map(|cpu| cpu.cycles.max(cpu.carried.tsc_shown)).max().unwrap_or(self.now);
        for cpu in &mut self.cpus {
            cpu.reset();
            cpu.restart_tsc(cycle);
            // The reset button wakes a halted processor, too.
            cpu.carried.asleep = false;
        }
        self.outbox.clear();
        self.intr = false;
    }

    /// Whether there is something to carry.
    fn has_signals(&self) -> bool {
        self.board.attention() || !self.outbox.is_empty()
    }

    /// Carries messages, INTR and requests to where they belong. `sender` is the processor that has just run.
    fn signals(&mut self, sender: Option<usize>) -> Option<PcExit> {
        for message in self.outbox.drain(..) {
            route::deliver(&mut self.cpus, sender, &message);
        }
        if !self.board.attention() {
            return None;
        }
        let requests = self.board.take_requests();
        for message in &requests.apic {
            route::deliver(&mut self.cpus, None, message);
        }
        let intr = self.board.intr();
        if intr || self.intr {
            let rising = intr && !self.intr;
            for cpu in &mut self.cpus {
                cpu.set_intr(intr, rising);
            }
            self.intr = intr;
        }
        self.write_registers(&requests.registers);
        if requests.nmi {
            self.cpus.iter_mut().for_each(Cpu::pulse_lint1);
        }
        if requests.init {
            // Software that resets the machine by the keyboard controller or port 92h means it.
            if self.ends_at_reset {
                return Some(PcExit::PowerOff);
            }
            self.cpus.iter_mut().for_each(|cpu| cpu.accept_init());
        }
        if let Some(status) = requests.exit_status {
            return Some(PcExit::ExitStatus(status));
        }
        if requests.power_off {
            return Some(PcExit::PowerOff);
        }
        if requests.reset {
            if self.ends_at_reset {
                return Some(PcExit::PowerOff);
            }
            self.reset();
        }
        None
    }

    /// A hash of everything the guest can see: memory, processors, devices. It does not depend on what is only cached:
    /// neither on decoded blocks nor on the translations that TLBs hold.
    pub fn state_hash(&self) -> u64 {
        let mut hash = StableHash::new();
        for (page, bytes) in self.ram.ram().chunks(4096).enumerate() {
            // Without an early end it takes a few host instructions for 16 bytes; most pages are empty.
            if bytes.iter().fold(0, |all, &byte| all | byte) != 0 {
                hash.number(page as u64);
                hash.bytes(bytes);
            }
        }
        let cpus: Vec<_> = self.cpus.iter().map(Cpu::guest_state).collect();
        hash.value(&(self.ram.guest_state(), cpus, &self.outbox)).expect("states have an encoding");
        hash.bytes(&self.board.encode_state().expect("states have an encoding"));
        hash.get()
    }
}
