//! The way into compiled code and out of it, and from it to the interpreter's handlers.

use crate::layout::{
    BLOCK_LIMIT, BUDGET, CR0, CR4, CYCLE_COUNT, ENTRY_ADDEND, ENTRY_READ, ENTRY_WRITE, FAST_CONTEXT, FLAG_A, FLAG_B,
    FLAG_BITS, FLAG_RESULT, FLAG_SOURCE, FPU, GUEST_MXCSR, INSTRUCTIONS, PINNED, RAX, RDX, TLB_STAMP, frame, gpr,
    vector,
};
use crate::x87;
use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, DynasmError, DynasmLabelApi, VecAssembler, dynasm};
use emu_core::exec::table::execute;
use emu_core::fault::Exec;
use emu_core::flags::{AF, FlagSource};
use emu_core::ir::op::ROWS;
use emu_core::ir::uop::Uop;
use emu_core::mem::tlb::{ENTRIES, Entry, FetchEntry};
use emu_core::state::cpu::{Cpu, Env};
use emu_core::state::scratch::Flow;
use emu_vmx::arch::cr::{Cr0, Cr4};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// The bits of MXCSR that mask exceptions.
const EXCEPTION_MASKS: i32 = 0x1F80;

/// What [`Thunks::exit`] is told when a handler has ended the run.
pub const STOPPED: u32 = u32::MAX;

/// A target of indirect jumps, and of those to other pages.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Jump {
    /// RIP.
    pub rip: u64,
    /// The physical page that its fetch must have.
    pub page: u64,
    /// Address of the compiled block there.
    pub code: u64,
    /// Keeps the size a power of two.
    pub unused: u64,
}

/// Log2 of the number of jumps that are remembered.
pub const JUMP_BITS: u32 = 12;
/// No jump: no address of code is odd and at the end of the address space.
pub const NO_JUMP: Jump = Jump { rip: u64::MAX, page: u64::MAX, code: 0, unused: 0 };

/// The targets of 32-bit code, and those of 64-bit mode.
pub type Jumps = [Box<[Jump; 1 << JUMP_BITS]>; 2];

/// The slot of a jump's target.
pub fn jump_slot(rip: u64) -> usize {
    (rip ^ rip >> 12) as usize & ((1 << JUMP_BITS) - 1)
}

/// What compiled code is lent while it runs, and what it leaves.
#[repr(C)]
pub struct Context {
    ram: *mut u8,
    tlb: *const Entry,
    fetches: *const FetchEntry,
    jumps: *const Jump,
    narrow_jumps: *const Jump,
    /// RIP of the first byte of the page that runs.
    page: u64,
    env: *mut Env<'static>,
    stopped: Option<Stopped>,
    panic: Option<Box<dyn Any + Send>>,
    calls: *mut Calls,
}

/// How often the handler of an operation was called, by the operation's number.
pub type Calls = [u64; ROWS];

/// Where a handler has ended the run.
#[derive(Debug, Clone, Copy)]
pub struct Stopped {
    /// The compiled block.
    pub code: u32,
    /// RIP of its first instruction.
    pub start: u64,
    /// What the handler gave back.
    pub result: Exec,
}

/// A micro-op as the code that calls its handler names it.
#[derive(Debug, Clone, Copy)]
pub struct Site {
    /// The micro-op.
    pub uop: Uop,
    /// How many follow it in its block.
    pub rest: u16,
    /// Offset of the block in its page.
    pub place: u16,
    /// The compiled block.
    pub code: u32,
    /// How the block goes.
    pub flow: Flow,
}

/// Executes a micro-op by its handler; whether the code may go on behind it.
///
/// # Safety
/// The three are the addresses that compiled code was entered with, and of a [`Site`] of its own.
unsafe extern "sysv64" fn call(cpu: *mut Cpu, context: *mut Context, site: *const Site, page: u64) -> bool {
    // SAFETY: `run` was lent these three exclusively, holds no reference to them while compiled code runs, and outlives
    // it. Sites live as long as the code that names them.
    let (cpu, context, site) = unsafe { (&mut *cpu, &mut *context, &*site) };
    // SAFETY: the same of what the context points to; nobody else uses it, and its lifetime ends behind `run`'s.
    let env = unsafe { &mut *context.env };
    // SAFETY: as of the environment.
    let calls = unsafe { &mut *context.calls };
    calls[site.uop.operation() as usize % ROWS] += 1;
    let start = page.wrapping_add(site.place.into());
    cpu.set_rip(start);
    cpu.scratch.flow = site.flow;
    // A panic must not pass compiled code, of which the unwinder knows nothing.
    let result = match catch_unwind(AssertUnwindSafe(|| execute(cpu, env, &site.uop, &[]))) {
        Ok(result) => result,
        Err(panic) => {
            context.panic = Some(panic);
            return false;
        }
    };
    if result.is_ok() && !cpu.scratch.flow.branched && !cpu.leaves_block() {
        return true;
    }
    cpu.scratch.undone = usize::from(site.rest) + usize::from(result.is_err());
    context.stopped = Some(Stopped { code: site.code, start, result });
    false
}

