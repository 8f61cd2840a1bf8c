//! The instruction on the host's own processor.
//!
//! A stub loads all registers from a page at a fixed low address (so that it needs no register itself), jumps to the
//! instruction, and stores all registers afterwards. Exceptions arrive as signals on their own stack; the handler notes
//! them and continues at the store.

#![allow(unsafe_code)]

use crate::fpu::{AREA, Fpu};
use crate::generate::Case;
use crate::layout::{AT, CONTEXT, DATA, EXIT, HIGH_CODE, HIGH_DATA, LOW_CODE, LOW_DATA, PAGE, WRITABLE};
use emu_core::flags;
use std::arch::global_asm;
use std::ptr;
use std::sync::OnceLock;

/// Linux's selectors for user code.
const CS64: u64 = 0x33;
const CS32: u16 = 0x23;
const NO_TRAP: u64 = u64::MAX;

/// What a run left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// General registers.
    pub gpr: [u64; 16],
    /// RFLAGS.
    pub flags: u64,
    /// RIP, of the next instruction or of the one that faulted.
    pub rip: u64,
    /// Exception: vector, error code, CR2 (0 unless a page fault).
    pub fault: Option<(u8, u32, u64)>,
    /// x87 and vector registers.
    pub fpu: Fpu,
}

/// The page at [`CONTEXT`]; the stub knows the offsets.
#[repr(C)]
struct Context {
    gpr: [u64; 16],
    flags: u64,
    host_rsp: u64,
    entry: u64,
    entry32: u32,
    entry32_selector: u16,
    _pad: u16,
    out_gpr: [u64; 16],
    out_flags: u64,
    trap: u64,
    error: u64,
    cr2: u64,
    rip: u64,
    active: u64,
    host_mxcsr: u32,
    host_control: u32,
    _gap: [u8; 0x400 - 0x158],
    fpu: [u8; AREA],
    _gap2: [u8; 0xC0],
    out_fpu: [u8; AREA],
}

const _: () = assert!(std::mem::offset_of!(Context, fpu) == 0x400);
const _: () = assert!(std::mem::offset_of!(Context, out_fpu) == 0x800);
const _: () = assert!(std::mem::offset_of!(Context, host_mxcsr) == 0x150);

global_asm!(
    ".globl host_compare_enter",
    "host_compare_enter:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [0x23456088], rsp",
    "stmxcsr [0x23456150]",
    "fnstcw [0x23456154]",
    // x87, SSE and AVX state.
    "mov eax, 7",
    "xor edx, edx",
    "xrstor64 [0x23456400]",
    "push qword ptr [0x23456080]",
    "popfq",
    "mov rax, [0x23456000]",
    "mov rcx, [0x23456008]",
    "mov rdx, [0x23456010]",
    "mov rbx, [0x23456018]",
    "mov rsp, [0x23456020]",
    "mov rbp, [0x23456028]",
    "mov rsi, [0x23456030]",
    "mov r8, [0x23456040]",
    "mov r9, [0x23456048]",
    "mov r10, [0x23456050]",
    "mov r11, [0x23456058]",
    "mov r12, [0x23456060]",
    "mov r13, [0x23456068]",
    "mov r14, [0x23456070]",
    "mov r15, [0x23456078]",
    "mov rdi, [0x23456038]",
    // A selector of 0 says 64-bit code.
    "jmp qword ptr [0x23456090]",
    ".globl host_compare_enter32",
    "host_compare_enter32:",
    "jmp fword ptr [0x23456098]",
    ".globl host_compare_exit",
    "host_compare_exit:",
    "mov [0x234560a0], rax",
    "mov [0x234560a8], rcx",
    "mov [0x234560b0], rdx",
    "mov [0x234560b8], rbx",
    "mov [0x234560c0], rsp",
    "mov [0x234560c8], rbp",
    "mov [0x234560d0], rsi",
    "mov [0x234560d8], rdi",
    "mov [0x234560e0], r8",
    "mov [0x234560e8], r9",
    "mov [0x234560f0], r10",
    "mov [0x234560f8], r11",
    "mov [0x23456100], r12",
    "mov [0x23456108], r13",
    "mov [0x23456110], r14",
    "mov [0x23456118], r15",
    "mov rsp, [0x23456088]",
    "pushfq",
    "pop qword ptr [0x23456120]",
    "cld",
    "mov eax, 7",
    "xor edx, edx",
    "xsave64 [0x23456800]",
    "vzeroupper",
    "fninit",
    "fldcw [0x23456154]",
    "ldmxcsr [0x23456150]",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
);

unsafe extern "C" {
    fn host_compare_enter();
    fn host_compare_enter32();
    fn host_compare_exit();
}

