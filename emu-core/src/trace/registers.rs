//! Which registers an instruction has changed.

use crate::state::cpu::Cpu;
use crate::state::fpu::{FpuState, VectorRegister};
use emu_vmx::arch::segment::SegmentRegister;
use std::fmt::Write;

const GENERAL: [&str; 16] =
    ["RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"];
const OTHERS: [&str; 7] = ["RFLAGS", "CR0", "CR2", "CR3", "CR4", "CR8", "EFER"];

/// The registers that a trace shows. RIP is not among them: the next line has it.
pub(super) struct Registers {
    general: [u64; 16],
    others: [u64; 7],
    selectors: [u16; 8],
    fpu: FpuState,
}

impl Registers {
    pub fn of(cpu: &Cpu) -> Self {
        let mut general = [0; 16];
        general.copy_from_slice(&cpu.gpr[..16]);
        let sys = &cpu.sys;
        Self {
            general,
            others: [
                cpu.flags.get(),
                sys.cr0.bits(),
                sys.cr2,
                sys.cr3,
                sys.cr4.bits(),
                u64::from(cpu.lapic.tpr >> 4),
                sys.efer.bits(),
            ],
            selectors: SegmentRegister::ALL.map(|register| sys.seg(register).selector),
            fpu: (*cpu.fpu).clone(),
        }
    }

    /// Appends those that are others in `after`, with their new values.
    pub fn changes(&self, after: &Self, line: &mut String) {
        let mut put = |name: &dyn std::fmt::Display, value: &dyn std::fmt::Display| {
            let written = write!(line, " {name}={value}");
            debug_assert!(written.is_ok());
        };
        let numbers = self.general.iter().zip(&after.general).zip(GENERAL);
        for ((old, new), name) in numbers.chain(self.others.iter().zip(&after.others).zip(OTHERS)) {
            if old != new {
                put(&name, &format_args!("{new:x}"));
            }
        }
        for ((old, new), register) in self.selectors.iter().zip(&after.selectors).zip(SegmentRegister::ALL) {
            if old != new {
                put(&register.name(), &format_args!("{new:04x}"));
            }
        }
        let (old, new) = (&self.fpu, &after.fpu);
        if old == new {
            return;
        }
        for (n, (old, new)) in old.vectors.iter().zip(&new.vectors).enumerate() {
            if old != new {
                put(&format_args!("{}{n}", vector_name(new)), &vector_digits(new));
            }
        }
        for (n, (old, new)) in old.masks.iter().zip(&new.masks).enumerate() {
            if old != new {
                put(&format_args!("K{n}"), &format_args!("{new:x}"));
            }
        }
        // By their physical numbers, as a push moves all others along the stack.
        for n in 0..8 {
            let of = |fpu: &FpuState| (fpu.exponent[n], fpu.significand[n]);
            if of(old) != of(new) {
                put(&format_args!("R{n}(x87)"), &format_args!("{:04x}:{:016x}", new.exponent[n], new.significand[n]));
            }
        }
        let words = [
            ("FCW", u32::from(old.control), u32::from(new.control)),
            ("FSW", u32::from(old.status), u32::from(new.status)),
            ("FTW", u32::from(old.tags), u32::from(new.tags)),
            ("MXCSR", old.mxcsr, new.mxcsr),
        ];
        for (name, _, new) in words.iter().filter(|(_, old, new)| old != new) {
            put(name, &format_args!("{new:x}"));
        }
    }
}

/// The narrowest name that shows all bits that are set.
fn vector_name(register: &VectorRegister) -> &'static str {
    match register.0 {
        [_, _, 0, 0, 0, 0, 0, 0] => "XMM",
        [_, _, _, _, 0, 0, 0, 0] => "YMM",
        _ => "ZMM",
    }
}

fn vector_digits(register: &VectorRegister) -> String {
    let words = match vector_name(register) {
        "XMM" => 2,
        "YMM" => 4,
        _ => 8,
    };
    register.0[..words].iter().rev().map(|word| format!("{word:016x}")).collect()
}
