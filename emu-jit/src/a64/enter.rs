//! The way into compiled code and out of it, and from it to the interpreter's handlers, on aarch64.

use super::registers::{BUDGET, PAGE, PINNED, RAM, TLB, frame};
use crate::context::{
    Calls, Context, Jumps, Remembered, STOPPED, Stopped, call, condition, keep_carry, run, set_carry,
};
use crate::layout::{
    BLOCK_LIMIT, CYCLE_COUNT, ENTRY_ADDEND, ENTRY_READ, ENTRY_WRITE, FAST_CONTEXT, INSTRUCTIONS, TLB_STAMP, gpr,
};
use dynasmrt::aarch64::Aarch64Relocation;
use dynasmrt::{DynasmApi, DynasmError, DynasmLabelApi, VecAssembler, dynasm};
use emu_core::mem::tlb::ENTRIES;
use emu_core::state::cpu::{Cpu, Env};
use std::mem::offset_of;

/// Log2 of the widest access of compiled code, bytes.
const WIDEST: usize = 4;

const _: () = assert!(ENTRIES == 4096);

/// Addresses of the code that compiled blocks share.
pub struct Thunks {
    enter: usize,
    /// Leaves; W0 is the number of the exit.
    pub exit: usize,
    /// Calls the handler of the [`Site`](crate::context::Site) at X4; comes back if the block goes on.
    pub call: usize,
    /// Whether the condition W1 holds, in bit 0 of W0; guest registers stay.
    pub condition: usize,
    /// [`keep_carry`]; guest registers stay.
    pub keep_carry: usize,
    /// [`set_carry`] to W1; guest registers stay.
    pub set_carry: usize,
    /// Of reads and of writes, by log2 of their bytes: finds the linear address X0 in the TLB and remembers it at X3. If it
    /// is there X0 is the host's address and the host's condition EQ holds, else X0 stays. X1, X2 and X4 are lost.
    pub look_up: [[usize; WIDEST + 1]; 2],
    /// Of products and of sums, of singles and of doubles: X1 = 0 if all elements of V0 and V1, the operands, and of V2, the
    /// result, are normal numbers or zeros; a result is neither the smallest normal number nor, as a product, a zero of
    /// others. V3 to V7 and V16 to V19 are lost.
    pub check: [[usize; 2]; 2],
}

/// [`Thunks::check`]. Numbers are compared as twice what they are as integers, which leaves the sign out.
fn check(asm: &mut Assembler, double: bool, sum: bool) {
    // Elements of 4 or 8 bytes.
    macro_rules! elements {
        ($size:ident, $register:ident, $shift:literal) => {
            // Twice the smallest normal number, and infinity above it.
            dynasm!(asm
                ; .arch aarch64
                ; movz $register(1), if double { 0x20 } else { 0x100 }, lsl $shift
                ; dup v16.$size, $register(1)
                ; movz $register(1), if double { 0xFFC0 } else { 0xFE00 }, lsl $shift
                ; dup v17.$size, $register(1)
                // V4, V5 and V6: those of the operands and of the result that are not normal; V18, V19 and V3: the zeros.
                ; add v18.$size, v0.$size, v0.$size
                ; add v19.$size, v1.$size, v1.$size
                ; add v3.$size, v2.$size, v2.$size
                ; sub v4.$size, v18.$size, v16.$size
                ; sub v5.$size, v19.$size, v16.$size
                ; sub v6.$size, v3.$size, v16.$size
                ; cmeq v7.$size, v6.$size, 0
                ; cmhs v4.$size, v4.$size, v17.$size
                ; cmhs v5.$size, v5.$size, v17.$size
                ; cmhs v6.$size, v6.$size, v17.$size
                ; cmeq v18.$size, v18.$size, 0
                ; cmeq v19.$size, v19.$size, 0
                ; cmeq v3.$size, v3.$size, 0
            );
        };
    }
    if double {
        elements!(d2, X, 48);
    } else {
        elements!(s4, W, 16);
    }
    dynasm!(asm ; .arch aarch64 ; bic v4.b16, v4.b16, v18.b16 ; bic v5.b16, v5.b16, v19.b16);
    if !sum {
        dynasm!(asm ; .arch aarch64 ; orr v18.b16, v18.b16, v19.b16 ; and v3.b16, v3.b16, v18.b16);
    }
    dynasm!(asm
        ; .arch aarch64
        ; bic v6.b16, v6.b16, v3.b16
        ; orr v4.b16, v4.b16, v5.b16
        ; orr v6.b16, v6.b16, v7.b16
        ; orr v4.b16, v4.b16, v6.b16
        ; umaxp v4.s4, v4.s4, v4.s4
        ; fmov x1, d4
        ; ret
    );
}

