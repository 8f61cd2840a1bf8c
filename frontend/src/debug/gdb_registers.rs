//! The registers that GDB is shown: its own of x86, then system registers and the current VMCS.

use super::scope::mode;
use emu_core::model::features::Feature;
use emu_core::state::cpu::Cpu;
use emu_vmx::arch::segment::SegmentRegister;
use emu_vmx::field::{Field, FieldSet, Width};
use gdbstub::arch::{Arch, Registers};
use std::fmt::Write;

/// GDB's order: its numbers of the general-purpose registers are not the processor's.
const ORDER: [usize; 16] = [0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15];
const NAMES64: [&str; 16] =
    ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
/// The order of the 32-bit description.
const ORDER32: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];
const NAMES32: [&str; 8] = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"];
const SELECTORS: [SegmentRegister; 6] = [
    SegmentRegister::Cs,
    SegmentRegister::Ss,
    SegmentRegister::Ds,
    SegmentRegister::Es,
    SegmentRegister::Fs,
    SegmentRegister::Gs,
];
const SYSTEM: [&str; 7] = ["CR0", "CR2", "CR3", "CR4", "CR8", "IA32_EFER", "XCR0"];

/// One register of a description.
#[derive(Debug, Clone, PartialEq)]
pub struct Register {
    name: String,
    bits: u32,
    kind: &'static str,
    feature: &'static str,
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Source {
    General(usize),
    Pc,
    Flags,
    Selector(SegmentRegister),
    Stack(usize),
    /// Control, status, tag, instruction and operand pointers, opcode.
    X87(usize),
    Vector(usize),
    Mxcsr,
    Base(SegmentRegister),
    System(&'static str),
    ShadowStack,
    Table(usize),
    Field(Field),
}

const CORE: &str = "org.gnu.gdb.i386.core";
const SSE: &str = "org.gnu.gdb.i386.sse";
const SEGMENTS: &str = "org.gnu.gdb.i386.segments";
/// GDB's name of the feature; its register is the one that is in use, at whatever privilege level.
const SHADOW_STACK: &str = "org.gnu.gdb.i386.pl3_ssp";
const OWN: &str = "rvmx.system";
const VMCS: &str = "rvmx.vmcs";

/// What GDB is told of a processor's registers.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    architecture: &'static str,
    registers: Vec<Register>,
}

impl Description {
    /// For a processor in its present mode.
    pub fn of(cpu: &Cpu) -> Self {
        let mode = mode(cpu);
        let long = mode.long;
        let mut list = Vec::new();
        let mut add = |name: &str, bits, kind, feature, source| {
            list.push(Register { name: name.to_owned(), bits, kind, feature, source });
        };
        if long {
            for (n, name) in ORDER.into_iter().zip(NAMES64) {
                let kind = if matches!(name, "rbp" | "rsp") { "data_ptr" } else { "int64" };
                add(name, 64, kind, CORE, Source::General(n));
            }
            add("rip", 64, "code_ptr", CORE, Source::Pc);
        } else {
            for (n, name) in ORDER32.into_iter().zip(NAMES32) {
                let kind = if matches!(name, "ebp" | "esp") { "data_ptr" } else { "int32" };
                add(name, 32, kind, CORE, Source::General(n));
            }
            add("eip", 32, "code_ptr", CORE, Source::Pc);
        }
        add("eflags", 32, "int32", CORE, Source::Flags);
        for register in SELECTORS {
            add(&register.name().to_ascii_lowercase(), 32, "int32", CORE, Source::Selector(register));
        }
        for n in 0..8 {
            add(&format!("st{n}"), 80, "i387_ext", CORE, Source::Stack(n));
        }
        for (n, name) in ["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"].into_iter().enumerate() {
            add(name, 32, "int", CORE, Source::X87(n));
        }
        for n in 0..if long { 16 } else { 8 } {
            add(&format!("xmm{n}"), 128, "uint128", SSE, Source::Vector(n));
        }
        add("mxcsr", 32, "int", SSE, Source::Mxcsr);
        if long {
            add("fs_base", 64, "int", SEGMENTS, Source::Base(SegmentRegister::Fs));
            add("gs_base", 64, "int", SEGMENTS, Source::Base(SegmentRegister::Gs));
        }
        if super::scope::model(cpu).has(Feature::CetSs) {
            add("pl3_ssp", if long { 64 } else { 32 }, "data_ptr", SHADOW_STACK, Source::ShadowStack);
        }
        for name in SYSTEM {
            let short = name.trim_start_matches("IA32_").to_ascii_lowercase();
            add(&short, 64, "uint64", OWN, Source::System(name));
        }
        for register in SELECTORS.into_iter().chain([SegmentRegister::Ldtr, SegmentRegister::Tr]) {
            let name = format!("{}_segment_base", register.name().to_ascii_lowercase());
            add(&name, 64, "uint64", OWN, Source::Base(register));
        }
        for (n, name) in ["gdtr_base", "gdtr_limit", "idtr_base", "idtr_limit"].into_iter().enumerate() {
            add(name, 64, "uint64", OWN, Source::Table(n));
        }
        if let Some(vmx) = super::scope::model(cpu).vmx() {
            for field in FieldSet::supported(&vmx.caps).iter() {
                let (bits, kind) = match field.width() {
                    Width::W16 => (16, "uint16"),
                    Width::W32 => (32, "uint32"),
                    Width::W64 | Width::Natural => (64, "uint64"),
                };
                add(&format!("vmcs_{}", field.identifier()), bits, kind, VMCS, Source::Field(field));
            }
        }
        let architecture = if long {
            "i386:x86-64"
        } else if mode.real_segments() {
            "i8086"
        } else {
            "i386"
        };
        Self { architecture, registers: list }
    }

