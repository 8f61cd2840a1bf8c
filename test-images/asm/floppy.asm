; The floppy: int 13h reads and writes of one and of many sectors, over the ends of tracks, heads and cylinders, with
; AL up to 64 (what book images ask for), the drive's parameters and errors. Written: cylinders 40-43.

%define IMG "floppy"
%define FLOPPY
%include "boot.inc"

SEG1	equ 0x2000
SEG2	equ 0x3000

	absolute uservars
status	resd 1
	section .text

; what int 13h says: carry must be clear
%macro OKAY 1
	setc bl
	movzx ebx, bl
	CHECK %1, ebx, 0
%endmacro

	bits 16
main:	mov byte [boot_drive], 0
	SECTION_ "parameters"
	mov ah, 8
	mov dl, 0
	push es
	xor di, di
	int 0x13
	mov si, es
	pop es
	push di
	push si
	movzx eax, cl
	CHECK "sectors per track", eax, 18
	movzx eax, ch
	CHECK "last cylinder", eax, 79
	movzx eax, dh
	CHECK "last head", eax, 1
	movzx eax, bl
	CHECK "1.44M drive", eax, 4
	pop si
	pop di
	push es
	mov es, si
	movzx eax, byte [es:di + 4]
	pop es
	CHECK "sectors per track in the parameter table", eax, 18
	mov ah, 0x15
	mov dl, 0
	int 0x13
	movzx eax, ah
	dec eax
	RANGE "AH=15h: a floppy drive", eax, 0, 1

	SECTION_ "one sector"
	mov ax, SEG2
	mov es, ax
	xor bx, bx
	mov ax, 0x0201
	mov cx, 1
	xor dx, dx
	int 0x13
	OKAY "read the boot sector"
	push ds
	push es
	pop ds
	xor ax, ax
	mov es, ax
	xor si, si
	mov di, 0x7C00
	mov cx, boot.spt - boot		; up to the variables of the loader
	repe cmpsb
	pop ds
	sete al
	movzx eax, al
	CHECK "it is what was booted", eax, 1

	SECTION_ "write and read back"
	mov ax, SEG1			; 64 sectors: each dword is a function of its place
	mov es, ax
	xor di, di
	mov eax, 0x13579BDF
	mov cx, 64 * 128
.fill:	stosd
	imul eax, eax, 1103515245
	add eax, 12345
	loop .fill
	mov byte [status], 0
	xor bx, bx			; one track a time: cylinder 40, both heads; 41, head 0
	mov ax, 0x0312
	mov cx, 0x2801
	mov dx, 0x0000
	int 0x13
	OKAY "write 18 sectors, head 0"
	mov bx, 18 * 512
	mov ax, 0x0312
	mov cx, 0x2801
	mov dx, 0x0100
	int 0x13
	OKAY "write 18 sectors, head 1"
	mov bx, 36 * 512
	mov ax, 0x0312
	mov cx, 0x2901
	mov dx, 0x0000
	int 0x13
	OKAY "write 18 sectors, the next cylinder"
	mov bx, 54 * 512
	mov ax, 0x030A
	mov cx, 0x2901
	mov dx, 0x0100
	int 0x13
	OKAY "write 10 sectors, its head 1"
	mov ax, 0x0412
	mov cx, 0x2801
	xor dx, dx
	int 0x13
	OKAY "verify"
	mov ax, SEG2
	mov es, ax
	mov cx, 64			; one a time
	xor bx, bx
	xor si, si
.one:	push cx
	push bx
	mov ax, si			; sector number from cylinder 40 on
	mov bl, 18
	div bl
	mov cl, ah
	inc cl
	mov ch, 40
	mov dh, al
	shr al, 1
	add ch, al
	and dh, 1
	mov dl, 0
	pop bx
	push bx
	mov ax, 0x0201
	int 0x13
	adc byte [status], 0
	pop bx
	add bx, 512
	inc si
	pop cx
	loop .one
	movzx eax, byte [status]
	CHECK "64 reads of one sector", eax, 0
	mov cx, 64 * 128
	call compare
	CHECK "they hold what was written", ecx, 0

	SECTION_ "many sectors in one read"
	call clear
	xor bx, bx
	mov ax, 0x0224			; 36: a whole cylinder
	mov cx, 0x2801
	xor dx, dx
	int 0x13
	OKAY "AL = 36"
	mov cx, 36 * 128
	call compare
	CHECK "AL = 36: both heads", ecx, 0
	call clear
	xor bx, bx
	mov ax, 0x0240			; 64: into the next cylinder
	mov cx, 0x2801
	xor dx, dx
	int 0x13
	OKAY "AL = 64"
	mov cx, 64 * 128
	call compare
	CHECK "AL = 64: over two cylinders", ecx, 0
	call clear
	xor bx, bx			; from the middle of a track
	mov ax, 0x0218
	mov cx, 0x2801 + 12
	mov dx, 0x0100
	int 0x13
	OKAY "from the middle of a track"
	push ds
	mov ax, SEG1
	mov ds, ax
	mov ax, SEG2
	mov es, ax
	mov si, 30 * 512
	xor di, di
	mov cx, 24 * 128
	repe cmpsd
	pop ds
	setne cl
	movzx ecx, cl
	CHECK "six sectors of it, and the next cylinder's", ecx, 0

	SECTION_ "errors"
	mov ax, SEG2
	mov es, ax
	xor bx, bx
	mov ax, 0x0201
	mov cx, 0x0013			; sector 19
	xor dx, dx
	int 0x13
	setc al
	movzx eax, al
	CHECK "sector 19: an error", eax, 1
	mov ah, 1
	mov dl, 0
	int 0x13
	test ah, ah
	setnz al
	movzx eax, al
	CHECK "AH=01h: the last status", eax, 1
	mov ah, 0
	mov dl, 0
	int 0x13
	OKAY "reset"
	mov ax, 0x0201
	xor bx, bx
	mov cx, 1
	mov dx, 1			; no drive B:
	int 0x13
	setc al
	movzx eax, al
	CHECK "drive B: an error", eax, 1
	mov ax, 0x0201
	xor bx, bx
	mov cx, 1
	xor dx, dx
	int 0x13
	OKAY "and drive A: still works"
	xor ax, ax
	mov es, ax
	jmp finish16

clear:	mov ax, SEG2
	mov es, ax
	xor di, di
	mov cx, 64 * 128
	xor eax, eax
	rep stosd
	ret

compare:				; cx dwords; ecx: 0 if equal
	push ds
	mov ax, SEG1
	mov ds, ax
	mov ax, SEG2
	mov es, ax
	xor si, si
	xor di, di
	repe cmpsd
	pop ds
	setne cl
	movzx ecx, cl
	ret
