; The HPET's comparator, the 8254, the RTC and the local APIC's timer as fast as they go, level-triggered.
%include "rom.inc"
main64:
    mov rax, handler
    call set_idt
    mov al, 0x34
    out 0x43, al
    mov al, 2
    out 0x40, al
    xor al, al
    out 0x40, al
    mov r8d, 0xfed00000
    mov dword [r8 + 0x100], 0x4e            ; timer 0: level, periodic, on
    mov dword [r8 + 0x108], 100
    mov dword [r8 + 0x10], 1
    mov r9d, 0xfee00000
    mov dword [r9 + 0xf0], 0x1ff
    mov dword [r9 + 0x320], 0x20040
    mov dword [r9 + 0x3e0], 11
    mov dword [r9 + 0x380], 50
    sti
    hlt
.spin:
    hlt
    jmp .spin
handler:
    mov dword [r9 + 0xb0], 0
    mov dword [r8 + 0x20], 0xffffffff
    iretq
ROMEND
