//! The machine that the program runs: a [`Pc`] made from the configuration.

mod acpi;
mod bios;
mod boot_order;
pub(crate) mod build;
mod kernel;
pub mod uefi;

pub use bios::why_nothing_boots;
pub use build::{fw_cfg_data, read_rom};

use crate::background::BackgroundFile;
use crate::config::MachineConfig;
use crate::debug::ExitTimeline;
use crate::debug::expr::Scope;
use crate::debug::scope::{self, CpuScope};
use crate::display::status::{Glance, VmxMode};
use crate::error::InputError;
use crate::loader::KernelFiles;
use crate::machine::{Machine, RunResult, Statistics};
use crate::snapshot_file;
use crate::vmcs_dump::VmcsDumper;
use emu_core::observe::{Observer, Observers};
use emu_core::state::cpu::Cpu;
use emu_core::state::pmu::Miss;
use emu_core::trace::{TraceFilter, Tracer};
use emu_devices::disk::{DrivePlace, MediumId};
use emu_devices::input::{InjectError, InputEvent, Stamped};
use emu_devices::pc::{Pc, PcExit};
use emu_devices::report::PcReport;
use emu_devices::state::StateError;
use emu_devices::vga::{Frame, TextScreen};
use emu_vmx::exit::ExitReason;
use emu_vmx::vmcs::VmInstructionError;
use std::collections::BTreeMap;
use std::path::Path;
use uefi::VariablesFile;

/// Builds the PC that a configuration describes. `kernel` is started when the firmware is about to boot.
pub fn build(config: &MachineConfig, kernel: Option<&KernelFiles>) -> Result<PcMachine, InputError> {
    let firmware = config.uefi.as_ref().map(uefi::load).transpose()?;
    // A run that drops what it writes to disks drops variables, too.
    let kept = config.uefi.as_ref().and_then(|uefi| uefi.vars.as_deref()).filter(|_| !config.snapshot);
    let variables = match (kept, &firmware) {
        (Some(path), Some(firmware)) => Some(VariablesFile::open(path, firmware)?),
        _ => None,
    };
    let mut pc = build::pc(config, kernel.is_some(), firmware)?;
    if config.no_reboot {
        pc.end_at_reset();
    }
    Ok(PcMachine {
        pc,
        no_reboot: config.no_reboot,
        debug_exit_pass: config.debug_exit_pass,
        no_boot: None,
        variables,
        hz: config.ips,
        memory_mib: config.memory,
        snapshot: config.snapshot,
        kernel: kernel.cloned(),
        reset_on_triple_fault: config.reset_on_triple_fault,
        tracer: None,
        vmcs_dumper: None,
        exits: None,
    })
}

/// What the host does for the guest in one go, in cycles: two milliseconds, and half a second of a guest that does nothing
/// but the most expensive things.
pub const SLICE_WORK: u64 = 500_000;
/// The same while every instruction is traced.
const TRACED_WORK: u64 = 50_000;
/// How many of the operations that compiled code calls the interpreter for are among the statistics.
const MOST_CALLED: usize = 10;

/// A [`Pc`] with what its configuration wants done when it comes to a halt.
pub struct PcMachine {
    /// The PC.
    pub pc: Pc,
    hz: u64,
    memory_mib: u64,
    /// Writes to images are kept in memory.
    snapshot: bool,
    /// Entered whenever the firmware comes to the boot handler of the loader's ROM: also after a reset.
    kernel: Option<KernelFiles>,
    reset_on_triple_fault: bool,
    no_reboot: bool,
    debug_exit_pass: Option<u32>,
    /// What to say when the BIOS finds nothing to boot, if that is to end the run.
    no_boot: Option<String>,
    /// Keeps the UEFI firmware's variables.
    variables: Option<VariablesFile>,
    tracer: Option<Tracer<BackgroundFile>>,
    vmcs_dumper: Option<VmcsDumper>,
    exits: Option<ExitTimeline>,
}

impl PcMachine {
    /// Ends the run, with these words, when the machine's own BIOS has found nothing to boot.
    pub fn end_without_boot(&mut self, words: String) {
        self.no_boot = Some(words);
    }

