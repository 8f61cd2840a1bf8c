//! What expressions see of a processor.

use super::expr::Scope;
use emu_core::mem::ram::{Place, Ram};
use emu_core::model::CpuModel;
use emu_core::observe::View;
use emu_core::state::cpu::Cpu;
use emu_core::state::derived::{Mode, Size};
use emu_devices::pc::{Pc, register_of};
use emu_vmx::arch::segment::{Segment, SegmentRegister};
use emu_vmx::field::Field;

/// Flags by name and bit.
const FLAGS: [(&str, u32); 16] = [
    ("cf", 0),
    ("pf", 2),
    ("af", 4),
    ("zf", 6),
    ("sf", 7),
    ("tf", 8),
    ("if", 9),
    ("df", 10),
    ("of", 11),
    ("nt", 14),
    ("rf", 16),
    ("vm", 17),
    ("ac", 18),
    ("vif", 19),
    ("vip", 20),
    ("id", 21),
];

/// Values of the event that a condition is judged at, by name: `value`, `address`, `reason`, …
pub type Event = Vec<(&'static str, u64)>;

/// A processor, its memory, and perhaps an event.
pub struct CpuScope<'a> {
    cpu: &'a Cpu,
    ram: &'a Ram,
    event: &'a [(&'static str, u64)],
}

impl<'a> CpuScope<'a> {
    /// What an observer is shown.
    pub fn of_view(view: View<'a>, event: &'a [(&'static str, u64)]) -> Self {
        Self { cpu: view.cpu, ram: view.ram, event }
    }

    /// A processor of a machine that stands still.
    pub fn of_pc(pc: &'a Pc, processor: usize) -> Option<Self> {
        Some(Self { cpu: pc.cpus.get(processor)?, ram: &pc.ram, event: &[] })
    }

    /// The same with an event.
    pub fn at<'b>(&'b self, event: &'b [(&'static str, u64)]) -> CpuScope<'b> {
        CpuScope { cpu: self.cpu, ram: self.ram, event }
    }

    fn segment(&self, name: &str) -> Option<&'a Segment> {
        let register = SegmentRegister::ALL.into_iter().find(|register| register.name().eq_ignore_ascii_case(name))?;
        Some(self.cpu.sys.seg(register))
    }
}

/// The mode of a processor.
pub fn mode(cpu: &Cpu) -> Mode {
    cpu.derived.mode
}

/// The model of a processor.
pub fn model(cpu: &Cpu) -> &CpuModel {
    &cpu.config.model
}

/// Bytes of an address in a mode.
pub fn address_bytes(mode: Mode) -> usize {
    match mode.code {
        Size::Bits16 => 2,
        Size::Bits32 => 4,
        Size::Bits64 => 8,
    }
}

/// What is at a physical address, little-endian; `None` where no memory answers.
pub fn physical(ram: &Ram, address: u64, size: usize) -> Option<u64> {
    let mut bytes = [0; 8];
    for (n, byte) in bytes.iter_mut().take(size).enumerate() {
        let Place::Memory(offset) = ram.place(address.checked_add(n as u64)?, false) else { return None };
        *byte = *ram.bytes().get(offset)?;
    }
    Some(u64::from_le_bytes(bytes))
}

impl Scope for CpuScope<'_> {
    fn register(&self, name: &str) -> Option<u64> {
        if let Some(found) = self.event.iter().find(|value| value.0 == name) {
            return Some(found.1);
        }
        if let Some(value) = register_of(self.cpu, &name.to_ascii_uppercase()) {
            return Some(value);
        }
        if let Some(flag) = FLAGS.iter().find(|flag| flag.0 == name) {
            return Some(self.cpu.flags.get() >> flag.1 & 1);
        }
        let sys = &self.cpu.sys;
        Some(match name {
            "cpu" => sys.index.into(),
            "cpl" => sys.cpl.into(),
            "pc" => self.cpu.code_linear(self.cpu.rip()),
            "cycle" => self.cpu.cycles,
            "instructions" => self.cpu.instructions,
            "efer" => sys.efer.bits(),
            "nonroot" => self.cpu.vmx.non_root.is_some().into(),
            "gdtr.base" => sys.gdtr.base,
            "gdtr.limit" => sys.gdtr.limit.into(),
            "idtr.base" => sys.idtr.base,
            "idtr.limit" => sys.idtr.limit.into(),
            _ => {
                let (segment, part) = name.split_once('.')?;
                let segment = self.segment(segment)?;
                match part {
                    "base" => segment.base,
                    "limit" => segment.limit.into(),
                    "rights" => segment.access_rights.bits().into(),
                    _ => return None,
                }
            }
        })
    }

    fn segment_base(&self, name: &str) -> Option<u64> {
        self.segment(name).map(|segment| segment.base)
    }

    fn linear(&self, address: u64, size: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        let size = size.min(8);
        let read = self.cpu.peek_linear(self.ram, address, &mut bytes[..size]);
        (read == size).then(|| u64::from_le_bytes(bytes))
    }

    fn physical(&self, address: u64, size: usize) -> Option<u64> {
        physical(self.ram, address, size.min(8))
    }

    fn field(&self, field: Field) -> Option<u64> {
        self.cpu.vmx.current().map(|vmcs| vmcs.get(field))
    }

    fn width(&self) -> usize {
        address_bytes(mode(self.cpu))
    }
}
