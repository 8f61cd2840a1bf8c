//! What compiled code is lent while it runs, and the functions of Rust that it calls, whatever host it is of.

use emu_core::block::tier::Source;
use emu_core::exec::table::execute;
use emu_core::fault::Exec;
use emu_core::ir::op::ROWS;
use emu_core::ir::uop::Uop;
use emu_core::mem::tlb::{Entry, FetchEntry};
use emu_core::state::cpu::{Cpu, Env};
use emu_core::state::scratch::Flow;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// The number that compiled code gives back instead of an exit's when a handler has ended the run.
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
    /// Where guest memory begins.
    pub ram: *mut u8,
    /// Where the TLB's entries begin.
    pub tlb: *const Entry,
    /// Where the TLB's entries for fetches begin.
    pub fetches: *const FetchEntry,
    /// The table of jumps of 64-bit mode.
    pub jumps: *const Jump,
    /// The table of jumps of 32-bit code.
    pub narrow_jumps: *const Jump,
    /// RIP of the first byte of the page that runs.
    pub page: u64,
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

impl Site {
    /// Those of the compiled block `code`.
    pub fn of_block(source: &Source, code: u32) -> Box<[Self]> {
        let count = source.uops.len();
        let flow = Flow { branched: false, exact: count == 1 };
        let site =
            |(n, uop): (usize, &Uop)| Self { uop: *uop, rest: (count - n - 1) as u16, place: source.place, code, flow };
        source.uops.iter().enumerate().map(site).collect()
    }
}

/// Executes a micro-op by its handler; whether the code may go on behind it.
///
/// # Safety
/// The three are the addresses that compiled code was entered with, and of a [`Site`] of its own.
pub unsafe extern "C" fn call(cpu: *mut Cpu, context: *mut Context, site: *const Site, page: u64) -> bool {
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
    if result.is_ok() && !cpu.scratch.flow.branched && (!cpu.leaves_block() || cpu.resume_block()) {
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
pub unsafe extern "C" fn condition(cpu: *const Cpu, code: u32) -> bool {
    // SAFETY: `run` was lent it exclusively and holds no reference to it while compiled code runs.
    unsafe { &*cpu }.flags.condition(code as u8)
}

/// Puts CF where INC and DEC leave it.
///
/// # Safety
/// As of [`condition`].
pub unsafe extern "C" fn keep_carry(cpu: *mut Cpu) {
    // SAFETY: `run` was lent it exclusively and holds no reference to it while compiled code runs.
    let flags = unsafe { &mut (*cpu).flags };
    let carry = flags.cf();
    flags.set_cf(carry);
}

/// Sets CF, and leaves the other flags as they are.
///
/// # Safety
/// As of [`condition`].
pub unsafe extern "C" fn set_carry(cpu: *mut Cpu, on: u32) {
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

/// Runs the compiled block at address `code`, whose page's first byte has RIP `page`, through the code at `enter`: the
/// number of the exit, the present page's RIP, and where a handler has ended the run if the exit is [`STOPPED`].
///
/// # Safety
/// At `enter` is the way into compiled code, which takes a processor, a [`Context`] and `code`, the address of code that
/// was generated to be entered by it.
pub unsafe fn run(
    enter: usize,
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
    let enter: unsafe extern "C" fn(*mut Cpu, *mut Context, usize) -> u32 = unsafe { std::mem::transmute(enter) };
    // SAFETY: the pointers are to what this function was lent, or owns; the TLB's tables and guest memory stay where
    // they are while handlers run.
    let exit = unsafe { enter(cpu, &mut context, code) };
    if let Some(panic) = context.panic.take() {
        std::panic::resume_unwind(panic);
    }
    (exit, context.page, context.stopped)
}
