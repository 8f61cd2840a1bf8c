; INVLPG, and a load that needs the translation again.
%include "rom.inc"
main64:
    mov rbx, 0x400000
.again:
    invlpg [rbx]
    mov rax, [rbx]
    jmp .again
ROMEND
