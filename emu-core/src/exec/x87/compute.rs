//! FADD to FDIVR in all forms, and the instructions that compute in ST(0) and ST(1).

use super::waiting;
use crate::fault::Exec;
use crate::fpu::x87::arith::{self, Operand};
use crate::fpu::x87::float80::{Class, Unpacked};
use crate::fpu::x87::round::Numeric;
use crate::fpu::x87::status::{C0, C1, C2, C3};
use crate::fpu::x87::transcendental::{self as functions, Function, Trigonometric};
use crate::fpu::x87::{F80, convert, remainder};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};

/// A two-operand operation; `a` is the destination.
pub trait Arithmetic {
    /// The result.
    fn apply(n: &mut Numeric, a: Operand, b: Operand) -> F80;
    /// The result for two normal numbers.
    fn apply_normal(n: &mut Numeric, a: Unpacked, b: Unpacked) -> F80;
}

macro_rules! arithmetic {
    ($($(#[$doc:meta])* $name:ident = |$n:ident, $a:ident, $b:ident| $body:expr, $normal:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name;
        impl Arithmetic for $name {
            #[inline(never)]
            fn apply($n: &mut Numeric, $a: Operand, $b: Operand) -> F80 {
                $body
            }
            #[inline(always)]
            fn apply_normal($n: &mut Numeric, $a: Unpacked, $b: Unpacked) -> F80 {
                $normal
            }
        }
    )*};
}

arithmetic! {
    /// FADD.
    Fadd = |n, a, b| arith::add(n, a, b), arith::add_finite(n, a, b);
    /// FSUB.
    Fsub = |n, a, b| arith::sub(n, a, b), arith::add_finite(n, a, b.negated());
    /// FSUBR.
    Fsubr = |n, a, b| arith::sub(n, b, a), arith::add_finite(n, b, a.negated());
    /// FMUL.
    Fmul = |n, a, b| arith::mul(n, a, b), arith::mul_finite(n, a, b);
    /// FDIV.
    Fdiv = |n, a, b| arith::div(n, a, b), arith::div_finite(n, a, b);
    /// FDIVR.
    Fdivr = |n, a, b| arith::div(n, b, a), arith::div_finite(n, b, a);
}

/// op ST(`r1`), ST(`r2`); pops if `base` is 1.
pub fn x87_arith_st<O: Arithmetic>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let result = match cpu.pair(&mut n, u.r1, u.r2) {
        Some((a, b)) if a.is_normal() && b.is_normal() => O::apply_normal(&mut n, a.unpack_normal(), b.unpack_normal()),
        Some((a, b)) => O::apply(&mut n, a.into(), b.into()),
        None => F80::INDEFINITE,
    };
    if cpu.x87_complete(u, &n) {
        cpu.fpu.set_st(u.r1, result);
        if u.base == 1 {
            cpu.fpu.pop();
        }
    }
    Ok(())
}

/// op ST(0), operand.
#[inline(always)]
fn with_operand<O: Arithmetic>(cpu: &mut Cpu, u: &Uop, operand: Operand) -> Exec {
    let mut n = cpu.numeric();
    let result = if cpu.fpu.is_empty(0) {
        n.stack_underflow()
    } else {
        match cpu.fpu.st(0) {
            a if a.is_normal() && operand.class == Class::Normal => {
                O::apply_normal(&mut n, a.unpack_normal(), operand.value.unpack_normal())
            }
            a => O::apply(&mut n, a.into(), operand),
        }
    };
    if cpu.x87_complete(u, &n) {
        cpu.fpu.set_st(0, result);
    }
    Ok(())
}

/// op ST(0), m32fp.
pub fn x87_arith_m32<O: Arithmetic>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let operand = convert::from_single(cpu.load::<u32>(env, u)?);
    with_operand::<O>(cpu, u, operand)
}

/// op ST(0), m64fp.
pub fn x87_arith_m64<O: Arithmetic>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let operand = convert::from_double(cpu.load::<u64>(env, u)?);
    with_operand::<O>(cpu, u, operand)
}

/// op ST(0), m16int or m32int.
pub fn x87_arith_int<O: Arithmetic, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let integer = W::sign_extend(cpu.load::<W>(env, u)?) as i64;
    with_operand::<O>(cpu, u, F80::from_integer(integer).into())
}

/// An operation on ST(0) alone.
pub trait OnTop {
    /// The result.
    fn apply(n: &mut Numeric, a: F80) -> F80;
}

