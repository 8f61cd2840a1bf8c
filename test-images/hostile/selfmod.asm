; An instruction that is written before each of its runs.
%include "rom.inc"
main64:
    lea rbx, [.changed + 1]
.again:
    inc byte [rbx]
.changed:
    mov al, 0
    jmp .again
ROMEND
