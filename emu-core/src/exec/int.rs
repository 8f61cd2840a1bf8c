//! Integer arithmetic, logic and moves.

use crate::fault::Exec;
use crate::flags::{FlagSource, Flags};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::mem::access::Path;
use crate::state::cpu::{Cpu, Env};

/// A two-operand operation that writes its first operand.
pub trait Binary: 'static {
    /// The result of `a` and `b` (both of width `W`), with the flags it gives.
    fn apply<W: Width>(flags: &mut Flags, a: u64, b: u64) -> u64;
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident = |$flags:ident, $a:ident, $b:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name;
        impl Binary for $name {
            #[inline(always)]
            fn apply<W: Width>($flags: &mut Flags, $a: u64, $b: u64) -> u64 {
                $body
            }
        }
    )*};
}

binary! {
    /// ADD.
    Add = |flags, a, b| {
        let r = a.wrapping_add(b) & W::MASK;
        flags.record(FlagSource::Add, W::TOP, a, b, r);
        r
    };
    /// ADC.
    Adc = |flags, a, b| {
        let r = a.wrapping_add(b).wrapping_add(u64::from(flags.cf())) & W::MASK;
        flags.record(FlagSource::Add, W::TOP, a, b, r);
        r
    };
    /// SUB.
    Sub = |flags, a, b| {
        let r = a.wrapping_sub(b) & W::MASK;
        flags.record(FlagSource::Sub, W::TOP, a, b, r);
        r
    };
    /// SBB.
    Sbb = |flags, a, b| {
        let r = a.wrapping_sub(b).wrapping_sub(u64::from(flags.cf())) & W::MASK;
        flags.record(FlagSource::Sub, W::TOP, a, b, r);
        r
    };
    /// AND.
    And = |flags, a, b| {
        let r = a & b;
        flags.record_logic(W::TOP, r);
        r
    };
    /// OR.
    Or = |flags, a, b| {
        let r = a | b;
        flags.record_logic(W::TOP, r);
        r
    };
    /// XOR.
    Xor = |flags, a, b| {
        let r = a ^ b;
        flags.record_logic(W::TOP, r);
        r
    };
}

/// A one-operand operation.
pub trait Unary: 'static {
    /// The result of `a` (of width `W`), with the flags it gives.
    fn apply<W: Width>(flags: &mut Flags, a: u64) -> u64;
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident = |$flags:ident, $a:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name;
        impl Unary for $name {
            #[inline(always)]
            fn apply<W: Width>($flags: &mut Flags, $a: u64) -> u64 {
                $body
            }
        }
    )*};
}

unary! {
    /// INC.
    Inc = |flags, a| {
        let r = a.wrapping_add(1) & W::MASK;
        flags.record_keeping_cf(FlagSource::Inc, W::TOP, a, r);
        r
    };
    /// DEC.
    Dec = |flags, a| {
        let r = a.wrapping_sub(1) & W::MASK;
        flags.record_keeping_cf(FlagSource::Dec, W::TOP, a, r);
        r
    };
    /// NEG.
    Neg = |flags, a| {
        let r = 0u64.wrapping_sub(a) & W::MASK;
        flags.record(FlagSource::Sub, W::TOP, 0, a, r);
        r
    };
    /// NOT, which leaves the flags alone.
    Not = |_flags, a| !a & W::MASK;
}

/// Whether a register operation leaves status flags.
pub trait Keep: 'static {
    /// Runs `operation` on the flags, or on a copy of which nothing remains.
    fn apply<R>(flags: &mut Flags, operation: impl FnOnce(&mut Flags) -> R) -> R;
}

/// The flags are needed.
pub struct WithFlags;
/// The next instructions overwrite them before anybody looks.
pub struct WithoutFlags;

impl Keep for WithFlags {
    #[inline(always)]
    fn apply<R>(flags: &mut Flags, operation: impl FnOnce(&mut Flags) -> R) -> R {
        operation(flags)
    }
}

impl Keep for WithoutFlags {
    #[inline(always)]
    fn apply<R>(flags: &mut Flags, operation: impl FnOnce(&mut Flags) -> R) -> R {
        let mut lost = *flags;
        operation(&mut lost)
    }
}

/// op r, r.
pub fn alu_rr<K: Keep, O: Binary, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let (a, b) = (W::get(&cpu.gpr, u.r1), W::get(&cpu.gpr, u.r2));
    let r = K::apply(&mut cpu.flags, |flags| O::apply::<W>(flags, a, b));
    W::set(&mut cpu.gpr, u.r1, r);
    Ok(())
}

/// op r, m.
pub fn alu_rm<P: Path, O: Binary, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let b = cpu.load_by::<P, W>(env, u)?;
    let a = W::get(&cpu.gpr, u.r1);
    let r = O::apply::<W>(&mut cpu.flags, a, b);
    W::set(&mut cpu.gpr, u.r1, r);
    Ok(())
}