    /// The guest's word through isa-debug-exit as an exit status.
    fn exit_status(&self, status: i32) -> i32 {
        let Some(pass) = self.debug_exit_pass else { return status };
        let passed = status == (pass << 1 | 1) as i32;
        if !passed {
            log::error!("the guest wrote {:#x} to isa-debug-exit; {pass:#x} would be success", status as u32 >> 1);
        }
        i32::from(!passed)
    }

    /// Runs to `cycle`, or to where tracing begins or ends.
    fn advance(&mut self, cycle: u64) -> PcExit {
        let (now, mut cycle, mut work) = (self.pc.now(), cycle, SLICE_WORK);
        let mut observers = Observers::default();
        if let Some(tracer) = &mut self.tracer {
            let TraceFilter { from, to, .. } = tracer.filter();
            // Of several processors, the later ones of a turn come to its cycles when the clock has them behind it.
            let behind = || self.pc.cpus.iter().any(|cpu| cpu.cycles < to);
            if now < from {
                cycle = cycle.min(from);
            } else if now < to || behind() {
                cycle = if now < to { cycle.min(to) } else { cycle };
                work = TRACED_WORK;
                observers.0.push(tracer);
            }
        }
        observers.0.extend(self.vmcs_dumper.as_mut().map(|dumper| dumper as &mut dyn Observer));
        observers.0.extend(self.exits.as_mut().map(ExitTimeline::observer));
        let observer = (!observers.0.is_empty()).then_some(&mut observers as &mut dyn Observer);
        self.pc.run_bounded(cycle, work, observer)
    }

    fn run(&mut self, cycle: u64) -> RunResult {
        match self.advance(cycle) {
            // No observer of ours stops a run.
            PcExit::Limit | PcExit::Observer { .. } if self.pc.now() >= cycle => RunResult::Limit,
            exit => self.after(&exit).unwrap_or(RunResult::Paused),
        }
    }

    /// Writes the variables that UEFI firmware has changed.
    fn keep_variables(&mut self, last: bool) -> Result<(), InputError> {
        match (&mut self.variables, &mut self.pc.board.flash) {
            (Some(file), Some(flash)) => file.update(flash, last),
            _ => Ok(()),
        }
    }

    /// The end of a machine whose BIOS has given up.
    fn without_boot(&self) -> Option<RunResult> {
        let words = self.no_boot.as_ref().filter(|_| bios::has_given_up(&self.pc))?;
        Some(RunResult::Died(words.clone()))
    }

    /// What it means that the PC has come back for another reason than that it was asked to; `None` if the run goes on.
    pub fn after(&mut self, exit: &PcExit) -> Option<RunResult> {
        match exit {
            PcExit::Limit | PcExit::Work | PcExit::Observer { .. } => None,
            PcExit::PowerOff => Some(RunResult::PoweredOff),
            PcExit::ExitStatus(status) => Some(RunResult::ExitStatus(self.exit_status(*status))),
            PcExit::Halted => match &self.kernel {
                Some(kernel) if kernel::firmware_is_done(&self.pc) => {
                    let started = kernel::start(&mut self.pc, kernel, self.memory_mib);
                    started.err().map(|error| RunResult::Failed(InputError::new(&kernel.file_name, error.to_string())))
                }
                _ => Some(RunResult::Halted),
            },
            PcExit::Shutdown { .. } if self.reset_on_triple_fault => {
                if self.no_reboot {
                    return Some(RunResult::PoweredOff);
                }
                self.pc.reset();
                None
            }
            PcExit::Shutdown { processor, rip } => {
                let cpu = self.pc.cpus.get(*processor as usize);
                let what = match cpu.and_then(|cpu| cpu.notes.history.vmx_abort()) {
                    Some(abort) => abort.to_string(),
                    None => "triple fault".to_owned(),
                };
                Some(RunResult::Died(format!("{what} on processor {processor} at RIP {rip:#x}")))
            }
        }
    }
}

