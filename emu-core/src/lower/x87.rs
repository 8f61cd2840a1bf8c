//! Lowering: x87.

use super::lowerer::{End, Lowered, Lowerer, is_mem, operand_bytes};
use crate::ir::op::Op;
use crate::ir::operands::x87::{HAS_MEMORY, NO_CHECK, POP, QUIET, TRUNCATE};
use crate::ir::uop::Uop;
use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

/// Rows of an arithmetic operation: registers, m32fp, m64fp, integer.
fn arithmetic(mnemonic: Mnemonic) -> Option<[Op; 4]> {
    use Mnemonic::*;
    Some(match mnemonic {
        Fadd | Faddp | Fiadd => [Op::FaddSt, Op::FaddM32, Op::FaddM64, Op::FaddInt],
        Fsub | Fsubp | Fisub => [Op::FsubSt, Op::FsubM32, Op::FsubM64, Op::FsubInt],
        Fsubr | Fsubrp | Fisubr => [Op::FsubrSt, Op::FsubrM32, Op::FsubrM64, Op::FsubrInt],
        Fmul | Fmulp | Fimul => [Op::FmulSt, Op::FmulM32, Op::FmulM64, Op::FmulInt],
        Fdiv | Fdivp | Fidiv => [Op::FdivSt, Op::FdivM32, Op::FdivM64, Op::FdivInt],
        Fdivr | Fdivrp | Fidivr => [Op::FdivrSt, Op::FdivrM32, Op::FdivrM64, Op::FdivrInt],
        _ => return None,
    })
}

/// i of the register operand ST(i) that is not the implied ST(0), if any.
fn stack_register(i: &Instruction) -> u8 {
    (0..i.op_count())
        .filter(|&n| i.op_kind(n) == OpKind::Register)
        .map(|n| (i.op_register(n) as u32).wrapping_sub(Register::ST0 as u32) as u8)
        .filter(|&n| n < 8)
        .max()
        .unwrap_or(0)
}

/// The 11 bits that FOP keeps of an instruction: the last three bits of its first opcode byte, and ModR/M.
fn last_opcode(bytes: &[u8]) -> u64 {
    bytes
        .windows(2)
        .find(|pair| pair[0] & 0xF8 == 0xD8)
        .map_or(0, |pair| u64::from(pair[0] & 7) << 8 | u64::from(pair[1]))
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    use Mnemonic::*;
    let register = stack_register(i);
    let memory = is_mem(i, 0);
    let size = if memory { operand_bytes(i, 0) } else { 0 };
    let plain = |op: Op, r1: u8, r2: u8| {
        let mut u = if memory { l.mem(op, size, i) } else { l.uop(op, 8) };
        (u.r1, u.r2) = (r1, r2);
        u
    };
    let by_size = |single: Op, double: Op| if size == 4 { single } else { double };
    let mnemonic = i.mnemonic();
    let pops = |yes: bool| if yes { POP } else { 0 };
    let u = if let Some([st, m32, m64, int]) = arithmetic(mnemonic) {
        lower_arithmetic(i, plain, register, [st, by_size(m32, m64), int])
    } else {
        match mnemonic {
            Fld if memory && size == 10 => plain(Op::FldM80, 0, 0),
            Fld if memory => plain(by_size(Op::FldM32, Op::FldM64), 0, 0),
            Fld => plain(Op::FldSt, register, 0),
            Fild => plain(Op::Fild, 0, 0),
            Fbld => plain(Op::Fbld, 0, 0),
            Fst if memory => plain(by_size(Op::FstM32, Op::FstM64), 0, 0),
            Fst => plain(Op::FstSt, register, 0),
            Fstp if memory && size == 10 => plain(Op::FstpM80, 0, POP),
            Fstp if memory => plain(by_size(Op::FstM32, Op::FstM64), 0, POP),
            Fstp => plain(Op::FstSt, register, POP),
            Fstpnce => plain(Op::FstSt, register, POP | NO_CHECK),
            Fist => plain(Op::Fist, 0, 0),
            Fistp => plain(Op::Fist, 0, POP),
            Fisttp => plain(Op::Fist, 0, POP | TRUNCATE),
            Fbstp => plain(Op::Fbstp, 0, POP),
            Fld1 => plain(Op::FldConstant, 0, 0),
            Fldl2t => plain(Op::FldConstant, 1, 0),
            Fldl2e => plain(Op::FldConstant, 2, 0),
            Fldpi => plain(Op::FldConstant, 3, 0),
            Fldlg2 => plain(Op::FldConstant, 4, 0),
            Fldln2 => plain(Op::FldConstant, 5, 0),
            Fldz => plain(Op::FldConstant, 6, 0),
            Fxch => plain(Op::Fxch, register, 0),
            Fcmovb => plain(Op::Fcmov, register, 2),
            Fcmovnb => plain(Op::Fcmov, register, 3),
            Fcmove => plain(Op::Fcmov, register, 4),
            Fcmovne => plain(Op::Fcmov, register, 5),
            Fcmovbe => plain(Op::Fcmov, register, 6),
            Fcmovnbe => plain(Op::Fcmov, register, 7),
            Fcmovu => plain(Op::Fcmov, register, 10),
            Fcmovnu => plain(Op::Fcmov, register, 11),
            Fcom | Fcomp if memory => plain(by_size(Op::FcomM32, Op::FcomM64), 0, pops(mnemonic == Fcomp)),
            Fcom | Fcomp => plain(Op::FcomSt, register, pops(mnemonic == Fcomp)),
            Fcompp => plain(Op::FcomSt, 1, 2),
            Ficom | Ficomp => plain(Op::Ficom, 0, pops(mnemonic == Ficomp)),
            Fucom | Fucomp => plain(Op::FcomSt, register, QUIET | pops(mnemonic == Fucomp)),
            Fucompp => plain(Op::FcomSt, 1, QUIET | 2),
            Fcomi | Fcomip => plain(Op::Fcomi, register, pops(mnemonic == Fcomip)),
            Fucomi | Fucomip => plain(Op::Fcomi, register, QUIET | pops(mnemonic == Fucomip)),
            Ftst => plain(Op::Ftst, 0, 0),
            Fxam => plain(Op::Fxam, 0, 0),
            Fchs => plain(Op::Fchs, 0, 0),
            Fabs => plain(Op::Fabs, 0, 0),
            Fsqrt => plain(Op::Fsqrt, 0, 0),
            Frndint => plain(Op::Frndint, 0, 0),
            F2xm1 => plain(Op::F2xm1, 0, 0),
            Fscale => plain(Op::Fscale, 0, 0),
            Fprem => plain(Op::Fprem, 0, 0),
            Fprem1 => plain(Op::Fprem, 1, 0),
            Fxtract => plain(Op::Fxtract, 0, 0),
            Fyl2x => plain(Op::Fyl2x, 0, 0),
            Fyl2xp1 => plain(Op::Fyl2xp1, 0, 0),
            Fpatan => plain(Op::Fpatan, 0, 0),
            Fsin => plain(Op::Ftrigonometric, 0, 0),
            Fcos => plain(Op::Ftrigonometric, 1, 0),
            Fsincos => plain(Op::Ftrigonometric, 2, 0),
            Fptan => plain(Op::Ftrigonometric, 3, 0),
            _ => return lower_control(plain, i, register),
        }
    };
    Some((numbered(l, u, memory), End::Continues))
}

