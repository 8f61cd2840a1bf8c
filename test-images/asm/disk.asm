; The hard disk: int 13h by CHS and LBA, and the ATA ports in PIO: IDENTIFY, read, write, multiple, verify, errors, IRQ 14.
; Writes go to sectors 600-899, which nothing else uses.

%define IMG "disk"
%include "boot.inc"
%include "pm.inc"
%include "pit.inc"

BUF	equ 0x20000			; 2000:0
BUF2	equ 0x30000

	absolute uservars
spt	resd 1
heads	resd 1
cyls	resd 1
total	resd 1
irqs	resd 1
dap	resb 16
params	resb 64
	section .text

%macro BIOSOK 1				; after int 13h
	setc al
	movzx eax, al
	CHECK %1, eax, 0
%endmacro

	bits 16
main:	mov byte [boot_drive], 0x80
	SECTION_ "int 13h"
	mov ah, 8
	mov dl, 0x80
	push es
	int 0x13
	pop es
	mov [spt], cl
	and byte [spt], 0x3F
	mov [heads], dh
	inc word [heads]
	mov al, ch
	mov ah, cl
	shr ah, 6
	inc ax
	mov [cyls], ax
	CHECK "sectors per track", [spt], 63
	CHECK "heads", [heads], 16
	mov ah, 0x15
	mov dl, 0x80
	int 0x13
	movzx eax, ah
	CHECK "AH=15h: a fixed disk", eax, 3
	mov ah, 0x41
	mov bx, 0x55AA
	mov dl, 0x80
	int 0x13
	movzx eax, bx
	CHECK "AH=41h: extensions", eax, 0xAA55
	mov word [params], 0x1E
	mov ah, 0x48
	mov dl, 0x80
	mov si, params
	int 0x13
	mov eax, [params + 16]
	mov [total], eax
	RANGE "AH=48h: sectors", eax, 1008, 1024
	movzx eax, word [params + 24]
	CHECK "AH=48h: bytes per sector", eax, 512

	mov ax, BUF >> 4		; a pattern, written by LBA, read by CHS
	mov es, ax
	xor di, di
	mov eax, 0x01020304
	mov cx, 5 * 128
.f:	stosd
	imul eax, eax, 1664525
	add eax, 1013904223
	loop .f
	mov dword [dap], 0x00050010	; five sectors
	mov dword [dap + 4], BUF << 12
	mov dword [dap + 8], 628	; the fifth track's end is 629
	mov dword [dap + 12], 0
	mov ax, 0x4300
	mov dl, 0x80
	mov si, dap
	int 0x13
	mov ax, 0
	BIOSOK "AH=43h: write five sectors"
	mov ax, BUF2 >> 4
	mov es, ax
	xor bx, bx
	mov ax, 0x0202			; 628 = cylinder 0, head 9, sector 62: two to the end of the track
	mov cx, 0x003E
	mov dx, 0x0980
	int 0x13
	BIOSOK "AH=02h: two sectors"
	mov bx, 0x400
	mov ax, 0x0203			; and three from the next
	mov cx, 0x0001
	mov dx, 0x0A80
	int 0x13
	BIOSOK "AH=02h: three sectors"
	call compare
	CHECK "written by LBA, read by CHS", eax, 0
	mov ax, BUF >> 4		; the other way; over the end of a track in one go
	mov es, ax
	xor di, di
	mov cx, 5 * 128
