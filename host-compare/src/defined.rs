//! What an instruction defines (SDM Vol. 1 appendix A and Vol. 2). The rest is not compared where processors leave
//! different things; undefined flags in which the interpreter and AMD's Zen 3 agree are compared all the same.

use emu_core::flags::{AF, CF, OF, PF, SF, STATUS, ZF};
use iced_x86::{Instruction, Mnemonic, OpKind};

/// The status flags that are not compared after `i`; `rcx` is the register before it.
pub fn undefined_flags(i: &Instruction, rcx: u64) -> u64 {
    use Mnemonic::*;
    match i.mnemonic() {
        Mul | Imul => SF | ZF | AF | PF,
        Div | Idiv => STATUS,
        Bsf | Bsr => CF | OF | SF | AF | PF,
        Lzcnt | Tzcnt => OF | PF,
        Bextr => AF | SF,
        // A 16-bit operand shifted out altogether.
        Shld | Shrd if operand_bytes(i) == 2 && count(i, 2, rcx) == 16 => AF | OF,
        Shl | Sal | Shr | Sar | Shld | Shrd => AF,
        Aaa | Aas => OF | SF | ZF | PF,
        Aam | Aad => OF | AF | CF,
        Daa | Das => OF,
        // A whole turn through CF: AMD derives OF from the unchanged operand, others leave it.
        Rcl | Rcr if whole_turn(i, rcx) => OF,
        _ => 0,
    }
}

fn operand_bytes(i: &Instruction) -> usize {
    if i.op0_kind() == OpKind::Register { i.op0_register().size() } else { i.memory_size().size() }
}

/// The masked count of a shift of up to 32 bits, operand `n`.
fn count(i: &Instruction, n: u32, rcx: u64) -> u64 {
    let count = if i.op_kind(n) == OpKind::Register { rcx } else { i.immediate(n) };
    count & 31
}

fn whole_turn(i: &Instruction, rcx: u64) -> bool {
    let bytes = operand_bytes(i);
    let count = count(i, 1, rcx);
    bytes <= 2 && count != 0 && count.is_multiple_of(8 * bytes as u64 + 1)
}

/// Whether two of the instruction's accesses may fault, and which one is reported is the processor's choice (SDM
/// Vol. 3A 6.9): CMPS reads two places; CALL pushes and checks its target.
pub fn fault_order_is_open(i: &Instruction) -> bool {
    use Mnemonic::*;
    match i.mnemonic() {
        Cmpsd => i.is_string_instruction(),
        Cmpsb | Cmpsw | Cmpsq | Call => true,
        _ => false,
    }
}

/// Whether registers are undefined after a fault in the middle: AMD's POPA has written some.
pub fn fault_leaves_registers_open(i: &Instruction) -> bool {
    matches!(i.mnemonic(), Mnemonic::Popa | Mnemonic::Popad)
}

/// Whether the x87 state is left open by a conversion between MMX and SSE: before #XM AMD's processors have entered MMX
/// state already; CVTPI2PS from memory does not enter it there, and does by the SDM.
pub fn x87_state_is_open(i: &Instruction, faulted: bool) -> bool {
    use Mnemonic::*;
    match i.mnemonic() {
        Cvtpi2ps => faulted || i.op1_kind() == OpKind::Memory,
        Cvtps2pi | Cvtpd2pi | Cvttps2pi | Cvttpd2pi | Cvtpi2pd => faulted,
        _ => false,
    }
}