macro_rules! on_top {
    ($($(#[$doc:meta])* $name:ident = |$n:ident, $a:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name;
        impl OnTop for $name {
            #[inline]
            fn apply($n: &mut Numeric, $a: F80) -> F80 {
                $body
            }
        }
    )*};
}

on_top! {
    /// FCHS: any encoding, no exception.
    Fchs = |_n, a| a.negated();
    /// FABS.
    Fabs = |_n, a| a.with_sign(false);
    /// FSQRT.
    Fsqrt = |n, a| arith::sqrt(n, a);
    /// FRNDINT.
    Frndint = |n, a| remainder::round_to_integer(n, a);
    /// F2XM1.
    F2xm1 = |n, a| functions::power_minus_one(n, a);
}

/// op ST(0).
pub fn x87_on_top<O: OnTop>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let result = if cpu.fpu.is_empty(0) {
        n.stack_underflow()
    } else {
        let a = cpu.fpu.st(0);
        O::apply(&mut n, a)
    };
    if cpu.x87_complete(u, &n) {
        cpu.fpu.set_st(0, result);
    }
    Ok(())
}

/// FSCALE.
pub fn fscale(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let result = match cpu.pair(&mut n, 0, 1) {
        Some((a, b)) => remainder::scale(&mut n, a, b),
        None => F80::INDEFINITE,
    };
    if cpu.x87_complete(u, &n) {
        cpu.fpu.set_st(0, result);
    }
    Ok(())
}

/// FPREM (`r1` 0), FPREM1 (1).
pub fn fprem(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let (result, code) = match cpu.pair(&mut n, 0, 1) {
        Some((a, b)) => remainder::remainder(&mut n, a, b, u.r1 == 1),
        None => (F80::INDEFINITE, None),
    };
    cpu.set_condition(C2, 0);
    if cpu.x87_complete(u, &n) {
        cpu.fpu.set_st(0, result);
        if let Some(code) = code {
            cpu.set_condition(C0 | C1 | C2 | C3, code);
        }
    }
    Ok(())
}

/// FXTRACT.
pub fn fxtract(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let (exponent, significand) = match cpu.room_to_split(&mut n) {
        Some(a) => remainder::extract(&mut n, a),
        None => (F80::INDEFINITE, F80::INDEFINITE),
    };
    if cpu.x87_complete(u, &n) {
        cpu.fpu.set_st(0, exponent);
        cpu.fpu.push(significand);
    }
    Ok(())
}

impl Cpu {
    /// ST(0) of an instruction that also pushes; the masked response to a stack fault otherwise.
    fn room_to_split(&self, n: &mut Numeric) -> Option<F80> {
        if self.fpu.is_empty(0) {
            n.stack_underflow();
            None
        } else if !self.fpu.is_empty(7) {
            n.stack_overflow();
            None
        } else {
            Some(self.fpu.st(0))
        }
    }
}

/// An operation on ST(0) and ST(1) that leaves its result in ST(1) and pops.
pub trait OnPair {
    /// The result of x in ST(0) and y in ST(1).
    fn apply(n: &mut Numeric, x: F80, y: F80) -> F80;
}

macro_rules! on_pair {
    ($($(#[$doc:meta])* $name:ident = $function:path;)*) => {$(
        $(#[$doc])*
        pub struct $name;
        impl OnPair for $name {
            fn apply(n: &mut Numeric, x: F80, y: F80) -> F80 {
                $function(n, x, y)
            }
        }
    )*};
}

on_pair! {
    /// FYL2X.
    Fyl2x = functions::y_log2_x;
    /// FYL2XP1.
    Fyl2xp1 = functions::y_log2_x_plus_1;
    /// FPATAN.
    Fpatan = functions::angle;
}

/// op ST(0), ST(1), then pop.
pub fn x87_on_pair<O: OnPair>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let result = match cpu.pair(&mut n, 0, 1) {
        Some((x, y)) => O::apply(&mut n, x, y),
        None => F80::INDEFINITE,
    };
    if cpu.x87_complete(u, &n) {
        cpu.fpu.set_st(1, result);
        cpu.fpu.pop();
    }
    Ok(())
}

/// FSIN (`r1` 0), FCOS (1), FSINCOS (2), FPTAN (3).
pub fn ftrigonometric(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let function = match u.r1 {
        0 => Function::Sine,
        1 => Function::Cosine,
        2 => Function::Both,
        _ => Function::Tangent,
    };
    let pushes = matches!(function, Function::Both | Function::Tangent);
    let operand = if pushes {
        cpu.room_to_split(&mut n)
    } else if cpu.fpu.is_empty(0) {
        n.stack_underflow();
        None
    } else {
        Some(cpu.fpu.st(0))
    };
    let outcome = match operand {
        Some(a) => functions::trigonometric(&mut n, a, function),
        None => Trigonometric::Done(F80::INDEFINITE, F80::INDEFINITE),
    };
    cpu.set_condition(C2, 0);
    if cpu.x87_complete(u, &n) {
        match outcome {
            Trigonometric::Done(first, second) => {
                cpu.fpu.set_st(0, first);
                if pushes {
                    cpu.fpu.push(second);
                }
            }
            Trigonometric::OutOfRange => cpu.set_condition(C2, C2),
        }
    }
    Ok(())
}
