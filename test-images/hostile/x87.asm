; Transcendental instructions of the x87.
%include "rom.inc"
main64:
    finit
.again:
    fldpi
    fsin
    fld1
    fpatan
    f2xm1
    fld1
    fyl2xp1
    fptan
    fstp st0
    fstp st0
    jmp .again
ROMEND
