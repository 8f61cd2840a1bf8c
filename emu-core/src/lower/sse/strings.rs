//! Lowering: PTEST, VTESTPS, and the string comparisons of SSE4.2 (SDM Vol. 2B 4.1).

use super::lanes::sources;
use super::operands::vector_bytes;
use crate::ir::op::Op;
use crate::ir::vector::strings::{EXPLICIT, MASK, WIDE};
use crate::lower::lowerer::{End, Lowered, Lowerer};
use iced_x86::Instruction;
use iced_x86::Mnemonic::*;

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let kind = match i.mnemonic() {
        Ptest | Vptest | Vtestps | Vtestpd => {
            let mut u = sources(l, i, Op::VtestRr, Op::VtestRm);
            debug_assert!(vector_bytes(i) <= 32);
            u.set_element_log2(match i.mnemonic() {
                Vtestps => 2,
                Vtestpd => 3,
                _ => 0,
            });
            return Some((u, End::Continues));
        }
        Pcmpestri | Vpcmpestri => EXPLICIT,
        Pcmpestri64 | Vpcmpestri64 => EXPLICIT | WIDE,
        Pcmpestrm | Vpcmpestrm => EXPLICIT | MASK,
        Pcmpestrm64 | Vpcmpestrm64 => EXPLICIT | MASK | WIDE,
        Pcmpistri | Vpcmpistri => 0,
        Pcmpistrm | Vpcmpistrm => MASK,
        _ => return None,
    };
    let mut u = sources(l, i, Op::StringsRr, Op::StringsRm);
    u.set_r4(kind);
    Some((u, End::Continues))
}
