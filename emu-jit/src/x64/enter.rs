//! The way into compiled code and out of it, and from it to the interpreter's handlers, on x86-64.

use super::registers::{BUDGET, COUNT_BITS, MOST_CYCLES, NO_INSTRUCTIONS, PINNED, RAX, RDX, frame};
use super::x87::{self, Area};
use crate::context::{
    Calls, Context, Jumps, Remembered, STOPPED, Stopped, call, condition, keep_carry, run, set_carry,
};
use crate::layout::{
    BLOCK_LIMIT, CR0, CR4, CYCLE_COUNT, ENTRY_ADDEND, ENTRY_READ, ENTRY_WRITE, FAST_CONTEXT, FLAG_A, FLAG_B, FLAG_BITS,
    FLAG_RESULT, FLAG_SOURCE, FPU, GUEST_MXCSR, INSTRUCTIONS, TLB_STAMP, gpr, vector,
};
use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, DynasmError, DynasmLabelApi, VecAssembler, dynasm};
use emu_core::flags::{AF, FlagSource};
use emu_core::mem::tlb::ENTRIES;
use emu_core::state::cpu::{Cpu, Env};
use emu_vmx::arch::cr::{Cr0, Cr4};
use std::cell::UnsafeCell;

/// The bits of MXCSR that mask exceptions.
const EXCEPTION_MASKS: i32 = 0x1F80;

/// Log2 of the widest access of compiled code, bytes.
const WIDEST: usize = 4;

/// Addresses of the code that compiled blocks share.
pub struct Thunks {
    enter: usize,
    /// Leaves; EAX is the number of the exit.
    pub exit: usize,
    /// Calls the handler of the [`Site`] at RDX; comes back if the block goes on.
    pub call: usize,
    /// Whether the condition EDX holds, in EAX; other guest registers stay.
    pub condition: usize,
    /// [`keep_carry`]; other guest registers stay.
    pub keep_carry: usize,
    /// [`set_carry`] to EDX; other guest registers stay.
    pub set_carry: usize,
    /// Makes AF one of the bits, and PF, ZF and SF the result's unless they are bits, too: CF and OF are to be set. RAX and
    /// RCX are lost.
    pub settle: usize,
    /// Loads the guest's vector registers and MXCSR if it may use SSE, and all exceptions are masked; whether it did, in
    /// AL. RCX is lost.
    pub vectors: usize,
    /// Makes the host's x87 FPU the guest's if the guest may use it, and all exceptions are masked; whether it did, in AL.
    /// RCX is lost.
    pub x87: usize,
    /// Of reads and of writes, by log2 of their bytes: finds the linear address RAX in the TLB and remembers it at RCX. If
    /// it is there RAX is the host's address and ZF is set, else RAX stays. RCX and RDX are lost.
    pub look_up: [[usize; WIDEST + 1]; 2],
    /// What the code names.
    _area: Box<UnsafeCell<Area>>,
}

/// [`Thunks::look_up`].
fn look_up(asm: &mut VecAssembler<X64Relocation>, width: usize, write: bool) {
    let last = (1 << width) - 1;
    let tag = if write { ENTRY_WRITE } else { ENTRY_READ };
    let offset = |field: usize| field as i32;
    dynasm!(asm
        ; .arch x64
        ; push rcx
        ; mov rcx, rax
        ; shr rcx, 12
        ; mov rdx, rax
        ; shr rdx, 24
        ; add ecx, edx
        ; and ecx, (ENTRIES - 1) as i32
        ; shl ecx, 5
        ; add rcx, [rsp + 16 + frame::TLB]
        ; lea rdx, [rax + last]
        ; and rdx, -4096
        ; or rdx, [rbp + FAST_CONTEXT]
        ; cmp rdx, [rcx + tag]
        ; jne >missing
        ; mov rcx, [rcx + ENTRY_ADDEND]
        ; add rcx, [rsp + 16 + frame::RAM]
        ; add rax, rcx
        ; mov [rsp + 16 + frame::FOUND], rcx
        ; pop rcx
        ; and rdx, -4096
        ; mov [rcx + offset(std::mem::offset_of!(Remembered, page))], rdx
        ; mov rdx, [rsp + 8 + frame::FOUND]
        ; mov [rcx + offset(std::mem::offset_of!(Remembered, addend))], rdx
        ; mov rdx, [rbp + TLB_STAMP]
        ; mov [rcx + offset(std::mem::offset_of!(Remembered, stamp))], rdx
        ; cmp rdx, rdx
        ; ret
        ; missing:
        ; pop rcx
        ; ret
    );
}