.n:	not dword [es:di]
	add di, 4
	loop .n
	xor bx, bx
	mov ax, 0x0305
	mov cx, 0x003E
	mov dx, 0x0980
	int 0x13
	BIOSOK "AH=03h: five sectors over a track's end"
	mov dword [dap], 0x00050010
	mov dword [dap + 4], BUF2 << 12
	mov ah, 0x42
	mov dl, 0x80
	mov si, dap
	int 0x13
	BIOSOK "AH=42h: read five sectors"
	call compare
	CHECK "written by CHS, read by LBA", eax, 0
	mov ax, 0x0405
	mov cx, 0x003E
	mov dx, 0x0980
	int 0x13
	BIOSOK "AH=04h: verify"
	mov dword [dap], 0x00010010
	mov dword [dap + 8], 0x100000
	mov ah, 0x42
	mov dl, 0x80
	mov si, dap
	int 0x13
	setc al
	movzx eax, al
	CHECK "AH=42h beyond the end: an error", eax, 1
	mov ah, 1
	mov dl, 0x80
	int 0x13
	cmp ah, 0
	setne al
	movzx eax, al
	CHECK "AH=01h: the last status", eax, 1
	mov ah, 0
	mov dl, 0x80
	int 0x13
	BIOSOK "AH=00h: reset"
	mov ax, 0x0201
	mov bx, 0
	mov cx, 1
	mov dx, 0x0085
	int 0x13
	setc al
	movzx eax, al
	CHECK "a drive that is not there: an error", eax, 1

	SECTION_ "ATA ports"
	xor ax, ax
	mov es, ax
	call enter_pm
	bits 32
	call ref2_start
	mov dword [hooks + 0x2E * 4], on_irq14
	mov al, 0xFB			; IRQ 2 and 14
	out 0x21, al
	mov al, 0xBF
	out 0xA1, al
	xor al, al			; nIEN = 0
	mov dx, 0x3F6
	out dx, al
	call ready
	mov dx, 0x1F2			; the task file keeps what is written
	mov al, 0x5A
	out dx, al
	inc edx
	mov al, 0xA5
	out dx, al
	in al, dx
	movzx eax, al
	CHECK "sector number reads back", eax, 0xA5
	mov dx, 0x1F2
	in al, dx
	movzx eax, al
	CHECK "sector count reads back", eax, 0x5A
	sti
	mov dword [irqs], 0
	mov al, 0xEC
	call command0
	call drq
	CHECK "IDENTIFY raises IRQ 14", [irqs], 1
	mov edi, BUF
	mov ecx, 256
	mov dx, 0x1F0
	rep insw
	mov eax, [BUF]
	and eax, 0x8000
	CHECK "IDENTIFY word 0: ATA", eax, 0
	movzx eax, word [BUF + 6]
	CHECK "word 3: heads", eax, 16
	movzx eax, word [BUF + 12]
	CHECK "word 6: sectors per track", eax, 63
	movzx eax, word [BUF + 98]
	and eax, 0x200
	CHECK "word 49: LBA", eax, 0x200
	RANGE "words 60-61: sectors", [BUF + 120], 1008, 1024
	call status
	and eax, 0x89
	CHECK "no BSY, DRQ, ERR at the end", eax, 0

	mov edi, BUF			; write three sectors by LBA
	mov eax, 0x0BADF00D
	mov ecx, 3 * 128
.fill:	stosd
	imul eax, eax, 69069
	inc eax
	loop .fill
	mov dword [irqs], 0
	mov ebx, 700
	mov ecx, 3
	mov al, 0x30
	call command
	mov esi, BUF
	mov ebp, 3
.w:	call drq
	mov ecx, 256
	mov dx, 0x1F0
	rep outsw
	dec ebp
	jnz .w
	call ready
	mov ecx, 1000
	call wait2
	CHECK "WRITE SECTORS: an interrupt for each", [irqs], 3
	mov dword [irqs], 0
	mov ebx, 700
	mov ecx, 3
	mov al, 0x20
	call command
	mov edi, BUF2
	mov ebp, 3
.r:	call drq
	mov ecx, 128
	mov dx, 0x1F0
	rep insd			; 32 bits a time
	dec ebp
	jnz .r
	call ready
	CHECK "READ SECTORS: an interrupt for each", [irqs], 3
	call compare32
	CHECK "written and read by LBA", ecx, 0
	mov ecx, 3			; the same by CHS: 700 = cylinder 0, head 11, sector 8
	call ready
	mov dx, 0x1F2
	mov al, 3
	out dx, al
	inc edx
	mov al, 8
	out dx, al
	inc edx
	mov al, 0
	out dx, al
	inc edx
	out dx, al
	inc edx
	mov al, 0xA0 + 11
	out dx, al
	inc edx
	mov al, 0x20
	out dx, al
	mov edi, BUF2
	mov ecx, 1536 / 4
	xor eax, eax
	rep stosd
	mov edi, BUF2
	mov ebp, 3
