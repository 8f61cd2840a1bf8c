//! What a block's decoding knows about status flags: conditional branches after an instruction of known effect test its
//! operands directly, and register operations whose flags nobody sees do not leave any.

use crate::ir::op::{FORMS, FlagEffect, FlagForm, NO_FLAGS, Op};
use crate::ir::uop::Uop;

fn effect(uop: &Uop) -> FlagEffect {
    let op = uop.operation();
    // A shift by 0 does nothing at all.
    let shift = matches!(op, Op::ShlRi | Op::ShrRi | Op::SarRi);
    if shift && uop.imm == 0 { FlagEffect::None } else { op.flag_effect() }
}

/// Chooses the forms of a block's micro-ops.
pub fn specialize(uops: &mut [Uop]) {
    let mut known = None;
    for uop in uops.iter_mut() {
        if uop.operation() == Op::Jcc
            && let Some(op) = known.and_then(|form| branch(form, uop.r1))
        {
            uop.set_operation(op);
        }
        match effect(uop) {
            FlagEffect::Unknown => known = None,
            FlagEffect::None | FlagEffect::Fails | FlagEffect::Reads => {}
            FlagEffect::Writes { form, .. } => known = Some(form),
        }
    }
    let mut seen = true;
    for uop in uops.iter_mut().rev() {
        match effect(uop) {
            FlagEffect::Unknown | FlagEffect::Fails | FlagEffect::Reads => seen = true,
            FlagEffect::None => {}
            FlagEffect::Writes { fails: true, .. } => seen = true,
            FlagEffect::Writes { reads, .. } => {
                // Operations that do nothing but leave flags are the same in this form.
                if !seen {
                    uop.op = uop.op & !FORMS | NO_FLAGS;
                }
                seen = reads;
            }
        }
    }
}

/// The operation of a branch on condition `code` after an instruction that leaves flags of this form.
fn branch(form: FlagForm, code: u8) -> Option<Op> {
    Some(match (code, form) {
        (2, FlagForm::Difference) => Op::JccBelow,
        (3, FlagForm::Difference) => Op::JccNotBelow,
        (4, _) => Op::JccZero,
        (5, _) => Op::JccNotZero,
        (6, FlagForm::Difference) => Op::JccBelowEqual,
        (7, FlagForm::Difference) => Op::JccAbove,
        (8, _) => Op::JccNegative,
        (9, _) => Op::JccNotNegative,
        (12, FlagForm::Difference) => Op::JccLess,
        (13, FlagForm::Difference) => Op::JccNotLess,
        (14, FlagForm::Difference) => Op::JccLessEqual,
        (15, FlagForm::Difference) => Op::JccGreater,
        _ => return None,
    })
}
