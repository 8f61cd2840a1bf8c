//! What a block's decoding knows about status flags: conditional branches after an instruction of known effect test its
//! operands directly, and register operations whose flags nobody sees do not leave any.

use super::uop::Uop;
use crate::exec::table::{FORMS, NAMES, NO_FLAGS, Op};

/// What an instruction does with the status flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Anything; or it may fault or end the block, and then its surroundings see all flags.
    Unknown,
    /// Nothing, and it cannot fail.
    None,
    /// It leaves them alone, but may fail.
    Fails,
    /// It reads them, or shows them to wherever it leads, and leaves them alone.
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

/// What operations do; the others are unknown.
#[rustfmt::skip]
const KNOWN: &[(Effect, &[Op])] = {
    use Op::*;
    &[
        (Effect::Writes { form: Form::Difference, reads: false, fails: false }, &[
            CmpRr, CmpRi, SubRr, SubRi,
        ]),
        (Effect::Writes { form: Form::Difference, reads: false, fails: true }, &[
            CmpRm, CmpMr, CmpMi, SubRm, SubMr, SubMi,
        ]),
        (Effect::Writes { form: Form::Result, reads: false, fails: false }, &[
            AddRr, AddRi, AndRr, AndRi, OrRr, OrRi, XorRr, XorRi, XorZero, TestRr, TestRi, NegR, ShlRi, ShrRi,
            SarRi,
        ]),
        (Effect::Writes { form: Form::Result, reads: false, fails: true }, &[
            AddRm, AddMr, AddMi, AndRm, AndMr, AndMi, OrRm, OrMr, OrMi, XorRm, XorMr, XorMi, TestMr, TestMi, NegM,
        ]),
        (Effect::Writes { form: Form::Result, reads: true, fails: false }, &[
            IncR, DecR, AdcRr, AdcRi, SbbRr, SbbRi,
        ]),
        (Effect::Writes { form: Form::Result, reads: true, fails: true }, &[
            IncM, DecM,
        ]),
        (Effect::None, &[
            MovRr, MovRi, MovzxRr8, MovzxRr16, MovsxRr8, MovsxRr16, MovsxRr32, Lea, Cbw, Cwd, NotR, Bswap,
        ]),
        (Effect::Fails, &[
            MovRm, MovMr, MovMi, MovzxRm8, MovzxRm16, MovsxRm8, MovsxRm16, MovsxRm32, PushR, PushI, PushM, PopR,
            CmovRm, SetccM, Nop, SetccR, Leave,
        ]),
        (Effect::Reads, &[
            CmovRr, Jcc, Jcxz, Loop, JccZero, JccNotZero, JccNegative, JccNotNegative, JccBelow, JccNotBelow, JccBelowEqual,
            JccAbove, JccLess, JccNotLess, JccLessEqual, JccGreater,
        ]),
    ]
};

/// [`KNOWN`] by the operation's number.
static EFFECTS: [Effect; NAMES.len()] = {
    let mut effects = [Effect::Unknown; NAMES.len()];
    let mut row = 0;
    while row < KNOWN.len() {
        let (effect, ops) = KNOWN[row];
        let mut n = 0;
        while n < ops.len() {
            effects[ops[n] as usize] = effect;
            n += 1;
        }
        row += 1;
    }
    effects
};

fn effect(uop: &Uop) -> Effect {
    let op = uop.operation();
    let shift = [Op::ShlRi, Op::ShrRi, Op::SarRi].iter().any(|&shift| shift as u16 == op);
    if shift && uop.imm == 0 { Effect::None } else { EFFECTS[usize::from(op)] }
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
