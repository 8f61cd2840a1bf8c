//! Multiplication and division.

use crate::fault::{Exec, Fault};
use crate::flags::{CF, OF, bit};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};
use emu_vmx::arch::vector;

const RAX: u8 = 0;
const RDX: u8 = 2;

impl Cpu {
    /// #DE.
    #[cold]
    fn divide_error(&mut self) -> Exec {
        self.throw(Fault::exception(vector::DE))
    }

    /// The double-width accumulator: AX, DX:AX, EDX:EAX, RDX:RAX.
    #[inline(always)]
    fn set_wide<W: Width>(&mut self, low: u64, high: u64) {
        if W::BITS == 8 {
            u16::set(&mut self.gpr, RAX, high << 8 | low);
        } else {
            W::set(&mut self.gpr, RAX, low);
            W::set(&mut self.gpr, RDX, high);
        }
    }

    /// PF, ZF and SF, which the SDM leaves undefined, come from the low half.
    #[inline(always)]
    fn record_product<W: Width>(&mut self, low: u64, overflow: bool) {
        self.flags.record_result(W::TOP, low, bit(overflow, CF | OF));
    }

    #[inline(always)]
    fn multiply<W: Width>(&mut self, b: u64) -> Exec {
        let product = u128::from(W::get(&self.gpr, RAX)) * u128::from(b);
        let (low, high) = (product as u64 & W::MASK, (product >> W::BITS) as u64);
        self.set_wide::<W>(low, high);
        self.record_product::<W>(low, high != 0);
        Ok(())
    }

    #[inline(always)]
    fn multiply_signed<W: Width>(&mut self, b: u64) -> Exec {
        let (product, overflow) = signed_product::<W>(W::get(&self.gpr, RAX), b);
        let low = product as u64 & W::MASK;
        self.set_wide::<W>(low, (product >> W::BITS) as u64 & W::MASK);
        self.record_product::<W>(low, overflow);
        Ok(())
    }

    #[inline(always)]
    fn multiply_into<W: Width>(&mut self, register: u8, a: u64, b: u64) -> Exec {
        let (product, overflow) = signed_product::<W>(a, b);
        let low = product as u64 & W::MASK;
        W::set(&mut self.gpr, register, low);
        self.record_product::<W>(low, overflow);
        Ok(())
    }

    /// The flags, all undefined, stay.
    #[inline(always)]
    fn divide<W: Width>(&mut self, divisor: u64) -> Exec {
        if divisor == 0 {
            return self.divide_error();
        }
        let (quotient, remainder) = if W::BITS == 64 {
            if self.gpr[RDX as usize] >= divisor {
                return self.divide_error();
            }
            let dividend = u128::from(self.gpr[RDX as usize]) << 64 | u128::from(self.gpr[RAX as usize]);
            if dividend >> 64 == 0 {
                (dividend as u64 / divisor, dividend as u64 % divisor)
            } else {
                ((dividend / u128::from(divisor)) as u64, (dividend % u128::from(divisor)) as u64)
            }
        } else {
            let dividend = self.dividend::<W>();
            (dividend / divisor, dividend % divisor)
        };
        if quotient > W::MASK {
            return self.divide_error();
        }
        self.set_wide::<W>(quotient, remainder);
        Ok(())
    }

    #[inline(always)]
    fn divide_signed<W: Width>(&mut self, divisor: u64) -> Exec {
        let divisor = W::sign_extend(divisor) as i64;
        if divisor == 0 {
            return self.divide_error();
        }
        let (quotient, remainder) = if W::BITS == 64 {
            match self.divide_signed_wide(divisor) {
                Some(result) => result,
                None => return self.divide_error(),
            }
        } else {
            let unused = 64u32.saturating_sub(2 * W::BITS);
            let dividend = (self.dividend::<W>() << unused) as i64 >> unused;
            (dividend.wrapping_div(divisor), dividend.wrapping_rem(divisor))
        };
        // i64::MIN / -1 wraps to i64::MIN, which no narrower quotient can be.
        if W::sign_extend(quotient as u64 & W::MASK) != quotient as u64 {
            return self.divide_error();
        }
        self.set_wide::<W>(quotient as u64 & W::MASK, remainder as u64 & W::MASK);
        Ok(())
    }

    /// RDX:RAX by a divisor that is not 0; `None` when the quotient does not fit.
    #[inline(always)]
    fn divide_signed_wide(&self, divisor: i64) -> Option<(i64, i64)> {
        let (low, high) = (self.gpr[RAX as usize] as i64, self.gpr[RDX as usize] as i64);
        if low >> 63 == high {
            return Some((low.checked_div(divisor)?, low.wrapping_rem(divisor)));
        }
        let (dividend, divisor) = (i128::from(high) << 64 | i128::from(low as u64), i128::from(divisor));
        let quotient = i64::try_from(dividend.wrapping_div(divisor)).ok()?;
        Some((quotient, dividend.wrapping_rem(divisor) as i64))
    }

    /// The double-width accumulator for operands of up to 32 bits.
    #[inline(always)]
    fn dividend<W: Width>(&self) -> u64 {
        if W::BITS == 8 {
            self.gpr[RAX as usize] & 0xFFFF
        } else {
            W::get(&self.gpr, RDX) << (W::BITS & 63) | W::get(&self.gpr, RAX)
        }
    }
}

/// The product and whether it needs more than one operand's width.
#[inline(always)]
fn signed_product<W: Width>(a: u64, b: u64) -> (i128, bool) {
    let product = i128::from(W::sign_extend(a) as i64) * i128::from(W::sign_extend(b) as i64);
    (product, i128::from(W::sign_extend(product as u64 & W::MASK) as i64) != product)
}

macro_rules! accumulator {
    ($($r:ident $m:ident $method:ident $doc:literal;)*) => {$(
        #[doc = concat!($doc, " r.")]
        pub fn $r<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
            let b = W::get(&cpu.gpr, u.r1);
            cpu.$method::<W>(b)
        }
        #[doc = concat!($doc, " m.")]
        pub fn $m<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
            let b = cpu.load::<W>(env, u)?;
            cpu.$method::<W>(b)
        }
    )*};
}

accumulator! {
    mul_r mul_m multiply "MUL";
    imul1_r imul1_m multiply_signed "IMUL";
    div_r div_m divide "DIV";
    idiv_r idiv_m divide_signed "IDIV";
}

/// IMUL r, r.
pub fn imul_rr<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let (a, b) = (W::get(&cpu.gpr, u.r1), W::get(&cpu.gpr, u.r2));
    cpu.multiply_into::<W>(u.r1, a, b)
}

/// IMUL r, m.
pub fn imul_rm<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let b = cpu.load::<W>(env, u)?;
    let a = W::get(&cpu.gpr, u.r1);
    cpu.multiply_into::<W>(u.r1, a, b)
}

/// IMUL r, r, imm.
pub fn imul_rri<W: Width>(cpu: &mut Cpu, _env: &mut Env, u: &Uop) -> Exec {
    let a = W::get(&cpu.gpr, u.r2);
    cpu.multiply_into::<W>(u.r1, a, u.imm)
}

/// IMUL r, m, imm.
pub fn imul_rmi<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    let a = cpu.load::<W>(env, u)?;
    cpu.multiply_into::<W>(u.r1, a, u.imm)
}
