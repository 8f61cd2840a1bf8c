//! Lowering: near branches where CET works, and CET's own instructions.

use super::lowerer::{End, Lowered, Lowerer, is_legacy_prefix, operand_bytes, reg};
use crate::ir::op::Op;
use crate::ir::operands::branch::{NO_PUSH, NO_TRACK};
use crate::ir::uop::Uop;
use iced_x86::{Instruction, Mnemonic, Register};

/// The operation of a near branch where CET works, for that of the same branch elsewhere.
pub fn enforced(l: &Lowerer, i: &Instruction, mut uop: Uop) -> Uop {
    if !l.mode.enforces() {
        return uop;
    }
    let op = match uop.operation() {
        Op::JmpR => Op::CetJmpR,
        Op::JmpM => Op::CetJmpM,
        Op::CallRel => Op::CetCallRel,
        Op::CallR => Op::CetCallR,
        Op::CallM => Op::CetCallM,
        Op::Ret => Op::CetRet,
        _ => return uop,
    };
    uop.set_operation(op);
    let untracked = is_untracked(l, i);
    let empty = op == Op::CetCallRel && i.near_branch_target() == i.next_ip();
    uop.r2 = (u8::from(untracked) * NO_TRACK) | (u8::from(empty) * NO_PUSH);
    uop
}

/// The no-track prefix, 3EH: in 64-bit mode wherever it stands unless FS or GS is named, else as the last segment prefix
/// (SDM Vol. 1 18.3.1 "No-track Prefix for Near Indirect Call/Jmp").
fn is_untracked(l: &Lowerer, i: &Instruction) -> bool {
    match i.segment_prefix() {
        Register::FS | Register::GS => false,
        last if !l.mode.is_64bit() => last == Register::DS,
        // A prefix behind REX makes that void, and counts.
        _ => l.bytes.iter().take_while(|&&b| is_legacy_prefix(b) || b & 0xF0 == 0x40).any(|&b| b == 0x3E),
    }
}

/// Whether an instruction is what the tracker waits for in the present mode.
fn is_endbranch(l: &Lowerer, i: &Instruction) -> bool {
    i.mnemonic() == if l.mode.is_64bit() { Mnemonic::Endbr64 } else { Mnemonic::Endbr32 }
}

/// The instruction that follows a tracked branch: ENDBRANCH, INT3 and INT1 are what they are, and nothing else is (SDM
/// Vol. 1 18.3.4 "Indirect Branch Tracking State Machine"). `None`: as elsewhere.
pub fn awaited(l: &Lowerer, i: &Instruction) -> Lowered {
    if is_endbranch(l, i) || matches!(i.mnemonic(), Mnemonic::Int3 | Mnemonic::Int1) {
        return None;
    }
    Some((missing(l), End::Ends))
}

/// What stands in the place of an ENDBRANCH, defined or not.
pub fn missing(l: &Lowerer) -> Uop {
    l.uop(Op::MissingEndbranch, 1)
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    use Mnemonic::*;
    let register = |op: Op| {
        let mut u = l.uop(op, operand_bytes(i, 0));
        u.r1 = reg(i.op0_register());
        u
    };
    let store = |op: Op| {
        let mut u = l.mem(op, operand_bytes(i, 1), i);
        u.r1 = reg(i.op1_register());
        u
    };
    let uop = match i.mnemonic() {
        Endbr32 | Endbr64 if l.mode.tracking && is_endbranch(l, i) => {
            return Some((l.uop(Op::Endbranch, 1), End::Ends));
        }
        Endbr32 | Endbr64 => l.uop(Op::Nop, 4),
        Rdsspd | Rdsspq => register(Op::Rdssp),
        Incsspd | Incsspq => register(Op::Incssp),
        Rstorssp => l.mem(Op::Rstorssp, 8, i),
        Saveprevssp => l.uop(Op::Saveprevssp, 8),
        Wrssd | Wrssq => store(Op::Wrss),
        Wrussd | Wrussq => store(Op::Wruss),
        Setssbsy => l.uop(Op::Setssbsy, 8),
        Clrssbsy => l.mem(Op::Clrssbsy, 8, i),
        _ => return None,
    };
    Some((uop, End::Continues))
}
