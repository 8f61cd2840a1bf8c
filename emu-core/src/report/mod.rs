//! What a processor is doing, in words and numbers, for people and for programs that read JSON. Making a report changes
//! nothing.

mod exceptions;
mod text;
mod vmx;
mod words;

pub use exceptions::{ChainReport, EventReport};
pub use text::Detail;
pub use vmx::{GuestReport, VmxReport};

use crate::flags::IF;
use crate::lapic::timer::TimerMode;
use crate::mem::ram::Ram;
use crate::state::cpu::Cpu;
use crate::state::lapic::{LVT_MASKED, Lvt};
use crate::state::system::Activity;
use emu_vmx::arch::segment::SegmentRegister;
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::fmt;

/// How many instructions a report shows, the one at RIP first.
const INSTRUCTIONS: usize = 4;

/// Opcode of HLT.
const HLT: u8 = 0xF4;

/// A number that programs read as `"0x7c00"`: JSON's numbers do not hold 64 bits everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Hex(pub u64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Registers by their names in the SDM, in its order; a map when serialized.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registers(Vec<(&'static str, u64)>);

impl Registers {
    /// The register called `name`, as in `RAX` or `CR3`.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.iter().find(|register| register.0 == name).map(|register| register.1)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().copied()
    }
}

impl Serialize for Registers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, &Hex(value))?;
        }
        map.end()
    }
}

/// A segment register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentReport {
    /// Its name.
    pub name: &'static str,
    /// Selector.
    pub selector: Hex,
    /// Linear base address.
    pub base: Hex,
    /// Limit in bytes.
    pub limit: Hex,
    /// Access rights in the VMX format (SDM Vol. 3C 25.4.1).
    pub access_rights: Hex,
    /// The same in words.
    pub kind: String,
}

/// GDTR or IDTR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Linear base address.
    pub base: Hex,
    /// Limit in bytes.
    pub limit: Hex,
}

/// An instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstructionReport {
    /// Selector of the code segment.
    pub cs: Hex,
    /// Its offset there.
    pub offset: Hex,
    /// Its linear address.
    pub linear: Hex,
    /// Its bytes, two hexadecimal digits each.
    pub bytes: String,
    /// The instruction, or in brackets why there is none.
    pub text: String,
}

/// The local APIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApicReport {
    /// `xAPIC`, `x2APIC` or `disabled`.
    pub mode: &'static str,
    /// Enabled by the spurious-interrupt vector register.
    pub software_enabled: bool,
    /// APIC id.
    pub id: u32,
    /// Physical address of its registers.
    pub base: Hex,
    /// Task priority.
    pub tpr: Hex,
    /// Vectors requested (IRR).
    pub requested: Vec<u8>,
    /// Vectors in service (ISR).
    pub in_service: Vec<u8>,
    /// Errors since ESR was written.
    pub errors: Hex,
    /// The timer, in words.
    pub timer: String,
    /// The processor's cycle at which the timer fires next.
    pub timer_cycle: Option<u64>,
}

/// A processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CpuReport {
    /// Its number, 0 first.
    pub number: u32,
    /// Mode of operation, in words.
    pub mode: String,
    /// Paging, in words.
    pub paging: &'static str,
    /// Current privilege level.
    pub cpl: u8,
    /// What it is doing, in words.
    pub activity: String,
    /// Whether it executes instructions.
    pub active: bool,
    /// Its clock: cycles since power-on.
    pub cycle: u64,
    /// Instructions completed.
    pub instructions: u64,
    /// IA-32e mode: registers have 64 bits.
    pub long_mode: bool,
    /// RAX to R15, RIP, RFLAGS.
    pub registers: Registers,
    /// The instruction at RIP and those after it; the HLT before them if the processor is halted by it.
    pub code: Vec<InstructionReport>,
    /// ES, CS, SS, DS, FS, GS, LDTR, TR.
    pub segments: Vec<SegmentReport>,
    /// GDTR.
    pub gdtr: TableReport,
    /// IDTR.
    pub idtr: TableReport,
    /// Control and debug registers, XCR0, IA32_EFER.
    pub control: Registers,
    /// VMX operation.
    pub vmx: VmxReport,
    /// The last exceptions, the newest chain last.
    pub exceptions: Vec<ChainReport>,
    /// The local APIC.
    pub local_apic: ApicReport,
}

