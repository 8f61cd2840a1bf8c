//! Shifts and rotates (SDM Vol. 2B, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD).

use super::int::Keep;
use crate::fault::Exec;
use crate::flags::{CF, FlagSource, Flags, OF, bit};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};

/// A shift or rotate; OF follows the formula of a count of one at every count.
pub trait Shift: 'static {
    /// The result for a masked count that is not 0 (1 to 31, with 64-bit operands to 63), with the flags it gives.
    fn apply<W: Width>(flags: &mut Flags, a: u64, count: u32) -> u64;
}

macro_rules! shifts {
    ($($(#[$doc:meta])* $name:ident = |$flags:ident, $a:ident, $count:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name;
        impl Shift for $name {
            #[inline(always)]
            fn apply<W: Width>($flags: &mut Flags, $a: u64, $count: u32) -> u64 {
                $body
            }
        }
    )*};
}

#[inline(always)]
fn top<W: Width>(value: u64) -> bool {
    value >> W::TOP & 1 != 0
}

#[inline(always)]
fn second<W: Width>(value: u64) -> bool {
    value >> (W::TOP - 1) & 1 != 0
}

shifts! {
    /// SHL, SAL.
    Shl = |flags, a, count| {
        let r = a << (count - 1) << 1 & W::MASK;
        flags.record(FlagSource::Shl, W::TOP, a, count.into(), r);
        r
    };
    /// SHR.
    Shr = |flags, a, count| {
        let r = a >> (count - 1) >> 1;
        flags.record(FlagSource::Shr, W::TOP, a, count.into(), r);
        r
    };
    /// SAR.
    Sar = |flags, a, count| {
        let r = (W::sign_extend(a) as i64 >> (count - 1) >> 1) as u64 & W::MASK;
        flags.record(FlagSource::Sar, W::TOP, a, count.into(), r);
        r
    };
    /// ROL.
    Rol = |flags, a, count| {
        let n = count & (W::BITS - 1);
        let r = (a << n | a >> ((W::BITS - n) & (W::BITS - 1))) & W::MASK;
        let cf = r & 1 != 0;
        flags.set_cf_of(cf, cf != top::<W>(r));
        r
    };
    /// ROR.
    Ror = |flags, a, count| {
        let n = count & (W::BITS - 1);
        let r = (a >> n | a << ((W::BITS - n) & (W::BITS - 1))) & W::MASK;
        flags.set_cf_of(top::<W>(r), top::<W>(r) != second::<W>(r));
        r
    };
    /// RCL: rotates through CF, so that an 8-bit operand comes round after 9.
    Rcl = |flags, a, count| {
        let n = count % (W::BITS + 1);
        if n == 0 {
            return a;
        }
        let from_top = if n == 1 { 0 } else { a >> (W::BITS + 1 - n) };
        let r = (shl(a, n) | u64::from(flags.cf()) << (n - 1) | from_top) & W::MASK;
        let cf = a >> (W::BITS - n) & 1 != 0;
        flags.set_cf_of(cf, cf != top::<W>(r));
        r
    };
    /// RCR.
    Rcr = |flags, a, count| {
        let n = count % (W::BITS + 1);
        if n == 0 {
            return a;
        }
        let from_bottom = if n == 1 { 0 } else { a << (W::BITS + 1 - n) };
        let r = (shr(a, n) | u64::from(flags.cf()) << (W::BITS - n) | from_bottom) & W::MASK;
        flags.set_cf_of(a >> (n - 1) & 1 != 0, top::<W>(r) != second::<W>(r));
        r
    };
}

#[inline(always)]
fn shl(value: u64, count: u32) -> u64 {
    value.checked_shl(count).unwrap_or(0)
}

#[inline(always)]
fn shr(value: u64, count: u32) -> u64 {
    value.checked_shr(count).unwrap_or(0)
}

/// What the processor keeps of a count.
#[inline(always)]
fn count_mask<W: Width>() -> u64 {
    if W::BITS == 64 { 63 } else { 31 }
}

/// op r, imm: the count is in `imm`, masked.
pub fn shift_ri<K: Keep, O: Shift, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let a = W::get(&cpu.gpr, u.r1);
    let shifted = |flags: &mut Flags| O::apply::<W>(flags, a, u.imm as u32);
    let r = if u.imm == 0 { a } else { K::apply(&mut cpu.flags, shifted) };
    W::set(&mut cpu.gpr, u.r1, r);
    Ok(())
}

/// op r, CL.
pub fn shift_rc<O: Shift, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let count = cpu.gpr[1] & count_mask::<W>();
    let a = W::get(&cpu.gpr, u.r1);
    let r = if count == 0 { a } else { O::apply::<W>(&mut cpu.flags, a, count as u32) };
    W::set(&mut cpu.gpr, u.r1, r);
    Ok(())
}

