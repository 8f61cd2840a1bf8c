; The VGA: text mode by int 10h and by its registers, mode 13h and its palette, mode 12h with planes, latches, write and
; read modes. What is written is read back; failures go to port E9 while a graphics mode is on.

%define IMG "vgatext"
%include "boot.inc"

	absolute uservars
was	resd 4
	section .text

%macro OUTI 3				; index port, index, value
	mov dx, %1
	mov ax, ((%3) << 8) | (%2)
	out dx, ax
%endmacro
%macro CRTC 1				; eax = CRTC register
	mov dx, 0x3D4
	mov al, %1
	out dx, al
	inc dx
	in al, dx
	movzx eax, al
%endmacro
; PLANES "what", offset, plane 0, 1, 2, 3: bytes of the four planes
%macro PLANES 6
	OUTI 0x3CE, 5, 0		; read mode 0
	%assign p 0
  %rotate 2
  %rep 4
	OUTI 0x3CE, 4, p
	movzx eax, byte [es:planeat]
	CHECK planename, eax, %1
    %rotate 1
    %assign p p + 1
  %endrep
%endmacro
%macro PL 6
	%define planename %1
	%define planeat %2
	PLANES %1, %2, %3, %4, %5, %6
%endmacro
%macro DAC 1				; reads entry -> eax = 00RRGGBB
	mov dx, 0x3C7
	mov al, %1
	out dx, al
	mov dx, 0x3C9
	in al, dx
	movzx ecx, al
	shl ecx, 8
	in al, dx
	mov cl, al
	shl ecx, 8
	in al, dx
	mov cl, al
	mov eax, ecx
%endmacro

	bits 16
