//! What an instruction is to the estimate of a pipeline ([`crate::cycles`]): its class, its accesses to memory, and the
//! registers that it reads and writes.

mod class;
mod vector;

use crate::cycles::class::Class;
use crate::cycles::estimate::{CARRY, FLAGS, MASKS, MMX, VECTORS, Work, X87};
use crate::cycles::table::{Fuses, Group, Table};
use iced_x86::{
    Code, Decoder, DecoderOptions, EncodingKind, FlowControl, Instruction, InstructionInfo, InstructionInfoFactory,
    Mnemonic, OpAccess, OpKind, Register, RflagsBits,
};

pub use class::class_of;

/// Finds out what instructions do.
pub struct Works {
    info: InstructionInfoFactory,
}

impl Default for Works {
    fn default() -> Self {
        Self { info: InstructionInfoFactory::new() }
    }
}

impl Works {
    /// The work of the instructions that `code` holds, of 16, 32 or 64 bits: for tests and tools.
    pub fn of_code(&mut self, table: &Table, bits: u32, code: &[u8]) -> Vec<Work> {
        Decoder::new(bits, code, DecoderOptions::NONE).into_iter().map(|i| self.of(table, &i)).collect()
    }

    /// The work of an instruction.
    pub fn of(&mut self, table: &Table, i: &Instruction) -> Work {
        let class = class_of(i);
        let row = table.row(class);
        let mut work = Work::default();
        (work.issued, work.busy, work.latency, work.branch) = (row.issued, row.busy, row.latency, fusible(i));
        let info = self.info.info(i);
        let memory = |wanted: fn(OpAccess) -> bool| info.used_memory().iter().any(|used| wanted(used.access()));
        let (reads, writes) = (memory(is_read), memory(is_write));
        let is_move = matches!(class, Class::Move | Class::Extend | Class::VectorMove) && reads != writes;
        if is_move {
            (work.issued, work.latency) = (0, 0);
        } else {
            row.groups.iter().for_each(|&group| work.add(group));
        }
        work.fuses = fuses(table.fuses, i);
        let to_vector = i.op0_kind() == OpKind::Register && i.op0_register().is_vector_register();
        let load = if to_vector { table.vector_load_latency } else { table.load_latency };
        work.from_address = work.latency + if reads { load } else { 0 };
        if reads {
            work.add(Group { ports: table.load, count: 1 });
            // One with the operation, unless there is none.
            work.issued = work.issued.max(1);
        }
        if writes {
            work.add(Group { ports: table.store_address, count: 1 });
            work.add(Group { ports: table.store_data, count: 1 });
            work.issued += 1;
        }
        if i.has_lock_prefix() || i.mnemonic() == Mnemonic::Xchg && writes {
            let locked = table.row(Class::Locked);
            work.busy += locked.busy;
            work.issued += locked.issued;
        }
        registers(i, info, class, &mut work);
        // The address of a store is no source of what the instruction computes.
        if writes && !reads && i.op0_kind() == OpKind::Memory {
            work.addresses = 0;
        }
        work
    }
}

fn registers(i: &Instruction, info: &InstructionInfo, class: Class, work: &mut Work) {
    let (base, index) = (i.memory_base(), i.memory_index());
    // Renaming keeps track of the stack pointer where instructions move it themselves.
    let stack = matches!(class, Class::Push | Class::Pop | Class::Call | Class::Return | Class::PushAll);
    for used in info.used_registers() {
        let Some(register) = number(used.register()) else { continue };
        let (bit, access) = (1u64 << register, used.access());
        if register == 4 && stack && base.full_register() != Register::RSP {
            continue;
        }
        let (reads, writes) = (access != OpAccess::Write, is_write(access));
        if reads {
            let addresses = [base, index].iter().any(|part| number(*part) == Some(register));
            *if addresses { &mut work.addresses } else { &mut work.reads } |= bit;
        }
        if writes {
            work.writes |= bit;
            // What is left of the register goes on through the instruction.
            let part = used.register().is_gpr8() || used.register().is_gpr16();
            let keeps = part || matches!(access, OpAccess::CondWrite | OpAccess::ReadCondWrite);
            if keeps {
                work.reads |= bit;
            }
        }
    }
    let flags = |bits: u32| {
        let carry = if bits & RflagsBits::CF != 0 { 1 << CARRY } else { 0 };
        let others = RflagsBits::OF | RflagsBits::SF | RflagsBits::ZF | RflagsBits::AF | RflagsBits::PF;
        carry | if bits & others != 0 { 1 << FLAGS } else { 0 }
    };
    work.reads |= flags(i.rflags_read());
    work.writes |= flags(i.rflags_modified());
    if class == Class::Zero {
        (work.reads, work.addresses) = (0, 0);
    }
}

