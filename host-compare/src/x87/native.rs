//! The instruction on the host's own processor: FRSTOR, the instruction, FNSAVE, which does not wait for the
//! exceptions that the instruction has raised.

#![allow(unsafe_code)]

use super::cases::Instruction;
use super::{OPERAND, Register, State};
use crate::layout::PAGE;
use crate::native::SetupError;

/// Bytes of an FNSAVE image with 32-bit words.
const IMAGE: usize = 108;
const ENVIRONMENT: usize = 28;
const REGISTER: usize = 10;

/// A page of code for one instruction and a return.
pub struct Native {
    code: *mut u8,
    operand: Box<Operand>,
}

#[repr(C, align(64))]
struct Operand([u8; OPERAND]);

impl Native {
    /// Maps the page.
    pub fn new() -> Result<Self, SetupError> {
        let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        // Below 2 GiB, so that the saved pointers keep all of their bits.
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        // SAFETY: a new mapping where the kernel likes.
        let code = unsafe { libc::mmap(std::ptr::null_mut(), PAGE as usize, rights, flags, -1, 0) };
        if code == libc::MAP_FAILED {
            return Err(SetupError::last("map code", 0));
        }
        Ok(Self { code: code.cast(), operand: Box::new(Operand([0; OPERAND])) })
    }

    /// Puts the instruction into the page, with a return behind it.
    pub fn load_code(&mut self, instruction: &Instruction) {
        // SAFETY: the page was mapped writable, and the code is not running.
        let page = unsafe { std::slice::from_raw_parts_mut(self.code, PAGE as usize) };
        page[..instruction.len].copy_from_slice(&instruction.bytes[..instruction.len]);
        page[instruction.len] = 0xC3;
    }

    /// Runs the instruction that was loaded.
    pub fn run(&mut self, before: &State) -> State {
        let mut image = to_image(before);
        self.operand.0 = before.memory;
        let mut flags = before.flags | 2;
        let mut ax = u64::from(before.ax);
        // SAFETY: the code is one x87 instruction and RET; its memory operand is at RDI, within the operand's 128
        // bytes. FNSAVE leaves the FPU as FNINIT does, which is how compiled code expects it.
        unsafe {
            std::arch::asm!(
                "frstor [{image}]",
                "push {flags}",
                "popfq",
                "call {code}",
                "pushfq",
                "pop {flags}",
                "fnsave [{image}]",
                image = in(reg) &raw mut image,
                flags = inout(reg) flags,
                code = in(reg) self.code,
                in("rdi") &raw mut self.operand.0,
                inout("rax") ax,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
            );
        }
        let mut after = from_image(&image);
        let operand = &raw const self.operand.0 as u32;
        after.instruction_pointer = after.instruction_pointer.map(|at| at.wrapping_sub(self.code as u32));
        after.data_pointer = after.data_pointer.map(|at| at.wrapping_sub(operand));
        after.memory = self.operand.0;
        after.flags = flags & emu_core::flags::STATUS;
        after.ax = ax as u16;
        after
    }
}

/// An image for FRSTOR. Pointers are left 0.
fn to_image(state: &State) -> [u8; IMAGE] {
    let mut image = [0; IMAGE];
    for (place, word) in image.chunks_exact_mut(4).zip([state.control, state.status, state.tags]) {
        place[..2].copy_from_slice(&word.to_le_bytes());
    }
    for (place, register) in image[ENVIRONMENT..].chunks_exact_mut(REGISTER).zip(&state.registers) {
        place[..8].copy_from_slice(&register.significand.to_le_bytes());
        place[8..].copy_from_slice(&register.sign_exponent.to_le_bytes());
    }
    image
}

fn from_image(image: &[u8; IMAGE]) -> State {
    let word = |at: usize| u16::from_le_bytes([image[at], image[at + 1]]);
    let double = |at: usize| u32::from(word(at)) | u32::from(word(at + 2)) << 16;
    let register = |n: usize| {
        let at = ENVIRONMENT + n * REGISTER;
        let mut low = [0; 8];
        low.copy_from_slice(&image[at..at + 8]);
        Register { significand: u64::from_le_bytes(low), sign_exponent: word(at + 8) }
    };
    State {
        control: word(0),
        status: word(4),
        tags: word(8),
        instruction_pointer: Some(double(12)).filter(|&at| at != 0),
        opcode: word(18) & 0x7FF,
        data_pointer: Some(double(20)).filter(|&at| at != 0),
        registers: std::array::from_fn(register),
        memory: [0; OPERAND],
        flags: 0,
        ax: 0,
    }
}
