//! The observer behind breakpoints.

use super::breakpoints::{Breakpoint, Kind, msr_words};
use super::scope::{CpuScope, Event, mode};
use super::symbols::Symbols;
use super::vmxlog::VmxLog;
use emu_core::disasm::{MAX_LENGTH, PREFIXES, disassemble};
use emu_core::observe::{
    DeliveredEvent, DeviceAccess, EntryOutcome, Instruction, MemoryAccess, Observer, RegisterWrite, View, VmEntry,
    VmExit, VmcsWrite, Watch,
};
use emu_core::state::cpu::Cpu;
use emu_core::state::derived::Mode;
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::checks::BasicFailure;

/// Why a run has stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The processor.
    pub processor: u32,
    /// The breakpoint; `None` for the end of a step over something.
    pub breakpoint: Option<u32>,
    /// What happened, in words.
    pub what: String,
}

/// Where an instruction begins in a run of its processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Here {
    /// Processor.
    pub processor: u32,
    /// Its cycle.
    pub cycle: u64,
    /// Instructions that it has completed.
    pub instructions: u64,
    /// RIP.
    pub rip: u64,
}

impl Here {
    /// Whether this comes later in the run of the same processor.
    pub fn is_after(&self, other: &Self) -> bool {
        (self.cycle, self.instructions) > (other.cycle, other.instructions)
    }

    /// Where a processor is.
    pub fn of(cpu: &Cpu) -> Self {
        Self { processor: cpu.sys.index, cycle: cpu.cycles, instructions: cpu.instructions, rip: cpu.rip() }
    }
}

/// The end of a step over a call or the like.
#[derive(Debug, Clone, Copy)]
pub struct Over {
    /// Processor.
    pub processor: u32,
    /// Linear address of the instruction to stop at.
    pub linear: u64,
    /// RSP must be at least this: a deeper call of the same code does not count.
    pub stack: u64,
}

/// What the debugger watches.
#[derive(Default)]
pub struct Watcher {
    /// The breakpoints, by number.
    pub breakpoints: Vec<Breakpoint>,
    /// Where a step over something ends.
    pub over: Option<Over>,
    /// Breakpoints on this instruction do not count: the run was stopped there.
    pub passed: Option<Here>,
    /// Why the run is to stop.
    pub hit: Option<Hit>,
    /// VM entries and VM exits so far.
    pub vmx: VmxLog,
    /// The run ends with the VM exit of this number.
    pub until_exit: Option<u64>,
    modes: Vec<Option<Mode>>,
    /// Hits are collected, and stop nothing.
    collecting: Option<Collecting>,
    /// Mnemonic breakpoints: the bytes last judged and the verdict.
    mnemonics: std::collections::HashMap<([u8; MAX_LENGTH], u32), String>,
}

/// The last hit before a moment, while the run up to there is made again.
struct Collecting {
    /// The places of the processors at that moment.
    end: Vec<Here>,
    /// The instruction that each processor executes.
    present: Vec<Option<Here>>,
    found: Option<(Here, Hit)>,
}

/// Most remembered instructions of mnemonic breakpoints.
const REMEMBERED: usize = 1 << 16;

impl Watcher {
    /// A run begins.
    pub fn begin(&mut self) {
        self.hit = None;
        self.modes.clear();
    }

    /// Collects hits from now on, before the places `end`.
    pub fn collect(&mut self, end: &[Here]) {
        self.begin();
        self.passed = None;
        self.over = None;
        self.collecting = Some(Collecting { end: end.to_vec(), present: vec![None; end.len()], found: None });
    }

    /// The last hit since then: the instruction that met it or made it.
    pub fn collected(&mut self) -> Option<(Here, Hit)> {
        self.hit = None;
        self.collecting.take().and_then(|collecting| collecting.found)
    }