    /// As XML.
    pub fn xml(&self) -> String {
        let mut text = format!(
            "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target version=\"1.0\">\n\
             <architecture>{}</architecture>\n",
            self.architecture
        );
        let mut feature = "";
        for register in &self.registers {
            if register.feature != feature {
                if !feature.is_empty() {
                    text.push_str("</feature>\n");
                }
                feature = register.feature;
                let _ = writeln!(text, "<feature name=\"{feature}\">");
            }
            let group = match feature {
                CORE | SSE | SHADOW_STACK => "",
                VMCS => " group=\"vmcs\"",
                _ => " group=\"system\"",
            };
            let Register { name, bits, kind, .. } = register;
            let _ = writeln!(text, "<reg name=\"{name}\" bitsize=\"{bits}\" type=\"{kind}\"{group}/>");
        }
        text.push_str("</feature>\n</target>\n");
        text
    }

    /// Bytes of all registers.
    pub fn size(&self) -> usize {
        self.registers.iter().map(|register| register.bits as usize / 8).sum()
    }

    /// The registers of a processor as bytes, in the order of the description; `None` for what does not exist now.
    pub fn read(&self, cpu: &Cpu) -> Vec<Option<u8>> {
        let mut bytes = Vec::new();
        for register in &self.registers {
            let size = register.bits as usize / 8;
            match value(cpu, register.source) {
                Some(value) => bytes.extend(value.to_le_bytes().into_iter().take(size).map(Some)),
                None => bytes.extend(std::iter::repeat_n(None, size)),
            }
        }
        bytes
    }

    /// What differs in `bytes` from what a processor has: names for [`emu_devices::pc::Pc::set_register`] and values.
    /// `Err` if something differs that cannot be set.
    pub fn changes(&self, cpu: &Cpu, bytes: &[u8]) -> Result<Vec<(String, u64)>, ()> {
        let (mut at, mut list) = (0, Vec::new());
        for register in &self.registers {
            let size = register.bits as usize / 8;
            let Some(own) = bytes.get(at..at + size) else { break };
            at += size;
            let mut wide = [0; 16];
            wide[..size].copy_from_slice(own);
            let new = u128::from_le_bytes(wide);
            let Some(old) = value(cpu, register.source) else { continue };
            if new == old & (u128::MAX >> (128 - register.bits)) {
                continue;
            }
            let name = match register.source {
                Source::General(_) => register.name.clone(),
                Source::Flags => "eflags".to_owned(),
                Source::ShadowStack => "ssp".to_owned(),
                Source::Pc => {
                    // It is shown as a linear address.
                    let base = cpu.code_linear(0);
                    list.push(("rip".to_owned(), (new as u64).wrapping_sub(base) & mode(cpu).code.mask()));
                    continue;
                }
                _ => return Err(()),
            };
            list.push((name, new as u64));
        }
        Ok(list)
    }
}

fn value(cpu: &Cpu, source: Source) -> Option<u128> {
    let (sys, fpu) = (&cpu.sys, &cpu.fpu);
    let top = usize::from(fpu.status >> 11 & 7);
    Some(match source {
        Source::General(n) => cpu.gpr[n].into(),
        // Breakpoints and memory are by linear address; in most systems it is the same.
        Source::Pc => cpu.code_linear(cpu.rip()).into(),
        Source::Flags => cpu.flags.get().into(),
        Source::Selector(register) => sys.seg(register).selector.into(),
        Source::Base(register) => sys.seg(register).base.into(),
        Source::Stack(n) => {
            let place = (top + n) & 7;
            u128::from(fpu.exponent[place]) << 64 | u128::from(fpu.significand[place])
        }
        Source::X87(0) => fpu.control.into(),
        Source::X87(1) => fpu.status.into(),
        // The full tag word: 3 is empty, else GDB finds out by itself.
        Source::X87(2) => (0..8).fold(0, |tags, n| if fpu.tags >> n & 1 == 0 { tags | 3 << (2 * n) } else { tags }),
        Source::X87(4) => fpu.instruction_pointer.into(),
        Source::X87(7) => fpu.opcode.into(),
        Source::X87(_) => 0,
        Source::Vector(n) => fpu.vectors.get(n)?.lane(0),
        Source::Mxcsr => fpu.mxcsr.into(),
        Source::ShadowStack => sys.cet.ssp.into(),
        Source::System(name) => emu_devices::pc::register_of(cpu, name)?.into(),
        Source::Table(0) => sys.gdtr.base.into(),
        Source::Table(1) => sys.gdtr.limit.into(),
        Source::Table(2) => sys.idtr.base.into(),
        Source::Table(_) => sys.idtr.limit.into(),
        Source::Field(field) => cpu.vmx.current()?.get(field).into(),
    })
}

/// The registers on their way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bytes(pub Vec<Option<u8>>);

impl Registers for Bytes {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        0
    }