/// Whether a condition of Jcc holds, when nothing is known about where the flags come from.
///
/// # Safety
/// `cpu` is the address that compiled code was entered with.
unsafe extern "sysv64" fn condition(cpu: *const Cpu, code: u32) -> bool {
    // SAFETY: `run` was lent it exclusively and holds no reference to it while compiled code runs.
    unsafe { &*cpu }.flags.condition(code as u8)
}

/// Puts CF where INC and DEC leave it.
///
/// # Safety
/// As of [`condition`].
unsafe extern "sysv64" fn keep_carry(cpu: *mut Cpu) {
    // SAFETY: `run` was lent it exclusively and holds no reference to it while compiled code runs.
    let flags = unsafe { &mut (*cpu).flags };
    let carry = flags.cf();
    flags.set_cf(carry);
}

/// Sets CF, and leaves the other flags as they are.
///
/// # Safety
/// As of [`condition`].
unsafe extern "sysv64" fn set_carry(cpu: *mut Cpu, on: u32) {
    // SAFETY: `run` was lent it exclusively and holds no reference to it while compiled code runs.
    unsafe { &mut *cpu }.flags.set_cf(on != 0);
}

/// The translation that a memory access has used last: it is used again, and the TLB not asked, as long as that says the
/// same of it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Remembered {
    /// Linear address of its page.
    pub page: u64,
    /// [`Tlb::stamp`](emu_core::mem::tlb::Tlb::stamp) of then.
    pub stamp: u64,
    /// Added to the linear address, it gives the host's.
    pub addend: u64,
}

/// Nothing is remembered: no TLB has had this stamp.
pub const NOTHING: Remembered = Remembered { page: 0, stamp: u64::MAX, addend: 0 };

/// Log2 of the widest access of compiled code, bytes.
const WIDEST: usize = 4;

/// Addresses of the code that compiled blocks share.
#[derive(Debug, Clone, Copy)]
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
/// What the blocks cost since cycles were last stored is added to the instructions, too: the blocks themselves add how
/// many more instructions they have than cycles.
fn spill(asm: &mut VecAssembler<X64Relocation>, scratch: u8, depth: i32, area: usize) {
    for (guest, host) in PINNED.into_iter().enumerate() {
        dynasm!(asm ; .arch x64 ; mov [rbp + gpr(guest as u8)], Rq(host));
    }
    dynasm!(asm
        ; .arch x64
        ; mov Rq(scratch), [rsp + depth + frame::LIMIT]
        ; sub Rq(scratch), Rq(BUDGET)
        ; mov rcx, Rq(scratch)
        ; sub rcx, [rbp + CYCLE_COUNT]
        ; add [rbp + INSTRUCTIONS], rcx
        ; mov [rbp + CYCLE_COUNT], Rq(scratch)
    );
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
fn reload(asm: &mut VecAssembler<X64Relocation>, depth: i32) {
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
        ; mov [rsp + depth + frame::LIMIT], rcx
        ; sub rcx, rdx
        ; mov Rq(BUDGET), rcx
    );
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
    /// The code, to be placed at `base`, and its addresses. `area` is the address of an [`Area`](x87::Area), which must live
    /// as long as the code.
    pub fn generate(base: usize, area: usize) -> Result<(Vec<u8>, Self), DynasmError> {
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
        reload(&mut asm, 0);
        dynasm!(asm ; .arch x64 ; jmp rax);
        let exit = base + asm.offset().0;
        spill(&mut asm, RDX, 0, area);
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
        spill(&mut asm, RAX, 8, area);
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
        reload(&mut asm, 8);
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
        let thunks = Self { enter, exit, call, condition, keep_carry, set_carry, settle, vectors, x87, look_up };
        Ok((asm.finalize()?, thunks))
    }

    /// Runs the compiled block at address `code`, whose page's first byte has RIP `page`: the number of the exit, the
    /// present page's RIP, and where a handler has ended the run if the exit is [`STOPPED`].
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
        let mut context = Context {
            ram: env.ram.base(),
            tlb: cpu.tlb.all().as_ptr(),
            fetches: cpu.tlb.all_fetches().as_ptr(),
            jumps: jumps[usize::from(true)].as_ptr(),
            narrow_jumps: jumps[usize::from(false)].as_ptr(),
            page,
            env: ptr::from_mut(env).cast(),
            stopped: None,
            panic: None,
            calls,
        };
        // SAFETY: the caller says that there is code of this type.
        let enter: unsafe extern "sysv64" fn(*mut Cpu, *mut Context, usize) -> u32 =
            unsafe { std::mem::transmute(self.enter) };
        // SAFETY: the pointers are to what this function was lent, or owns; the TLB's tables and guest memory stay where
        // they are while handlers run.
        let exit = unsafe { enter(cpu, &mut context, code) };
        if let Some(panic) = context.panic.take() {
            std::panic::resume_unwind(panic);
        }
        (exit, context.page, context.stopped)
    }
}
