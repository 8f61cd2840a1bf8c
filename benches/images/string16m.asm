; String instructions, 16 MiB apart: as `string`, but source and target share their slot in TLBs indexed by few bits.
; peers: memmove ours=400

%include "boot.inc"

SIZE	equ 0x400000
DISTANCE equ 0x1000000
%ifndef ROUNDS
ROUNDS	equ 4
%endif

%include "string.inc"

END_OF_IMAGE
