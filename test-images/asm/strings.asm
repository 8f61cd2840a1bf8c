; String instructions: all widths, both directions, overlap, REP counts and flags, page faults in the middle with exact
; restart registers, 16-, 32- and 64-bit address sizes with wrap-around, INS and OUTS, a single step between iterations.

%define IMG "strings"
%include "boot.inc"
%include "pm.inc"
%include "long.inc"

BUF	equ 0x20000
DST	equ 0x24000
HOLE	equ 0x400000			; two pages that are there, then one that is not
PDIR	equ 0x60000
PTAB	equ 0x61000
PTAB0	equ 0x62000

	absolute uservars
t	resd 8
	section .text

; REGS "what", ecx, esi, edi
%macro REGS 4
	NAMED %1, ": CX"
	CHECK namestr, ecx, %2
	NAMED %1, ": SI"
	CHECK namestr, esi, %3
	NAMED %1, ": DI"
	CHECK namestr, edi, %4
%endmacro

%macro FILL 0				; BUF: dwords 03020100, 07060504, ... (bytes count up)
	mov edi, BUF
	xor eax, eax
%%f:	mov [edi], al
	inc edi
	inc eax
	cmp eax, 0x400
	jb %%f
%endmacro

%macro CLEAR 0
	cld
	mov edi, DST
	xor eax, eax
	mov ecx, 0x400 / 4
	rep stosd
%endmacro

	bits 16
main:	SECTION_ "16-bit addresses"
	mov ax, 0x3000
	mov es, ax
	mov edi, 0x1111FFFE		; DI wraps in 16 bits, the upper half stays
	mov ecx, 0x22220004
	mov al, 0x77
	cld
	rep stosb
	CHECK "DI after a wrap", edi, 0x11110002
	CHECK "CX counted, its upper half kept", ecx, 0x22220000
	movzx eax, word [es:0xFFFE]
	CHECK "bytes at the end", eax, 0x7777
	movzx eax, word [es:0]
	CHECK "bytes at the start", eax, 0x7777
	mov edi, 0x0001			; downwards
	mov ecx, 4
	mov al, 0x66
	std
	rep stosb
	cld
	movzx edi, di
	CHECK "DI downwards over 0", edi, 0xFFFD
	movzx eax, word [es:0xFFFE]
	CHECK "bytes below 0", eax, 0x6666
	mov dword [t], 0xA1B2C3D4
	mov esi, t			; 67: 32-bit addresses in real mode
	mov edi, t + 4
	mov ecx, 0x10000 + 1
	xor ax, ax
	mov es, ax
	db 0x67
	movsd
	CHECK "67: ESI counts", esi, t + 4
	CHECK "67: moved", [t + 4], 0xA1B2C3D4
	mov ecx, 0x10000		; CX = 0: nothing is done; ECX with 67 would do 65536
	mov di, t
	rep stosb
	CHECK "REP with CX = 0 does nothing", [t], 0xA1B2C3D4
	call enter_pm
	bits 32
	FILL

	SECTION_ "MOVS"
	CLEAR
	mov esi, BUF
	mov edi, DST
	mov ecx, 5
	rep movsb
	REGS "REP MOVSB", 0, BUF + 5, DST + 5
	CHECK "REP MOVSB: the fifth", [DST + 4], 4
	mov esi, BUF + 1
	mov edi, DST
	mov ecx, 4
	rep movsw
	REGS "REP MOVSW", 0, BUF + 9, DST + 8
	CHECK "REP MOVSW: data", [DST + 4], 0x08070605
	mov esi, BUF + 2
	mov edi, DST + 3
	mov ecx, 6
	rep movsd
	REGS "REP MOVSD", 0, BUF + 26, DST + 27
	CHECK "REP MOVSD: data", [DST + 3 + 20], 0x19181716
	std
	mov esi, BUF + 40
	mov edi, DST + 40
	mov ecx, 3
	rep movsd
	cld
	REGS "STD REP MOVSD", 0, BUF + 28, DST + 28
	CHECK "STD REP MOVSD: the last", [DST + 32], 0x23222120
	mov esi, BUF			; overlap: the first byte runs through
	mov edi, BUF + 1
	mov ecx, 255
	rep movsb
	CHECK "MOVSB, overlap by one byte", [BUF + 0xFC], 0
	FILL
	mov esi, BUF			; overlap by two with dwords
	mov edi, BUF + 2
	mov ecx, 4
	rep movsd
	CHECK "MOVSD, overlap by two bytes, first", [BUF + 2], 0x03020100
	CHECK "MOVSD, overlap by two bytes, second", [BUF + 6], 0x07060302
	CHECK "MOVSD, overlap by two bytes, third", [BUF + 10], 0x0B0A0706
	FILL
	std				; the memmove case
	mov esi, BUF + 255
	mov edi, BUF + 256
	mov ecx, 256
	rep movsb
	cld
	CHECK "STD MOVSB, overlap upwards", [BUF + 0x80], 0x8281807F
	FILL
	mov ecx, 0x10002		; 67: CX is the count, SI and DI the addresses
	mov esi, 0x5555FFFE
	mov edi, 0x66660700
	mov byte [0x0700], 0
	mov dword [0xFFFE - 2], 0
	db 0x67
	rep movsb
	CHECK "67 REP MOVSB: ECX", ecx, 0x10000
	CHECK "67 REP MOVSB: ESI wraps in 16 bits", esi, 0x55550000
	CHECK "67 REP MOVSB: EDI", edi, 0x66660702
	DESC SEL_FREE, BUF, 0xFFFFF, 0x93, 0xC
	mov eax, SEL_FREE		; a segment override counts for the source alone
	mov fs, eax
	mov esi, 0x10
	mov edi, DST
	mov ecx, 2
	fs rep movsd
	CHECK "FS: REP MOVSD", [DST + 4], 0x17161514

	SECTION_ "STOS, LODS"
	CLEAR
	mov edi, DST + 1
	mov ecx, 3
	mov eax, 0x11223344
	rep stosw
	CHECK "REP STOSW", [DST + 4], 0x00334433
	mov esi, BUF
	mov ecx, 3
	rep lodsd
	CHECK "REP LODSD keeps the last", eax, 0x0B0A0908
	CHECK "REP LODSD: ESI", esi, BUF + 12
	mov eax, -1
	mov esi, BUF + 0x20
	std
	lodsb
	lodsw
	cld
	CHECK "STD LODSB, LODSW", eax, 0xFFFF201F
	CHECK "STD LODSB, LODSW: ESI", esi, BUF + 0x1D

	SECTION_ "SCAS, CMPS"
	mov edi, BUF
	mov al, 0x33
	mov ecx, 0x100
	repne scasb
	setz al
	movzx eax, al
	CHECK "REPNE SCASB: ECX", ecx, 0x100 - 0x34
	CHECK "REPNE SCASB: EDI", edi, BUF + 0x34
	CHECK "REPNE SCASB: ZF", eax, 1
	mov edi, DST + 0x100
	xor eax, eax
	mov ecx, 8
	repe scasd
	setz al
	movzx eax, al
	CHECK "REPE SCASD to the end: ZF", eax, 1
	CHECK "REPE SCASD to the end: ECX", ecx, 0
	mov esi, BUF
	mov edi, BUF + 0x100		; the same bytes
	mov byte [BUF + 0x110], 0x55
	mov ecx, 0x40
	repe cmpsb
	lahf
	movzx eax, ah
	mov [t], eax
	REGS "REPE CMPSB", 0x40 - 0x11, BUF + 0x11, BUF + 0x111
	CHECK "REPE CMPSB: flags of 10h - 55h", [t], 0x97
	xor ecx, ecx
	cmp ecx, ecx			; ZF
	mov esi, BUF
	mov edi, BUF + 1
	repe cmpsb
	setz al
	movzx eax, al
	CHECK "count 0 leaves the flags", eax, 1
	mov esi, BUF + 8
	mov edi, BUF + 0x108
	std
	mov ecx, 4
	repe cmpsw
	cld
	REGS "STD REPE CMPSW", 0, BUF, BUF + 0x100

	SECTION_ "page faults"
	mov edi, PDIR
	xor eax, eax
	mov ecx, 0x2000 / 4
	rep stosd
	mov edi, PTAB0
	mov eax, 7
	mov ecx, 1024
