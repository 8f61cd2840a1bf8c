//! Lowering: INT n, INT3, INTO, INT1 and IRET (SDM Vol. 2A, INT n and IRET).

use super::lowerer::{End, Lowered, Lowerer};
use crate::fault::EventKind;
use crate::ir::op::Op;
use emu_vmx::arch::vector;
use iced_x86::{Instruction, Mnemonic};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    use iced_x86::Code::*;
    let software = |vector: u8, kind: EventKind| {
        let mut u = l.uop(Op::IntN, 1);
        u.imm = u64::from(vector);
        u.r1 = kind as u8;
        u
    };
    let uop = match i.mnemonic() {
        Mnemonic::Int => software(i.immediate8(), EventKind::SoftwareInterrupt),
        Mnemonic::Int3 => software(vector::BP, EventKind::SoftwareException),
        Mnemonic::Int1 => software(vector::DB, EventKind::PrivilegedSoftwareException),
        Mnemonic::Into => l.uop(Op::Into, 1),
        Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Iretq => {
            let bytes = match i.code() {
                Iretw => 2,
                Iretd => 4,
                _ => 8,
            };
            l.uop(Op::Iret, bytes)
        }
        _ => return None,
    };
    Some((uop, End::Ends))
}
