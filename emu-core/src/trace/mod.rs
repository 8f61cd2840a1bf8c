//! Traces: one line of text an instruction, made by an [`Observer`].
//!
//! `CYCLE PROCESSOR CS:RIP LINEAR BYTES INSTRUCTION`, then what it did, in this order: memory operands
//! (`r4[7000]=12` is a read of 4 bytes at linear address 7000h), ports (`in1[60]`), devices in memory (`mr4[..]`, `mw4[..]`
//! by physical address), events (`-> #GP(0x10)`), VM entries and exits, and the registers that have changed with their new
//! values. All numbers but cycle and processor are hexadecimal.

mod registers;

use crate::disasm::{MAX_LENGTH, disassemble};
use crate::observe::{
    DeliveredEvent, DeviceAccess, EntryOutcome, Instruction, MemoryAccess, Observer, View, VmEntry, VmExit, Watch,
};
use crate::state::cpu::Cpu;
use crate::state::derived::Mode;
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::checks::BasicFailure;
use registers::Registers;
use std::fmt::Write;

/// Which instructions are traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceFilter {
    /// Those of this processor only.
    pub cpu: Option<u32>,
    /// Those that begin at this cycle of their processor's clock or later.
    pub from: u64,
    /// Those that begin before this cycle.
    pub to: u64,
}

impl Default for TraceFilter {
    fn default() -> Self {
        Self { cpu: None, from: 0, to: u64::MAX }
    }
}

impl TraceFilter {
    fn takes(&self, cpu: &Cpu) -> bool {
        self.cpu.is_none_or(|number| number == cpu.sys.index) && (self.from..self.to).contains(&cpu.cycles)
    }
}

/// Where the lines of a trace go.
pub trait TraceSink {
    /// Takes a line, with its line feed.
    fn line(&mut self, line: &str);
    /// Whether nothing more is taken; tracing then ends.
    fn is_closed(&self) -> bool {
        false
    }
}

impl TraceSink for String {
    fn line(&mut self, line: &str) {
        self.push_str(line);
    }
}

/// Writes a trace to `sink`.
pub struct Tracer<S: TraceSink> {
    filter: TraceFilter,
    sink: S,
    /// By processor: an instruction that does not complete ends with the next one's beginning.
    lines: Vec<Line>,
}

#[derive(Default)]
struct Line {
    /// The instruction that has begun.
    present: Option<Present>,
    /// Kept for its allocation.
    text: String,
}

struct Present {
    cycle: u64,
    rip: u64,
    before: Box<Registers>,
}

impl<S: TraceSink> Tracer<S> {
    /// A tracer of what `filter` takes.
    pub fn new(filter: TraceFilter, sink: S) -> Self {
        Self { filter, sink, lines: Vec::new() }
    }

    /// What is traced.
    pub fn filter(&self) -> TraceFilter {
        self.filter
    }

    /// Where the lines go.
    pub fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Writes the lines of instructions that began and never ended.
    pub fn finish(&mut self) {
        for line in &mut self.lines {
            if line.present.take().is_some() {
                line.end(&mut self.sink);
            }
        }
    }

    /// The line of a processor, and where it goes.
    fn line_of(&mut self, cpu: &Cpu) -> (&mut Line, &mut S) {
        let n = cpu.sys.index as usize;
        if self.lines.len() <= n {
            self.lines.resize_with(n + 1, Line::default);
        }
        (&mut self.lines[n], &mut self.sink)
    }

    /// Adds to the line of the present instruction; what happens between two has a line of its own.
    fn add(&mut self, cpu: &Cpu, what: std::fmt::Arguments) {
        let takes = self.filter.takes(cpu);
        let (line, sink) = self.line_of(cpu);
        if line.present.is_some() {
            append(&mut line.text, format_args!(" {what}"));
        } else if takes {
            append(&mut line.text, format_args!("{} {} {what}", cpu.cycles, cpu.sys.index));
            line.end(sink);
        }
    }

    fn add_access(&mut self, cpu: &Cpu, names: [&str; 2], access: &DeviceAccess) {
        let DeviceAccess { address, size, write, value } = *access;
        let name = names[usize::from(write)];
        self.add(cpu, format_args!("{name}{size}[{address:x}]={value:x}"));
    }
}

impl Line {
    fn end(&mut self, sink: &mut impl TraceSink) {
        let trimmed = self.text.trim_end().len();
        self.text.truncate(trimmed);
        self.text.push('\n');
        sink.line(&self.text);
        self.text.clear();
    }
}

