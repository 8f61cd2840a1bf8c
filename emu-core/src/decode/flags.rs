//! What a block's decoding knows about status flags: conditional branches after an instruction of known effect test its
//! operands directly, and register operations whose flags nobody sees do not leave any.

use super::uop::Uop;
use crate::exec::table::{FORMS, NO_FLAGS, Op};

/// What an instruction does with the status flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Anything; or it may fault or end the block, and then its surroundings see all flags.
    Unknown,
    /// Nothing, and it cannot fail.
    None,
    /// It leaves them alone, but may fail.
    Fails,
    /// It reads them and cannot fail.
    Reads,
    /// It writes all of them in this form.
    Writes { form: Form, reads: bool, fails: bool },
}

/// What the flags derive from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A subtraction without a borrow.
    Difference,
    /// Some result: ZF and SF are its.
    Result,
}

/// Conditional branches, which show the flags to wherever they lead.
const CONDITIONAL: std::ops::RangeInclusive<u16> = Op::Jcc as u16..=Op::JccGreater as u16;

fn effect(uop: &Uop) -> Effect {
    let op = uop.operation();
    let is = |ops: &[Op]| ops.iter().any(|&known| known as u16 == op);
    let writes = |form, reads, fails| Effect::Writes { form, reads, fails };
    if is(&[Op::CmpRr, Op::CmpRi, Op::SubRr, Op::SubRi]) {
        writes(Form::Difference, false, false)
    } else if is(&[Op::CmpRm, Op::CmpMr, Op::CmpMi, Op::SubRm, Op::SubMr, Op::SubMi]) {
        writes(Form::Difference, false, true)
    } else if is(&[
        Op::AddRr,
        Op::AddRi,
        Op::AndRr,
        Op::AndRi,
        Op::OrRr,
        Op::OrRi,
        Op::XorRr,
        Op::XorRi,
        Op::XorZero,
        Op::TestRr,
        Op::TestRi,
        Op::NegR,
    ]) {
        writes(Form::Result, false, false)
    } else if is(&[
        Op::AddRm,
        Op::AddMr,
        Op::AddMi,
        Op::AndRm,
        Op::AndMr,
        Op::AndMi,
        Op::OrRm,
        Op::OrMr,
        Op::OrMi,
        Op::XorRm,
        Op::XorMr,
        Op::XorMi,
        Op::TestMr,
        Op::TestMi,
        Op::NegM,
    ]) {
        writes(Form::Result, false, true)
    } else if is(&[Op::IncR, Op::DecR, Op::AdcRr, Op::AdcRi, Op::SbbRr, Op::SbbRi]) {
        writes(Form::Result, true, false)
    } else if is(&[Op::IncM, Op::DecM]) {
        writes(Form::Result, true, true)
    } else if is(&[Op::ShlRi, Op::ShrRi, Op::SarRi]) {
        if uop.imm == 0 { Effect::None } else { writes(Form::Result, false, false) }
    } else if is(&[
        Op::MovRr,
        Op::MovRi,
        Op::MovzxRr8,
        Op::MovzxRr16,
        Op::MovsxRr8,
        Op::MovsxRr16,
        Op::MovsxRr32,
        Op::Lea,
        Op::Cbw,
        Op::Cwd,
        Op::NotR,
        Op::Bswap,
    ]) {
        Effect::None
    } else if is(&[
        Op::MovRm,
        Op::MovMr,
        Op::MovMi,
        Op::MovzxRm8,
        Op::MovzxRm16,
        Op::MovsxRm8,
        Op::MovsxRm16,
        Op::MovsxRm32,
        Op::PushR,
        Op::PushI,
        Op::PushM,
        Op::PopR,
        Op::CmovRm,
        Op::SetccM,
        Op::Nop,
        Op::SetccR,
        Op::Leave,
    ]) {
        Effect::Fails
    } else if is(&[Op::CmovRr]) || CONDITIONAL.contains(&op) {
        Effect::Reads
    } else {
        Effect::Unknown
    }
}

/// Whether an operation has a form that leaves no flags.
fn can_drop(uop: &Uop) -> bool {
    let droppable = [
        Op::AddRr,
        Op::AddRi,
        Op::OrRr,
        Op::OrRi,
        Op::AdcRr,
        Op::AdcRi,
        Op::SbbRr,
        Op::SbbRi,
        Op::AndRr,
        Op::AndRi,
        Op::SubRr,
        Op::SubRi,
        Op::XorRr,
        Op::XorRi,
        Op::IncR,
        Op::DecR,
        Op::NegR,
        Op::ShlRi,
        Op::ShrRi,
        Op::SarRi,
    ];
    droppable.iter().any(|&op| op as u16 == uop.operation())
}

/// Chooses the forms of a block's micro-ops.
pub fn specialize(uops: &mut [Uop]) {
    let mut known = None;
    for uop in uops.iter_mut() {
        if uop.operation() == Op::Jcc as u16
            && let Some(op) = known.and_then(|form| branch(form, uop.r1))
        {
            uop.set_operation(op);
        }
        match effect(uop) {
            Effect::Unknown => known = None,
            Effect::None | Effect::Fails | Effect::Reads => {}
            Effect::Writes { form, .. } => known = Some(form),
        }
    }
    let mut seen = true;
    for uop in uops.iter_mut().rev() {
        match effect(uop) {
            Effect::Unknown | Effect::Fails | Effect::Reads => seen = true,
            Effect::None => {}
            Effect::Writes { fails: true, .. } => seen = true,
            Effect::Writes { reads, .. } => {
                if !seen && can_drop(uop) {
                    uop.op = uop.op & !FORMS | NO_FLAGS;
                }
                seen = reads;
            }
        }
    }
}

/// The operation of a branch on condition `code` after an instruction that leaves flags of this form.
fn branch(form: Form, code: u8) -> Option<Op> {
    Some(match (code, form) {
        (2, Form::Difference) => Op::JccBelow,
        (3, Form::Difference) => Op::JccNotBelow,
        (4, _) => Op::JccZero,
        (5, _) => Op::JccNotZero,
        (6, Form::Difference) => Op::JccBelowEqual,
        (7, Form::Difference) => Op::JccAbove,
        (8, _) => Op::JccNegative,
        (9, _) => Op::JccNotNegative,
        (12, Form::Difference) => Op::JccLess,
        (13, Form::Difference) => Op::JccNotLess,
        (14, Form::Difference) => Op::JccLessEqual,
        (15, Form::Difference) => Op::JccGreater,
        _ => return None,
    })
}
