//! Lowering: moves between vector registers, memory and general registers.

use super::operands::{column_of, number, vector_bytes, vector_uop};
use crate::ir::op::Op;
use crate::ir::uop::Uop;
use crate::lower::lowerer::{End, Lowered, Lowerer, is_mem, is_reg, reg};
use iced_x86::{Instruction, Mnemonic};

/// How a move is lowered.
enum Move {
    /// Whole vectors; elements of `1 << log2` bytes for masks; aligned or not.
    Whole(u32, bool),
    /// Low element of memory or a register: MOVSS, MOVSD, MOVQ.
    Low(usize),
    /// MOVD, MOVQ between general and vector registers.
    General,
    /// MOVHPS, MOVHPD, MOVLPS, MOVLPD to memory.
    Half(bool),
    /// PEXTRx, PINSRx.
    Element(u32),
    /// Sign bits.
    Signs(u32),
    /// By the sign bits of a vector.
    Masked(u32),
    ToDestination,
    Zero(u8),
}

fn classify(i: &Instruction) -> Option<Move> {
    use Mnemonic::*;
    use Move::*;
    Some(match i.mnemonic() {
        Movaps | Vmovaps | Movntps | Vmovntps => Whole(2, true),
        Movapd | Vmovapd | Movntpd | Vmovntpd => Whole(3, true),
        Movdqa | Vmovdqa | Vmovdqa32 | Movntdq | Vmovntdq | Movntdqa | Vmovntdqa => Whole(2, true),
        Vmovdqa64 => Whole(3, true),
        Movups | Vmovups | Movdqu | Vmovdqu | Vmovdqu32 | Lddqu | Vlddqu => Whole(2, false),
        Movupd | Vmovupd | Vmovdqu64 => Whole(3, false),
        Vmovdqu8 => Whole(0, false),
        Vmovdqu16 => Whole(1, false),
        Movss | Vmovss => Low(4),
        Movsd | Vmovsd if !i.is_string_instruction() => Low(8),
        Movd | Vmovd => General,
        Movq | Vmovq if (0..2).any(|n| is_reg(i, n) && i.op_register(n).is_gpr()) => General,
        Movq | Vmovq => Low(8),
        Vmovw if (0..2).any(|n| is_reg(i, n) && i.op_register(n).is_gpr()) => General,
        Movhps | Vmovhps | Movhpd | Vmovhpd if is_mem(i, 0) => Half(true),
        Movlps | Vmovlps | Movlpd | Vmovlpd if is_mem(i, 0) => Half(false),
        Pextrb | Vpextrb | Pinsrb | Vpinsrb => Element(0),
        Pextrw | Vpextrw | Pinsrw | Vpinsrw => Element(1),
        Pextrd | Vpextrd | Pinsrd | Vpinsrd | Extractps | Vextractps => Element(2),
        Pextrq | Vpextrq | Pinsrq | Vpinsrq => Element(3),
        Movmskps | Vmovmskps => Signs(2),
        Movmskpd | Vmovmskpd => Signs(3),
        Pmovmskb | Vpmovmskb => Signs(0),
        Vmaskmovps | Vpmaskmovd => Masked(2),
        Vmaskmovpd | Vpmaskmovq => Masked(3),
        Maskmovdqu | Vmaskmovdqu => ToDestination,
        Vzeroupper => Zero(0),
        Vzeroall => Zero(1),
        _ => return None,
    })
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let kind = classify(i)?;
    if (0..i.op_count()).any(|n| is_reg(i, n) && i.op_register(n).is_mm()) {
        return None;
    }
    let bytes = vector_bytes(i);
    let uop = |op: Op| vector_uop(l, op, i, bytes);
    let r = |n: u32| number(i.op_register(n));
    let u = match kind {
        Move::Whole(log2, aligned) => {
            let mut u = match (is_mem(i, 0), is_mem(i, 1)) {
                (true, _) => {
                    let mut u = uop(Op::VmovMr);
                    u.r1 = r(1);
                    u
                }
                (_, true) => {
                    let mut u = uop(Op::VmovRm);
                    u.r1 = r(0);
                    u
                }
                _ => {
                    let mut u = uop(Op::VmovRr);
                    (u.r1, u.base) = (r(0), r(1));
                    u
                }
            };
            u.set_element_log2(log2);
            u.set_must_align(aligned);
            u
        }
        Move::Low(size) => {
            let mut u = if is_mem(i, 0) {
                let mut u = uop(Op::VmovMr);
                u.r1 = r(1);
                u
            } else if is_mem(i, 1) {
                let mut u = uop(Op::VmovRm);
                u.r1 = r(0);
                u
            } else {
                return None;
            };
            u.set_memory_bytes(size);
            u.set_element_log2(size.trailing_zeros());
            u.set_scalar(true);
            u
        }
        Move::General => {
            let (to, from) = (0, 1);
            let mut u = if is_mem(i, to) {
                let mut u = uop(Op::VmovMr);
                u.r1 = r(from);
                u
            } else if is_mem(i, from) {
                let mut u = uop(Op::VmovRm);
                u.r1 = r(to);
                u
            } else if i.op_register(to).is_gpr() {
                let mut u = uop(Op::VmovToGpr);
                (u.r1, u.base) = (reg(i.op_register(to)), r(from));
                u.set_imm8(i.op_register(to).size() as u8);
                u
            } else {
                let mut u = uop(Op::VmovFromGpr);
                (u.r1, u.base) = (r(to), reg(i.op_register(from)));
                u.set_imm8(i.op_register(from).size() as u8);
                u
            };
            u.set_scalar(true);
            u
        }
        Move::Half(high) => {
            let mut u = uop(if high { Op::StoreHigh } else { Op::VmovMr });
            u.r1 = r(1);
            u
        }
        Move::Element(log2) => {
            let last = i.op_count() - 1;
            let mut u = if last == 2 && (is_mem(i, 0) || i.op_register(0).is_gpr()) {
                let mut u = uop(if is_mem(i, 0) { Op::VextractM } else { Op::VextractR });
                u.r2 = r(1);
                if is_reg(i, 0) {
                    u.r1 = reg(i.op0_register());
                }
                u
            } else {
                let source = last - 1;
                let mut u = uop(if is_mem(i, source) { Op::VinsertM } else { Op::VinsertR });
                u.r1 = r(0);
                u.r2 = if last == 3 { r(1) } else { r(0) };
                if is_reg(i, source) {
                    u.base = reg(i.op_register(source));
                }
                // The length of a register is that of lane 0.
                u.set_lanes(1);
                u
            };
            u.set_element_log2(log2);
            u.set_imm8(i.immediate8());
            u
        }
        Move::Signs(log2) => {
            let mut u = uop(Op::VmoveMask);
            (u.r1, u.base) = (reg(i.op0_register()), r(1));
            u.set_element_log2(log2);
            u
        }
        Move::Masked(log2) => {
            let store = is_mem(i, 0);
            let mut u = uop(if store { Op::VmaskStore } else { Op::VmaskLoad });
            (u.r1, u.r2) = if store { (r(2), r(1)) } else { (r(0), r(1)) };
            u.set_element_log2(log2);
            u
        }
        Move::ToDestination => {
            let mut u = uop(Op::VmaskMove);
            (u.r1, u.r2) = (r(1), r(2));
            u.seg = (i.memory_segment() as u32).wrapping_sub(iced_x86::Register::ES as u32) as u8;
            u.scale = crate::lower::string::address_cut(i.op0_kind())?;
            u
        }
        Move::Zero(all) => {
            let column = column_of(i, 16);
            let mut u = Uop::new(Op::Vzero, column, 0, 0);
            u.set_imm8(all);
            u
        }
    };
    debug_assert!(u.width_index() <= crate::ir::vector::column::EVEX);
    Some((u, End::Continues))
}
