//! Lowering: one decoded instruction to one micro-op.
//!
//! Each family of instructions lowers its own; this is what they share.

use super::features;
use crate::ir::op::{FLAT, FLAT_BASE, Op};
use crate::ir::uop::{MAX_INSTRUCTION, REG_HIGH_BYTE, REG_MINUS_1G, REG_PLUS_1G, REG_RIP, REG_ZERO, Uop};
use crate::model::CpuModel;
use crate::state::derived::{Mode, Size};
use emu_vmx::arch::segment::SegmentRegister;
use iced_x86::{Decoder, DecoderOptions, EncodingKind, Instruction, OpKind, Register};

/// Whether a block may go on after an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The next instruction may follow in the same block.
    Continues,
    /// The block ends here: a branch, or an instruction that needs an exact boundary.
    Ends,
}

/// What a family's `lower` returns: `None` when the instruction is not of that family.
pub type Lowered = Option<(Uop, End)>;

/// What lowering depends on besides the instruction.
pub struct Lowerer<'a> {
    /// The mode of the block.
    pub mode: Mode,
    /// The processor model.
    pub model: &'a CpuModel,
    /// The bytes of the instruction.
    pub bytes: &'a [u8],
}

impl<'a> Lowerer<'a> {
    /// A lowerer for one block.
    pub fn new(mode: Mode, model: &'a CpuModel) -> Self {
        Self { mode, model, bytes: &[] }
    }

    /// Lowers one instruction; the caller sets `off` and `len`.
    pub fn lower(&mut self, i: &Instruction) -> (Uop, End) {
        // The prefixes need protected mode (SDM Vol. 2A 2.4, 2.5.1 and 2.8, exception classes of VEX and EVEX).
        if self.mode.real_segments() && i.code().encoding() != EncodingKind::Legacy {
            return (self.uop(Op::Undefined, 1), End::Ends);
        }
        if !i.cpuid_features().iter().all(|&feature| features::is_offered(self.model, feature)) {
            return super::misc::lower_without_feature(self, i);
        }
        super::by_family(self, i).unwrap_or_else(|| {
            let mut uop = Uop::new(Op::Unimplemented, 0, 0, 0);
            uop.imm = i.code() as u64;
            (uop, End::Ends)
        })
    }

    /// How the handler of `uop` may reach memory: the bits of [`Uop::op`] that say so.
    pub fn path(&self, uop: &Uop) -> u16 {
        let based = matches!(SegmentRegister::from_index(uop.seg), Some(SegmentRegister::Fs | SegmentRegister::Gs));
        if !self.mode.is_64bit() || based || uop.scale >> 2 != 0 {
            0
        } else if uop.index == REG_ZERO {
            FLAT_BASE
        } else {
            FLAT
        }
    }

    /// A micro-op whose operand width is `bytes` (1, 2, 4 or 8).
    pub fn uop(&self, op: Op, bytes: usize) -> Uop {
        Uop::new(op, bytes.trailing_zeros() as usize & 3, 0, 0)
    }

    /// A micro-op with the memory operand of `i`.
    pub fn mem(&self, op: Op, bytes: usize, i: &Instruction) -> Uop {
        let mut uop = self.uop(op, bytes);
        self.set_mem(&mut uop, i);
        uop
    }