/// Whether a run of the estimate ends behind an instruction.
fn ends_run(i: &Instruction) -> bool {
    i.flow_control() != FlowControl::Next || class_of(i).is_serial()
}

/// What [`Works::of`] depends on in an instruction, and how wide the code is: those of one kind do the same work.
///
/// Bits 119:0 are its bytes without displacement and immediate; 127:120 what these make of it. It is never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Kind(u128);

/// Finds out the kinds of instructions.
#[derive(Default)]
pub struct Kinds {
    /// What is known of an instruction by its code; [`UNKNOWN`] until one is met.
    codes: Vec<u8>,
}

/// Not met yet.
const UNKNOWN: u8 = u8::MAX;
/// How many bytes its immediates have.
const IMMEDIATE: u8 = 0x0F;
/// No run ends behind it, whatever its operands and prefixes are.
const GOES_ON: u8 = 0x10;
/// Its last byte is no immediate, but names a register or is its opcode.
const WHOLE: u8 = 0x20;

impl Kinds {
    /// The kind of the instruction that `decoder` has just decoded, and that `bytes` begin with; whether a run of the
    /// estimate ends behind it.
    pub fn of(&mut self, decoder: &Decoder, i: &Instruction, bytes: u128) -> (Kind, bool) {
        let known = match self.codes.get(i.code() as usize) {
            Some(&known) if known != UNKNOWN => known,
            _ => self.meet(decoder, i),
        };
        let mut kept = i.len() - usize::from(known & IMMEDIATE);
        let displaced = i.memory_displacement64() != 0;
        let displacement = match i.memory_displ_size() {
            // Sign-extended, but that of MOV between the accumulator and an absolute address.
            8 if !(Code::Mov_AL_moffs8..=Code::Mov_moffs64_RAX).contains(&i.code()) => 4,
            size => size as usize,
        };
        if known & WHOLE == 0 {
            kept -= displacement;
        }
        let form = (i.code_size() as u8) << 6 | u8::from(displaced) << 5 | immediate_form(i);
        let kind = Kind(bytes & ((1 << (8 * kept)) - 1) | u128::from(form) << 120);
        (kind, known & GOES_ON == 0 && ends_run(i))
    }

    /// What is known of an instruction by its code, from now on.
    #[cold]
    fn meet(&mut self, decoder: &Decoder, i: &Instruction) -> u8 {
        use Mnemonic::{Add, And, Cmp, Dec, Inc, Lea, Movzx, Or, Push, Shl, Shr, Sub, Test, Xor};
        self.codes.resize(Code::values().len(), UNKNOWN);
        let constants = decoder.get_constant_offsets(i);
        let size = (constants.immediate_size() + constants.immediate_size2()) as u8;
        let whole = i.op_count() >= 4 || i.code().encoding() == EncodingKind::D3NOW;
        let immediate = if whole { WHOLE } else { size };
        let goes_on = match i.mnemonic() {
            Add | And | Cmp | Dec | Inc | Lea | Movzx | Or | Push | Shl | Shr | Sub | Test | Xor => GOES_ON,
            Mnemonic::Mov | Mnemonic::Pop if i.op0_register().is_gpr() => GOES_ON,
            _ => 0,
        };
        let known = immediate | goes_on;
        self.codes[i.code() as usize] = known;
        known
    }
}

impl Kind {
    /// A hash of this kind behind others.
    #[inline]
    pub fn mix(self, before: u64) -> u64 {
        let folded = self.0 as u64 ^ ((self.0 >> 64) as u64).rotate_left(20);
        let mixed = (before.rotate_left(23) ^ folded).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ mixed >> 32
    }
}

