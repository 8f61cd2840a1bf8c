//! Lowering: CPUID, the time-stamp counter, MONITOR, MWAIT, UMONITOR, UMWAIT, TPAUSE and PAUSE.

use super::lowerer::{End, Lowered, Lowerer, reg};
use crate::ir::op::Op;
use iced_x86::{Instruction, Mnemonic};

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    let mut uop = match i.mnemonic() {
        Mnemonic::Cpuid => l.uop(Op::Cpuid, 4),
        Mnemonic::Rdtsc => l.uop(Op::Rdtsc, 4),
        Mnemonic::Rdtscp => l.uop(Op::Rdtsc, 4),
        Mnemonic::Monitor | Mnemonic::Umonitor => {
            let mut u = l.uop(if i.mnemonic() == Mnemonic::Monitor { Op::Monitor } else { Op::Umonitor }, 4);
            u.r1 = reg(i.op0_register());
            let cut = match i.op0_register().size() {
                2 => 48,
                4 => 32,
                _ => 0,
            };
            u.scale = cut << 2;
            u.seg = match i.segment_prefix() {
                iced_x86::Register::None => 3,
                segment => segment.number() as u8,
            };
            u
        }
        Mnemonic::Mwait => l.uop(Op::Mwait, 4),
        Mnemonic::Umwait | Mnemonic::Tpause => {
            let mut u = l.uop(Op::UserWait, 4);
            u.r1 = reg(i.op0_register());
            u.imm = u64::from(i.mnemonic() == Mnemonic::Tpause);
            u
        }
        Mnemonic::Pause => l.uop(Op::Pause, 4),
        _ => return None,
    };
    if i.mnemonic() == Mnemonic::Rdtscp {
        uop.imm = 1;
    }
    Some((uop, End::Ends))
}
