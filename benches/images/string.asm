; String instructions: rep movsb and rep stosq over blocks of 4 MiB.
; peers: memmove

%include "boot.inc"

SIZE	equ 0x400000
DISTANCE equ 0x480000
ROUNDS	equ 400

%include "string.inc"

END_OF_IMAGE
