//! Instructions as text: guest code for people to read, in NASM's syntax.

use crate::mem::ram::Ram;
use crate::state::cpu::Cpu;
use crate::state::derived::Size;
use emu_vmx::arch::segment::SegmentRegister;
use iced_x86::{Decoder, DecoderError, DecoderOptions, Formatter, Mnemonic, NasmFormatter};

/// Longest instruction, bytes.
pub const MAX_LENGTH: usize = 15;

/// One instruction as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disassembly {
    /// Its offset in the code segment: RIP, EIP or IP.
    pub ip: u64,
    /// Its bytes; none when the first is not mapped, one when they are no instruction.
    pub bytes: Vec<u8>,
    /// `mov eax,[ebx+0x4]`; in brackets why there is no instruction.
    pub text: String,
}

/// Disassembles the first instruction of `bytes`, which stands at offset `ip` of code of width `size`.
pub fn disassemble(bytes: &[u8], size: Size, ip: u64) -> Disassembly {
    let window = bytes.get(..MAX_LENGTH).unwrap_or(bytes);
    if window.is_empty() {
        return Disassembly { ip, bytes: Vec::new(), text: "(not mapped)".to_owned() };
    }
    let mut decoder = Decoder::with_ip(size.bits(), window, ip, DecoderOptions::NONE);
    let instruction = decoder.decode();
    if instruction.is_invalid() {
        let short = decoder.last_error() == DecoderError::NoMoreBytes && window.len() < MAX_LENGTH;
        let (len, text) = if short { (window.len(), "(the rest is not mapped)") } else { (1, "(no instruction)") };
        return Disassembly { ip, bytes: window[..len].to_vec(), text: text.to_owned() };
    }
    let mut formatter = NasmFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    options.set_rip_relative_addresses(false);
    let mut text = String::new();
    formatter.format(&instruction, &mut text);
    Disassembly { ip, bytes: window[..instruction.len()].to_vec(), text }
}

/// What may stand before the mnemonic in a text.
pub const PREFIXES: [&str; 20] = [
    "lock", "rep", "repe", "repne", "bnd", "xacquire", "xrelease", "notrack", "a16", "a32", "a64", "o16", "o32", "o64",
    "cs", "ss", "ds", "es", "fs", "gs",
];

/// Mnemonics with the operand size in them, where it is not the usual one.
const SIZED: [&str; 10] = ["iretw", "popaw", "popfw", "pushaw", "pushfw", "retd", "retfd", "retfq", "retfw", "retw"];

/// All mnemonics, but for the names that stand for one with an immediate operand (`cmpeqps`).
pub fn mnemonics() -> Vec<String> {
    Mnemonic::values()
        .filter(|name| *name != Mnemonic::INVALID)
        .map(|name| format!("{name:?}").to_lowercase())
        .collect()
}

/// Whether [`disassemble`] may call an instruction so.
pub fn has_mnemonic(name: &str) -> bool {
    // `cmpeqps`, `vpcomltb`, `pclmullqlqdq`: a mnemonic with a condition in it.
    let condition = ["cmp", "vcmp", "vpcmp", "vpcom", "pclmul", "vpclmul"].iter().any(|start| name.starts_with(start));
    condition || SIZED.contains(&name) || mnemonics().iter().any(|other| other == name)
}

impl Cpu {
    /// The instructions from offset `ip` of the code segment on, `count` at most, as the processor would fetch them now;
    /// nothing changes. The list ends with the first that cannot be read or is none.
    pub fn disassemble(&self, ram: &Ram, ip: u64, count: usize) -> Vec<Disassembly> {
        let mut list = Vec::new();
        let mut ip = ip & self.derived.mode.code.mask();
        while list.len() < count {
            let mut buffer = [0; MAX_LENGTH];
            let read = self.peek_code(ram, self.code_linear(ip), &mut buffer);
            let instruction = disassemble(&buffer[..read], self.derived.mode.code, ip);
            let unreadable = instruction.text.starts_with('(');
            ip = ip.wrapping_add(instruction.bytes.len() as u64) & self.derived.mode.code.mask();
            list.push(instruction);
            if unreadable {
                break;
            }
        }
        list
    }

    /// Linear address of offset `ip` of the code segment.
    pub fn code_linear(&self, ip: u64) -> u64 {
        self.wrap_operand(self.seg_access[SegmentRegister::Cs as usize].base.wrapping_add(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], size: Size, ip: u64) -> String {
        disassemble(bytes, size, ip).text
    }

    #[test]
    fn disassembly_follows_the_width_of_the_code_and_its_offset() {
        assert_eq!(text(&[0xB8, 0x34, 0x12, 0, 0], Size::Bits32, 0), "mov eax,0x1234");
        assert_eq!(text(&[0xB8, 0x34, 0x12, 0, 0], Size::Bits16, 0), "mov ax,0x1234");
        assert_eq!(text(&[0xEB, 0xFE], Size::Bits16, 0x7C00), "jmp short 0x7c00");
        assert_eq!(text(&[0x48, 0x8B, 0x05, 0, 1, 0, 0], Size::Bits64, 0x1000), "mov rax,[rel 0x1107]");
        assert_eq!(disassemble(&[0xF4, 0xF4], Size::Bits64, 0).bytes, [0xF4]);
    }

    #[test]
    fn every_word_that_an_instruction_is_called_by_is_a_mnemonic() {
        let known: std::collections::HashSet<String> = mnemonics().into_iter().collect();
        let mut seen = std::collections::BTreeSet::new();
        for size in [Size::Bits16, Size::Bits32, Size::Bits64] {
            for prefix in [&[][..], &[0x66], &[0xF2], &[0xF3], &[0x67], &[0x48]] {
                for map in [&[][..], &[0x0F]] {
                    for (opcode, modrm) in
                        (0..=255u8).flat_map(|opcode| (0..=63u8).chain(192..=255).map(move |modrm| (opcode, modrm)))
                    {
                        let bytes = [prefix, map, &[opcode, modrm, 1, 0, 0, 0, 0, 0]].concat();
                        let text = text(&bytes, size, 0);
                        let word = text.split_whitespace().find(|word| !PREFIXES.contains(word)).unwrap_or_default();
                        if !word.starts_with('(') && !known.contains(word) && !has_mnemonic(word) {
                            seen.insert(word.to_owned());
                        }
                    }
                }
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), Vec::<String>::new());
        assert!(has_mnemonic("cmpeqps") && has_mnemonic("cpuid") && !has_mnemonic("cpiud") && !has_mnemonic(""));
    }

    #[test]
    fn disassembly_of_what_is_no_instruction_says_why() {
        assert_eq!(text(&[], Size::Bits64, 0), "(not mapped)");
        assert_eq!(text(&[0x0F], Size::Bits64, 0), "(the rest is not mapped)");
        let mut bytes = [0x90; 16];
        bytes[0] = 0x06;
        let found = disassemble(&bytes, Size::Bits64, 0);
        assert_eq!((found.text.as_str(), found.bytes.len()), ("(no instruction)", 1));
        assert_eq!(text(&[0x66; 16], Size::Bits64, 0), "(no instruction)");
    }
}
