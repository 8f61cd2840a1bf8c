//! VMX instructions with operands at random.

use super::machine::at;
use crate::Source;
use crate::instructions::code;
use emu_vmx::field::Field;

/// An address that VMX instructions are given: structures, their neighbours, what lies outside memory.
pub fn address(source: &mut Source) -> u64 {
    let page =
        source.pick(&[at::VMXON, at::VMCS, at::VMCS2, at::PAGES, at::PAGES + 0x1000, at::EPT, at::END, 0xFEE0_0000]);
    match source.below(8) {
        0 => page + source.below(0x1000),
        1 => page | 1 << source.below(64),
        2 => source.value(),
        3 => u64::MAX,
        _ => page,
    }
}

/// A field's encoding, or nearly.
pub fn encoding(source: &mut Source) -> u64 {
    let field = u64::from(source.pick(Field::ALL).encoding());
    match source.below(10) {
        0 => field | 1,
        1 => field ^ 1 << source.below(16),
        2 => source.value(),
        _ => field,
    }
}

/// A 128-bit descriptor of INVEPT and INVVPID, or a pointer operand, at the address that RSI has afterwards.
fn operand(source: &mut Source, code: &mut Vec<u8>) {
    let value = if source.chance(70) { address(source) } else { source.bits(8) };
    let second = if source.chance(60) { 0 } else { source.value() };
    let place = match source.below(12) {
        0 => source.value(),
        1 => at::PAGES - 4,
        _ => at::PAGES + 0x8000 + source.below(0x200),
    };
    move_immediate(code, 6, place);
    if source.chance(80) {
        move_immediate(code, 6, at::PAGES + 0x8000 + source.below(0x200));
        for (displacement, value) in [(0, value), (8, second)] {
            move_immediate(code, 0, value);
            // MOV [RSI + displacement], RAX
            code.extend([0x48, 0x89, 0x46, displacement]);
        }
    }
}

fn move_immediate(code: &mut Vec<u8>, register: u8, value: u64) {
    code.extend([0x48, 0xB8 | register]);
    code.extend(value.to_le_bytes());
}

/// One instruction with what it needs before it.
fn instruction(source: &mut Source, code: &mut Vec<u8>) {
    match source.below(14) {
        // VMPTRLD, VMPTRST, VMCLEAR, VMXON with [RSI].
        0 | 1 => {
            operand(source, code);
            code.extend([0x0F, 0xC7, 0x36]);
        }
        2 => code.extend([0x0F, 0xC7, 0x3E]),
        3 => {
            operand(source, code);
            code.extend([0x66, 0x0F, 0xC7, 0x36]);
        }
        4 => {
            operand(source, code);
            code.extend([0xF3, 0x0F, 0xC7, 0x36]);
        }
        // VMREAD and VMWRITE with any ModRM.
        5..=8 => {
            let register = source.byte() & 7;
            move_immediate(code, register, encoding(source));
            if source.chance(50) {
                let other = source.byte() & 7;
                let value = if source.chance(50) { address(source) } else { source.value() };
                move_immediate(code, other, value);
            }
            let opcode = source.pick(&[0x78, 0x79, 0x79]);
            let rm = source.byte();
            code.extend([0x0F, opcode, rm & 0xC7 | register << 3]);
            code.extend(std::iter::repeat_n(source.byte(), usize::from(rm >> 6 == 1)));
        }
        // INVEPT and INVVPID.
        9 | 10 => {
            operand(source, code);
            let kind = if source.chance(80) { source.below(5) } else { source.value() };
            move_immediate(code, 0, kind);
            code.extend([0x66, 0x0F, 0x38, source.pick(&[0x80, 0x81]), 0x06]);
        }
        // VMCALL, VMLAUNCH, VMRESUME, VMXOFF, VMFUNC.
        11 => code.extend([0x0F, 0x01, source.pick(&[0xC1, 0xC2, 0xC3, 0xC3, 0xD4])]),
        12 if source.chance(20) => code.extend([0x0F, 0x01, 0xC4]),
        _ => code.extend(self::code(source, 4)),
    }
}

/// `len` bytes of VMX instructions, or a little more.
pub fn vmx_instructions(source: &mut Source, len: usize) -> Vec<u8> {
    let mut code = Vec::new();
    while code.len() < len {
        instruction(source, &mut code);
    }
    code
}