    /// Judges what has happened: `matches` says whether a breakpoint waits for it.
    fn judge(&mut self, view: View, event: &Event, matches: impl Fn(&Kind) -> bool, what: impl Fn() -> String) {
        let scope = CpuScope::of_view(view, event);
        let processor = view.cpu.sys.index;
        if let Some(collecting) = &mut self.collecting {
            let n = processor as usize;
            let present = collecting.present.get(n).copied().flatten();
            let before = |here: &Here| collecting.end.get(n).is_some_and(|end| end.is_after(here));
            let Some(here) = present.filter(before) else { return };
            for breakpoint in self.breakpoints.iter_mut().filter(|breakpoint| matches(&breakpoint.kind)) {
                breakpoint.hits = breakpoint.ignore;
                if breakpoint.stops(processor, &scope) {
                    let hit = Hit { processor, breakpoint: Some(breakpoint.id), what: what() };
                    collecting.found = Some((here, hit));
                    break;
                }
            }
            return;
        }
        for breakpoint in self.breakpoints.iter_mut().filter(|breakpoint| matches(&breakpoint.kind)) {
            // All that are met count, the first is told.
            if breakpoint.stops(processor, &scope) && self.hit.is_none() {
                self.hit = Some(Hit { processor, breakpoint: Some(breakpoint.id), what: what() });
            }
        }
    }

    /// Ends the run that waits for a VM exit.
    fn exit_counted(&mut self, view: View) {
        if self.until_exit.is_some_and(|number| self.vmx.next_exit() > number) && self.hit.is_none() {
            self.hit = Some(Hit { processor: view.cpu.sys.index, breakpoint: None, what: String::new() });
        }
    }

    fn has(&self, wanted: impl Fn(&Kind) -> bool) -> bool {
        self.breakpoints.iter().any(|breakpoint| breakpoint.enabled && wanted(&breakpoint.kind))
    }

    fn mnemonic(&mut self, view: View, linear: u64) -> String {
        let cpu = view.cpu;
        let mut bytes = [0; MAX_LENGTH];
        let read = cpu.peek_code(view.ram, linear, &mut bytes);
        let code = mode(cpu).code;
        if self.mnemonics.len() > REMEMBERED {
            self.mnemonics.clear();
        }
        let decode = || first_word(&disassemble(&bytes[..read], code, 0).text);
        self.mnemonics.entry((bytes, code.bits())).or_insert_with(decode).clone()
    }

    fn mode_changes(&mut self, view: View) -> Option<(Mode, Mode)> {
        let n = view.cpu.sys.index as usize;
        if self.modes.len() <= n {
            self.modes.resize(n + 1, None);
        }
        let now = mode(view.cpu);
        let before = self.modes[n].replace(now).filter(|before| *before != now)?;
        Some((before, now))
    }
}

/// The mnemonic of an instruction's text: behind prefixes.
pub fn first_word(text: &str) -> String {
    text.split_whitespace().find(|word| !PREFIXES.contains(word)).unwrap_or_default().to_owned()
}

fn in_range(range: &std::ops::RangeInclusive<u64>, first: u64, size: u8) -> bool {
    let last = first.saturating_add(u64::from(size).saturating_sub(1));
    first <= *range.end() && last >= *range.start()
}

fn access_words(what: &str, address: u64, size: u8, write: bool, value: u64) -> String {
    let verb = if write { "written" } else { "read" };
    format!("{what} {address:#x}: {value:#x} {verb} ({size} byte{})", if size == 1 { "" } else { "s" })
}

impl Observer for Watcher {
    fn watches(&self) -> Watch {
        let own = if self.over.is_some() { Watch::INSTRUCTIONS } else { Watch::empty() };
        let own = own | Watch::VM_ENTRIES | Watch::VM_EXITS;
        let own = if self.collecting.is_some() { own | Watch::INSTRUCTIONS | Watch::ITERATIONS } else { own };
        self.breakpoints.iter().fold(own, |all, breakpoint| all | breakpoint.watch())
    }

