; FXSAVE and FXRSTOR.
%include "rom.inc"
main64:
    mov rbx, 0x400000
.again:
    fxsave [rbx]
    fxrstor [rbx]
    jmp .again
ROMEND
