//! Near branches.

use crate::fault::{Exec, Stop};
use crate::flags::Flags;
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::mem::access::Path;
use crate::state::cpu::{Cpu, Env};

impl Cpu {
    /// Checks a near-branch target: canonical in 64-bit mode, within CS's limit elsewhere.
    #[inline(always)]
    pub fn check_target(&mut self, target: u64) -> Exec {
        // The bound is the highest number in 64-bit mode. A target in the block's own page is as canonical as that.
        if target > self.derived.cs_bound || ((target ^ self.rip()) > 0xFFF && !self.is_far_target_canonical(target)) {
            return self.gp(0);
        }
        Ok(())
    }

    #[inline(always)]
    fn is_far_target_canonical(&self, target: u64) -> bool {
        !self.derived.mode.is_64bit() || self.is_canonical(target)
    }

    /// RIP of the instruction after `u`.
    #[inline(always)]
    pub fn next_rip(&self, u: &Uop) -> u64 {
        self.rip().wrapping_add(u.next())
    }

    #[inline(always)]
    fn relative_target<W: Width>(&mut self, u: &Uop) -> Result<u64, Stop> {
        let target = self.rip().wrapping_add(u.branch_offset()) & W::MASK;
        self.check_target(target)?;
        Ok(target)
    }
}

/// JMP rel. `imm` is relative to the start of the block.
pub fn jmp_rel<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let target = cpu.relative_target::<W>(u)?;
    cpu.branch_to(target);
    Ok(())
}

/// JMP r.
pub fn jmp_r<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let target = W::get(&cpu.gpr, u.r1);
    cpu.check_target(target)?;
    cpu.branch_to(target);
    Ok(())
}

/// JMP m.
pub fn jmp_m<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let target = cpu.load_by::<P, W>(env, u)?;
    cpu.check_target(target)?;
    cpu.branch_to(target);
    Ok(())
}

/// What a conditional branch returns: whether it is taken.
type Taken = Result<bool, Stop>;

#[inline(always)]
fn branch_if<W: Width>(cpu: &mut Cpu, u: &Uop, condition: bool) -> Taken {
    if condition {
        let target = cpu.relative_target::<W>(u)?;
        cpu.branch_to(target);
    }
    Ok(condition)
}

/// Jcc rel; the condition is in `r1`.
pub fn jcc<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Taken {
    let condition = cpu.flags.condition(u.r1);
    branch_if::<W>(cpu, u, condition)
}

/// A condition on status flags whose source is known when the branch is decoded.
pub trait Condition: 'static {
    /// Whether it holds.
    fn holds(flags: &Flags) -> bool;
}

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident = |$flags:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name;
        impl Condition for $name {
            #[inline(always)]
            fn holds($flags: &Flags) -> bool {
                $body
            }
        }
    )*};
}

conditions! {
    /// The result is 0.
    Zero = |flags| flags.result_is_zero();
    /// The result is not 0.
    NotZero = |flags| !flags.result_is_zero();
    /// The result is negative.
    Negative = |flags| flags.result_is_negative();
    /// The result is not negative.
    NotNegative = |flags| !flags.result_is_negative();
    /// After a comparison: below.
    Below = |flags| flags.is_below();
    /// After a comparison: not below.
    NotBelow = |flags| !flags.is_below();
    /// After a comparison: below or equal.
    BelowEqual = |flags| flags.is_below() || flags.result_is_zero();
    /// After a comparison: above.
    Above = |flags| !(flags.is_below() || flags.result_is_zero());
    /// After a comparison: less.
    Less = |flags| flags.is_less();
    /// After a comparison: not less.
    NotLess = |flags| !flags.is_less();
    /// After a comparison: less or equal.
    LessEqual = |flags| flags.is_less() || flags.result_is_zero();
    /// After a comparison: greater.
    Greater = |flags| !(flags.is_less() || flags.result_is_zero());
}

/// Jcc rel after an instruction of the same block that leaves its flags in a known form.
pub fn jcc_on<C: Condition, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Taken {
    let condition = C::holds(&cpu.flags);
    branch_if::<W>(cpu, u, condition)
}

/// JCXZ, JECXZ, JRCXZ: the address size cuts the counter.
pub fn jcxz<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Taken {
    let condition = cpu.gpr[1] & u.address_mask() == 0;
    branch_if::<W>(cpu, u, condition)
}

/// LOOP (`r1` = 2), LOOPE (1), LOOPNE (0).
pub fn loop_rel<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Taken {
    let mask = u.address_mask();
    let count = cpu.gpr[1].wrapping_sub(1) & mask;
    let taken = count != 0
        && match u.r1 {
            0 => !cpu.flags.zf(),
            1 => cpu.flags.zf(),
            _ => true,
        };
    branch_if::<W>(cpu, u, taken)?;
    // A 32-bit count clears the upper half of RCX as every 32-bit write does; a 16-bit one leaves the rest.
    cpu.gpr[1] = if mask == 0xFFFF { cpu.gpr[1] & !mask | count } else { count };
    Ok(taken)
}

/// CALL rel.
pub fn call_rel<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let target = cpu.relative_target::<W>(u)?;
    let back = cpu.next_rip(u);
    cpu.push_by::<P, W>(env, back)?;
    cpu.branch_to(target);
    Ok(())
}

/// CALL r.
pub fn call_r<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let target = W::get(&cpu.gpr, u.r1);
    cpu.check_target(target)?;
    let back = cpu.next_rip(u);
    cpu.push_by::<P, W>(env, back)?;
    cpu.branch_to(target);
    Ok(())
}

/// CALL m.
pub fn call_m<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let target = cpu.load_by::<P, W>(env, u)?;
    cpu.check_target(target)?;
    let back = cpu.next_rip(u);
    cpu.push_by::<P, W>(env, back)?;
    cpu.branch_to(target);
    Ok(())
}

/// RET, RET imm.
pub fn ret<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let target = cpu.peek_by::<P, W>(env)?;
    cpu.check_target(target)?;
    cpu.adjust_stack_by::<P>(W::BYTES.wrapping_add(u.stack_bytes()));
    cpu.branch_to(target);
    Ok(())
}