.rc:	call drq
	mov ecx, 256
	mov dx, 0x1F0
	rep insw
	dec ebp
	jnz .rc
	call compare32
	CHECK "read by CHS", ecx, 0
	mov ebx, 0			; SET MULTIPLE MODE 2: blocks of two sectors
	mov ecx, 2
	mov al, 0xC6
	call command
	call ready
	call status
	and eax, 1
	CHECK "SET MULTIPLE MODE", eax, 0
	mov dword [irqs], 0
	mov edi, BUF2
	mov ecx, 1536 / 4
	xor eax, eax
	rep stosd
	mov ebx, 700
	mov ecx, 3
	mov al, 0xC4
	call command
	call drq
	mov edi, BUF2
	mov ecx, 512
	mov dx, 0x1F0
	rep insw
	call drq
	mov ecx, 256
	mov dx, 0x1F0
	rep insw
	call ready
	CHECK "READ MULTIPLE: an interrupt a block", [irqs], 2
	call compare32
	CHECK "READ MULTIPLE", ecx, 0
	mov ebx, 700
	mov ecx, 3
	mov al, 0x40
	call command
	call ready
	call status
	and eax, 0x29
	CHECK "READ VERIFY", eax, 0
	mov ebx, 0x0F00000
	mov ecx, 1
	mov al, 0x20
	call command
	call ready
	call status
	and eax, 1
	CHECK "beyond the end: ERR", eax, 1
	mov dx, 0x1F1
	in al, dx
	test al, 0x14
	setnz al
	movzx eax, al
	CHECK "and IDNF or ABRT", eax, 1
	mov al, 0xFE			; no such command
	call command0
	call ready
	call status
	and eax, 1
	CHECK "unknown command: ERR", eax, 1
	mov dx, 0x1F1
	in al, dx
	and eax, 4
	CHECK "and ABRT", eax, 4
	mov al, 0xE7
	call command0
	call ready
	call status
	and eax, 0x29
	CHECK "FLUSH CACHE", eax, 0
	mov dx, 0x3F6			; nIEN: no interrupt
	mov al, 2
	out dx, al
	mov dword [irqs], 0
	mov ebx, 700
	mov ecx, 1
	mov al, 0x20
	call command
	call drq
	mov edi, BUF2
	mov ecx, 256
	mov dx, 0x1F0
	rep insw
	mov ecx, 1000
	call wait2
	CHECK "nIEN: no interrupt", [irqs], 0

	SECTION_ "without a look at the status"
	mov edi, BUF
	mov eax, 0x600DCAFE
	mov ecx, 4 * 128
.pat:	stosd
	imul eax, eax, 69069
	inc eax
	loop .pat
	mov ebx, 720			; four sectors, straight after the command
	mov ecx, 4
	mov al, 0x30
	call command_now
	mov esi, BUF
	mov ecx, 4 * 256
	rep outsw
	call ready
	call status
	and eax, 0x29
	CHECK "WRITE SECTORS: all taken", eax, 0
	call clear4
	mov ebx, 720
	mov ecx, 4
	mov al, 0x20
	call command_now
	call drq			; one look for four sectors
	mov edi, BUF2
	mov ecx, 4 * 256
	mov dx, 0x1F0
.in:	in ax, dx
	stosw
	loop .in
	call ready
	call status
	and eax, 0x29
	CHECK "READ SECTORS: all given", eax, 0
	call compare4
	CHECK "the same", ecx, 0
	mov edi, BUF
	mov ecx, 4 * 128
.not:	not dword [edi]
	add edi, 4
	loop .not
	mov ebx, 720			; the other direction with one look
	mov ecx, 4
	mov al, 0x30
	call command_now
	call drq
	mov esi, BUF
	mov ecx, 4 * 256
	mov dx, 0x1F0
