; Nothing, for ever: whoever sends to COM1 waits.
%define REAL
%include "rom.inc"
main16: jmp main16
ROMEND
