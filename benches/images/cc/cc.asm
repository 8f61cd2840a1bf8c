; A program that gcc made of one of the files beside this one: loaded with the image, called with no argument. Its
; variables lie at 400000h, and are cleared first (cc/link.ld says where). Built with -DPROGRAM='"FILE"'.

%include "boot.inc"

PLACE	equ 0x8400
VARIABLES equ 0x400000
SIZE	equ 0x400000

main:	mov edi, VARIABLES
	mov ecx, SIZE / 8
	xor eax, eax
	rep stosq
	mov esp, STACK - 0x100		; ABI: 16 bytes
	call PLACE
	mov esp, STACK - 8
	ret

	times PLACE - 0x7C00 - ($ - $$) db 0
	incbin PROGRAM

END_OF_IMAGE