.out:	lodsw
	out dx, ax
	loop .out
	call clear4
	mov ebx, 720			; and no look at all
	mov ecx, 4
	mov al, 0x20
	call command_now
	mov edi, BUF2
	mov ecx, 4 * 256
	rep insw
	call compare4
	CHECK "the other way the same", ecx, 0
	mov al, 0xEC			; IDENTIFY after 400 ns
	xor ebx, ebx
	mov ecx, 1
	call command_now
	mov dx, 0x3F6
	mov ecx, 4
.ns:	in al, dx
	loop .ns
	mov edi, BUF2
	mov ecx, 256
	mov dx, 0x1F0
	rep insw
	movzx eax, word [BUF2 + 6]
	CHECK "IDENTIFY: heads", eax, 16
	movzx eax, word [BUF2 + 12]
	CHECK "IDENTIFY: sectors per track", eax, 63
	call ready
	call status
	and eax, 0x29
	CHECK "IDENTIFY: all given", eax, 0

	mov dx, 0x3F6			; software reset leaves the signature
	mov al, 6
	out dx, al
	mov ecx, 100
	call wait2
	mov al, 2
	out dx, al
	mov ecx, 3000
	call wait2
	call ready
	mov dx, 0x1F2
	in al, dx
	mov bl, al
	inc edx
	in al, dx
	mov bh, al
	inc edx
	shl ebx, 16
	in al, dx
	mov bl, al
	inc edx
	in al, dx
	mov bh, al
	CHECK "signature after reset", ebx, 0x01010000
	cli
	jmp finish32

on_irq14:
	inc dword [irqs]
	mov dx, 0x1F7			; acknowledge in the drive
	in al, dx
	mov al, 0x20
	out 0xA0, al
	out 0x20, al
	ret

status:	mov dx, 0x3F6
	in al, dx
	movzx eax, al
	ret

ready:	push eax
	push ecx
	push edx
	mov ecx, 1000000
	mov dx, 0x3F6
.p:	in al, dx
	test al, 0x80
	jz .ok
	loop .p
	FAILNOW "BSY goes away"
.ok:	pop edx
	pop ecx
	pop eax
	ret

drq:	push eax
	push ecx
	push edx
	mov ecx, 1000000
	mov dx, 0x3F6
.p:	in al, dx
	and al, 0x88
	cmp al, 8
	je .ok
	loop .p
	FAILNOW "DRQ comes"
.ok:	mov ecx, 50			; the interrupt that goes with it
	call wait2
	pop edx
	pop ecx
	pop eax
	ret

command0:
	xor ebx, ebx
	mov ecx, 1
command:				; al: command, ebx: LBA, ecx: sectors
	push eax
	call ready
	pop eax
	call command_now
	mov ecx, 10
	jmp wait2

clear4:	mov edi, BUF2
	mov ecx, 4 * 128
	xor eax, eax
	rep stosd
	ret

compare4:				; ecx: 0 if four sectors are equal
	mov esi, BUF
	mov edi, BUF2
	mov ecx, 4 * 128
	repe cmpsd
	setne cl
	movzx ecx, cl
	ret

command_now:				; the same, without a look before and a pause after; edx: the data port
	push eax
	mov dx, 0x1F2
	mov al, cl
	out dx, al
	inc edx
	mov al, bl
	out dx, al
	inc edx
	mov al, bh
	out dx, al
	inc edx
	shr ebx, 16
	mov al, bl
	out dx, al
	inc edx
	mov al, bh
	or al, 0xE0
	out dx, al
	inc edx
	pop eax
	out dx, al
	mov dx, 0x1F0
	ret

compare32:				; ecx: 0 if three sectors are equal
	mov esi, BUF
	mov edi, BUF2
	mov ecx, 384
	repe cmpsd
	setne cl
	movzx ecx, cl
	ret

	bits 16
compare:				; eax: 0 if five sectors are equal
	push ds
	push es
	mov ax, BUF >> 4
	mov ds, ax
	mov ax, BUF2 >> 4
	mov es, ax
	xor si, si
	xor di, di
	mov cx, 640
	cld
	repe cmpsd
	setne al
	movzx eax, al
	pop es
	pop ds
	ret