    fn gdb_serialize(&self, write_byte: impl FnMut(Option<u8>)) {
        self.0.iter().copied().for_each(write_byte);
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.0 = bytes.iter().copied().map(Some).collect();
        Ok(())
    }
}

/// x86 as GDB's protocol sees it; the description says what the registers are.
#[derive(Debug)]
pub enum X86 {}

impl Arch for X86 {
    type Usize = u64;
    type Registers = Bytes;
    type BreakpointKind = usize;
    type RegId = ();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_follows_the_mode_and_matches_the_bytes() {
        let pc = emu_devices::pc::Pc::builder().memory(2 << 20).build().unwrap();
        let cpu = &pc.cpus[0];
        let description = Description::of(cpu);
        let xml = description.xml();
        assert!(xml.contains("<architecture>i8086</architecture>") && xml.contains("name=\"eip\""), "{xml}");
        assert!(xml.contains("name=\"vmcs_GuestRip\" bitsize=\"64\""), "{xml}");
        let bytes = description.read(cpu);
        let size: u32 = description.registers.iter().map(|register| register.bits / 8).sum();
        assert_eq!(bytes.len(), size as usize);
        assert_eq!(bytes[32..36], [Some(0xF0), Some(0xFF), Some(0xFF), Some(0xFF)], "EIP as a linear address");
        assert_eq!(bytes.last(), Some(&None), "no VMCS is current");
        let mut plain: Vec<u8> = bytes.iter().map(|byte| byte.unwrap_or(0)).collect();
        assert_eq!(description.changes(cpu, &plain), Ok(Vec::new()));
        plain[0] = 7;
        assert_eq!(description.changes(cpu, &plain), Ok(vec![("eax".to_owned(), 7)]));
        plain[40] = 1;
        assert_eq!(description.changes(cpu, &plain), Err(()), "CS cannot be set");
    }

    #[test]
    fn shadow_stack_pointer_is_described_read_and_written_where_there_are_shadow_stacks() {
        let pc = |model: &str| {
            let model = emu_core::model::CpuModel::of_spec(model).unwrap();
            emu_devices::pc::Pc::builder().model(model).memory(2 << 20).build().unwrap()
        };
        for without in ["haswell", "max,-cet_ss"] {
            let mut pc = pc(without);
            assert!(!Description::of(&pc.cpus[0]).xml().contains("pl3_ssp"), "{without}");
            assert!(pc.set_register(0, "ssp", 0x1000).is_err(), "{without}");
        }
        let mut pc = pc("max");
        let described = "<feature name=\"org.gnu.gdb.i386.pl3_ssp\">\n<reg name=\"pl3_ssp\" bitsize=\"32\" type=\"data_ptr\"/>\n\
                         </feature>";
        let description = Description::of(&pc.cpus[0]);
        assert!(description.xml().contains(described), "{}", description.xml());
        let bytes_before = description.registers.iter().take_while(|register| register.name != "pl3_ssp");
        let at: usize = bytes_before.map(|register| register.bits as usize / 8).sum();
        pc.cpus[0].sys.cet.ssp = 0x1122_3344;
        let bytes = description.read(&pc.cpus[0]);
        assert_eq!(bytes[at..at + 4], [Some(0x44), Some(0x33), Some(0x22), Some(0x11)]);
        let mut plain: Vec<u8> = bytes.iter().map(|byte| byte.unwrap_or(0)).collect();
        plain[at] = 0x4B;
        let changes = description.changes(&pc.cpus[0], &plain).unwrap();
        assert_eq!(changes, [("ssp".to_owned(), 0x1122_334B)]);
        pc.set_register(0, &changes[0].0, changes[0].1).unwrap();
        assert_eq!(pc.register(0, "SSP"), Ok(0x1122_3348), "it is aligned to 4 bytes");
    }
}