main:	SECTION_ "text mode"
	mov ah, 0x0F
	int 0x10
	movzx ecx, ax
	movzx ebx, bh
	CHECK "AH=0Fh: mode 3, 80 columns", ecx, 0x5003
	CHECK "AH=0Fh: page 0", ebx, 0
	movzx eax, byte [0x449]
	CHECK "40:49h: the mode", eax, 3
	movzx eax, word [0x44A]
	CHECK "40:4Ah: columns", eax, 80
	movzx eax, byte [0x484]
	CHECK "40:84h: rows less one", eax, 24
	mov ah, 2			; cursor
	mov bh, 0
	mov dx, 0x0A14
	int 0x10
	mov ah, 3
	mov bh, 0
	int 0x10
	movzx edx, dx
	CHECK "AH=03h: where AH=02h put it", edx, 0x0A14
	CRTC 0x0E
	mov ebx, eax
	CRTC 0x0F
	shl ebx, 8
	or eax, ebx
	CHECK "CRTC cursor location", eax, 0x0A * 80 + 0x14
	mov ax, 0x0941			; three red A
	mov bx, 0x0004
	mov cx, 3
	int 0x10
	mov ax, 0xB800
	mov es, ax
	mov eax, [es:(0x0A * 80 + 0x14) * 2 + 2]
	CHECK "AH=09h: text memory", eax, 0x04410441
	mov ah, 8
	mov bh, 0
	int 0x10
	movzx eax, ax
	CHECK "AH=08h: character and attribute", eax, 0x0441
	mov ax, 0x0A42			; a character alone
	mov bx, 0
	mov cx, 1
	int 0x10
	movzx eax, word [es:(0x0A * 80 + 0x14) * 2]
	CHECK "AH=0Ah keeps the attribute", eax, 0x0442
	mov ah, 2
	mov bh, 0
	mov dx, 0x0B4F			; teletype over the end of a line
	int 0x10
	mov ax, 0x0E58
	mov bx, 7
	int 0x10
	mov ax, 0x0E59
	mov bx, 7
	int 0x10
	mov ah, 3
	mov bh, 0
	int 0x10
	movzx edx, dx
	CHECK "AH=0Eh: wraps to the next line", edx, 0x0C01
	movzx eax, byte [es:(0x0C * 80) * 2]
	CHECK "AH=0Eh: the second character", eax, 'Y'
	mov ax, 0x0E0D
	mov bx, 7
	int 0x10
	mov ax, 0x0E0A
	mov bx, 7
	int 0x10
	mov ax, 0x0E08
	mov bx, 7
	int 0x10
	mov ah, 3
	mov bh, 0
	int 0x10
	movzx edx, dx
	CHECK "AH=0Eh: CR, LF, BS at column 0", edx, 0x0D00
	xor ax, ax			; a string
	mov es, ax
	mov bp, .str
	mov ax, 0x1301
	mov bx, 0x001E
	mov cx, 4
	mov dx, 0x0E05
	int 0x10
	mov ax, 0xB800
	mov es, ax
	mov eax, [es:(0x0E * 80 + 5) * 2 + 4]
	CHECK "AH=13h: text memory", eax, 0x1E541E53
	mov ax, 0x0601			; scroll a window up by one, blank 2F
	mov bh, 0x2F
	mov cx, 0x0D05
	mov dx, 0x0E08
	int 0x10
	mov eax, [es:(0x0D * 80 + 5) * 2 + 4]
	CHECK "AH=06h: moved up", eax, 0x1E541E53
	mov eax, [es:(0x0E * 80 + 5) * 2 + 4]
	CHECK "AH=06h: blank line", eax, 0x2F202F20
	movzx eax, byte [es:(0x0C * 80) * 2]
	CHECK "AH=06h: nothing outside", eax, 'Y'
	mov ax, 0x0701			; and down
	mov bh, 0x4F
	mov cx, 0x0D05
	mov dx, 0x0E08
	int 0x10
	mov eax, [es:(0x0E * 80 + 5) * 2 + 4]
	CHECK "AH=07h: moved down", eax, 0x1E541E53
	mov eax, [es:(0x0D * 80 + 5) * 2]
	CHECK "AH=07h: blank line", eax, 0x4F204F20
	mov ax, 0x0600			; AL = 0: clear
	mov bh, 0x17
	mov cx, 0x0D05
	mov dx, 0x0E08
	int 0x10
	mov eax, [es:(0x0E * 80 + 7) * 2]
	CHECK "AH=06h AL=0: cleared", eax, 0x17201720
	mov ax, 0x0501			; page 1
	int 0x10
	CRTC 0x0C
	mov ebx, eax
	CRTC 0x0D
	shl ebx, 8
	or eax, ebx
	movzx ebx, word [0x44E]
	shr ebx, 1
	CHECK "AH=05h: start address", eax, ebx
	CHECK "AH=05h: page 1 lies at 2048 characters", eax, 2048
	mov ax, 0x0500
	int 0x10
	mov ah, 1			; cursor shape
	mov cx, 0x0607
	int 0x10
	CRTC 0x0A
	and eax, 0x20
	CHECK "AH=01h: cursor on", eax, 0
	mov ah, 1
	mov cx, 0x2000
	int 0x10
	CRTC 0x0A
	and eax, 0x20
	CHECK "AH=01h: cursor off", eax, 0x20
	mov dx, 0x3CC
	in al, dx
	and eax, 1
	CHECK "colour addresses", eax, 1
	mov dx, 0x3DA			; vertical retrace comes and goes
	mov ecx, 5000000
.vr1:	in al, dx
	test al, 8
	jz .vr2
	dec ecx
	jnz .vr1
.vr2:	in al, dx
	test al, 8
	jnz .vr3
	dec ecx
	jnz .vr2
