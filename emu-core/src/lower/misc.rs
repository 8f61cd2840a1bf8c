//! Lowering: instructions of no family: XLAT, BOUND, SALC, cache control, fences, direct stores, random numbers, RDPID.

use super::bits;
use super::lowerer::{End, Lowered, Lowerer, is_mem, operand_bytes, reg};
use crate::ir::op::Op;
use crate::ir::uop::{REG_ZERO, Uop};
use iced_x86::{Instruction, Mnemonic, Register};

/// Instructions whose bytes do something else on processors that do not have them: hints are NOPs, TZCNT, LZCNT and
/// WBNOINVD ignore their prefix. Everything else is undefined.
pub fn lower_without_feature(l: &Lowerer, i: &Instruction) -> (Uop, End) {
    use Mnemonic::*;
    if let Some(scan) = bits::lower_as_scan(l, i) {
        return scan;
    }
    if i.mnemonic() == Wbnoinvd
        && let Some((mut invalidation, end)) = super::control::lower(l, i)
    {
        // WBINVD.
        invalidation.imm = 1;
        return (invalidation, end);
    }
    match i.mnemonic() {
        Nop | Reservednop | Endbr32 | Endbr64 | Cldemote | Prefetch | Prefetchw | Prefetchwt1 | Prefetchit0
        | Prefetchit1 | Prefetchnta | Prefetcht0 | Prefetcht1 | Prefetcht2 | Rdsspd | Rdsspq => {
            (l.uop(Op::Nop, 4), End::Continues)
        }
        _ => (l.uop(Op::Undefined, 1), End::Ends),
    }
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    use Mnemonic::*;
    let bytes = if i.op_count() > 0 { operand_bytes(i, 0) } else { 0 };
    let u = match i.mnemonic() {
        Xlatb => {
            let mut u = l.mem(Op::Xlat, 1, i);
            u.base = reg(Register::RBX);
            u.index = REG_ZERO;
            u.disp = 0;
            u
        }
        Bound => {
            let mut u = l.mem(Op::Bound, bytes, i);
            u.r1 = reg(i.op0_register());
            u
        }
        Salc => l.uop(Op::Salc, 1),
        Clflush | Clflushopt | Clwb => {
            let mut u = l.mem(Op::CacheLine, 1, i);
            u.imm = u64::from(i.mnemonic() == Clwb);
            u
        }
        Prefetch | Prefetchw | Prefetchwt1 | Prefetchnta | Prefetcht0 | Prefetcht1 | Prefetcht2 if is_mem(i, 0) => {
            l.mem(Op::Prefetch, 1, i)
        }
        Cldemote | Prefetch | Prefetchw | Prefetchwt1 | Prefetchit0 | Prefetchit1 | Prefetchnta | Prefetcht0
        | Prefetcht1 | Prefetcht2 | Lfence | Sfence | Mfence => l.uop(Op::Nop, 4),
        Movnti | Movdiri if is_mem(i, 0) => {
            let bytes = operand_bytes(i, 1);
            let mut u = l.mem(Op::MovMr, bytes, i);
            u.r1 = reg(i.op1_register());
            u
        }
        Movdir64b => {
            let mut u = l.mem(Op::Movdir64b, 8, i);
            u.r1 = reg(i.op0_register());
            u
        }
        Rdrand | Rdseed => {
            let mut u = l.uop(Op::Random, bytes);
            u.r1 = reg(i.op0_register());
            u.imm = u64::from(i.mnemonic() == Rdseed);
            u
        }
        Rdpid => {
            let mut u = l.uop(Op::Rdpid, 8);
            u.r1 = reg(i.op0_register());
            u
        }
        Serialize => return Some((l.uop(Op::Serialize, 1), End::Ends)),
        Ud0 | Ud1 | Ud2 => return Some((l.uop(Op::Undefined, 1), End::Ends)),
        _ => return None,
    };
    Some((u, End::Continues))
}
