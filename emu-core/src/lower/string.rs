//! Lowering: string instructions (SDM Vol. 1 7.3.9): MOVS, STOS, LODS, SCAS, CMPS; INS and OUTS are in [`super::io`].

use super::lowerer::{End, Lowered, Lowerer};
use crate::ir::op::Op;
use iced_x86::{Instruction, Mnemonic, OpKind};

/// Bits that the address size of a string operand cuts, as [`Uop::scale`] holds them.
pub(crate) fn address_cut(kind: OpKind) -> Option<u8> {
    use OpKind::*;
    Some(match kind {
        MemorySegSI | MemorySegDI | MemoryESDI => 48 << 2,
        MemorySegESI | MemorySegEDI | MemoryESEDI => 32 << 2,
        MemorySegRSI | MemorySegRDI | MemoryESRDI => 0,
        _ => return None,
    })
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let (once, repeated, ends) = match i.mnemonic() {
        Mnemonic::Movsb | Mnemonic::Movsw | Mnemonic::Movsd | Mnemonic::Movsq => (Op::Movs, Op::RepMovs, false),
        Mnemonic::Stosb | Mnemonic::Stosw | Mnemonic::Stosd | Mnemonic::Stosq => (Op::Stos, Op::RepStos, false),
        Mnemonic::Lodsb | Mnemonic::Lodsw | Mnemonic::Lodsd | Mnemonic::Lodsq => (Op::Lods, Op::RepLods, false),
        Mnemonic::Scasb | Mnemonic::Scasw | Mnemonic::Scasd | Mnemonic::Scasq => (Op::Scas, Op::RepScas, false),
        Mnemonic::Cmpsb | Mnemonic::Cmpsw | Mnemonic::Cmpsd | Mnemonic::Cmpsq => (Op::Cmps, Op::RepCmps, false),
        Mnemonic::Insb | Mnemonic::Insw | Mnemonic::Insd => (Op::Ins, Op::RepIns, true),
        Mnemonic::Outsb | Mnemonic::Outsw | Mnemonic::Outsd => (Op::Outs, Op::RepOuts, true),
        _ => return None,
    };
    // MOVSD and CMPSD are also mnemonics of SSE2; only the string operands have these kinds.
    let cut = (0..i.op_count()).find_map(|n| address_cut(i.op_kind(n)))?;
    let repeats = i.has_rep_prefix() || i.has_repne_prefix();
    let mut u = l.uop(if repeats { repeated } else { once }, i.memory_size().size());
    u.scale = cut;
    u.seg = (i.memory_segment() as u32).wrapping_sub(iced_x86::Register::ES as u32) as u8;
    u.r1 = u8::from(i.has_rep_prefix());
    Some((u, if ends { End::Ends } else { End::Continues }))
}