    /// Fills in the memory operand of `i`.
    pub fn set_mem(&self, uop: &mut Uop, i: &Instruction) {
        let (base, index) = (i.memory_base(), i.memory_index());
        let segment = match i.memory_segment() {
            segment @ (Register::FS | Register::GS) => segment,
            segment if !self.mode.is_64bit() => segment,
            // The prefixes of the other four mean nothing there, not even for the choice of #SS or #GP.
            _ if matches!(base, Register::RSP | Register::RBP | Register::ESP | Register::EBP) => Register::SS,
            _ => Register::DS,
        };
        uop.seg = (segment as u32 - Register::ES as u32) as u8;
        let address_size = match (base, index) {
            (Register::None, Register::None) => i.memory_displ_size() as usize,
            (Register::None, index) => index.size(),
            (base, _) => base.size(),
        };
        let cut = match address_size {
            2 => 48,
            4 => 32,
            _ => 0,
        };
        uop.scale = (i.memory_index_scale().trailing_zeros() as u8) | cut << 2;
        uop.index = if index == Register::None { REG_ZERO } else { reg(index) };
        let displacement = i.memory_displacement64() as i64;
        if i.is_ip_rel_memory_operand() {
            // The decoder has added the offset of the next instruction in the block.
            uop.base = REG_RIP;
            let displacement = if cut == 32 { i64::from(displacement as i32) } else { displacement };
            (uop.index, uop.disp) = match i32::try_from(displacement) {
                Ok(disp) => (REG_ZERO, disp),
                Err(_) if displacement > 0 => (REG_PLUS_1G, (displacement - 0x4000_0000) as i32),
                Err(_) => (REG_MINUS_1G, (displacement + 0x4000_0000) as i32),
            };
        } else {
            uop.base = if base == Register::None { REG_ZERO } else { reg(base) };
            // 16- and 32-bit address sizes cut the sum, so that a wrapped displacement is as good as a signed one.
            uop.disp = displacement as i32;
        }
    }

    /// Operand size of an instruction whose operand is an immediate or implied: from its stack or branch width.
    pub fn default_size(&self) -> usize {
        match self.mode.code {
            Size::Bits16 => 2,
            Size::Bits32 => 4,
            Size::Bits64 => 8,
        }
    }
}

/// The undefined or overlong instruction at the start of `bytes`, as a micro-op that raises the exception.
pub fn invalid(bits: u32, bytes: &[u8], off: u16) -> Uop {
    Uop::new(if is_too_long(bits, bytes) { Op::TooLong } else { Op::Undefined }, 0, off, 1)
}

/// Whether a byte is a legacy prefix (SDM Vol. 2A 2.1.1 "Instruction Prefixes").
pub fn is_legacy_prefix(byte: u8) -> bool {
    matches!(byte, 0x26 | 0x2E | 0x36 | 0x3E | 0x64..=0x67 | 0xF0 | 0xF2 | 0xF3)
}

/// Whether prefixes make an instruction longer than 15 bytes: #GP (SDM Vol. 2A 2.3.11), even if it is undefined too.
fn is_too_long(bits: u32, bytes: &[u8]) -> bool {
    let prefixes = bytes.iter().take(MAX_INSTRUCTION).take_while(|&&byte| is_legacy_prefix(byte)).count();
    if prefixes == MAX_INSTRUCTION {
        return true;
    }
    // The length without the prefixes that do not change it.
    let (prefix_bytes, rest) = bytes.split_at(prefixes);
    let mut short: Vec<u8> = [0x66, 0x67].into_iter().filter(|size| prefix_bytes.contains(size)).collect();
    let kept = short.len();
    short.extend(rest.iter().take(MAX_INSTRUCTION));
    let mut decoder = Decoder::new(bits, &short, DecoderOptions::NO_INVALID_CHECK);
    let instruction = decoder.decode();
    !instruction.is_invalid() && prefixes - kept + instruction.len() > MAX_INSTRUCTION
}

/// Register-file number of a general register (any width), or of an 8-bit high register with [`REG_HIGH_BYTE`].
pub fn reg(register: Register) -> u8 {
    match register {
        Register::AH | Register::CH | Register::DH | Register::BH => {
            (register as u32 - Register::AH as u32) as u8 | REG_HIGH_BYTE
        }
        _ if register.is_gpr() => (register.full_register() as u32 - Register::RAX as u32) as u8,
        _ => register.number() as u8,
    }
}

/// Whether operand `n` is in memory.
pub fn is_mem(i: &Instruction, n: u32) -> bool {
    i.op_kind(n) == OpKind::Memory
}

/// Whether operand `n` is a register.
pub fn is_reg(i: &Instruction, n: u32) -> bool {
    i.op_kind(n) == OpKind::Register
}

/// Bytes of operand `n`: of its register, or of the memory operand.
pub fn operand_bytes(i: &Instruction, n: u32) -> usize {
    match i.op_kind(n) {
        OpKind::Register => i.op_register(n).size(),
        OpKind::Memory => i.memory_size().size(),
        _ => 0,
    }
}
