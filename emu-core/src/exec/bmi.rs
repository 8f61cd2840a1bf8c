//! BMI1, BMI2 and ADX.

use crate::fault::Exec;
use crate::flags::{CF, Flags, OF, bit};
use crate::ir::operands::IMMEDIATE;
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};

const RDX: u8 = 2;

/// An operation with a VEX prefix on general registers.
pub trait Vex: 'static {
    /// The result of `a`, the operand that may be in memory, and `b`, the other register or the immediate.
    fn apply<W: Width>(flags: &mut Flags, a: u64, b: u64) -> u64;
}

macro_rules! vex {
    ($($(#[$doc:meta])* $name:ident = |$flags:ident, $a:ident, $b:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name;
        impl Vex for $name {
            #[inline(always)]
            fn apply<W: Width>($flags: &mut Flags, $a: u64, $b: u64) -> u64 {
                $body
            }
        }
    )*};
}

/// Shift counts are masked as those of SHL are.
#[inline(always)]
fn count<W: Width>(value: u64) -> u32 {
    value as u32 & (W::BITS - 1)
}

vex! {
    /// ANDN.
    Andn = |flags, a, b| {
        let r = !b & a;
        flags.record_logic(W::TOP, r);
        r
    };
    /// BEXTR: start in bits 7:0 of `b`, length in 15:8.
    Bextr = |flags, a, b| {
        let (start, length) = (b as u32 & 0xFF, b as u32 >> 8 & 0xFF);
        let r = a.checked_shr(start).unwrap_or(0) & low_mask(length);
        flags.record_logic(W::TOP, r);
        r
    };
    /// BLSI.
    Blsi = |flags, a, _b| {
        let r = a & 0u64.wrapping_sub(a);
        flags.record_result(W::TOP, r, bit(a != 0, CF));
        r
    };
    /// BLSMSK.
    Blsmsk = |flags, a, _b| {
        let r = (a ^ a.wrapping_sub(1)) & W::MASK;
        flags.record_result(W::TOP, r, bit(a == 0, CF));
        r
    };
    /// BLSR.
    Blsr = |flags, a, _b| {
        let r = a & a.wrapping_sub(1);
        flags.record_result(W::TOP, r, bit(a == 0, CF));
        r
    };
    /// BZHI.
    Bzhi = |flags, a, b| {
        let n = b as u32 & 0xFF;
        let r = a & low_mask(n);
        flags.record_result(W::TOP, r, bit(n >= W::BITS, CF));
        r
    };
    /// PDEP: `a` is the mask.
    Pdep = |_flags, a, b| {
        let (mut mask, mut source, mut r) = (a, b, 0);
        while mask != 0 {
            let lowest = mask & 0u64.wrapping_sub(mask);
            if source & 1 != 0 {
                r |= lowest;
            }
            source >>= 1;
            mask ^= lowest;
        }
        r
    };
    /// PEXT: `a` is the mask.
    Pext = |_flags, a, b| {
        let (mut mask, mut r, mut place) = (a, 0, 1);
        while mask != 0 {
            let lowest = mask & 0u64.wrapping_sub(mask);
            if b & lowest != 0 {
                r |= place;
            }
            place = u64::wrapping_shl(place, 1);
            mask ^= lowest;
        }
        r
    };
    /// RORX.
    Rorx = |_flags, a, b| {
        let n = count::<W>(b);
        (a >> n | a << ((W::BITS - n) & (W::BITS - 1))) & W::MASK
    };
    /// SARX.
    Sarx = |_flags, a, b| (W::sign_extend(a) as i64 >> count::<W>(b)) as u64 & W::MASK;
    /// SHLX.
    Shlx = |_flags, a, b| a << count::<W>(b) & W::MASK;
    /// SHRX.
    Shrx = |_flags, a, b| a >> count::<W>(b);
}

/// The low `n` bits.
#[inline(always)]
fn low_mask(n: u32) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

/// The other operand: register `r2`, or the immediate if that is [`IMMEDIATE`].
#[inline(always)]
fn other<W: Width>(cpu: &Cpu, u: &Uop) -> u64 {
    if u.r2 == IMMEDIATE { u.low_byte() } else { W::get(&cpu.gpr, u.r2) }
}

/// op r, r with its other operand; the register of `a` is in `imm`'s second byte.
pub fn vex_rr<O: Vex, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let a = W::get(&cpu.gpr, u.second_byte());
    let b = other::<W>(cpu, u);
    let r = O::apply::<W>(&mut cpu.flags, a, b);
    W::set(&mut cpu.gpr, u.r1, r);
    Ok(())
}

/// op r, m with its other operand.
pub fn vex_rm<O: Vex, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let a = cpu.load::<W>(env, u)?;
    let b = other::<W>(cpu, u);
    let r = O::apply::<W>(&mut cpu.flags, a, b);
    W::set(&mut cpu.gpr, u.r1, r);
    Ok(())
}

/// The high half goes to `r1`, the low half to `r2`; the high half wins when they are one register.
#[inline(always)]
fn mulx<W: Width>(cpu: &mut Cpu, u: &Uop, b: u64) -> Exec {
    let product = u128::from(W::get(&cpu.gpr, RDX)) * u128::from(b);
    W::set(&mut cpu.gpr, u.r2, product as u64 & W::MASK);
    W::set(&mut cpu.gpr, u.r1, (product >> W::BITS) as u64);
    Ok(())
}

/// MULX r, r, r.
pub fn mulx_rr<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let b = W::get(&cpu.gpr, u.second_byte());
    mulx::<W>(cpu, u, b)
}

/// MULX r, r, m.
pub fn mulx_rm<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let b = cpu.load::<W>(env, u)?;
    mulx::<W>(cpu, u, b)
}

/// ADCX or ADOX.
pub trait Adx: 'static {
    /// The carry in.
    fn carry(flags: &Flags) -> bool;
    /// Sets the carry, the other five flags stay.
    fn set_carry(flags: &mut Flags, carry: bool);
}

/// ADCX: the carry is CF.
pub struct Adcx;

impl Adx for Adcx {
    #[inline(always)]
    fn carry(flags: &Flags) -> bool {
        flags.cf()
    }
    #[inline(always)]
    fn set_carry(flags: &mut Flags, carry: bool) {
        flags.set_cf(carry);
    }
}

/// ADOX: the carry is OF.
pub struct Adox;

impl Adx for Adox {
    #[inline(always)]
    fn carry(flags: &Flags) -> bool {
        flags.of()
    }
    #[inline(always)]
    fn set_carry(flags: &mut Flags, carry: bool) {
        flags.set_status_masked(OF, bit(carry, OF));
    }
}

#[inline(always)]
fn adx<O: Adx, W: Width>(cpu: &mut Cpu, u: &Uop, b: u64) -> Exec {
    let sum = u128::from(W::get(&cpu.gpr, u.r1)) + u128::from(b) + u128::from(O::carry(&cpu.flags));
    O::set_carry(&mut cpu.flags, sum >> W::BITS != 0);
    W::set(&mut cpu.gpr, u.r1, sum as u64 & W::MASK);
    Ok(())
}

/// ADCX or ADOX r, r.
pub fn adx_rr<O: Adx, W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let b = W::get(&cpu.gpr, u.r2);
    adx::<O, W>(cpu, u, b)
}

/// ADCX or ADOX r, m.
pub fn adx_rm<O: Adx, W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let b = cpu.load::<W>(env, u)?;
    adx::<O, W>(cpu, u, b)
}