    fn before_instruction(&mut self, view: View, instruction: Instruction) {
        let cpu = view.cpu;
        let change = self.mode_changes(view);
        if let Some(collecting) = &mut self.collecting
            && let Some(present) = collecting.present.get_mut(cpu.sys.index as usize)
        {
            *present = Some(Here::of(cpu));
        }
        if self.passed.take_if(|passed| passed.processor == cpu.sys.index).is_some_and(|passed| passed == Here::of(cpu))
        {
            return;
        }
        let linear = cpu.code_linear(instruction.rip);
        if let Some(over) = self.over
            && (over.processor, over.linear) == (cpu.sys.index, linear)
            && cpu.gpr[4] >= over.stack
        {
            self.hit = Some(Hit { processor: cpu.sys.index, breakpoint: None, what: String::new() });
            return;
        }
        let selector = cpu.sys.seg(SegmentRegister::Cs).selector;
        let physical = if self.has(|kind| matches!(kind, Kind::Physical(_))) {
            cpu.peek_translate(view.ram, linear)
        } else {
            None
        };
        let named = self.has(|kind| matches!(kind, Kind::Mnemonic(_) | Kind::VmEntry));
        let mnemonic = if named { self.mnemonic(view, linear) } else { String::new() };
        let matches = |kind: &Kind| match kind {
            Kind::Linear(address) => *address == linear,
            Kind::Physical(address) => Some(*address) == physical,
            Kind::Virtual(cs, offset) => (*cs, *offset) == (selector, instruction.rip),
            Kind::Mnemonic(name) => *name == mnemonic,
            Kind::VmEntry => cpu.vmx.non_root.is_none() && matches!(mnemonic.as_str(), "vmlaunch" | "vmresume"),
            Kind::Mode => change.is_some(),
            _ => false,
        };
        let what = || match change {
            Some((before, now)) => format!("mode: {} -> {}", mode_words(before), mode_words(now)),
            None => String::new(),
        };
        self.judge(view, &Vec::new(), matches, what);
    }

    fn memory_access(&mut self, view: View, access: &MemoryAccess) {
        let MemoryAccess { linear, physical, size, write, value } = *access;
        let event = vec![
            ("value", value),
            ("address", linear),
            ("physical", physical),
            ("size", size.into()),
            ("write", write.into()),
        ];
        let matches = |kind: &Kind| match kind {
            Kind::Memory { range, physical: by_physical, access } => {
                access.takes(write) && in_range(range, if *by_physical { physical } else { linear }, size)
            }
            _ => false,
        };
        self.judge(view, &event, matches, || access_words("memory", linear, size, write, value));
    }

    fn port_access(&mut self, view: View, access: &DeviceAccess) {
        let DeviceAccess { address, size, write, value } = *access;
        let event = vec![
            ("value", value),
            ("address", address),
            ("port", address),
            ("size", size.into()),
            ("write", write.into()),
        ];
        let matches = |kind: &Kind| matches!(kind, Kind::Port(range, access) if access.takes(write) && in_range(range, address, size));
        self.judge(view, &event, matches, || access_words("port", address, size, write, value));
    }

    fn mmio_access(&mut self, view: View, access: &DeviceAccess) {
        let DeviceAccess { address, size, write, value } = *access;
        let event = vec![("value", value), ("address", address), ("size", size.into()), ("write", write.into())];
        let matches = |kind: &Kind| matches!(kind, Kind::Mmio(range, access) if access.takes(write) && in_range(range, address, size));
        self.judge(view, &event, matches, || access_words("device at", address, size, write, value));
    }

    fn event(&mut self, view: View, delivered: &DeliveredEvent) {
        let event = delivered.event;
        let scope = vec![
            ("vector", event.vector.into()),
            ("error", event.error_code.unwrap_or(0).into()),
            ("from", delivered.return_rip),
            ("injected", delivered.injected.into()),
        ];
        let matches = |kind: &Kind| match kind {
            Kind::Exception(vector) => event.is_exception() && vector.is_none_or(|vector| vector == event.vector),
            Kind::Interrupt(vector) => !event.is_exception() && vector.is_none_or(|vector| vector == event.vector),
            _ => false,
        };
        let injected = if delivered.injected { ", injected by VM entry" } else { "" };
        let what = || format!("{event}{injected}; it returns to {:04x}:{:#x}", delivered.cs, delivered.return_rip);
        self.judge(view, &scope, matches, what);
    }