#[inline(always)]
fn shift_memory<O: Shift, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop, count: u64) -> Exec {
    let (a, target) = cpu.read_for_write::<W>(env, u.seg, cpu.ea(u))?;
    if count != 0 {
        let r = O::apply::<W>(&mut cpu.flags, a, count as u32);
        cpu.write_back::<W>(env, target, r);
    }
    Ok(())
}

/// op m, imm.
pub fn shift_mi<O: Shift, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    shift_memory::<O, W>(cpu, env, u, u.imm)
}

/// op m, CL.
pub fn shift_mc<O: Shift, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let count = cpu.gpr[1] & count_mask::<W>();
    shift_memory::<O, W>(cpu, env, u, count)
}

/// SHLD or SHRD.
pub trait Double: 'static {
    /// The result of shifting `b` into `a` and the last bit shifted out. 16-bit operands may be shifted by more than
    /// 16, which the SDM leaves undefined: `a` itself follows `b`.
    fn shift<W: Width>(a: u64, b: u64, count: u32) -> (u64, bool);
    /// OF: whether the sign changed, as the result shows it.
    fn overflow<W: Width>(r: u64, cf: bool) -> bool;
}

/// SHLD.
pub struct Shld;

impl Double for Shld {
    #[inline(always)]
    fn shift<W: Width>(a: u64, b: u64, count: u32) -> (u64, bool) {
        if count <= W::BITS {
            ((a << count | b >> (W::BITS - count)) & W::MASK, a >> (W::BITS - count) & 1 != 0)
        } else {
            let rest = 2 * W::BITS - count;
            ((b << (count - W::BITS) | a >> rest) & W::MASK, b >> rest & 1 != 0)
        }
    }
    #[inline(always)]
    fn overflow<W: Width>(r: u64, cf: bool) -> bool {
        cf != top::<W>(r)
    }
}

/// SHRD.
pub struct Shrd;

impl Double for Shrd {
    #[inline(always)]
    fn shift<W: Width>(a: u64, b: u64, count: u32) -> (u64, bool) {
        if count <= W::BITS {
            ((a >> count | b << (W::BITS - count)) & W::MASK, a >> (count - 1) & 1 != 0)
        } else {
            let more = count - W::BITS;
            ((b >> more | a << (W::BITS - more)) & W::MASK, b >> (more - 1) & 1 != 0)
        }
    }
    #[inline(always)]
    fn overflow<W: Width>(r: u64, _cf: bool) -> bool {
        top::<W>(r) != second::<W>(r)
    }
}

#[inline(always)]
fn double<O: Double, W: Width>(flags: &mut Flags, a: u64, b: u64, count: u64) -> u64 {
    let (r, cf) = O::shift::<W>(a, b, count as u32);
    flags.record_result(W::TOP, r, bit(cf, CF) | bit(O::overflow::<W>(r, cf), OF));
    r
}

#[inline(always)]
fn double_register<O: Double, W: Width>(cpu: &mut Cpu, u: &Uop, count: u64) -> Exec {
    let (a, b) = (W::get(&cpu.gpr, u.r1), W::get(&cpu.gpr, u.r2));
    let r = if count == 0 { a } else { double::<O, W>(&mut cpu.flags, a, b, count) };
    W::set(&mut cpu.gpr, u.r1, r);
    Ok(())
}

#[inline(always)]
fn double_memory<O: Double, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop, count: u64) -> Exec {
    let (a, target) = cpu.read_for_write::<W>(env, u.seg, cpu.ea(u))?;
    if count != 0 {
        let b = W::get(&cpu.gpr, u.r2);
        let r = double::<O, W>(&mut cpu.flags, a, b, count);
        cpu.write_back::<W>(env, target, r);
    }
    Ok(())
}

/// SHLD or SHRD r, r, imm.
pub fn double_ri<O: Double, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    double_register::<O, W>(cpu, u, u.imm)
}

/// SHLD or SHRD r, r, CL.
pub fn double_rc<O: Double, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let count = cpu.gpr[1] & count_mask::<W>();
    double_register::<O, W>(cpu, u, count)
}

/// SHLD or SHRD m, r, imm.
pub fn double_mi<O: Double, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    double_memory::<O, W>(cpu, env, u, u.imm)
}

/// SHLD or SHRD m, r, CL.
pub fn double_mc<O: Double, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let count = cpu.gpr[1] & count_mask::<W>();
    double_memory::<O, W>(cpu, env, u, count)
}