/// [`Thunks::look_up`].
fn look_up(asm: &mut Assembler, width: usize, write: bool) {
    let last = (1u32 << width) - 1;
    let tag = if write { ENTRY_WRITE } else { ENTRY_READ } as u32;
    let (entry_addend, context, stamp) = (ENTRY_ADDEND as u32, FAST_CONTEXT as u32, TLB_STAMP as u32);
    let addend = offset_of!(Remembered, addend) as u32;
    // An access across two pages finds nothing: the slot of its first page never has the tag of its last one.
    dynasm!(asm
        ; .arch aarch64
        ; lsr x1, x0, 12
        ; add x1, x1, x0, lsr 24
        ; and x1, x1, (ENTRIES - 1) as u64
        ; add x1, X(TLB), x1, lsl 5
        ; ldr x2, [x29, context]
        ; add x4, x0, last
        ; and x4, x4, 0xFFFF_FFFF_FFFF_F000
        ; orr x4, x4, x2
        ; ldr x2, [x1, tag]
        ; cmp x4, x2
        ; b.ne >missing
        ; ldr x1, [x1, entry_addend]
        ; add x1, x1, X(RAM)
        ; add x0, x0, x1
        ; and x4, x4, 0xFFFF_FFFF_FFFF_F000
        ; ldr x2, [x29, stamp]
        ; stp x4, x2, [x3]
        ; str x1, [x3, addend]
        ; missing:
        ; ret
    );
}

type Assembler = VecAssembler<Aarch64Relocation>;

/// X16 = the address of a function.
fn load_function(asm: &mut Assembler, function: usize) {
    let part = |n: usize| (function >> (16 * n)) as u32 & 0xFFFF;
    dynasm!(asm
        ; .arch aarch64
        ; movz x16, part(0)
        ; movk x16, part(1), lsl 16
        ; movk x16, part(2), lsl 32
        ; movk x16, part(3), lsl 48
    );
}

/// Stores what the guest has in host registers. X1, X2 and X3 are lost.
///
/// What the blocks cost since cycles were last stored is added to the instructions, too: the blocks themselves add how
/// many more instructions they have than cycles.
fn spill(asm: &mut Assembler) {
    for (n, pair) in PINNED.chunks(2).enumerate() {
        let (first, second, at) = (pair[0], pair[1], gpr(2 * n as u8));
        dynasm!(asm ; .arch aarch64 ; stp X(first), X(second), [x29, at]);
    }
    let (cycles, instructions) = (CYCLE_COUNT as u32, INSTRUCTIONS as u32);
    dynasm!(asm
        ; .arch aarch64
        ; ldr x1, [sp, frame::LIMIT]
        ; sub x1, x1, X(BUDGET)
        ; ldr x2, [x29, cycles]
        ; sub x2, x1, x2
        ; ldr x3, [x29, instructions]
        ; add x3, x3, x2
        ; str x3, [x29, instructions]
        ; str x1, [x29, cycles]
    );
}

/// Loads what the guest has in host registers, and what compiled code has there besides. X0 and X1 are lost.
fn reload(asm: &mut Assembler) {
    for (n, pair) in PINNED.chunks(2).enumerate() {
        let (first, second, at) = (pair[0], pair[1], gpr(2 * n as u8));
        dynasm!(asm ; .arch aarch64 ; ldp X(first), X(second), [x29, at]);
    }
    let (cycles, limit) = (CYCLE_COUNT as u32, BLOCK_LIMIT as u32);
    let (ram, tlb) = (offset_of!(Context, ram) as u32, offset_of!(Context, tlb) as u32);
    // No cycles are left where the limit was passed already.
    dynasm!(asm
        ; .arch aarch64
        ; ldr x1, [sp, frame::CONTEXT]
        ; ldr X(RAM), [x1, ram]
        ; ldr X(TLB), [x1, tlb]
        ; ldr x0, [x29, cycles]
        ; ldr x1, [x29, limit]
        ; cmp x1, x0
        ; csel x1, x0, x1, lo
        ; str x1, [sp, frame::LIMIT]
        ; sub X(BUDGET), x1, x0
    );
}

