; Interprocessor interrupts to all processors, from one.
%include "rom.inc"
main64:
    mov r8d, 0xfee00000
    mov dword [r8 + 0xf0], 0x1ff
    mov dword [0x7000], 0xfcebf4fb          ; sti; hlt; jmp to the sti
    mov byte [0x7010], 0xcf                 ; iret, for vectors 2 and 40h in real mode
    mov dword [0x8], 0x7010
    mov dword [0x100], 0x7010
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
