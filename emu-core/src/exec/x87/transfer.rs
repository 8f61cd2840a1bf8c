//! Loads, stores, constants, exchanges and conditional moves.

use super::waiting;
use crate::fault::Exec;
use crate::fpu::x87::round::Rounding;
use crate::fpu::x87::status::{C1, IE};
use crate::fpu::x87::{F80, Numeric, convert};
use crate::ir::operands::x87::{NO_CHECK, POP, TRUNCATE};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};

impl Cpu {
    /// Pushes what `value` gives, or the masked response to a full stack.
    #[inline(always)]
    fn x87_push(&mut self, u: &Uop, value: impl FnOnce(&mut Numeric) -> F80) -> Exec {
        let mut n = self.numeric();
        let value = if self.fpu.is_empty(7) { value(&mut n) } else { n.stack_overflow() };
        self.x87_complete(u, &n);
        // A denormal operand is loaded even if #D is unmasked.
        if !n.unmasked(n.flags & IE) {
            self.fpu.push(value);
        }
        Ok(())
    }

    /// Bytes of a ten-byte operand, which is aligned when its first eight are.
    fn load_ten(&mut self, env: &mut Env, u: &Uop) -> Result<[u8; 10], crate::fault::Stop> {
        let mut bytes = [0; 10];
        let ea = self.ea(u);
        self.check_operand_alignment(u.seg, ea, 8, false)?;
        self.read_bytes(env, u.seg, ea, &mut bytes)?;
        Ok(bytes)
    }

    fn store_ten(&mut self, env: &mut Env, u: &Uop, bytes: &[u8; 10]) -> Exec {
        let ea = self.ea(u);
        self.check_operand_alignment(u.seg, ea, 8, true)?;
        self.write_bytes(env, u.seg, ea, bytes)
    }

    /// What a store takes from ST(0).
    #[inline(always)]
    fn x87_source<T>(&self, n: &mut Numeric, empty: T, convert: impl FnOnce(&mut Numeric, F80) -> T) -> T {
        if self.fpu.is_empty(0) {
            n.stack_underflow();
            empty
        } else {
            convert(n, self.fpu.st(0))
        }
    }

    /// The end of a store whose memory operand has been written.
    #[inline(always)]
    fn x87_stored(&mut self, u: &Uop, n: &Numeric) -> Exec {
        self.x87_complete(u, n);
        if u.r2 & POP != 0 && !n.withholds_store() {
            self.fpu.pop();
        }
        Ok(())
    }
}

/// FLD ST(`r1`).
pub fn fld_st(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    if cpu.fpu.is_empty(u.r1) {
        // Underflow goes before overflow.
        let mut n = cpu.numeric();
        let value = n.stack_underflow();
        if cpu.x87_complete(u, &n) {
            cpu.fpu.push(value);
        }
        return Ok(());
    }
    let value = cpu.fpu.st(u.r1);
    cpu.x87_push(u, |_| value)
}

/// FLD m32fp.
pub fn fld_m32(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let operand = convert::from_single(cpu.load::<u32>(env, u)?);
    cpu.x87_push(u, |n| convert::load(n, operand))
}

/// FLD m64fp.
pub fn fld_m64(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let operand = convert::from_double(cpu.load::<u64>(env, u)?);
    cpu.x87_push(u, |n| convert::load(n, operand))
}

/// FLD m80fp: any encoding as it is.
pub fn fld_m80(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let bytes = cpu.load_ten(env, u)?;
    cpu.x87_push(u, |_| F80::from_bytes(&bytes))
}

/// FILD.
pub fn fild<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let integer = W::sign_extend(cpu.load::<W>(env, u)?) as i64;
    cpu.x87_push(u, |_| F80::from_integer(integer))
}

/// FBLD.
pub fn fbld(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let bytes = cpu.load_ten(env, u)?;
    cpu.x87_push(u, |_| convert::from_bcd(&bytes))
}

/// A constant: its significand truncated to 64 bits, and the bits that follow (which are never a tie).
struct Constant {
    exponent: u16,
    significand: u64,
    /// The part cut off is above a half of the last place.
    above_half: bool,
    /// Nothing is cut off.
    exact: bool,
}

/// FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ: in the order of their opcodes D9 E8 to D9 EE.
static CONSTANTS: [Constant; 7] = [
    Constant { exponent: 0x3FFF, significand: 1 << 63, above_half: false, exact: true },
    Constant { exponent: 0x4000, significand: 0xD49A_784B_CD1B_8AFE, above_half: false, exact: false },
    Constant { exponent: 0x3FFF, significand: 0xB8AA_3B29_5C17_F0BB, above_half: true, exact: false },
    Constant { exponent: 0x4000, significand: 0xC90F_DAA2_2168_C234, above_half: true, exact: false },
    Constant { exponent: 0x3FFD, significand: 0x9A20_9A84_FBCF_F798, above_half: true, exact: false },
    Constant { exponent: 0x3FFE, significand: 0xB172_17F7_D1CF_79AB, above_half: true, exact: false },
    Constant { exponent: 0, significand: 0, above_half: false, exact: true },
];

/// FLD1 and the other constants, number `r1`: rounded as rounding control says, without #P (SDM Vol. 1 8.3.4).
pub fn fld_constant(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let constant = &CONSTANTS[usize::from(u.r1).min(CONSTANTS.len() - 1)];
    cpu.x87_push(u, |n| {
        let up = !constant.exact && n.rounding().increments(false, false, constant.above_half, true);
        F80::new(constant.exponent, constant.significand + u64::from(up))
    })
}

/// FST ST(`r1`), FSTP ST(`r1`).
pub fn fst_st(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let (empty, mut value) = (cpu.fpu.is_empty(0), cpu.fpu.st(0));
    let unchecked = u.r2 & NO_CHECK != 0;
    if empty && !unchecked {
        value = n.stack_underflow();
    }
    if cpu.x87_complete(u, &n) {
        if !(empty && unchecked) {
            cpu.fpu.set_st(u.r1, value);
        }
        if u.r2 & POP != 0 {
            cpu.fpu.pop();
        }
    }
    Ok(())
}

/// FST m32fp.
pub fn fst_m32(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let bits = cpu.x87_source(&mut n, 0xFFC0_0000, convert::to_single);
    if !n.withholds_store() {
        cpu.store::<u32>(env, u, bits)?;
    }
    cpu.x87_stored(u, &n)
}

/// FST m64fp.
pub fn fst_m64(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let bits = cpu.x87_source(&mut n, 0xFFF8_0000_0000_0000, convert::to_double);
    if !n.withholds_store() {
        cpu.store::<u64>(env, u, bits)?;
    }
    cpu.x87_stored(u, &n)
}

/// FSTP m80fp.
pub fn fstp_m80(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let value = cpu.x87_source(&mut n, F80::INDEFINITE, |_, a| a);
    if !n.withholds_store() {
        cpu.store_ten(env, u, &value.to_bytes())?;
    }
    cpu.x87_stored(u, &n)
}

/// FIST, FISTP, FISTTP.
pub fn fist<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let rounding = if u.r2 & TRUNCATE != 0 { Rounding::Truncate } else { n.rounding() };
    let bits = cpu.x87_source(&mut n, 1 << W::TOP, |n, a| convert::to_integer(n, a, W::BITS, rounding));
    if !n.withholds_store() {
        cpu.store::<W>(env, u, bits)?;
    }
    cpu.x87_stored(u, &n)
}

/// FBSTP.
pub fn fbstp(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let bytes = cpu.x87_source(&mut n, convert::BCD_INDEFINITE, convert::to_bcd);
    if !n.withholds_store() {
        cpu.store_ten(env, u, &bytes)?;
    }
    cpu.x87_stored(u, &n)
}

/// FXCH ST(`r1`): empty registers become the indefinite first.
pub fn fxch(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let mut value = |i: u8| if cpu.fpu.is_empty(i) { n.stack_underflow() } else { cpu.fpu.st(i) };
    let (top, other) = (value(0), value(u.r1));
    if cpu.x87_complete(u, &n) {
        cpu.fpu.set_st(0, other);
        cpu.fpu.set_st(u.r1, top);
    }
    Ok(())
}

/// FCMOVcc ST(0), ST(`r1`): the condition in `r2`, in the hardware's numbering.
pub fn fcmov(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let moved = match cpu.pair(&mut n, 0, u.r1) {
        Some((_, source)) => {
            // C1 is left alone.
            n.c1 = cpu.fpu.status & C1 != 0;
            cpu.flags.condition(u.r2).then_some(source)
        }
        None => Some(F80::INDEFINITE),
    };
    if cpu.x87_complete(u, &n)
        && let Some(value) = moved
    {
        cpu.fpu.set_st(0, value);
    }
    Ok(())
}
