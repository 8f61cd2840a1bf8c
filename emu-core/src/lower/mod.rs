//! Lowering: bytes of machine code to micro-ops. The decoder is known here alone.
//!
//! Each family of instructions has a file; its handlers are in the file of that name in [`crate::exec`].

pub mod atomic;
pub mod bcd;
pub mod bits;
pub mod bmi;
pub mod branch;
pub mod cet;
pub mod control;
pub mod costs;
pub mod cpuid;
pub mod far;
pub mod fast_call;
pub mod features;
pub mod flags;
pub mod flags_io;
pub mod int;
pub mod interrupt;
pub mod io;
pub mod lowerer;
pub mod memo;
pub mod misc;
pub mod mmx;
pub mod msr;
pub mod muldiv;
pub mod segment;
pub mod shift;
pub mod sse;
pub mod stack;
pub mod string;
pub mod system;
pub mod tables;
pub mod vmx;
pub mod work;
pub mod x87;
pub mod xsave;

use crate::ir::op::Op;
use crate::ir::uop::{MAX_INSTRUCTION, MAX_UOPS, Uop};
use crate::model::CpuModel;
use crate::state::derived::Mode;
use costs::Costs;
use iced_x86::{Code, Decoder, DecoderError, DecoderOptions, Instruction};
use lowerer::{End, Lowered, Lowerer};
use memo::{Memo, Site};

/// What [`lower`] has made micro-ops of, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// Length of the instructions: 0 if the first is cut off.
    pub len: usize,
    /// How many bytes decide on them: what an undefined instruction has behind its first byte makes it one.
    pub seen: usize,
}

/// Lowers the instructions at the start of `bytes` into `uops`, as far as one block goes. Tells `costs` of each that can be
/// decoded. `memo`, and where in guest memory the bytes lie: what is remembered.
pub fn lower(
    mode: Mode,
    model: &CpuModel,
    bytes: &[u8],
    uops: &mut Vec<Uop>,
    mut memo: Option<(&mut Memo, usize)>,
    mut costs: Option<&mut Costs>,
) -> Reach {
    let bits = mode.code.bits();
    let mut decoder = None;
    let mut lowerer = Lowerer::new(mode, model);
    uops.clear();
    let (mut len, mut undefined) = (0, false);
    let mut instruction = Instruction::default();
    while uops.len() < MAX_UOPS && len < bytes.len() {
        let whole = bytes[len..].first_chunk().map(|bytes| u128::from_le_bytes(*bytes));
        let mut remembers = match (&mut memo, whole) {
            (Some((memo, offset)), Some(whole)) => Some((memo, Site::new(*offset, len, mode), whole)),
            _ => None,
        };
        if let Some((memo, site, whole)) = &remembers
            && let Some((uop, end)) = memo.find(*site, *whole)
            && costs.as_mut().is_none_or(|costs| memo.seen(*site).map(|seen| costs.see(seen)).is_some())
        {
            len += usize::from(uop.len);
            uops.push(*uop);
            if end == End::Ends {
                break;
            }
            continue;
        }
        let decoder = decoder.get_or_insert_with(|| Decoder::new(bits, bytes, DecoderOptions::NONE));
        if decoder.position() != len {
            decoder.set_ip(len as u64);
            // It is within the bytes.
            let _ = decoder.set_position(len);
        }
        decoder.decode_out(&mut instruction);
        if instruction.code() == Code::INVALID {
            if decoder.last_error() == DecoderError::NoMoreBytes && bytes.len() - len < MAX_INSTRUCTION {
                break;
            }
            uops.push(match mode.waiting {
                true => Uop { off: len as u16, len: 1, ..cet::missing(&lowerer) },
                false => lowerer::invalid(bits, &bytes[len..], len as u16),
            });
            len += 1;
            undefined = true;
            break;
        }
        let seen = costs.as_mut().map(|costs| {
            let seen = costs.look(decoder, &instruction, whole.unwrap_or_else(|| first_bytes(&bytes[len..])));
            costs.see(seen);
            seen
        });
        lowerer.bytes = &bytes[len..len + instruction.len()];
        let awaited = if mode.waiting { cet::awaited(&lowerer, &instruction) } else { None };
        let (mut uop, end) = awaited.unwrap_or_else(|| lowerer.lower(&instruction));
        uop.off = len as u16;
        uop.len = instruction.len() as u8;
        uop.op |= lowerer.path(&uop);
        if let Some((memo, site, whole)) = &mut remembers {
            memo.note(*site, *whole, uop, end, seen);
        }
        len += instruction.len();
        uops.push(uop);
        if end == End::Ends {
            break;
        }
    }
    // As many prefixes and then as long an instruction as there can be ([`lowerer::invalid`]).
    let seen = if undefined { bytes.len().min(len + 2 * MAX_INSTRUCTION) } else { len };
    Reach { len, seen }
}

/// As many bytes as an instruction has at most, the first in bits 7:0; zeros for those that there are not.
fn first_bytes(bytes: &[u8]) -> u128 {
    let mut all = [0; 16];
    let count = bytes.len().min(MAX_INSTRUCTION);
    all[..count].copy_from_slice(&bytes[..count]);
    u128::from_le_bytes(all)
}

/// The name of the instruction that a micro-op of [`Op::Unimplemented`] stands for, with its mnemonic in the SDM.
pub fn unimplemented_name(uop: &Uop) -> String {
    debug_assert_eq!(uop.operation(), Op::Unimplemented);
    match usize::try_from(uop.imm).map(Code::try_from) {
        Ok(Ok(code)) => format!("{code:?} (SDM Vol. 2: {:?})", code.mnemonic()),
        _ => format!("number {}", uop.imm),
    }
}

/// The families, the most frequent first. They are called through pointers: inlined into one function, their results
/// would be copied from place to place more often than the work itself costs.
const FAMILIES: [fn(&Lowerer, &Instruction) -> Lowered; 28] = [
    int::lower,
    branch::lower,
    stack::lower,
    shift::lower,
    muldiv::lower,
    bits::lower,
    atomic::lower,
    bmi::lower,
    string::lower,
    bcd::lower,
    io::lower,
    misc::lower,
    system::lower,
    segment::lower,
    far::lower,
    interrupt::lower,
    flags_io::lower,
    control::lower,
    cpuid::lower,
    msr::lower,
    vmx::lower,
    tables::lower,
    fast_call::lower,
    cet::lower,
    sse::lower,
    mmx::lower,
    xsave::lower,
    x87::lower,
];

/// Lowers an instruction by the family that knows it.
fn by_family(l: &Lowerer, i: &Instruction) -> Lowered {
    FAMILIES.iter().find_map(|family| family(l, i))
}
