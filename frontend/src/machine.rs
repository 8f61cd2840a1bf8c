//! The machine as the front end sees it. [`crate::pc`] is the real one; tests use their own.

use crate::background::BackgroundFile;
use crate::display::status::Glance;
use crate::error::InputError;
use crate::signals;
use crate::vmcs_dump::VmcsDumper;
use emu_core::trace::Tracer;
use emu_devices::disk::{DrivePlace, MediumId};
use emu_devices::input::{InjectError, InputEvent, Stamped};
use emu_devices::report::PcReport;
use emu_devices::vga::{Frame, TextScreen};
use std::collections::BTreeMap;
use std::path::Path;

/// Most bytes of guest memory that are hashed after a signal: a fraction of a second.
pub const HASHED_AFTER_SIGNAL: u64 = 512 << 20;

/// Why [`Machine::run_some`] came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunResult {
    /// The cycle asked for was reached.
    Limit,
    /// It was not, but the host has worked for long enough; the run can go on.
    Paused,
    /// The guest powered off.
    PoweredOff,
    /// isa-debug-exit: end the run with this status.
    ExitStatus(i32),
    /// Every processor is in HLT with interrupts off: nothing but a reset or an NMI can wake them.
    Halted,
    /// The guest died: triple fault with no reset asked, VMX abort, unimplemented feature. The reason.
    Died(String),
    /// The host could not do something that goes along with the run.
    Failed(InputError),
}

/// Counters for `--stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Successful VM entries.
    pub vm_entries: u64,
    /// VM exits by the SDM's name of the basic exit reason, those of VM entries that fail as VM exits among them.
    pub vm_exits: BTreeMap<String, u64>,
    /// VM entries that failed, by VMfail or as VM exits, by the rule's identifier or the title of the error.
    pub failed_entries: BTreeMap<String, u64>,
    /// Other VMX instructions that failed, by the title of the error.
    pub vm_fails: BTreeMap<String, u64>,
    /// Anything else worth a number (blocks built, TLB misses ...), by name.
    pub other: BTreeMap<String, u64>,
}

/// A machine that can be run, looked at and typed to. Time is in guest cycles, [`Machine::hz`] a second.
pub trait Machine {
    /// [`Machine::run_until`], or until that has cost the host a fraction of a second.
    fn run_some(&mut self, cycle: u64) -> RunResult;
    /// Runs until the clock reaches `cycle` (it may overshoot by less than an instruction or an idle wait), however long
    /// it takes.
    fn run_until(&mut self, cycle: u64) -> RunResult {
        loop {
            match self.run_some(cycle) {
                RunResult::Paused => {}
                result => return result,
            }
        }
    }
    /// The clock, in cycles since power-on.
    fn now(&self) -> u64;
    /// The latest cycle that any processor has come to; later than the clock's where a run has paused within a turn.
    fn latest(&self) -> u64 {
        self.now()
    }
    /// Cycles per guest second; never 0.
    fn hz(&self) -> u64;
    /// Instructions executed by all processors.
    fn instructions(&self) -> u64;
    /// Instructions that a processor executes in a cycle at most, as a rule: 1, but for the clock of a CPU model.
    fn instructions_per_cycle(&self) -> u64 {
        1
    }
    /// Number of logical processors, at least 1.
    fn processors(&self) -> u32;
    /// The text screen; `None` in a graphics mode.
    fn text_screen(&self) -> Option<TextScreen>;
    /// The picture on the monitor.
    fn render(&mut self) -> Frame;
    /// Lets something happen at cycle `at`, or as soon after it as it can; the cycle at which it does.
    fn inject(&mut self, at: u64, event: InputEvent) -> Result<u64, InjectError>;
    /// What was injected since the last call, with the cycles; kept from the first call on.
    fn take_injected(&mut self) -> Vec<Stamped>;
    /// Puts an image at hand, for [`InputEvent::Insert`]; its identity. One that is at hand, or in a drive, is the same
    /// medium still, with what the guest has written to it.
    fn add_medium(&mut self, image: &Path) -> Result<MediumId, InputError>;
    /// The medium in a drive.
    fn medium(&self, drive: DrivePlace) -> Option<MediumId>;
    /// Whether a medium is at hand or in a drive.
    fn has_medium(&self, medium: MediumId) -> bool;
    /// Characters for COM1 that the guest has not read yet.
    fn serial_waiting(&self) -> usize;
    /// What the guest sent to COM1 since the last call.
    fn take_serial(&mut self) -> Vec<u8>;
    /// What the guest wrote to port E9h since the last call.
    fn take_debugcon(&mut self) -> Vec<u8>;
    /// Bytes of guest memory.
    fn memory(&self) -> u64;
    /// A hash of everything the guest can see.
    fn state_hash(&self) -> u64;
    /// The same at the end of a run: `None` if a signal is to end it, and there is too much memory to hash it in time.
    /// A signal that comes meanwhile then ends the process at once.
    fn hash_at_end(&self) -> Option<u64> {
        if self.memory() > HASHED_AFTER_SIGNAL {
            if signals::arrived() {
                return None;
            }
            signals::end_at_once();
        }
        Some(self.state_hash())
    }
    /// A register of a processor, by its name in lower case; `None` if there is none.
    fn register(&self, processor: usize, name: &str) -> Option<u64>;
    /// A byte of memory by its physical address; `None` where no memory answers.
    fn memory_byte(&self, address: u64) -> Option<u8>;
    /// Processors and screen, for people.
    fn report(&self) -> PcReport;
    /// A snapshot of the whole machine, as the bytes of a file; an error says why there can be none.
    fn snapshot(&mut self) -> Result<Vec<u8>, String>;
    /// Puts the machine back to a snapshot. An error says why it cannot be, and the machine is as it was.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String>;
    /// What a status line tells of it.
    fn glance(&self) -> Glance;
    /// Records VM exits from now on.
    fn record_exits(&mut self);
    /// Writes the VM exits that were recorded (a picture for .svg, else a table for spreadsheets); how many. An error
    /// says why there is nothing to write.
    fn save_exits(&self, path: &Path) -> Result<usize, String>;
    /// Counters for `--stats`.
    fn statistics(&self) -> Statistics;
    /// Traces the run from now on.
    fn trace(&mut self, tracer: Tracer<BackgroundFile>);
    /// Dumps VMCSs as they are entered, from now on.
    fn dump_vmcs(&mut self, dumper: VmcsDumper);
    /// Writes everything that is still buffered: disk images, the trace, VMCS dumps.
    fn flush(&mut self) -> Result<(), InputError>;
}
