//! FCOM, FUCOM, FICOM, FTST, FCOMI, FUCOMI and FXAM.

use super::waiting;
use crate::fault::Exec;
use crate::flags::{AF, CF, OF, PF, SF, ZF};
use crate::fpu::x87::arith::{self, Operand, Ordering};
use crate::fpu::x87::status::{C0, C1, C2, C3, IE};
use crate::fpu::x87::{Class, F80, convert};
use crate::ir::operands::x87::{POPS, QUIET};
use crate::ir::uop::Uop;
use crate::ir::width::Width;
use crate::state::cpu::{Cpu, Env};

fn condition_code(order: Ordering) -> u16 {
    match order {
        Ordering::Greater => 0,
        Ordering::Less => C0,
        Ordering::Equal => C3,
        Ordering::Unordered => C0 | C2 | C3,
    }
}

/// Compares ST(0) with `other`; `None` stands for an empty register.
#[inline(always)]
fn compare(cpu: &mut Cpu, u: &Uop, other: Option<Operand>) -> Exec {
    let mut n = cpu.numeric();
    let order = match other {
        Some(b) if !cpu.fpu.is_empty(0) => {
            let a = cpu.fpu.st(0);
            arith::compare(&mut n, a.into(), b, u.r2 & QUIET != 0)
        }
        _ => {
            n.stack_underflow();
            Ordering::Unordered
        }
    };
    let commit = cpu.x87_complete(u, &n);
    // Only an unmasked #IA leaves the condition code alone (SDM Vol. 2A Table 3-21).
    if commit || n.flags & IE == 0 {
        cpu.set_condition(C0 | C2 | C3, condition_code(order));
    }
    if commit {
        for _ in 0..u.r2 & POPS {
            cpu.fpu.pop();
        }
    }
    Ok(())
}

/// FCOM, FUCOM and their popping forms with ST(`r1`).
pub fn fcom_st(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let other = (!cpu.fpu.is_empty(u.r1)).then(|| cpu.fpu.st(u.r1).into());
    compare(cpu, u, other)
}

/// FCOM m32fp.
pub fn fcom_m32(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let operand = convert::from_single(cpu.load::<u32>(env, u)?);
    compare(cpu, u, Some(operand))
}

/// FCOM m64fp.
pub fn fcom_m64(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let operand = convert::from_double(cpu.load::<u64>(env, u)?);
    compare(cpu, u, Some(operand))
}

/// FICOM m16int, m32int.
pub fn ficom<W: Width>(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let integer = W::sign_extend(cpu.load::<W>(env, u)?) as i64;
    compare(cpu, u, Some(F80::from_integer(integer).into()))
}

/// FTST.
pub fn ftst(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    compare(cpu, u, Some(F80::ZERO.into()))
}

/// FCOMI, FUCOMI and their popping forms with ST(`r1`): the result goes to EFLAGS.
pub fn fcomi(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let mut n = cpu.numeric();
    let order = match cpu.pair(&mut n, 0, u.r1) {
        Some((a, b)) => arith::compare(&mut n, a.into(), b.into(), u.r2 & QUIET != 0),
        None => Ordering::Unordered,
    };
    let commit = cpu.x87_complete(u, &n);
    let flags = match order {
        Ordering::Greater => 0,
        Ordering::Less => CF,
        Ordering::Equal => ZF,
        Ordering::Unordered => ZF | PF | CF,
    };
    // Flags that stay are recorded as bits, too: compiled code takes them for that behind this instruction.
    let written = if commit || n.flags & IE == 0 { OF | SF | ZF | AF | PF | CF } else { 0 };
    cpu.flags.set_status_masked(written, flags);
    if commit && u.r2 & POPS != 0 {
        cpu.fpu.pop();
    }
    Ok(())
}

/// FXAM (SDM Vol. 2A Table 3-51).
pub fn fxam(cpu: &mut Cpu, env: &mut Env, u: &Uop) -> Exec {
    waiting!(cpu, env, u);
    let n = cpu.numeric();
    let a = cpu.fpu.st(0);
    let mut code = if cpu.fpu.is_empty(0) {
        C3 | C0
    } else {
        match a.class() {
            Class::Unsupported => 0,
            Class::Quiet | Class::Signaling => C0,
            Class::Normal => C2,
            Class::Infinity => C2 | C0,
            Class::Zero => C3,
            Class::Denormal => C3 | C2,
        }
    };
    if a.sign() {
        code |= C1;
    }
    cpu.x87_complete(u, &n);
    cpu.set_condition(C0 | C1 | C2 | C3, code);
    Ok(())
}