.vr3:	RANGE "retrace bit turns", ecx, 1, 5000000
	DAC 4				; a colour of the palette, and back
	mov [was], eax
	mov dx, 0x3C8
	mov al, 4
	out dx, al
	inc dx
	mov al, 0x11
	out dx, al
	mov al, 0x22
	out dx, al
	mov al, 0x33
	out dx, al
	DAC 4
	CHECK "DAC reads back", eax, 0x112233
	mov dx, 0x3C8
	mov al, 4
	out dx, al
	inc dx
	mov al, [was + 2]
	out dx, al
	mov al, [was + 1]
	out dx, al
	mov al, [was]
	out dx, al
	mov dx, 0x3DA			; attribute controller: palette register 6 is 14h in text mode
	in al, dx
	mov dx, 0x3C0
	mov al, 6 | 0x20
	out dx, al
	inc dx
	in al, dx
	movzx eax, al
	CHECK "attribute register 6", eax, 0x14
	mov dx, 0x3DA
	in al, dx
	mov dx, 0x3C0
	mov al, 0x20
	out dx, al

	SECTION_ "mode 13h"
	mov byte [novga], 1
	mov ax, 0x13
	int 0x10
	mov ah, 0x0F
	int 0x10
	movzx eax, al
	CHECK "AH=0Fh: mode 13h", eax, 0x13
	mov ax, 0xA000
	mov es, ax
	xor di, di			; every colour, 64000 bytes
	xor ax, ax
	mov cx, 64000
.f13:	mov al, ah
	xor al, cl
	mov ah, cl
	mov al, cl
	stosb
	loop .f13
	xor di, di
	mov cx, 64000
	xor ebx, ebx
.r13:	mov al, cl
	scasb
	je .e13
	inc ebx