/// A string takes whatever is written to it.
fn append(line: &mut String, what: std::fmt::Arguments) {
    let written = line.write_fmt(what);
    debug_assert!(written.is_ok());
}

/// Hexadecimal digits of an address in a mode.
fn digits(mode: Mode) -> usize {
    match mode {
        Mode { long: true, .. } => 16,
        mode if mode.real_segments() => 4,
        _ => 8,
    }
}

impl<S: TraceSink> Observer for Tracer<S> {
    fn watches(&self) -> Watch {
        if self.sink.is_closed() {
            return Watch::empty();
        }
        Watch::INSTRUCTIONS
            | Watch::MEMORY
            | Watch::PORTS
            | Watch::MMIO
            | Watch::EVENTS
            | Watch::VM_ENTRIES
            | Watch::VM_EXITS
    }

    fn before_instruction(&mut self, view: View, instruction: Instruction) {
        let cpu = view.cpu;
        let takes = self.filter.takes(cpu);
        let (line, sink) = self.line_of(cpu);
        let begun = |present: &Present| (present.cycle, present.rip) == (cpu.cycles, instruction.rip);
        if line.present.as_ref().is_some_and(begun) {
            return;
        }
        // The one before did not complete: a fault or a VM exit led here.
        if let Some(present) = line.present.take() {
            present.before.changes(&Registers::of(cpu), &mut line.text);
            line.end(sink);
        }
        if !takes {
            return;
        }
        let linear = cpu.code_linear(instruction.rip);
        let mut buffer = [0; MAX_LENGTH];
        let read = cpu.peek_code(view.ram, linear, &mut buffer);
        let found = disassemble(&buffer[..read], cpu.derived.mode.code, instruction.rip);
        let bytes: String = found.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let cs = cpu.sys.seg(SegmentRegister::Cs).selector;
        let (offset_digits, linear_digits) = (digits(cpu.derived.mode), digits(cpu.derived.mode).max(8));
        append(
            &mut line.text,
            format_args!(
                "{} {} {cs:04x}:{:0offset_digits$x} {linear:0linear_digits$x} {bytes:14} {:32}",
                cpu.cycles, cpu.sys.index, instruction.rip, found.text
            ),
        );
        line.present = Some(Present { cycle: cpu.cycles, rip: instruction.rip, before: Box::new(Registers::of(cpu)) });
    }

    fn after_instruction(&mut self, view: View, _instruction: Instruction) {
        let (line, sink) = self.line_of(view.cpu);
        let Some(present) = line.present.take() else { return };
        present.before.changes(&Registers::of(view.cpu), &mut line.text);
        line.end(sink);
    }

    fn memory_access(&mut self, view: View, access: &MemoryAccess) {
        if self.line_of(view.cpu).0.present.is_some() {
            let MemoryAccess { linear, size, write, value, .. } = *access;
            let name = if write { 'w' } else { 'r' };
            self.add(view.cpu, format_args!("{name}{size}[{linear:x}]={value:x}"));
        }
    }

    fn port_access(&mut self, view: View, access: &DeviceAccess) {
        self.add_access(view.cpu, ["in", "out"], access);
    }

    fn mmio_access(&mut self, view: View, access: &DeviceAccess) {
        self.add_access(view.cpu, ["mr", "mw"], access);
    }

    fn event(&mut self, view: View, event: &DeliveredEvent) {
        let injected = if event.injected { " (injected)" } else { "" };
        self.add(view.cpu, format_args!("-> {}{injected}", event.event));
    }

    fn vm_entry(&mut self, view: View, entry: &VmEntry) {
        match &entry.outcome {
            EntryOutcome::Entered(_) => self.add(view.cpu, format_args!("-> VM entry")),
            EntryOutcome::Refused(BasicFailure::VmFailInvalid) => self.add(view.cpu, format_args!("-> VMfailInvalid")),
            EntryOutcome::Refused(BasicFailure::VmFailValid(error)) => {
                self.add(view.cpu, format_args!("-> VMfailValid {}", error.number()));
            }
            EntryOutcome::Failed(rule) => self.add(view.cpu, format_args!("-> VM entry failed: {rule}")),
            EntryOutcome::MsrLoading(n) => self.add(view.cpu, format_args!("-> VM entry failed: MSR-load entry {n}")),
        }
    }

    fn vm_exit(&mut self, view: View, exit: &VmExit) {
        let VmExit { reason, qualification, .. } = *exit;
        let number = reason as u16;
        self.add(view.cpu, format_args!("-> VM exit {number} ({}), qualification {qualification:x}", reason.text()));
    }
}
