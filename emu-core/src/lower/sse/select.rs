//! Lowering: instructions that select elements by an operation mask: blends, compression, expansion.

use super::lanes::sources;
use super::operands::{number, vector_bytes, vector_uop};
use crate::ir::op::Op;
use crate::lower::lowerer::{End, Lowered, Lowerer, is_mem};
use iced_x86::Instruction;
use iced_x86::Mnemonic::*;

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let blend = match i.mnemonic() {
        Vpblendmb => Some(0),
        Vpblendmw => Some(1),
        Vpblendmd | Vblendmps => Some(2),
        Vpblendmq | Vblendmpd => Some(3),
        _ => None,
    };
    if let Some(log2) = blend {
        let mut u = sources(l, i, Op::BlendMaskRr, Op::BlendMaskRm);
        u.set_element_log2(log2);
        return Some((u, End::Continues));
    }
    let (log2, expand) = match i.mnemonic() {
        Vpcompressb => (0, false),
        Vpcompressw => (1, false),
        Vpcompressd | Vcompressps => (2, false),
        Vpcompressq | Vcompresspd => (3, false),
        Vpexpandb => (0, true),
        Vpexpandw => (1, true),
        Vpexpandd | Vexpandps => (2, true),
        Vpexpandq | Vexpandpd => (3, true),
        _ => return None,
    };
    let uop = |op: Op| vector_uop(l, op, i, vector_bytes(i));
    let mut u = match (expand, is_mem(i, 0), is_mem(i, 1)) {
        (false, true, _) => {
            let mut u = uop(Op::CompressM);
            u.r1 = number(i.op1_register());
            u
        }
        (true, _, true) => {
            let mut u = uop(Op::ExpandM);
            u.r1 = number(i.op0_register());
            u
        }
        _ => {
            let mut u = uop(if expand { Op::ExpandR } else { Op::CompressR });
            (u.r1, u.base) = (number(i.op0_register()), number(i.op1_register()));
            u
        }
    };
    u.set_element_log2(log2);
    Some((u, End::Continues))
}