.e13:	loop .r13
	CHECK "64000 bytes read back", ebx, 0
	mov dword [es:1000], 0x04030201
	CHECK "a dword is four pixels", [es:1000], 0x04030201
	mov ax, 0x0C5A			; a pixel by the BIOS: column 300, row 100
	mov bx, 0
	mov cx, 300
	mov dx, 100
	int 0x10
	movzx eax, byte [es:100 * 320 + 300]
	CHECK "AH=0Ch", eax, 0x5A
	mov ah, 0x0D
	mov bx, 0
	mov cx, 301
	mov dx, 100
	mov byte [es:100 * 320 + 301], 0xA5
	int 0x10
	movzx eax, al
	CHECK "AH=0Dh", eax, 0xA5
	mov ax, 0x1010			; a DAC register by the BIOS
	mov bx, 0x0080
	mov dh, 0x3F
	mov cx, 0x1020
	int 0x10
	DAC 0x80
	CHECK "AX=1010h", eax, 0x3F1020

	SECTION_ "mode 12h"
	mov ax, 0x12
	int 0x10
	mov ax, 0xA000
	mov es, ax
	movzx eax, byte [es:0]
	CHECK "cleared", eax, 0
	OUTI 0x3C4, 2, 0x0F		; all planes
	mov byte [es:0], 0x5A
	PL "write to all planes", 0, 0x5A, 0x5A, 0x5A, 0x5A
	OUTI 0x3C4, 2, 0x05
	mov byte [es:0], 0x0F
	PL "map mask 5", 0, 0x0F, 0x5A, 0x0F, 0x5A
	OUTI 0x3C4, 2, 0x0F
	OUTI 0x3CE, 8, 0xF0		; bit mask: the low bits come from the latches
	mov al, [es:0]
	mov byte [es:0], 0xFF
	PL "bit mask F0", 0, 0xFF, 0xFA, 0xFF, 0xFA
	OUTI 0x3CE, 8, 0xFF
	OUTI 0x3CE, 0, 0x09		; set/reset: planes 0 and 3 ones
	OUTI 0x3CE, 1, 0x0F
	mov byte [es:1], 0
	PL "set/reset 9", 1, 0xFF, 0, 0, 0xFF
	OUTI 0x3CE, 1, 0x03		; enabled for planes 0 and 1 alone
	mov byte [es:1], 0x3C
	PL "set/reset enable 3", 1, 0xFF, 0, 0x3C, 0x3C
	OUTI 0x3CE, 1, 0
	OUTI 0x3CE, 3, 3		; rotate right by 3
	mov byte [es:2], 0x0F
	PL "rotate", 2, 0xE1, 0xE1, 0xE1, 0xE1
	OUTI 0x3CE, 3, 0x08		; AND with the latches
	mov al, [es:1]
	mov byte [es:1], 0x0F
	PL "AND", 1, 0x0F, 0, 0x0C, 0x0C
	OUTI 0x3CE, 3, 0x10
	mov al, [es:1]
	mov byte [es:1], 0xF0
	PL "OR", 1, 0xFF, 0xF0, 0xFC, 0xFC
	OUTI 0x3CE, 3, 0x18
	mov al, [es:1]
	mov byte [es:1], 0xFF
	PL "XOR", 1, 0x00, 0x0F, 0x03, 0x03
	OUTI 0x3CE, 3, 0
	OUTI 0x3CE, 5, 1		; write mode 1: latches
	mov al, [es:1]
	mov byte [es:3], 0xFF
	PL "write mode 1", 3, 0x00, 0x0F, 0x03, 0x03
	OUTI 0x3CE, 5, 2		; write mode 2: a colour, by the bit mask
	OUTI 0x3CE, 8, 0x81
	mov al, [es:4]
	mov byte [es:4], 0x06
	OUTI 0x3CE, 8, 0xFF
	PL "write mode 2", 4, 0x00, 0x81, 0x81, 0x00
	OUTI 0x3CE, 0, 0x0C		; write mode 3: set/reset, by the data
	OUTI 0x3CE, 5, 3
	mov al, [es:4]
	mov byte [es:4], 0x18
	PL "write mode 3", 4, 0x00, 0x81, 0x99, 0x18
	OUTI 0x3CE, 0, 0
	OUTI 0x3CE, 5, 8		; read mode 1: which pixels have this colour
	OUTI 0x3CE, 2, 6
	OUTI 0x3CE, 7, 0x0F
	movzx eax, byte [es:4]
	CHECK "read mode 1: colour 6", eax, 0x81
	OUTI 0x3CE, 2, 0x0C
	movzx eax, byte [es:4]
	CHECK "read mode 1: colour 12", eax, 0x18
	OUTI 0x3CE, 7, 0x04		; plane 2 alone counts
	movzx eax, byte [es:4]
	CHECK "read mode 1: planes that count", eax, 0x99
	OUTI 0x3CE, 5, 0
	mov ax, 0x0C0B			; a pixel by the BIOS: column 77, row 3: byte 249, bit 2
	mov bx, 0
	mov cx, 77
	mov dx, 3
	int 0x10
	PL "AH=0Ch", 3 * 80 + 9, 4, 4, 0, 4
	mov ah, 0x0D
	mov bx, 0
	mov cx, 77
	mov dx, 3
	int 0x10
	movzx eax, al
	CHECK "AH=0Dh", eax, 0x0B
	mov ax, 0xFFFF			; REP STOSB fills a plane
	OUTI 0x3C4, 2, 0x02
	mov di, 0x1000
	mov al, 0xA7
	mov cx, 300
	rep stosb
	OUTI 0x3C4, 2, 0x0F
	PL "REP STOSB into plane 1", 0x1000 + 299, 0, 0xA7, 0, 0

	mov ax, 3			; text again
	int 0x10
	mov ah, 1
	mov cx, 0x2000
	int 0x10
	xor ax, ax
	mov es, ax
	mov word [cur], 0
	mov byte [novga], 0
	SECTION_ "text mode again"
	mov ah, 0x0F
	int 0x10
	movzx eax, al
	CHECK "AH=0Fh: mode 3", eax, 3
	mov ax, 0xB800
	mov es, ax
	mov eax, [es:20 * 160]
	CHECK "the screen is blank", eax, 0x07200720
	mov byte [es:20 * 160], 'T'	; even and odd bytes are planes 0 and 1
	movzx eax, word [es:20 * 160]
	CHECK "text memory reads back", eax, 0x0754
	xor ax, ax
	mov es, ax
	jmp finish16
.str:	db "TEST"
