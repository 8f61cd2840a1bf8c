//! Lowering: BMI1, BMI2 and ADX.

use super::lowerer::{End, Lowered, Lowerer, is_mem, operand_bytes, reg};
use crate::ir::op::Op;
use crate::ir::operands::IMMEDIATE;
use iced_x86::{Instruction, Mnemonic};

/// Which operand is the other register, and which one may be in memory.
enum Form {
    /// dst, other, r/m.
    OtherFirst,
    /// dst, r/m, other (or an immediate).
    OtherLast,
    /// dst (in VEX.vvvv), r/m.
    Single,
}

/// Lowers the instructions of this family.
pub fn lower(l: &Lowerer, i: &Instruction) -> Lowered {
    use Form::*;
    let (rr, rm, form) = match i.mnemonic() {
        Mnemonic::Andn => (Op::AndnRr, Op::AndnRm, OtherFirst),
        Mnemonic::Mulx => (Op::MulxRr, Op::MulxRm, OtherFirst),
        Mnemonic::Pdep => (Op::PdepRr, Op::PdepRm, OtherFirst),
        Mnemonic::Pext => (Op::PextRr, Op::PextRm, OtherFirst),
        Mnemonic::Bextr => (Op::BextrRr, Op::BextrRm, OtherLast),
        Mnemonic::Bzhi => (Op::BzhiRr, Op::BzhiRm, OtherLast),
        Mnemonic::Sarx => (Op::SarxRr, Op::SarxRm, OtherLast),
        Mnemonic::Shlx => (Op::ShlxRr, Op::ShlxRm, OtherLast),
        Mnemonic::Shrx => (Op::ShrxRr, Op::ShrxRm, OtherLast),
        Mnemonic::Rorx => (Op::RorxRr, Op::RorxRm, OtherLast),
        Mnemonic::Blsi => (Op::BlsiRr, Op::BlsiRm, Single),
        Mnemonic::Blsr => (Op::BlsrRr, Op::BlsrRm, Single),
        Mnemonic::Blsmsk => (Op::BlsmskRr, Op::BlsmskRm, Single),
        Mnemonic::Adcx => (Op::AdcxRr, Op::AdcxRm, Single),
        Mnemonic::Adox => (Op::AdoxRr, Op::AdoxRm, Single),
        _ => return None,
    };
    // BEXTR has a form of AMD's TBM with a 32-bit immediate, which no model offers.
    let (memory, other) = match form {
        OtherFirst => (2, Some(1)),
        OtherLast => (1, Some(2)),
        Single => (1, None),
    };
    let bytes = operand_bytes(i, 0);
    let mut u = if is_mem(i, memory) {
        l.mem(rm, bytes, i)
    } else {
        let mut u = l.uop(rr, bytes);
        let register = reg(i.op_register(memory));
        u.imm = u64::from(register) << 8;
        u.r2 = register;
        u
    };
    u.r1 = reg(i.op0_register());
    match other {
        Some(n) if i.mnemonic() == Mnemonic::Rorx => {
            u.r2 = IMMEDIATE;
            u.imm |= i.immediate(n) & 0xFF;
        }
        Some(n) => u.r2 = reg(i.op_register(n)),
        None => {}
    }
    Some((u, End::Continues))
}