/// op m, r.
pub fn alu_mr<P: Path, O: Binary, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let (a, target) = cpu.read_for_write_by::<P, W>(env, u.seg, cpu.ea_by::<P>(u))?;
    let b = W::get(&cpu.gpr, u.r1);
    let r = O::apply::<W>(&mut cpu.flags, a, b);
    cpu.write_back::<W>(env, target, r);
    Ok(())
}

/// op r, imm.
pub fn alu_ri<K: Keep, O: Binary, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let a = W::get(&cpu.gpr, u.r1);
    let r = K::apply(&mut cpu.flags, |flags| O::apply::<W>(flags, a, u.imm));
    W::set(&mut cpu.gpr, u.r1, r);
    Ok(())
}

/// op m, imm.
pub fn alu_mi<P: Path, O: Binary, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let (a, target) = cpu.read_for_write_by::<P, W>(env, u.seg, cpu.ea_by::<P>(u))?;
    let r = O::apply::<W>(&mut cpu.flags, a, u.imm);
    cpu.write_back::<W>(env, target, r);
    Ok(())
}

/// op r.
pub fn unary_r<K: Keep, O: Unary, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let a = W::get(&cpu.gpr, u.r1);
    let r = K::apply(&mut cpu.flags, |flags| O::apply::<W>(flags, a));
    W::set(&mut cpu.gpr, u.r1, r);
    Ok(())
}

/// op m.
pub fn unary_m<P: Path, O: Unary, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let (a, target) = cpu.read_for_write_by::<P, W>(env, u.seg, cpu.ea_by::<P>(u))?;
    let r = O::apply::<W>(&mut cpu.flags, a);
    cpu.write_back::<W>(env, target, r);
    Ok(())
}

/// XOR or SUB of a register with itself.
pub fn xor_zero<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    cpu.flags.record_logic(W::TOP, 0);
    W::set(&mut cpu.gpr, u.r1, 0);
    Ok(())
}

macro_rules! compare {
    ($($name:ident[$($path:ident)?]($cpu:ident, $env:ident, $u:ident) = $a:expr, $b:expr, $record:ident;)*) => {$(
        /// Compares: flags only.
        pub fn $name<$($path: Path,)? W: Width>($cpu: &mut Cpu, $env: &mut Env, $u: &Uop) -> Exec {
            let b = $b;
            let a = $a;
            $record::<W>(&mut $cpu.flags, a, b);
            Ok(())
        }
    )*};
}

#[inline(always)]
fn record_cmp<W: Width>(flags: &mut Flags, a: u64, b: u64) {
    flags.record(FlagSource::Sub, W::TOP, a, b, a.wrapping_sub(b) & W::MASK);
}

#[inline(always)]
fn record_test<W: Width>(flags: &mut Flags, a: u64, b: u64) {
    flags.record_logic(W::TOP, a & b);
}

compare! {
    cmp_rr[](cpu, _env, u) = W::get(&cpu.gpr, u.r1), W::get(&cpu.gpr, u.r2), record_cmp;
    cmp_rm[P](cpu, env, u) = W::get(&cpu.gpr, u.r1), cpu.load_by::<P, W>(env, u)?, record_cmp;
    cmp_mr[P](cpu, env, u) = cpu.load_by::<P, W>(env, u)?, W::get(&cpu.gpr, u.r1), record_cmp;
    cmp_ri[](cpu, _env, u) = W::get(&cpu.gpr, u.r1), u.imm, record_cmp;
    cmp_mi[P](cpu, env, u) = cpu.load_by::<P, W>(env, u)?, u.imm, record_cmp;
    test_rr[](cpu, _env, u) = W::get(&cpu.gpr, u.r1), W::get(&cpu.gpr, u.r2), record_test;
    test_mr[P](cpu, env, u) = cpu.load_by::<P, W>(env, u)?, W::get(&cpu.gpr, u.r1), record_test;
    test_ri[](cpu, _env, u) = W::get(&cpu.gpr, u.r1), u.imm, record_test;
    test_mi[P](cpu, env, u) = cpu.load_by::<P, W>(env, u)?, u.imm, record_test;
}

/// MOV r, r.
pub fn mov_rr<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let value = W::get(&cpu.gpr, u.r2);
    W::set(&mut cpu.gpr, u.r1, value);
    Ok(())
}

/// MOV r, m.
pub fn mov_rm<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = cpu.load_by::<P, W>(env, u)?;
    W::set(&mut cpu.gpr, u.r1, value);
    Ok(())
}

/// MOV m, r.
pub fn mov_mr<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = W::get(&cpu.gpr, u.r1);
    cpu.store_by::<P, W>(env, u, value)
}