/// Stores what the guest has in host registers; the stack has grown by `depth`. RCX is lost, and `scratch`, and where the
/// guest's registers were.
///
/// What the blocks cost since cycles were last stored is how many instructions they had, too, unless `priced`.
fn spill(asm: &mut VecAssembler<X64Relocation>, priced: bool, scratch: u8, depth: i32, area: usize) {
    for (guest, host) in PINNED.into_iter().enumerate() {
        dynasm!(asm ; .arch x64 ; mov [rbp + gpr(guest as u8)], Rq(host));
    }
    dynasm!(asm ; .arch x64 ; mov Rq(scratch), [rsp + depth + frame::LIMIT]);
    if priced {
        dynasm!(asm
            ; .arch x64
            ; mov rcx, Rq(BUDGET)
            ; and ecx, (1 << COUNT_BITS) - 1
            ; sub rcx, NO_INSTRUCTIONS
            ; add [rbp + INSTRUCTIONS], rcx
            ; shr Rq(BUDGET), COUNT_BITS as i8
            ; sub Rq(scratch), Rq(BUDGET)
        );
    } else {
        dynasm!(asm
            ; .arch x64
            ; sub Rq(scratch), Rq(BUDGET)
            ; mov rcx, Rq(scratch)
            ; sub rcx, [rbp + CYCLE_COUNT]
            ; add [rbp + INSTRUCTIONS], rcx
        );
    }
    dynasm!(asm ; .arch x64 ; mov [rbp + CYCLE_COUNT], Rq(scratch));
    unload_vectors(asm, depth);
    x87::unload(asm, depth, area);
}

/// Gives the host its vector registers back. RCX is lost.
pub fn unload_vectors(asm: &mut VecAssembler<X64Relocation>, depth: i32) {
    dynasm!(asm
        ; .arch x64
        ; cmp BYTE [rsp + depth + frame::VECTORS], 0
        ; je >unloaded
        ; mov rcx, [rbp + FPU]
    );
    for register in 0..16 {
        dynasm!(asm ; .arch x64 ; movups [rcx + vector(register)], Rx(register));
    }
    dynasm!(asm
        ; .arch x64
        ; stmxcsr [rcx + GUEST_MXCSR]
        ; ldmxcsr [rsp + depth + frame::MXCSR]
        ; mov BYTE [rsp + depth + frame::VECTORS], 0
        ; unloaded:
    );
}

/// Loads what the guest has in host registers. RCX and RDX are lost.
fn reload(asm: &mut VecAssembler<X64Relocation>, priced: bool, depth: i32) {
    for (guest, host) in PINNED.into_iter().enumerate() {
        dynasm!(asm ; .arch x64 ; mov Rq(host), [rbp + gpr(guest as u8)]);
    }
    // No cycles are left where the limit was passed already.
    dynasm!(asm
        ; .arch x64
        ; mov rdx, [rbp + CYCLE_COUNT]
        ; mov rcx, [rbp + BLOCK_LIMIT]
        ; cmp rcx, rdx
        ; cmovb rcx, rdx
    );
    if priced {
        dynasm!(asm
            ; .arch x64
            ; lea Rq(BUDGET), [rdx + MOST_CYCLES]
            ; cmp rcx, Rq(BUDGET)
            ; cmova rcx, Rq(BUDGET)
        );
    }
    dynasm!(asm
        ; .arch x64
        ; mov [rsp + depth + frame::LIMIT], rcx
        ; sub rcx, rdx
        ; mov Rq(BUDGET), rcx
    );
    if priced {
        dynasm!(asm ; .arch x64 ; shl Rq(BUDGET), COUNT_BITS as i8 ; add Rq(BUDGET), NO_INSTRUCTIONS);
    }
}