/// A non-control instruction says which one it is, and whether it has a memory operand.
fn numbered(l: &Lowerer, mut u: Uop, memory: bool) -> Uop {
    u.imm = last_opcode(l.bytes) | if memory { HAS_MEMORY } else { 0 };
    u
}

fn lower_arithmetic(i: &Instruction, plain: impl Fn(Op, u8, u8) -> Uop, register: u8, [st, real, int]: [Op; 3]) -> Uop {
    use Mnemonic::*;
    match i.mnemonic() {
        Fiadd | Fisub | Fisubr | Fimul | Fidiv | Fidivr => plain(int, 0, 0),
        _ if is_mem(i, 0) => plain(real, 0, 0),
        m => {
            let to_register = !matches!(
                i.code(),
                Code::Fadd_st0_sti
                    | Code::Fmul_st0_sti
                    | Code::Fsub_st0_sti
                    | Code::Fsubr_st0_sti
                    | Code::Fdiv_st0_sti
                    | Code::Fdivr_st0_sti
            );
            let mut u = if to_register { plain(st, register, 0) } else { plain(st, 0, register) };
            u.base = u8::from(matches!(m, Faddp | Fsubp | Fsubrp | Fmulp | Fdivp | Fdivrp));
            u
        }
    }
}

fn lower_control(plain: impl Fn(Op, u8, u8) -> Uop, i: &Instruction, register: u8) -> Lowered {
    use Code::*;
    let u = match i.code() {
        Wait => plain(Op::Fwait, 0, 0),
        Fnop => plain(Op::Fnop, 0, 0),
        Fneni | Fndisi | Fnsetpm => plain(Op::Fnoop, 0, 0),
        Fninit => plain(Op::Fninit, 0, 0),
        Fnclex => plain(Op::Fnclex, 0, 0),
        Fnstsw_AX => plain(Op::FnstswAx, 0, 0),
        Fnstsw_m2byte => plain(Op::FnstswM, 0, 0),
        Fnstcw_m2byte => plain(Op::Fnstcw, 0, 0),
        Fldcw_m2byte => plain(Op::Fldcw, 0, 0),
        Fnstenv_m14byte => plain(Op::Fnstenv, 2, 0),
        Fnstenv_m28byte => plain(Op::Fnstenv, 4, 0),
        Fldenv_m14byte => plain(Op::Fldenv, 2, 0),
        Fldenv_m28byte => plain(Op::Fldenv, 4, 0),
        Fnsave_m94byte => plain(Op::Fnsave, 2, 0),
        Fnsave_m108byte => plain(Op::Fnsave, 4, 0),
        Frstor_m94byte => plain(Op::Frstor, 2, 0),
        Frstor_m108byte => plain(Op::Frstor, 4, 0),
        Fincstp => plain(Op::FmoveTop, 1, 0),
        Fdecstp => plain(Op::FmoveTop, 7, 0),
        Ffree_sti => plain(Op::Ffree, register, 0),
        Ffreep_sti => plain(Op::Ffree, register, 1),
        _ => return None,
    };
    Some((u, End::Continues))
}