/// A call that keeps the registers of guests, and what compiled code has in others.
fn keeping_call(asm: &mut Assembler, function: usize) {
    dynasm!(asm
        ; .arch aarch64
        ; stp x6, x7, [sp, #-96]!
        ; stp x8, x9, [sp, #16]
        ; stp x10, x11, [sp, #32]
        ; stp x12, x13, [sp, #48]
        ; stp x14, x15, [sp, #64]
        ; str x30, [sp, #80]
        ; mov x0, x29
    );
    load_function(asm, function);
    dynasm!(asm
        ; .arch aarch64
        ; blr x16
        ; ldr x30, [sp, #80]
        ; ldp x14, x15, [sp, #64]
        ; ldp x12, x13, [sp, #48]
        ; ldp x10, x11, [sp, #32]
        ; ldp x8, x9, [sp, #16]
        ; ldp x6, x7, [sp], #96
        ; ret
    );
}

impl Thunks {
    /// The code, to be placed at `base`, and its addresses.
    pub fn generate(base: usize, _priced: bool) -> Result<(Vec<u8>, Self), DynasmError> {
        let mut asm = Assembler::new(base);
        let frame_size = frame::SIZE as i32;
        let fields = [
            (offset_of!(Context, jumps), frame::JUMPS),
            (offset_of!(Context, narrow_jumps), frame::NARROW_JUMPS),
            (offset_of!(Context, fetches), frame::FETCHES),
        ];
        let page = offset_of!(Context, page) as u32;
        let enter = base + asm.offset().0;
        dynasm!(asm
            ; .arch aarch64
            ; stp x29, x30, [sp, -frame_size]!
            ; stp x19, x20, [sp, #16]
            ; stp x21, x22, [sp, #32]
            ; stp x23, x24, [sp, #48]
            ; stp x25, x26, [sp, #64]
            ; stp x27, x28, [sp, #80]
            ; mov x29, x0
            ; str x1, [sp, frame::CONTEXT]
            ; ldr X(PAGE), [x1, page]
        );
        for (field, place) in fields {
            let field = field as u32;
            dynasm!(asm ; .arch aarch64 ; ldr x3, [x1, field] ; str x3, [sp, place]);
        }
        reload(&mut asm);
        dynasm!(asm ; .arch aarch64 ; br x2);
        let exit = base + asm.offset().0;
        spill(&mut asm);
        dynasm!(asm
            ; .arch aarch64
            ; ->leave:
            ; ldr x1, [sp, frame::CONTEXT]
            ; str X(PAGE), [x1, page]
            ; ldp x27, x28, [sp, #80]
            ; ldp x25, x26, [sp, #64]
            ; ldp x23, x24, [sp, #48]
            ; ldp x21, x22, [sp, #32]
            ; ldp x19, x20, [sp, #16]
            ; ldp x29, x30, [sp], frame_size
            ; ret
        );
        let call_thunk = base + asm.offset().0;
        dynasm!(asm ; .arch aarch64 ; str x30, [sp, frame::RETURN] ; str X(PAGE), [sp, frame::PAGE]);
        spill(&mut asm);
        dynasm!(asm
            ; .arch aarch64
            ; mov x0, x29
            ; ldr x1, [sp, frame::CONTEXT]
            ; mov x2, x4
            ; mov x3, X(PAGE)
        );
        load_function(&mut asm, call as *const () as usize);
        dynasm!(asm
            ; .arch aarch64
            ; blr x16
            ; ldr X(PAGE), [sp, frame::PAGE]
            ; tbz w0, #0, >stopped
        );
        reload(&mut asm);
        dynasm!(asm
            ; .arch aarch64
            ; ldr x30, [sp, frame::RETURN]
            ; ret
            ; stopped:
            ; movn w0, !STOPPED
            ; b ->leave
        );
        let condition_thunk = base + asm.offset().0;
        keeping_call(&mut asm, condition as *const () as usize);
        let keep_carry_thunk = base + asm.offset().0;
        keeping_call(&mut asm, keep_carry as *const () as usize);
        let set_carry_thunk = base + asm.offset().0;
        keeping_call(&mut asm, set_carry as *const () as usize);
        let look_up = [false, true].map(|write| {
            std::array::from_fn(|width| {
                let at = base + asm.offset().0;
                look_up(&mut asm, width, write);
                at
            })
        });
        let check = [false, true].map(|sum| {
            [false, true].map(|double| {
                let at = base + asm.offset().0;
                check(&mut asm, double, sum);
                at
            })
        });
        let (call, condition) = (call_thunk, condition_thunk);
        let (keep_carry, set_carry) = (keep_carry_thunk, set_carry_thunk);
        Ok((asm.finalize()?, Self { enter, exit, call, condition, keep_carry, set_carry, look_up, check }))
    }

    /// Runs compiled code: see [`run`].
    ///
    /// # Safety
    /// These thunks lie where they were generated for, and `code` is the address of code that was generated with them.
    pub unsafe fn run(
        &self,
        cpu: &mut Cpu,
        env: &mut Env,
        jumps: &Jumps,
        calls: &mut Calls,
        code: usize,
        page: u64,
    ) -> (u32, u64, Option<Stopped>) {
        // SAFETY: the caller says that the way in is there, and code for it.
        unsafe { run(self.enter, cpu, env, jumps, calls, code, page) }
    }
}
