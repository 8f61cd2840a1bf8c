//! Registers by the SDM's names, for programs that own a machine.

use super::{AccessError, Pc};
use crate::input::{Register, RegisterWrite};
use emu_core::msr;
use emu_core::state::cpu::Cpu;
use emu_vmx::arch::segment::SegmentRegister;

/// The first eight general-purpose registers without the letter of their width, by number.
const LEGACY: [&str; 8] = ["AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI"];
/// Their low bytes.
const LOW: [&str; 8] = ["AL", "CL", "DL", "BL", "SPL", "BPL", "SIL", "DIL"];
/// Bits 15:8 of the first four.
const HIGH: [&str; 4] = ["AH", "CH", "DH", "BH"];

/// A general-purpose register, RIP, RFLAGS or SSP, or a part of one.
#[derive(Clone, Copy)]
struct Part {
    register: Register,
    /// Lowest bit.
    shift: u32,
    /// Bits.
    width: u32,
}

impl Part {
    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.width)
    }

    fn named(name: &str) -> Option<Self> {
        let part = |register, width| Some(Self { register, shift: 0, width });
        let general = |names: &[&str], name: &str| names.iter().position(|&other| other == name).map(|n| n as u8);
        match name {
            "RIP" => return part(Register::Rip, 64),
            "EIP" => return part(Register::Rip, 32),
            "IP" => return part(Register::Rip, 16),
            "RFLAGS" => return part(Register::Rflags, 64),
            "EFLAGS" => return part(Register::Rflags, 32),
            "FLAGS" => return part(Register::Rflags, 16),
            "SSP" => return part(Register::Ssp, 64),
            _ => {}
        }
        if let Some(n) = general(&LEGACY, name) {
            return part(Register::General(n), 16);
        }
        if let Some(n) = general(&LOW, name) {
            return part(Register::General(n), 8);
        }
        if let Some(n) = general(&HIGH, name) {
            return Some(Self { register: Register::General(n), shift: 8, width: 8 });
        }
        if let Some(n) = name.strip_prefix('E').and_then(|rest| general(&LEGACY, rest)) {
            return part(Register::General(n), 32);
        }
        let rest = name.strip_prefix('R')?;
        if let Some(n) = general(&LEGACY, rest) {
            return part(Register::General(n), 64);
        }
        let digits = rest.trim_end_matches(|c: char| c.is_ascii_uppercase());
        let number = (8..16u8).find(|number| number.to_string() == digits)?;
        let width = match &rest[digits.len()..] {
            "" => 64,
            "D" => 32,
            "W" => 16,
            "B" | "L" => 8,
            _ => return None,
        };
        part(Register::General(number), width)
    }

    /// The whole register.
    fn whole(self, cpu: &Cpu) -> u64 {
        match self.register {
            Register::General(n) => cpu.gpr[usize::from(n & 15)],
            Register::Rip => cpu.rip(),
            Register::Rflags => cpu.flags.get(),
            Register::Ssp => cpu.sys.cet.ssp,
        }
    }
}

/// A register that is read only.
fn system(cpu: &Cpu, name: &str) -> Option<u64> {
    let sys = &cpu.sys;
    Some(match name {
        "CR0" => sys.cr0.bits(),
        "CR2" => sys.cr2,
        "CR3" => sys.cr3,
        "CR4" => sys.cr4.bits(),
        "CR8" => u64::from(cpu.lapic.tpr >> 4),
        "XCR0" => sys.xcr0,
        "DR0" => sys.dr[0],
        "DR1" => sys.dr[1],
        "DR2" => sys.dr[2],
        "DR3" => sys.dr[3],
        "DR6" => sys.dr6.bits(),
        "DR7" => sys.dr7.bits(),
        _ => match SegmentRegister::ALL.into_iter().find(|register| register.name() == name) {
            Some(register) => sys.seg(register).selector.into(),
            None => cpu.read_msr_quiet(msr::number(name)?)?,
        },
    })
}

/// What [`Pc::register`] reads, of a processor that an observer is shown; the name is in upper case.
pub fn register_of(cpu: &Cpu, name: &str) -> Option<u64> {
    match Part::named(name) {
        Some(part) => Some(part.whole(cpu) >> part.shift & part.mask()),
        None => system(cpu, name),
    }
}

impl Pc {
    /// A register of a processor by its name in the SDM, in upper or lower case: general-purpose registers and their
    /// parts, RIP, RFLAGS, segment selectors, control and debug registers, XCR0, SSP, and MSRs as RDMSR reads them.
    ///
    /// # Errors
    /// [`AccessError::NoProcessor`], [`AccessError::NoRegister`].
    pub fn register(&self, processor: usize, name: &str) -> Result<u64, AccessError> {
        let value = register_of(self.processor(processor)?, &name.to_ascii_uppercase());
        value.ok_or_else(|| AccessError::NoRegister(name.to_owned()))
    }

    /// Sets a general-purpose register, RIP or RFLAGS, or a part of one, or SSP where there are shadow stacks, at once. As by
    /// an instruction, 32 bits clear the upper half and fewer leave the rest alone; flags that do not exist stay as they must
    /// be, and so do bits 1:0 of SSP.
    ///
    /// ```
    /// # let mut pc = emu_devices::pc::Pc::builder().memory(2 << 20).build()?;
    /// pc.set_register(0, "rbx", 0x1122_3344)?;
    /// pc.set_register(0, "bh", 0xFF)?;
    /// assert_eq!(pc.register(0, "EBX")?, 0x1122_FF44);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AccessError::NoProcessor`], [`AccessError::NoRegister`], [`AccessError::NotSettable`] for all other registers,
    /// [`AccessError::TooWide`], [`AccessError::Recorded`] during a recording.
    pub fn set_register(&mut self, processor: usize, name: &str, value: u64) -> Result<(), AccessError> {
        let cpu = self.processor(processor)?;
        let upper = name.to_ascii_uppercase();
        let Some(part) = Part::named(&upper).filter(|part| part.register.is_in(cpu)) else {
            self.register(processor, name)?;
            return Err(AccessError::NotSettable(upper));
        };
        if value & !part.mask() != 0 {
            return Err(AccessError::TooWide { register: upper, value });
        }
        self.may_write()?;
        let kept = if part.width >= 32 { 0 } else { part.whole(cpu) & !(part.mask() << part.shift) };
        let value = kept | value << part.shift;
        self.write_registers(&[RegisterWrite { processor: processor as u32, register: part.register, value }]);
        Ok(())
    }
}
