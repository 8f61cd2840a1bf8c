; A byte to port E9h each cycle.
%define REAL
%include "rom.inc"
main16:
    mov dx, 0xe9
.again:
    xor si, si
    mov cx, 0xffff
    rep outsb
    jmp .again
ROMEND
