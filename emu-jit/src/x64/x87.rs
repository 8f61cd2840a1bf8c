//! The guest's x87 FPU in the host's: the way in and out.

use super::enter::unload_vectors;
use super::registers::frame;
use crate::layout::{CONTROL, CR0, EXPONENTS, FPU, SIGNIFICANDS, STATUS, TAGS};
use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, DynasmLabelApi, VecAssembler, dynasm};
use emu_core::fpu::x87::status;
use emu_vmx::arch::cr::Cr0;

/// Memory for FXSAVE and FXRSTOR (SDM Vol. 1 10.5.1, "FXSAVE Area").
#[repr(C, align(16))]
pub struct Area([u8; 512]);

impl Default for Area {
    fn default() -> Self {
        Self([0; 512])
    }
}

/// Offsets in the [`Area`].
mod area {
    pub const STATUS: i32 = 2;
    pub const TAGS: i32 = 4;
    pub const MXCSR: i32 = 24;
    /// ST(0); each register takes 16 bytes.
    pub const REGISTERS: i32 = 32;
}

/// The control word that functions of the host expect: that of FNINIT.
static USUAL: u16 = 0x37F;

/// Makes the host's x87 FPU the guest's, if the guest may use it and all exceptions are masked; whether it did, in AL. RCX is
/// lost, and the host has its own vector registers behind it.
pub fn load(asm: &mut VecAssembler<X64Relocation>, area: usize) {
    let unusable = (Cr0::EM | Cr0::TS).bits() as i32;
    dynasm!(asm
        ; .arch x64
        ; test DWORD [rbp + CR0], unusable
        ; jnz >refused
        ; mov rcx, [rbp + FPU]
        ; mov al, [rcx + CONTROL]
        ; not al
        ; test al, status::EXCEPTIONS as i8
        ; jnz >refused
        ; test BYTE [rcx + STATUS], status::ES as i8
        ; jnz >refused
    );
    unload_vectors(asm, 8);
    dynasm!(asm
        ; .arch x64
        ; push rsi
        ; push rdi
        ; mov rcx, [rbp + FPU]
        ; mov rdi, QWORD area as i64
        ; mov eax, [rsp + 24 + frame::MXCSR]
        ; mov [rdi + area::MXCSR], eax
        ; movzx eax, BYTE [rcx + TAGS]
        ; mov [rdi + area::TAGS], ax
        ; mov ax, [rcx + CONTROL]
        ; mov [rdi], ax
        ; movzx eax, WORD [rcx + STATUS]
        ; mov [rdi + area::STATUS], ax
        ; shr eax, status::TOP_SHIFT as i8
        ; and eax, 7
    );
    for n in 0..8 {
        let at = area::REGISTERS + 16 * n;
        dynasm!(asm
            ; .arch x64
            ; mov rsi, [rcx + rax * 8 + SIGNIFICANDS]
            ; mov [rdi + at], rsi
            ; movzx esi, WORD [rcx + rax * 2 + EXPONENTS]
            ; mov [rdi + at + 8], rsi
            ; inc eax
            ; and eax, 7
        );
    }
    dynasm!(asm
        ; .arch x64
        ; fxrstor64 [rdi]
        ; mov BYTE [rsp + 24 + frame::X87], 1
        ; pop rdi
        ; pop rsi
        ; mov al, 1
        ; ret
        ; refused:
        ; xor eax, eax
        ; ret
    );
}

/// Gives the host its x87 FPU back. RCX, RSI, RDI and R8 are lost.
pub fn unload(asm: &mut VecAssembler<X64Relocation>, depth: i32, area: usize) {
    dynasm!(asm
        ; .arch x64
        ; cmp BYTE [rsp + depth + frame::X87], 0
        ; je >unloaded
        ; mov rdi, QWORD area as i64
        ; fxsave64 [rdi]
        ; emms
        ; mov rcx, QWORD (&raw const USUAL) as i64
        ; fldcw [rcx]
        ; mov rcx, [rbp + FPU]
        ; movzx esi, WORD [rdi + area::STATUS]
        ; mov [rcx + STATUS], si
        ; mov r8b, [rdi + area::TAGS]
        ; mov [rcx + TAGS], r8b
        ; shr esi, status::TOP_SHIFT as i8
        ; and esi, 7
    );
    for n in 0..8 {
        let at = area::REGISTERS + 16 * n;
        dynasm!(asm
            ; .arch x64
            ; mov r8, [rdi + at]
            ; mov [rcx + rsi * 8 + SIGNIFICANDS], r8
            ; mov r8w, [rdi + at + 8]
            ; mov [rcx + rsi * 2 + EXPONENTS], r8w
            ; inc esi
            ; and esi, 7
        );
    }
    dynasm!(asm
        ; .arch x64
        ; mov BYTE [rsp + depth + frame::X87], 0
        ; unloaded:
    );
}