/// A call that keeps the registers of guests; the function must do without the x87 FPU, which stays the guest's.
fn keeping_call(asm: &mut VecAssembler<X64Relocation>, function: usize) {
    unload_vectors(asm, 8);
    dynasm!(asm
        ; .arch x64
        ; push rsi ; push rdi ; push r8 ; push r9 ; push r10 ; push r11
        ; sub rsp, 8
        ; mov rdi, rbp
        ; mov esi, edx
        ; mov rax, QWORD function as i64
        ; call rax
        ; add rsp, 8
        ; pop r11 ; pop r10 ; pop r9 ; pop r8 ; pop rdi ; pop rsi
        ; ret
    );
}

/// [`Thunks::vectors`].
fn load_vectors(asm: &mut VecAssembler<X64Relocation>) {
    let unusable = (Cr0::EM | Cr0::TS).bits() as i32;
    let usable = Cr4::OSFXSR.bits() as i32;
    dynasm!(asm
        ; .arch x64
        ; test DWORD [rbp + CR0], unusable
        ; jnz >refused
        ; test DWORD [rbp + CR4], usable
        ; jz >refused
        ; mov rcx, [rbp + FPU]
        ; mov eax, [rcx + GUEST_MXCSR]
        ; not eax
        ; test eax, EXCEPTION_MASKS
        ; jnz >refused
        ; ldmxcsr [rcx + GUEST_MXCSR]
    );
    for register in 0..16 {
        dynasm!(asm ; .arch x64 ; movups Rx(register), [rcx + vector(register)]);
    }
    dynasm!(asm
        ; .arch x64
        ; mov BYTE [rsp + 8 + frame::VECTORS], 1
        ; mov al, 1
        ; ret
        ; refused:
        ; xor eax, eax
        ; ret
    );
}

/// [`Thunks::settle`], as [`Flags::set_cf_of`](emu_core::flags::Flags::set_cf_of) does it.
fn settle(asm: &mut VecAssembler<X64Relocation>) {
    dynasm!(asm
        ; .arch x64
        ; movzx eax, BYTE [rbp + FLAG_SOURCE]
        ; test eax, eax
        ; jz >settled
        ; cmp al, FlagSource::Result as i8
        ; je >settled
        ; cmp al, FlagSource::Logic as i8
        ; mov eax, 0
        ; jae >clear
        ; mov rax, [rbp + FLAG_A]
        ; xor rax, [rbp + FLAG_B]
        ; xor rax, [rbp + FLAG_RESULT]
        ; and eax, AF as i32
        ; clear:
        ; mov rcx, [rbp + FLAG_BITS]
        ; and rcx, !(AF as i32)
        ; or rcx, rax
        ; mov [rbp + FLAG_BITS], rcx
        ; mov BYTE [rbp + FLAG_SOURCE], FlagSource::Result as i8
        ; settled:
        ; ret
    );
}