impl Machine for PcMachine {
    fn run_some(&mut self, cycle: u64) -> RunResult {
        let mut result = self.run(cycle);
        if matches!(result, RunResult::Limit | RunResult::Paused)
            && let Some(end) = self.without_boot()
        {
            result = end;
        }
        let traced = self.tracer.as_mut().map_or(Ok(()), |tracer| tracer.sink().check());
        let dumped = self.vmcs_dumper.as_mut().map_or(Ok(()), |dumper| dumper.file().check());
        let kept = self.keep_variables(false);
        traced.and(dumped).and(kept).map_or_else(RunResult::Failed, |()| result)
    }

    fn now(&self) -> u64 {
        self.pc.now()
    }

    fn latest(&self) -> u64 {
        self.pc.cpus.iter().map(|cpu| cpu.cycles).fold(self.pc.now(), u64::max)
    }

    fn hz(&self) -> u64 {
        self.hz
    }

    fn instructions(&self) -> u64 {
        self.pc.instructions()
    }

    fn instructions_per_cycle(&self) -> u64 {
        self.pc.cpus.iter().map(Cpu::retired_per_cycle).max().unwrap_or(1)
    }

    fn processors(&self) -> u32 {
        self.pc.cpus.len() as u32
    }

    fn text_screen(&self) -> Option<TextScreen> {
        self.pc.board.vga.text_screen()
    }

    fn render(&mut self) -> Frame {
        let mut frame = Frame::default();
        self.pc.board.vga.render(&mut frame, self.pc.now(), self.hz);
        frame
    }

    fn inject(&mut self, at: u64, event: InputEvent) -> Result<u64, InjectError> {
        self.pc.inject(at, event)
    }

    fn take_injected(&mut self) -> Vec<Stamped> {
        self.pc.board.take_recorded()
    }

    fn add_medium(&mut self, image: &Path) -> Result<MediumId, InputError> {
        let problem = |error: StateError| InputError::file(image, error.to_string());
        let name = image.display().to_string();
        if let Some(known) = self.pc.board.media().find(|medium| medium.name() == name) {
            return known.id().map_err(problem);
        }
        self.pc.add_medium(build::medium(image, self.snapshot)?).map_err(problem)
    }

    fn medium(&self, drive: DrivePlace) -> Option<MediumId> {
        self.pc.board.medium(drive).and_then(|medium| medium.id().ok())
    }

    fn has_medium(&self, medium: MediumId) -> bool {
        self.pc.board.media().any(|other| other.id().is_ok_and(|id| id == medium))
    }

    fn serial_waiting(&self) -> usize {
        self.pc.board.serial.waiting()
    }

    fn take_serial(&mut self) -> Vec<u8> {
        self.pc.board.serial.take_output()
    }

    fn take_debugcon(&mut self) -> Vec<u8> {
        self.pc.board.debug.take_output()
    }

    fn memory(&self) -> u64 {
        self.memory_mib << 20
    }

    fn state_hash(&self) -> u64 {
        self.pc.state_hash()
    }

    fn register(&self, processor: usize, name: &str) -> Option<u64> {
        CpuScope::of_pc(&self.pc, processor)?.register(name)
    }

    fn memory_byte(&self, address: u64) -> Option<u8> {
        scope::physical(&self.pc.ram, address, 1).and_then(|byte| u8::try_from(byte).ok())
    }

    fn report(&self) -> PcReport {
        self.pc.report()
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        let snapshot = self.pc.snapshot().map_err(|error| error.to_string())?;
        snapshot_file::encode(&snapshot).map_err(|error| error.to_string())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let here = self.pc.configuration();
        let snapshot = snapshot_file::decode(snapshot, &here).map_err(|error| error.to_string())?;
        self.pc.restore(&snapshot).map_err(|error| match error {
            StateError::OtherMedium { removable: true, .. } => format!("{error}, with --medium FILE or in the drive"),
            error => error.to_string(),
        })?;
        if let Some(exits) = &mut self.exits {
            exits.forget_after(&self.pc.cpus.iter().map(|cpu| cpu.cycles).collect::<Vec<_>>());
        }
        Ok(())
    }