/// The pages and the signal handlers; one to a process, since the addresses are fixed.
pub struct Native {
    context: *mut Context,
    /// Writable view of the code page.
    code: *mut u8,
    /// Writable view of all data.
    data: *mut u8,
}

/// Setting up the host failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {what} at {address:#x}: {error}")]
pub struct SetupError {
    what: &'static str,
    address: u64,
    error: String,
}

static SET_UP: OnceLock<()> = OnceLock::new();

fn failed(what: &'static str, address: u64) -> SetupError {
    SetupError::last(what, address)
}

impl SetupError {
    /// The last error of the operating system.
    pub fn last(what: &'static str, address: u64) -> Self {
        Self { what, address, error: std::io::Error::last_os_error().to_string() }
    }
}

fn map(address: u64, len: usize, protection: i32, file: i32, offset: u64) -> Result<*mut u8, SetupError> {
    let kind = if file < 0 { libc::MAP_PRIVATE | libc::MAP_ANONYMOUS } else { libc::MAP_SHARED };
    let fixed = if address != 0 { libc::MAP_FIXED_NOREPLACE } else { 0 };
    // SAFETY: a new mapping; MAP_FIXED_NOREPLACE never takes the place of one that exists.
    let place = unsafe {
        libc::mmap(
            address as *mut libc::c_void,
            len,
            protection,
            kind | fixed | libc::MAP_POPULATE,
            file,
            offset as libc::off_t,
        )
    };
    if place == libc::MAP_FAILED || (address != 0 && place as u64 != address) {
        return Err(failed("map memory", address));
    }
    Ok(place.cast())
}

impl Native {
    /// Maps the pages and takes the signals of exceptions. Only once in a process.
    pub fn new() -> Result<Self, SetupError> {
        if SET_UP.set(()).is_err() {
            return Err(SetupError { what: "set up twice", address: CONTEXT, error: "one instance only".into() });
        }
        let (read, write, execute) = (libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC);
        let context = map(CONTEXT, PAGE as usize, read | write, -1, 0)?.cast::<Context>();
        let exit = map(EXIT, PAGE as usize, read | write | execute, -1, 0)?;
        // SAFETY: a file of its own; nothing else knows it.
        let file = unsafe { libc::memfd_create(c"host-compare".as_ptr(), 0) };
        // SAFETY: the file was just made.
        if file < 0 || unsafe { libc::ftruncate(file, (DATA as u64 + PAGE) as libc::off_t) } != 0 {
            return Err(failed("make a memory file", 0));
        }
        for base in [LOW_DATA, HIGH_DATA] {
            map(base, WRITABLE, read | write, file, 0)?;
            map(base + WRITABLE as u64, DATA - WRITABLE, read, file, WRITABLE as u64)?;
        }
        for base in [LOW_CODE, HIGH_CODE] {
            map(base, PAGE as usize, read | execute, file, DATA as u64)?;
        }
        let data = map(0, DATA, read | write, file, 0)?;
        let code = map(0, PAGE as usize, read | write, file, DATA as u64)?;
        let exit_at = host_compare_exit as *const () as u64;
        // SAFETY: both views were just mapped and have a page.
        unsafe {
            ptr::write_bytes(code, 0xCC, PAGE as usize);
            ptr::copy_nonoverlapping(jump_to(exit_at).as_ptr(), exit, 14);
            // The handler reads the page of the context at its fixed address.
            (*context).active = 0;
        }
        take_signals()?;
        // 32-bit code needs usable data segments.
        // SAFETY: 2Bh is Linux's flat user data segment; 64-bit code ignores DS and ES.
        unsafe { std::arch::asm!("mov ds, {0:e}", "mov es, {0:e}", in(reg) 0x2B) };
        Ok(Self { context, code, data })
    }

    /// The data, all three pages.
    pub fn data(&self) -> &[u8] {
        // SAFETY: mapped for the life of the process; only the stub writes it, and it is not running.
        unsafe { std::slice::from_raw_parts(self.data, DATA) }
    }