/// MOV r, imm.
pub fn mov_ri<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    W::set(&mut cpu.gpr, u.r1, u.imm);
    Ok(())
}

/// MOV m, imm.
pub fn mov_mi<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    cpu.store_by::<P, W>(env, u, u.imm)
}

/// MOV accumulator, moffs with a 64-bit address.
pub fn mov_rm_absolute<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = cpu.read::<W>(env, u.seg, u.imm)?;
    W::set(&mut cpu.gpr, u.r1, value);
    Ok(())
}

/// MOV moffs, accumulator with a 64-bit address.
pub fn mov_mr_absolute<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = W::get(&cpu.gpr, u.r1);
    cpu.write::<W>(env, u.seg, u.imm, value)
}

macro_rules! extend {
    ($($rr:ident $rm:ident $source:ident $convert:expr;)*) => {$(
        /// MOVZX or MOVSX r, r.
        pub fn $rr<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
            let convert: fn(u64) -> u64 = $convert;
            let value = convert(<$source>::get(&cpu.gpr, u.r2));
            W::set(&mut cpu.gpr, u.r1, value);
            Ok(())
        }
        /// MOVZX or MOVSX r, m.
        pub fn $rm<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
            let convert: fn(u64) -> u64 = $convert;
            let value = convert(cpu.load_by::<P, $source>(env, u)?);
            W::set(&mut cpu.gpr, u.r1, value);
            Ok(())
        }
    )*};
}

extend! {
    movzx_rr8 movzx_rm8 u8 |value| value;
    movzx_rr16 movzx_rm16 u16 |value| value;
    movsx_rr8 movsx_rm8 u8 |value| u8::sign_extend(value);
    movsx_rr16 movsx_rm16 u16 |value| u16::sign_extend(value);
    movsx_rr32 movsx_rm32 u32 |value| u32::sign_extend(value);
}

/// LEA.
pub fn lea<P: Path, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let address = cpu.ea_by::<P>(u);
    W::set(&mut cpu.gpr, u.r1, address);
    Ok(())
}

/// XCHG r, r.
pub fn xchg_rr<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let (a, b) = (W::get(&cpu.gpr, u.r1), W::get(&cpu.gpr, u.r2));
    W::set(&mut cpu.gpr, u.r1, b);
    W::set(&mut cpu.gpr, u.r2, a);
    Ok(())
}

/// XCHG m, r.
pub fn xchg_mr<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let (old, target) = cpu.read_for_write::<W>(env, u.seg, cpu.ea(u))?;
    let new = W::get(&cpu.gpr, u.r1);
    cpu.write_back::<W>(env, target, new);
    W::set(&mut cpu.gpr, u.r1, old);
    Ok(())
}

/// CMOVcc r, r: a 32-bit destination is zero-extended even when the condition is false.
pub fn cmov_rr<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let source = if cpu.flags.condition(u.condition()) { u.r2 } else { u.r1 };
    let value = W::get(&cpu.gpr, source);
    W::set(&mut cpu.gpr, u.r1, value);
    Ok(())
}

/// CMOVcc r, m: the source is read whatever the condition.
pub fn cmov_rm<P: Path, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let loaded = cpu.load_by::<P, W>(env, u)?;
    let value = if cpu.flags.condition(u.condition()) { loaded } else { W::get(&cpu.gpr, u.r1) };
    W::set(&mut cpu.gpr, u.r1, value);
    Ok(())
}

/// SETcc r.
pub fn setcc_r(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let value = u64::from(cpu.flags.condition(u.condition()));
    u8::set(&mut cpu.gpr, u.r1, value);
    Ok(())
}

/// SETcc m.
pub fn setcc_m(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let value = u64::from(cpu.flags.condition(u.condition()));
    cpu.store::<u8>(env, u, value)
}

/// CBW, CWDE, CDQE: `W` is the destination.
pub fn cbw<W: Width>(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    let value = match W::BITS {
        16 => u8::sign_extend(cpu.gpr[0] & 0xFF),
        32 => u16::sign_extend(cpu.gpr[0] & 0xFFFF),
        _ => u32::sign_extend(cpu.gpr[0] & 0xFFFF_FFFF),
    };
    W::set(&mut cpu.gpr, 0, value);
    Ok(())
}

/// CWD, CDQ, CQO.
pub fn cwd<W: Width>(cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    let sign = W::get(&cpu.gpr, 0) >> W::TOP & 1;
    W::set(&mut cpu.gpr, 2, 0u64.wrapping_sub(sign) & W::MASK);
    Ok(())
}

/// NOP and hints.
pub fn nop(_cpu: &mut Cpu, _env: &mut Env, _u: &Uop) -> Exec {
    Ok(())
}