impl Thunks {
    /// The code, to be placed at `base`, and its addresses, which must live as long as the code: for blocks that are
    /// `priced` as [`Source`](emu_core::block::tier::Source) says, or for others.
    pub fn generate(base: usize, priced: bool) -> Result<(Vec<u8>, Self), DynasmError> {
        let kept = Box::<UnsafeCell<Area>>::default();
        let area = kept.get() as usize;
        let mut asm = VecAssembler::<X64Relocation>::new(base);
        let offset = |field: usize| field as i32;
        let enter = base + asm.offset().0;
        dynasm!(asm
            ; .arch x64
            ; push rbx ; push rbp ; push r12 ; push r13 ; push r14 ; push r15
            ; sub rsp, frame::SIZE
            ; mov rbp, rdi
            ; mov [rsp + frame::CONTEXT], rsi
            ; mov rax, [rsi + offset(std::mem::offset_of!(Context, ram))]
            ; mov [rsp + frame::RAM], rax
            ; mov rax, [rsi + offset(std::mem::offset_of!(Context, tlb))]
            ; mov [rsp + frame::TLB], rax
            ; mov rax, [rsi + offset(std::mem::offset_of!(Context, fetches))]
            ; mov [rsp + frame::FETCHES], rax
            ; mov rax, [rsi + offset(std::mem::offset_of!(Context, jumps))]
            ; mov [rsp + frame::JUMPS], rax
            ; mov rax, [rsi + offset(std::mem::offset_of!(Context, narrow_jumps))]
            ; mov [rsp + frame::NARROW_JUMPS], rax
            ; mov rax, [rsi + offset(std::mem::offset_of!(Context, page))]
            ; mov [rsp + frame::PAGE], rax
            ; stmxcsr [rsp + frame::MXCSR]
            ; mov DWORD [rsp + frame::VECTORS], 0
            ; mov rax, rdx
        );
        reload(&mut asm, priced, 0);
        dynasm!(asm ; .arch x64 ; jmp rax);
        let exit = base + asm.offset().0;
        spill(&mut asm, priced, RDX, 0, area);
        dynasm!(asm
            ; .arch x64
            ; ->leave:
            ; mov rcx, [rsp + frame::CONTEXT]
            ; mov rdx, [rsp + frame::PAGE]
            ; mov [rcx + offset(std::mem::offset_of!(Context, page))], rdx
            ; add rsp, frame::SIZE
            ; pop r15 ; pop r14 ; pop r13 ; pop r12 ; pop rbp ; pop rbx
            ; ret
        );
        let call_thunk = base + asm.offset().0;
        spill(&mut asm, priced, RAX, 8, area);
        dynasm!(asm
            ; .arch x64
            ; mov rdi, rbp
            ; mov rsi, [rsp + 8 + frame::CONTEXT]
            ; mov rcx, [rsp + 8 + frame::PAGE]
            ; sub rsp, 8
            ; mov rax, QWORD call as *const () as i64
            ; call rax
            ; add rsp, 8
            ; test al, al
            ; jz >stopped
        );
        reload(&mut asm, priced, 8);
        dynasm!(asm
            ; .arch x64
            ; ret
            ; stopped:
            // The host predicts returns by counting calls: this one returns, too, if not to where it was called.
            ; lea rax, [->left]
            ; mov [rsp], rax
            ; ret
            ; ->left:
            ; mov Rd(RAX), DWORD STOPPED as i32
            ; jmp ->leave
        );
        let condition_thunk = base + asm.offset().0;
        keeping_call(&mut asm, condition as *const () as usize);
        let keep_carry_thunk = base + asm.offset().0;
        keeping_call(&mut asm, keep_carry as *const () as usize);
        let set_carry_thunk = base + asm.offset().0;
        keeping_call(&mut asm, set_carry as *const () as usize);
        let settle_thunk = base + asm.offset().0;
        settle(&mut asm);
        let vectors = base + asm.offset().0;
        load_vectors(&mut asm);
        let x87 = base + asm.offset().0;
        x87::load(&mut asm, area);
        let look_up = [false, true].map(|write| {
            std::array::from_fn(|width| {
                let at = base + asm.offset().0;
                look_up(&mut asm, width, write);
                at
            })
        });
        let (call, condition, keep_carry) = (call_thunk, condition_thunk, keep_carry_thunk);
        let (set_carry, settle) = (set_carry_thunk, settle_thunk);
        let thunks =
            Self { enter, exit, call, condition, keep_carry, set_carry, settle, vectors, x87, look_up, _area: kept };
        Ok((asm.finalize()?, thunks))
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