    /// The data, for setting up a case.
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `data`; `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.data, DATA) }
    }

    /// The code page as it is now.
    pub fn code(&self) -> &[u8] {
        // SAFETY: as for `data`.
        unsafe { std::slice::from_raw_parts(self.code, PAGE as usize) }
    }

    /// Puts the instruction into the code page, with the way out behind it unless it may branch; the rest is INT3.
    pub fn load_code(&mut self, case: &Case) {
        // SAFETY: as for `data`.
        let page = unsafe { std::slice::from_raw_parts_mut(self.code, PAGE as usize) };
        page[AT..AT + 32].fill(0xCC);
        let end = AT + case.len;
        page[AT..end].copy_from_slice(&case.bytes[..case.len]);
        if case.branches {
            return;
        }
        if case.wide {
            page[end..end + 14].copy_from_slice(&jump_to(host_compare_exit as *const () as u64));
        } else {
            page[end] = 0xEA;
            page[end + 1..end + 5].copy_from_slice(&(EXIT as u32).to_le_bytes());
            page[end + 5..end + 7].copy_from_slice(&(CS64 as u16).to_le_bytes());
        }
    }

    /// Runs the instruction that was loaded.
    pub fn run(&mut self, case: &Case) -> Outcome {
        let start = case.start();
        // SAFETY: the context page is mapped for the life of the process. The stub keeps the registers that the
        // calling convention wants kept, and comes back by the code behind the instruction or by the handler.
        unsafe {
            let context = self.context;
            (*context).gpr = case.gpr;
            (*context).flags = case.flags;
            (*context).trap = NO_TRAP;
            case.fpu.to_area(&mut (*context).fpu);
            ptr::write_bytes((&raw mut (*context).out_fpu).cast::<u8>().add(512), 0, 64);
            if case.wide {
                (*context).entry = start;
            } else {
                (*context).entry = host_compare_enter32 as *const () as u64;
                (*context).entry32 = start as u32;
                (*context).entry32_selector = CS32;
            }
            ptr::write_volatile(&raw mut (*context).active, 1);
            host_compare_enter();
            ptr::write_volatile(&raw mut (*context).active, 0);
            let mut outcome = Outcome {
                gpr: (*context).out_gpr,
                flags: (*context).out_flags & flags::DEFINED & !flags::RF,
                rip: start + case.len as u64,
                fault: None,
                fpu: Fpu::from_area(&(*context).out_fpu),
            };
            let (trap, error, cr2, rip) = ((*context).trap, (*context).error, (*context).cr2, (*context).rip);
            match trap {
                NO_TRAP => {}
                // INT3 around the instruction: it branched there.
                3 => outcome.rip = rip.wrapping_sub(1),
                // The fetch at a branch's target failed: the branch itself completed.
                14 if error & 16 != 0 && rip == cr2 && rip != start => outcome.rip = rip,
                _ => {
                    outcome.rip = rip;
                    outcome.fault = Some((trap as u8, error as u32, if trap == 14 { cr2 } else { 0 }));
                }
            }
            if !case.wide {
                for register in &mut outcome.gpr[..8] {
                    *register &= 0xFFFF_FFFF;
                }
                outcome.gpr[8..].copy_from_slice(&case.gpr[8..]);
            }
            outcome
        }
    }
}

/// JMP [RIP]; the target.
fn jump_to(target: u64) -> [u8; 14] {
    let mut bytes = [0; 14];
    bytes[..2].copy_from_slice(&[0xFF, 0x25]);
    bytes[6..].copy_from_slice(&target.to_le_bytes());
    bytes
}

fn take_signals() -> Result<(), SetupError> {
    const STACK: usize = 1 << 16;
    let stack = map(0, STACK, libc::PROT_READ | libc::PROT_WRITE, -1, 0)?;
    let alternate = libc::stack_t { ss_sp: stack.cast(), ss_flags: 0, ss_size: STACK };
    // SAFETY: the stack stays mapped; the handler has the signature that SA_SIGINFO asks for.
    unsafe {
        if libc::sigaltstack(&alternate, ptr::null_mut()) != 0 {
            return Err(failed("set a signal stack", stack as u64));
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP] {
            if libc::sigaction(signal, &action, ptr::null_mut()) != 0 {
                return Err(failed("take a signal", signal as u64));
            }
        }
    }
    Ok(())
}

extern "C" fn handler(signal: i32, _info: *mut libc::siginfo_t, frame: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid frame; the context page is mapped before the handler is installed.
    unsafe {
        let context = CONTEXT as *mut Context;
        if ptr::read_volatile(&raw const (*context).active) == 0 {
            // Not ours: let it end the process as it would have.
            libc::signal(signal, libc::SIG_DFL);
            return;
        }
        let registers = &mut (*frame.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let register = |n: i32| registers[n as usize] as u64;
        (*context).trap = register(libc::REG_TRAPNO);
        (*context).error = register(libc::REG_ERR);
        (*context).cr2 = register(libc::REG_CR2);
        (*context).rip = register(libc::REG_RIP);
        let selectors = register(libc::REG_CSGSFS);
        registers[libc::REG_RIP as usize] = host_compare_exit as *const () as i64;
        registers[libc::REG_CSGSFS as usize] = (selectors & !0xFFFF | CS64) as i64;
    }
}