/// What an immediate says of a shift or rotation by it – a count of 1, and flags that are left alone – and of the frames
/// that ENTER copies: 5 bits.
fn immediate_form(i: &Instruction) -> u8 {
    if i.mnemonic() == Mnemonic::Enter {
        return (i.immediate8_2nd() & 0x1F).min(2);
    }
    let last = i.op_count().wrapping_sub(1);
    if last > 2 || i.op_kind(last) != OpKind::Immediate8 {
        return 0;
    }
    let count = i.immediate8();
    if count == 1 && last == 1 {
        return 15;
    }
    let short = count & 0x1F;
    [short == 0, count & 0x3F == 0, short.is_multiple_of(9), short.is_multiple_of(17)]
        .iter()
        .fold(1, |all, &bit| all << 1 | u8::from(bit))
}

fn is_write(access: OpAccess) -> bool {
    matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

fn is_read(access: OpAccess) -> bool {
    matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

/// Whether others become one with this branch.
fn fusible(i: &Instruction) -> bool {
    i.is_jcc_short_or_near()
}

fn fuses(kind: Fuses, i: &Instruction) -> bool {
    use Mnemonic::{Add, And, Cmp, Dec, Inc, Sub, Test};
    let mnemonic = match kind {
        Fuses::Compare => matches!(i.mnemonic(), Cmp | Test),
        Fuses::Arithmetic => matches!(i.mnemonic(), Cmp | Test | Add | Sub | And | Inc | Dec),
    };
    let immediate = i.op_count() == 2 && (OpKind::Immediate8..=OpKind::Immediate32to64).contains(&i.op1_kind());
    let memory = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory);
    let stores = memory && i.op0_kind() == OpKind::Memory && !matches!(i.mnemonic(), Cmp | Test);
    mnemonic && !(stores || memory && immediate || i.is_ip_rel_memory_operand())
}

/// The number of a register to the estimate.
fn number(register: Register) -> Option<usize> {
    Some(match register {
        Register::None => return None,
        r if r.is_gpr() => r.full_register().number(),
        r if r.is_vector_register() => VECTORS + r.number(),
        r if r.is_st() => X87,
        r if r.is_mm() => MMX,
        r if r.is_k() => MASKS,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn instructions_of_one_kind_do_the_same_work() {
        let table = Table::named("skylake").expect("it exists");
        let (mut works, mut kinds) = (Works::default(), Kinds::default());
        let mut known = HashMap::<Kind, (Work, Vec<u8>)>::new();
        let mut state = 2026u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        // The maps of opcodes, with and without prefixes.
        let starts: [&[u8]; 16] = [
            &[],
            &[0x66],
            &[0xF3],
            &[0xF2],
            &[0x48],
            &[0x0F],
            &[0x66, 0x0F],
            &[0xF3, 0x0F],
            &[0x0F, 0x38],
            &[0x0F, 0x0F],
            &[0x66, 0x0F, 0x3A],
            // VEX and EVEX; VADDPS that merges, and that zeroes.
            &[0xC5],
            &[0xC4],
            &[0x62],
            &[0x62, 0xF1, 0x74, 0x49, 0x58],
            &[0x62, 0xF1, 0x74, 0xC9, 0x58],
        ];
        for n in 0..3_000_000 {
            let mut code = starts[n % starts.len()].to_vec();
            while code.len() < 15 {
                // Immediates and registers that mean something special, more often than by chance.
                code.push(match next() {
                    value @ 0..8 => value,
                    8..40 => next() & 0xC7,
                    _ => next(),
                });
            }
            let bits = [16, 32, 64][n / starts.len() % 3];
            let mut decoder = Decoder::new(bits, &code, DecoderOptions::NONE);
            let i = decoder.decode();
            if i.is_invalid() {
                continue;
            }
            let work = works.of(&table, &i);
            let (kind, ends) = kinds.of(&decoder, &i, super::super::first_bytes(&code));
            assert_eq!(ends, ends_run(&i), "{i}: {code:02X?} in code of {bits} bits");
            code.truncate(i.len());
            let (same, other) = known.entry(kind).or_insert_with(|| (work, code.clone()));
            assert_eq!(work, *same, "{i}: {code:02X?} beside {other:02X?} in code of {bits} bits");
        }
        assert!(known.len() > 100_000, "{}", known.len());
    }
}
