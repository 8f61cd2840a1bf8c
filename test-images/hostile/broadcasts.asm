; Interprocessor interrupts to all processors, from one.
%include "rom.inc"
main64:
    mov r8d, 0xfee00000
    mov dword [r8 + 0xf0], 0x1ff
    mov dword [0x7000], 0xfdebf4fb          ; sti; hlt; jmp $-1
    mov dword [r8 + 0x300], 0xc4500
    mov ecx, 20000
    loop $
    mov dword [r8 + 0x300], 0xc4607
    mov ecx, 20000
    loop $
.again:
    mov dword [r8 + 0x300], 0xc0040
    mov dword [r8 + 0x300], 0xc4400
    jmp .again
ROMEND