    fn vm_entry(&mut self, view: View, entry: &VmEntry) {
        if self.collecting.is_none() {
            self.vmx.entry(view, entry);
            self.exit_counted(view);
        }
        let failure = match &entry.outcome {
            EntryOutcome::Entered(_) => return,
            EntryOutcome::Refused(BasicFailure::VmFailInvalid) => {
                "there is no current VMCS, or it is a shadow".to_owned()
            }
            EntryOutcome::Refused(BasicFailure::VmFailValid(error)) => error.text().to_owned(),
            EntryOutcome::Failed(rule) => format!("the rule {rule} does not hold"),
            EntryOutcome::MsrLoading(n) => format!("entry {n} of the MSR-load area cannot be loaded"),
        };
        let name = if entry.resume { "VMRESUME" } else { "VMLAUNCH" };
        let matches = |kind: &Kind| matches!(kind, Kind::EntryFailure);
        self.judge(view, &vec![("vmcs", entry.vmcs)], matches, || format!("{name} failed: {failure}"));
    }

    fn vm_exit(&mut self, view: View, exit: &VmExit) {
        if self.collecting.is_none() {
            self.vmx.exit(view, exit);
            self.exit_counted(view);
        }
        let VmExit { vmcs, reason, qualification, guest_rip } = *exit;
        let scope = vec![
            ("reason", (reason as u16).into()),
            ("qualification", qualification),
            ("guestrip", guest_rip),
            ("vmcs", vmcs),
        ];
        let matches =
            |kind: &Kind| matches!(kind, Kind::VmExit(reasons) if reasons.is_empty() || reasons.contains(&reason));
        let what = || {
            let words = emu_vmx::words::qualification(reason, qualification);
            let words = if words.is_empty() { String::new() } else { format!(", {words}") };
            format!("{}{words}; guest RIP {guest_rip:#x}", emu_vmx::words::vm_exit(reason))
        };
        self.judge(view, &scope, matches, what);
    }

    fn vmcs_write(&mut self, view: View, write: &VmcsWrite) {
        let scope = vec![("value", write.value), ("encoding", write.encoding), ("vmcs", write.vmcs)];
        let matches = |kind: &Kind| match kind {
            Kind::VmcsWrite(None) => true,
            Kind::VmcsWrite(field) => *field == write.field,
            _ => false,
        };
        let what = || {
            let name =
                write.field.map_or_else(|| format!("field {:#x}", write.encoding), |field| field.name().to_owned());
            format!("VMWRITE of {name}: {:#x}", write.value)
        };
        self.judge(view, &scope, matches, what);
    }

    fn control_register_write(&mut self, view: View, write: &RegisterWrite) {
        let RegisterWrite { number, value } = *write;
        let matches =
            |kind: &Kind| matches!(kind, Kind::ControlRegister(wanted) if wanted.is_none_or(|wanted| wanted == number));
        let scope = vec![("number", number.into()), ("value", value)];
        self.judge(view, &scope, matches, || format!("CR{number} = {value:#x}"));
    }

    fn msr_write(&mut self, view: View, write: &RegisterWrite) {
        let RegisterWrite { number, value } = *write;
        let matches = |kind: &Kind| matches!(kind, Kind::Msr(wanted) if wanted.is_none_or(|wanted| wanted == number));
        let scope = vec![("number", number.into()), ("value", value)];
        self.judge(view, &scope, matches, || format!("{} = {value:#x}", msr_words(number)));
    }

    fn stops(&mut self) -> bool {
        self.hit.is_some()
    }
}

/// A mode in a word or two.
pub fn mode_words(mode: Mode) -> &'static str {
    match mode {
        Mode { v86: true, .. } => "virtual-8086 mode",
        Mode { protected: false, .. } => "real-address mode",
        mode if mode.is_64bit() => "64-bit mode",
        Mode { long: true, .. } => "compatibility mode",
        _ => "protected mode",
    }
}

/// What the symbols and the place say of an instruction: `<main+0x4>`, or nothing.
pub fn label(symbols: &Symbols, linear: u64) -> String {
    symbols.label(linear).map_or(String::new(), |label| format!(" <{label}>"))
}