impl CpuReport {
    /// Looks at a processor.
    pub fn new(cpu: &Cpu, ram: &Ram) -> Self {
        let sys = &cpu.sys;
        let mut registers: Vec<_> = words::GENERAL.into_iter().zip(cpu.gpr).collect();
        registers.extend([("RIP", cpu.rip()), ("RFLAGS", cpu.flags.get())]);
        let control = vec![
            ("CR0", sys.cr0.bits()),
            ("CR2", sys.cr2),
            ("CR3", sys.cr3),
            ("CR4", sys.cr4.bits()),
            ("CR8", u64::from(cpu.lapic.tpr >> 4)),
            ("EFER", sys.efer.bits()),
            ("XCR0", sys.xcr0),
            ("DR0", sys.dr[0]),
            ("DR1", sys.dr[1]),
            ("DR2", sys.dr[2]),
            ("DR3", sys.dr[3]),
            ("DR6", sys.dr6.bits()),
            ("DR7", sys.dr7.bits()),
        ];
        let cs = sys.seg(SegmentRegister::Cs).selector;
        let mut code = cpu.disassemble(ram, cpu.rip(), INSTRUCTIONS);
        if sys.activity == Activity::Hlt {
            let before = cpu.disassemble(ram, cpu.rip().wrapping_sub(1), 1);
            code.splice(..0, before.into_iter().filter(|found| found.bytes == [HLT]));
        }
        let code = code.into_iter().map(|found| InstructionReport {
            cs: Hex(cs.into()),
            offset: Hex(found.ip),
            linear: Hex(cpu.code_linear(found.ip)),
            bytes: words::hex_bytes(&found.bytes),
            text: found.text,
        });
        let table = |table: crate::state::system::DescriptorTable| TableReport {
            base: Hex(table.base),
            limit: Hex(table.limit.into()),
        };
        Self {
            number: sys.index,
            mode: words::mode(cpu.derived.mode),
            paging: words::paging(sys),
            cpl: sys.cpl,
            activity: activity(cpu),
            active: sys.activity == Activity::Active,
            cycle: cpu.cycles,
            instructions: cpu.instructions,
            long_mode: cpu.derived.mode.long,
            registers: Registers(registers),
            code: code.collect(),
            segments: SegmentRegister::ALL.map(|register| segment(cpu, register)).into(),
            gdtr: table(sys.gdtr),
            idtr: table(sys.idtr),
            control: Registers(control),
            vmx: VmxReport::new(cpu),
            exceptions: exceptions::chains(&cpu.notes.history),
            local_apic: apic(cpu),
        }
    }

    /// Whether a triple fault or VMX abort has shut the processor down.
    pub fn is_shut_down(&self) -> bool {
        self.activity.starts_with("shut down")
    }
}

fn activity(cpu: &Cpu) -> String {
    match cpu.sys.activity {
        Activity::Active => "executing".to_owned(),
        Activity::Hlt if cpu.flags.has(IF) => "halted until an interrupt".to_owned(),
        Activity::Hlt => "halted with interrupts off".to_owned(),
        Activity::Mwait => "waits by MWAIT".to_owned(),
        Activity::WaitForSipi => "waits for a start-up IPI".to_owned(),
        Activity::Shutdown => match cpu.notes.history.vmx_abort() {
            Some(abort) => format!("shut down by {abort}"),
            None => "shut down by a triple fault".to_owned(),
        },
    }
}

fn segment(cpu: &Cpu, register: SegmentRegister) -> SegmentReport {
    let segment = cpu.sys.seg(register);
    SegmentReport {
        name: register.name(),
        selector: Hex(segment.selector.into()),
        base: Hex(segment.base),
        limit: Hex(segment.limit.into()),
        access_rights: Hex(segment.access_rights.bits().into()),
        kind: emu_vmx::words::segment(segment.access_rights),
    }
}

fn apic(cpu: &Cpu) -> ApicReport {
    let lapic = &cpu.lapic;
    let vectors = |bits| (0..=u8::MAX).filter(|&vector| crate::lapic::test(bits, vector)).collect();
    let entry = lapic.lvt[Lvt::Timer as usize];
    let mode = match lapic.timer_mode() {
        TimerMode::OneShot => "one-shot",
        TimerMode::Periodic => "periodic",
        TimerMode::TscDeadline => "TSC-deadline",
    };
    let masked = if entry & LVT_MASKED != 0 { ", masked" } else { "" };
    ApicReport {
        mode: match (lapic.enabled, lapic.x2apic) {
            (false, _) => "disabled",
            (true, false) => "xAPIC",
            (true, true) => "x2APIC",
        },
        software_enabled: lapic.software_enabled(),
        id: lapic.id,
        base: Hex(cpu.sys.apic_base & 0x000F_FFFF_FFFF_F000),
        tpr: Hex(lapic.tpr.into()),
        requested: vectors(&lapic.irr),
        in_service: vectors(&lapic.isr),
        errors: Hex((lapic.esr | lapic.errors).into()),
        timer: format!("{mode}, vector {:#04x}{masked}", entry & 0xFF),
        timer_cycle: (lapic.deadline != u64::MAX).then_some(lapic.deadline),
    }
}
