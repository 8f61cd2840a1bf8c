//! Where compiled code finds what it touches: offsets of fields.

// A host's templates do not touch all of them.
#![allow(dead_code)]

use emu_core::flags::layout as flags;
use emu_core::ir::uop::REG_RIP;
use emu_core::mem::tlb::{Entry, FETCH_ENTRIES, FetchEntry, Tlb};
use emu_core::state::cpu::Cpu;
use emu_core::state::derived::{Derived, SegmentAccess};
use emu_core::state::fpu::{FpuState, VectorRegister};
use emu_core::state::system::SystemState;
use emu_vmx::arch::segment::Segment;
use std::mem::{offset_of, size_of};

/// Offset in the processor of a register in its register file.
pub const fn gpr(register: u8) -> i32 {
    offset_of!(Cpu, gpr) as i32 + 8 * register as i32
}

/// Offsets in the processor.
pub const RIP: i32 = gpr(REG_RIP);
/// See [`RIP`].
pub const CYCLE_COUNT: i32 = offset_of!(Cpu, cycles) as i32;
/// See [`RIP`].
pub const INSTRUCTIONS: i32 = offset_of!(Cpu, instructions) as i32;
/// See [`RIP`].
pub const BLOCK_LIMIT: i32 = offset_of!(Cpu, block_limit) as i32;
/// See [`RIP`].
pub const FAST_CONTEXT: i32 = offset_of!(Cpu, fast_context) as i32;
/// See [`RIP`].
pub const CONTEXT: i32 = (offset_of!(Cpu, derived) + offset_of!(Derived, context)) as i32;
/// See [`RIP`].
pub const FLAG_RESULT: i32 = (offset_of!(Cpu, flags) + flags::RESULT) as i32;
/// See [`RIP`].
pub const FLAG_A: i32 = (offset_of!(Cpu, flags) + flags::A) as i32;
/// See [`RIP`].
pub const FLAG_B: i32 = (offset_of!(Cpu, flags) + flags::B) as i32;
/// See [`RIP`].
pub const FLAG_BITS: i32 = (offset_of!(Cpu, flags) + flags::BITS) as i32;
/// See [`RIP`].
pub const FLAG_SOURCE: i32 = (offset_of!(Cpu, flags) + flags::SOURCE) as i32;

/// See [`RIP`].
pub const TLB_STAMP: i32 = (offset_of!(Cpu, tlb) + offset_of!(Tlb, stamp)) as i32;
/// The address of the floating-point state.
pub const FPU: i32 = offset_of!(Cpu, fpu) as i32;
/// See [`RIP`].
pub const CR0: i32 = (offset_of!(Cpu, sys) + offset_of!(SystemState, cr0)) as i32;
/// See [`RIP`].
pub const CR4: i32 = (offset_of!(Cpu, sys) + offset_of!(SystemState, cr4)) as i32;

/// Offset in the floating-point state of MXCSR.
pub const GUEST_MXCSR: i32 = offset_of!(FpuState, mxcsr) as i32;

/// Offsets in the floating-point state of the x87 FPU's registers in physical order, significands of 8 bytes each.
pub const SIGNIFICANDS: i32 = offset_of!(FpuState, significand) as i32;
/// Likewise: signs and exponents of 2 bytes each.
pub const EXPONENTS: i32 = offset_of!(FpuState, exponent) as i32;
/// Offset in the floating-point state of the x87 FPU's control word.
pub const CONTROL: i32 = offset_of!(FpuState, control) as i32;
/// See [`CONTROL`].
pub const STATUS: i32 = offset_of!(FpuState, status) as i32;
/// See [`CONTROL`]: one bit a register.
pub const TAGS: i32 = offset_of!(FpuState, tags) as i32;
/// Offsets in the floating-point state of the last instruction's pointer and selector.
pub const LAST_INSTRUCTION: [i32; 2] =
    [offset_of!(FpuState, instruction_pointer) as i32, offset_of!(FpuState, instruction_selector) as i32];
/// The same of its data.
pub const LAST_DATA: [i32; 2] = [offset_of!(FpuState, data_pointer) as i32, offset_of!(FpuState, data_selector) as i32];

/// Offset in the processor of a segment's selector.
pub fn selector(segment: u8) -> i32 {
    let at = offset_of!(Cpu, sys) + offset_of!(SystemState, segments);
    (at + usize::from(segment & 7) * size_of::<Segment>() + offset_of!(Segment, selector)) as i32
}

/// Offset in the floating-point state of a vector register.
pub const fn vector(register: u8) -> i32 {
    (offset_of!(FpuState, vectors) + register as usize * size_of::<VectorRegister>()) as i32
}

/// Offset in the processor of a segment's base.
pub fn segment_base(segment: u8) -> i32 {
    let at = offset_of!(Cpu, seg_access) + usize::from(segment & 7) * size_of::<SegmentAccess>();
    (at + offset_of!(SegmentAccess, base)) as i32
}

/// Offset in the processor of what a segment bounds: an access whose last byte is below it is allowed.
pub fn segment_bound(segment: u8, write: bool) -> i32 {
    let at = offset_of!(Cpu, seg_access) + usize::from(segment & 7) * size_of::<SegmentAccess>();
    let field = if write { offset_of!(SegmentAccess, write_bound) } else { offset_of!(SegmentAccess, read_bound) };
    (at + field) as i32
}

/// Offsets in an entry of the TLB, whose size is 32.
pub const ENTRY_READ: i32 = offset_of!(Entry, read) as i32;
/// See [`ENTRY_READ`].
pub const ENTRY_WRITE: i32 = offset_of!(Entry, write) as i32;
/// See [`ENTRY_READ`].
pub const ENTRY_ADDEND: i32 = offset_of!(Entry, addend) as i32;
const _: () = assert!(size_of::<Entry>() == 32);

/// Offsets in an entry of the TLB for fetches, whose size is 24.
pub const FETCH_KEY: i32 = offset_of!(FetchEntry, key) as i32;
/// See [`FETCH_KEY`].
pub const FETCH_PHYSICAL: i32 = offset_of!(FetchEntry, physical) as i32;
const _: () = assert!(size_of::<FetchEntry>() == 24 && FETCH_ENTRIES == 256);