    fn glance(&self) -> Glance {
        let mode = |cpu: &Cpu| match (cpu.vmx.on(), cpu.in_non_root()) {
            (_, true) => VmxMode::NonRoot,
            (true, false) => VmxMode::Root,
            (false, false) => VmxMode::Off,
        };
        let drives = DrivePlace::ALL.into_iter().zip(["hda", "hdb", "hdc", "hdd", "A:", "B:"]);
        Glance {
            processors: self.pc.cpus.iter().map(mode).collect(),
            exits: self.pc.cpus.iter().flat_map(|cpu| &cpu.vmx.counts.exits).sum(),
            drives: drives.filter_map(|(place, name)| Some((name, self.pc.board.medium(place)?.accesses()))).collect(),
            removable: DrivePlace::ALL.into_iter().filter(|place| self.pc.board.takes_media(*place)).collect(),
            alone: self.pc.cpus.iter().any(Cpu::looks_for_others),
        }
    }

    fn record_exits(&mut self) {
        self.exits.get_or_insert_default();
    }

    fn save_exits(&self, path: &Path) -> Result<usize, String> {
        let exits = self.exits.as_ref().ok_or("VM exits are not recorded")?;
        exits.save(path)
    }

    fn statistics(&self) -> Statistics {
        let cache = self.pc.cache_counts();
        let mut counts = vec![
            ("block_lookups", cache.lookups),
            ("blocks_built", cache.built),
            ("blocks_dropped", cache.dropped),
            ("blocks_evicted", cache.evicted),
            ("tlb_misses", self.pc.cpus.iter().map(|cpu| cpu.tlb.misses).sum()),
        ];
        let misses = |miss: Miss| self.pc.cpus.iter().map(|cpu| cpu.pmu.misses[miss as usize]).sum();
        let parts = self.pc.cpus[0].micro.parts();
        if parts.caches {
            let (references, all) = (misses(Miss::LastLevelReference), misses(Miss::LastLevel));
            counts.extend([("llc_references", references), ("llc_misses", all)]);
        }
        if parts.branches {
            counts.push(("branch_misses", misses(Miss::Branch)));
        }
        let mut calls = self.pc.handler_calls();
        calls.sort_by_key(|&(op, count)| (std::cmp::Reverse(count), op as u16));
        let calls = calls.into_iter().take(MOST_CALLED).map(|(op, count)| (format!("calls_{}", op.name()), count));
        let (mut vm_exits, mut failed_entries, mut vm_fails) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for transitions in self.pc.cpus.iter().map(|cpu| &cpu.vmx.counts) {
            for (number, &count) in transitions.exits.iter().enumerate().filter(|exit| *exit.1 != 0) {
                let reason = u16::try_from(number).ok().and_then(ExitReason::from_number);
                *vm_exits.entry(reason.map_or("", ExitReason::text).to_owned()).or_insert(0) += count;
            }
            for (what, &count) in &transitions.failed_entries {
                *failed_entries.entry(what.clone().into_owned()).or_insert(0) += count;
            }
            for (&number, &count) in &transitions.vm_fails {
                let text = VmInstructionError::from_number(number).map_or("VMfailInvalid", VmInstructionError::text);
                *vm_fails.entry(text.to_owned()).or_insert(0) += count;
            }
        }
        Statistics {
            vm_entries: self.pc.cpus.iter().map(|cpu| cpu.vmx.counts.entries).sum(),
            vm_exits,
            failed_entries,
            vm_fails,
            other: counts.into_iter().map(|(name, count)| (name.to_owned(), count)).chain(calls).collect(),
        }
    }

    fn trace(&mut self, tracer: Tracer<BackgroundFile>) {
        self.tracer = Some(tracer);
    }

    fn dump_vmcs(&mut self, dumper: VmcsDumper) {
        self.vmcs_dumper = Some(dumper);
    }

    fn flush(&mut self) -> Result<(), InputError> {
        // Images are written through as the guest writes them.
        let traced = self.tracer.as_mut().map_or(Ok(()), |tracer| {
            tracer.finish();
            tracer.sink().finish()
        });
        let dumped = self.vmcs_dumper.as_mut().map_or(Ok(()), |dumper| dumper.file().finish());
        traced.and(dumped).and(self.keep_variables(true))
    }
}