.id:	stosd
	add eax, 0x1000
	loop .id
	mov dword [PDIR], PTAB0 + 7
	mov dword [PDIR + 4], PTAB + 7
	mov dword [PTAB], 0x50007
	mov dword [PTAB + 4], 0x51007
	mov dword [PTAB + 12], 0x52007
	mov eax, PDIR
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80010000
	mov cr0, eax
	mov esi, BUF
	mov edi, HOLE + 0x2000 - 10
	mov ecx, 32
	PFAULTS "REP MOVSB into the hole", 2, HOLE + 0x2000, rep movsb
	REGS "REP MOVSB into the hole", 22, BUF + 10, HOLE + 0x2000
	mov esi, BUF
	mov edi, HOLE + 0x2000 - 10
	mov ecx, 8
	PFAULTS "REP MOVSD into the hole", 2, HOLE + 0x2000, rep movsd
	REGS "REP MOVSD into the hole", 6, BUF + 8, HOLE + 0x2000 - 2
	mov esi, HOLE + 0x2000 - 6
	mov edi, DST
	mov ecx, 4
	PFAULTS "REP MOVSW out of the hole", 0, HOLE + 0x2000, rep movsw
	REGS "REP MOVSW out of the hole", 1, HOLE + 0x2000, DST + 6
	mov edi, HOLE + 0x3003
	mov ecx, 3
	mov eax, 0x5A5A5A5A
	std
	PFAULTS "STD REP STOSD into the hole", 2, HOLE + 0x2FFF, rep stosd
	cld
	REGS "STD REP STOSD into the hole", 2, esi, HOLE + 0x2FFF
	mov edi, HOLE + 0x1FFC
	xor eax, eax
	mov [HOLE + 0x1FFC], eax
	mov ecx, 100
	PFAULTS "REPE SCASB into the hole", 0, HOLE + 0x2000, repe scasb
	REGS "REPE SCASB into the hole", 96, esi, HOLE + 0x2000
	mov esi, HOLE + 0x1FFE
	mov edi, HOLE + 0x1FFE
	mov ecx, 9
	PFAULTS "REPE CMPSB into the hole", 0, HOLE + 0x2000, repe cmpsb
	REGS "REPE CMPSB into the hole", 7, HOLE + 0x2000, HOLE + 0x2000
	; a handler that maps the page and goes on
	mov dword [hooks + 14 * 4], map_hole
	mov dword [t], 0
	mov esi, BUF
	mov edi, HOLE + 0x1F80
	mov ecx, 0x100
	rep movsb
	CHECK "one fault", [t], 1
	REGS "REP MOVSB through a fault", 0, BUF + 0x100, HOLE + 0x2080
	mov esi, BUF
	mov edi, HOLE + 0x1F80
	mov ecx, 0x100
	repe cmpsb
	setz al
	movzx eax, al
	CHECK "and the bytes are all there", eax, 1
	mov dword [hooks + 14 * 4], 0

	SECTION_ "trap flag, ports"
	mov dword [hooks + 1 * 4], on_step
	mov dword [t], 0
	mov esi, BUF
	mov edi, DST
	mov ecx, 5
	pushfd
	or dword [esp], 0x100
	popfd
	rep movsb			; a trap behind each iteration
	nop
	and dword [esp - 4], 0
	mov dword [hooks + 1 * 4], 0
	pushfd
	and dword [esp], 0xFFFFFEFF
	popfd
	CHECK "single steps in REP MOVSB", [t], 5
	mov dx, 0x1F2			; a register that keeps what is written
	mov esi, BUF + 5
	outsb
	CHECK "OUTSB: ESI", esi, BUF + 6
	mov edi, DST
	mov ecx, 4
	rep insb
	CHECK "REP INSB: four reads of the port", [DST], 0x05050505
	CHECK "REP INSB: EDI", edi, DST + 4
	mov dword [PTAB + 8], 0
	invlpg [HOLE + 0x2000]
	mov edi, HOLE + 0x1FFE
	mov ecx, 6
	PFAULTS "REP INSB into the hole", 2, HOLE + 0x2000, rep insb
	REGS "REP INSB into the hole", 4, esi, HOLE + 0x2000
	mov eax, cr0
	and eax, 0x7FFFFFFF
	mov cr0, eax

	mov eax, 0x80000001
	cpuid
	test edx, 1 << 29
	jz .nolong
	SECTION_ "64-bit mode"
	FILL
	CLEAR
	call map64
	call enter64
	bits 64
	mov esi, BUF
	mov edi, DST
	mov ecx, 4
	rep movsq
	CHECKQ "REP MOVSQ: data", [DST + 24], [BUF + 24]
	CHECK "REP MOVSQ: RSI", esi, BUF + 32
	mov rax, 0x1122334455667788
	mov edi, DST + 8
	mov ecx, 2
	std
	rep stosq
	cld
	mov rdx, rax
	CHECKQ "STD REP STOSQ", [DST], rdx
	CHECK "STD REP STOSQ: RDI", edi, DST - 8
	mov rsi, 0xFFFFFFFF00000000 + BUF	; 67: ESI, EDI, ECX; they are written zero-extended
	mov rdi, 0xFFFFFFFF00000000 + DST
	mov rcx, 0xFFFFFFFF00000003
	db 0x67
	rep movsb
	mov eax, DST + 3
	CHECKQ "67 REP MOVSB: RDI zero-extended", rdi, rax
	CHECKQ "67 REP MOVSB: RCX", rcx, 0
	mov edi, 0x80000000
	shl rdi, 16			; 0000800000000000: not canonical
	lea rdi, [rdi - 4]
	mov dword [exc_count + 13 * 4], 0
	mov ecx, 8
	xor eax, eax
	mov rbx, rdi
	FAULTS "REP STOSB where nothing is mapped", 14, 2, rep stosb
	CHECKQ "RDI is where it was", rdi, rbx
	add rdi, 4
	FAULTS "REP STOSB at a non-canonical address", 13, 0, rep stosb
	mov edi, BUF
	mov rax, [BUF + 64]
	mov ecx, 20
	repne scasq
	CHECK "REPNE SCASQ", ecx, 20 - 9
	mov esi, BUF
	lodsq
	mov rdx, [BUF]
	CHECKQ "LODSQ", rax, rdx
	jmp finish64
	bits 32
.nolong:
	jmp finish32

map_hole:
	inc dword [t]
	mov dword [PTAB + 8], 0x53007
	ret

on_step:
	mov eax, [ebp + F_IP]		; count only those on the string instruction and just behind it
	cmp byte [eax], 0xF3
	je .c
	cmp byte [eax], 0x90
	je .c
	ret
.c:	inc dword [t]
	cmp byte [eax], 0x90
	jne .r
	and dword [ebp + F_FLAGS], 0xFFFFFEFF
.r:	ret
