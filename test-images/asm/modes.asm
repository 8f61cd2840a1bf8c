; Every operating mode in turn and back: real, 16- and 32-bit protected, virtual-8086, PAE paging, compatibility, 64-bit.

%define IMG "modes"
%include "boot.inc"
%include "pm.inc"
%include "long.inc"

	absolute uservars
v86_seen	resd 1
scratch	resd 16
	section .text

	bits 16
main:	SECTION_ "real mode"
	smsw ax
	and eax, 1
	CHECK "CR0.PE in real mode", eax, 0
	mov eax, 0x11111111		; 66: the upper half survives a 16-bit write
	mov ax, 0x2222
	CHECK "16-bit write keeps the upper half", eax, 0x11112222
	xor eax, eax
	db 0x66				; 66 B8: a four-byte immediate here
	db 0xB8
	dd 0x12345678
	CHECK "66 prefix gives 32-bit operand", eax, 0x12345678
	mov ebx, scratch
	mov dword [scratch], 0xCAFE1234
	mov eax, [ebx]			; 67
	CHECK "67 prefix gives 32-bit address", eax, 0xCAFE1234
	mov ax, 0xFFFF			; FFFF:0010 = 100000h, with A20 on not an alias of 0
	mov fs, ax
	mov eax, [0]
	mov ebx, [fs:0x10]
	not dword [0]
	mov edx, [fs:0x10]
	mov [0], eax
	CHECK "A20 on: 100000h is not 0", edx, ebx
	mov ax, sp
	push ax
	pop bx
	movzx eax, ax
	movzx ebx, bx
	CHECK "PUSH in real mode", ebx, eax
	mov ax, sp			; PUSH SP pushes the old value
	push sp
	pop bx
	movzx eax, ax
	movzx ebx, bx
	CHECK "PUSH SP pushes the value before", ebx, eax
	pushf				; IOPL and NT are writable in real mode
	pop ax
	or ax, 0x7000
	push ax
	popf
	pushf
	pop ax
	and eax, 0x7000
	CHECK "FLAGS.IOPL and NT settable in real mode", eax, 0x7000
	push word 2
	popf
	cli
	mov dword [0x60 * 4], .int60	; INT through the IVT
	xor bx, bx
	int 0x60
	movzx ebx, bx
	CHECK "INT through the IVT", ebx, 0x60
	mov dword [6 * 4], .ud
	xor bx, bx
.udat:	ud2
.udcont:
	movzx ebx, bx
	CHECK "#UD in real mode pushes the fault's address", ebx, .udat
	mov dword [13 * 4], .gp
	xor bx, bx
	mov si, 0xFFFF
	mov ax, [si]			; a word at FFFF: beyond the limit
	movzx ebx, bx
	CHECK "#GP for a word at offset FFFF", ebx, 13
	mov dword [0 * 4], .de
	xor bx, bx
	mov ax, 1
	xor dx, dx
	xor cx, cx
	div cx
	movzx ebx, bx
	CHECK "#DE in real mode", ebx, 1
	sti
	jmp .prot
.int60:	mov bx, 0x60
	iret
.ud:	push bp
	mov bp, sp
	mov bx, [bp + 2]
	mov word [bp + 2], .udcont
	pop bp
	iret
.gp:	mov bx, 13
	push bp
	mov bp, sp
	add word [bp + 2], 2
	pop bp
	iret
.de:	mov bx, 1
	push bp
	mov bp, sp
	add word [bp + 2], 2
	pop bp
	iret

.prot:	SECTION_ "16-bit protected mode"
	cli
	lgdt [gdtr]
	mov eax, cr0
	or al, 1
	mov cr0, eax
	mov bx, cs			; still the real-mode selector
	jmp SEL_CODE16:.p16
.p16:	mov ax, SEL_DATA16
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov ax, cs
	mov [scratch], ax
	smsw ax
	and eax, 1
	mov [scratch + 4], eax
	mov esp, 0xABCD7C00		; SS.B = 0: only SP moves
	push ax
	mov [scratch + 8], esp
	mov esp, 0x7C00
	mov ax, SEL_DATA		; B = 1, 4 GiB: 32-bit addresses beyond 64 KiB from 16-bit code
	mov fs, ax
	mov edi, 0x110000
	mov dword [fs:edi], 0x600DF00D
	mov eax, [fs:edi]
	mov [scratch + 12], eax
	mov eax, cr0
	and al, 0xFE
	mov cr0, eax
	jmp 0:.r1
.r1:	xor ax, ax
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov sp, 0x7C00
	movzx eax, word [scratch]
	CHECK "CS after the far jump", eax, SEL_CODE16
	CHECK "CR0.PE", [scratch + 4], 1
	CHECK "PUSH with SS.B = 0 changes SP alone", [scratch + 8], 0xABCD7BFE
	CHECK "32-bit address in 16-bit code", [scratch + 12], 0x600DF00D
	mov edi, 0x110000		; FS keeps its descriptor: real mode with a 4 GiB segment
	mov eax, [fs:edi]
	CHECK "segment caches survive the return to real mode", eax, 0x600DF00D
	xor ax, ax
	mov fs, ax
	sti

	SECTION_ "32-bit protected mode"
	call enter_pm
	bits 32
	mov eax, 0x55555555
	db 0x66				; 66 B8: a two-byte immediate here
	db 0xB8
	dw 0x1234
	CHECK "66 prefix gives 16-bit operand", eax, 0x55551234
	mov dword [scratch], 0x0BADCAFE
	mov ebx, 0xFFFF0000 + scratch
	db 0x67				; mov eax, [bx]
	mov eax, [edi]			; 8B 07: with 67 this is [bx]
	CHECK "67 prefix gives 16-bit address", eax, 0x0BADCAFE
	mov eax, esp
	push ax				; two bytes
	sub eax, esp
	add esp, 2
	CHECK "PUSH AX in 32-bit code", eax, 2
	call .sel
	CHECK "CS", eax, SEL_CODE32
	FAULTS "UD2", 6, 0, ud2
	mov eax, 0xFFF8
	FAULTS "load of a selector beyond the GDT", 13, 0xFFF8, mov es, ax
	jmp .far
.sel:	mov eax, cs
	ret
.far:	call SEL_CODE16:far16		; 66 9A from 32-bit code: a far call into 16-bit code (32-bit frame)
	CHECK "far call to 16-bit code and back", ecx, 0x1616
	mov ecx, 0x10000
	xor eax, eax
.l:	inc eax				; 40h is INC here
	dec ecx
	jnz .l
	CHECK "40h is INC EAX", eax, 0x10000

	SECTION_ "virtual-8086 mode"
	mov dword [hooks + 13 * 4], v86_gp
	mov dword [v86_seen], 0
	mov [scratch + 32], esp
	mov eax, esp
	mov dword [tss + 4], RING0_STACK
	push dword 0			; GS
	push dword 0			; FS
	push dword 0			; DS
	push dword 0			; ES
	push dword 0			; SS
	push dword 0x3F00		; ESP
	push dword 0x20002		; VM, IOPL 0
	push dword 0			; CS
	push dword v86_code
	iretd
v86_back:				; v86_gp comes here on HLT
	mov dword [hooks + 13 * 4], 0
	CHECK "CLI, PUSHF, INT, IN and HLT trap at IOPL 0", [v86_seen], 0x1F
	CHECK "8086 code ran", [scratch], 0x8086
	CHECK "segment * 16 in virtual-8086 mode", [scratch + 4], 0x0BADCAFE
	CHECK "ring 0 entry from virtual-8086 mode pushes VM", [scratch + 8], 0x20000
	CHECK "DS is null in the handler of a v86 exception", [scratch + 12], 0

	SECTION_ "PAE paging"
	mov edi, 0x20000		; PDPT, one PD of 2 MiB pages
	xor eax, eax
	mov ecx, 0x2000 / 4
	rep stosd
	mov dword [0x20000], 0x21001
	mov dword [0x21000], 0x83
	mov dword [0x21008], 0x83	; 200000h maps to 0 too
	mov eax, cr4
	or al, 0x20
	mov cr4, eax
	mov eax, 0x20000
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
	jmp short $ + 2
	mov dword [scratch], 0x1CED1CED
	CHECK "PAE: two addresses of one page", [scratch + 0x200000], 0x1CED1CED
	PFAULTS "PAE: page not there", 0, 0x400000, {mov eax, [0x400000]}
	mov eax, cr0
	and eax, 0x7FFFFFFF
	mov cr0, eax
	mov eax, cr4
	and al, 0xDF
	mov cr4, eax

	mov eax, 0x80000001
	cpuid
	test edx, 1 << 29
	jz nolong
	SECTION_ "64-bit mode"
	call map64
	call enter64
	bits 64
	mov ecx, MSR_EFER
	rdmsr
	and eax, 0x500
	CHECK "EFER.LME and LMA", eax, 0x500
	mov rax, 0x123456789ABCDEF0
	CHECKQ "64-bit immediate", rax, [m64]
	mov eax, -1
	CHECKQ "32-bit write clears the upper half", rax, [m32]
	mov r8, 0x1111111111111111
	mov r8w, 0x2222
	CHECKQ "16-bit write of R8 keeps the rest", r8, [m16]
	mov r15, -1
	mov r15b, 0
	mov rax, ~0xFF
	CHECKQ "8-bit write of R15", r15, rax
	mov rsi, 0xAAAA
	mov sil, 0x55			; REX makes SIL of DH's number
	CHECK "SIL", esi, 0xAA55
	mov eax, 0x1234
	mov ah, 0x77			; without REX: AH
	CHECK "AH without REX", eax, 0x7734
	lea rax, [rel .here]
.here:	mov edx, .here
	CHECKQ "RIP-relative address", rax, rdx
	mov rbx, 0xFFFFFFFF00000000 + scratch
	mov dword [scratch], 0x64646464
	mov eax, [ebx]
	CHECK "67 prefix gives 32-bit address in 64-bit code", eax, 0x64646464
	mov rbp, 0x8000000000000000
	mov rax, rbp
	FAULTS "non-canonical data address", 13, 0, mov eax, [rax]
	FAULTS "non-canonical stack address", 12, 0, mov eax, [rbp]
	FAULTS "PUSH ES has no encoding", 6, 0, db 0x06
	FAULTS "DAA has no encoding", 6, 0, db 0x27
	movsxd rax, dword [minus]
	CHECKQ "MOVSXD", rax, -1
	mov rax, rsp
	push ax
	sub rax, rsp
	add rsp, 2
	CHECK "PUSH AX in 64-bit code", eax, 2
	mov rax, rsp
	push rax
	sub rax, rsp
	add rsp, 8
	CHECK "PUSH RAX", eax, 8
	mov rdx, cr8
	mov eax, 5
	mov cr8, rax
	mov rax, cr8
	mov cr8, rdx
	CHECK "CR8", eax, 5
	mov ecx, 0xC0000100
	mov eax, 0x1000
	mov edx, 0x12
	wrmsr
	rdmsr
	CHECK "FS base, upper half", edx, 0x12
	xor eax, eax
	xor edx, edx
	wrmsr
	mov ecx, 0xC0000101		; GS base counts, the limit does not
	mov eax, scratch
	wrmsr
	mov eax, [gs:0]
	CHECK "GS base", eax, 0x64646464
	xor eax, eax
	wrmsr
	inc rax				; FF C0 with REX.W; 48h is no DEC
	CHECK "REX.W INC", eax, 1

	SECTION_ "compatibility mode"
	push SEL_CODE32
	push compat
	retfq
	bits 32
compat:	mov eax, cs
	CHECK "CS", eax, SEL_CODE32
	mov ecx, MSR_EFER
	rdmsr
	and eax, 0x400
	CHECK "EFER.LMA in compatibility mode", eax, 0x400
	mov eax, 5
	db 0x48				; DEC EAX here
	CHECK "48h is DEC EAX", eax, 4
	mov eax, 0x55555555
	db 0x66, 0xB8
	dw 0x1234
	CHECK "66 prefix gives 16-bit operand", eax, 0x55551234
	mov ebx, 0xFFFFFFF0		; addresses wrap at 4 GiB
	mov dword [scratch], 0xC0DEC0DE
	mov eax, [ebx + scratch + 0x10]
	CHECK "addresses wrap at 4 GiB", eax, 0xC0DEC0DE
	mov dword [scratch], 0
	push dword SEL_CODE16
	push dword compat16
	retf
	bits 16
compat16:
	mov ax, cs
	mov [scratch], ax
	mov eax, 0x55555555
	db 0xB8
	dw 0x4321
	mov [scratch + 4], eax
	jmp dword SEL_CODE32:compat32
	bits 32
compat32:
	CHECK "16-bit compatibility code", [scratch], SEL_CODE16
	CHECK "B8h has a 16-bit immediate there", [scratch + 4], 0x55554321
	jmp SEL_CODE64:long2
	bits 64
long2:	mov ax, cs
	movzx eax, ax
	CHECK "back in 64-bit mode", eax, SEL_CODE64
	mov ecx, MSR_EFER
	xor eax, eax
	xor edx, edx
	FAULTS "LME cannot change under paging", 13, 0, wrmsr
	call leave64
	bits 32
nolong:
	SECTION_ "real mode again"
	mov eax, cr0
	and eax, 0x80000001
	CHECK "paging off, protection on", eax, 1
	call leave_pm
	bits 16
	smsw ax
	and eax, 1
	CHECK "CR0.PE", eax, 0
	mov ah, 2			; the BIOS still works: read the clock
	clc
	int 0x1A
	setc al
	movzx eax, al
	CHECK "int 1Ah", eax, 0
	xor ah, ah			; and its timer ticks
	int 0x1A
	mov bx, dx
	mov ecx, 0x10000000
.tick:	hlt
	xor ah, ah
	int 0x1A
	cmp dx, bx
	je .tick
	jmp finish16

far16:	mov ecx, 0x1616			; B9 with a four-byte immediate would eat the next instruction
	retfd				; the caller pushed a 32-bit frame

	bits 16
v86_code:
	mov dword [scratch], 0x8086
	mov ax, 0x1000			; 1000:0123 is 10123h
	mov ds, ax
	mov dword [0x123], 0x0BADCAFE
	mov ax, 0x1012
	mov es, ax
	xor bx, bx
	mov eax, [es:bx + 3]
	mov bx, ax
	shr eax, 16
	xor cx, cx
	mov ds, cx
	mov [scratch + 4], bx
	mov [scratch + 6], ax
	cli
	pushf
	int 0x21
	in al, 0x60
	hlt

	bits 32
v86_gp:	mov eax, [ebp + F_FLAGS]
	and eax, 0x20000
	mov [scratch + 8], eax
	mov eax, [ebp + 4]		; the saved DS: null
	mov [scratch + 12], eax
	mov ecx, [ebp + F_CS]
	shl ecx, 4
	add ecx, [ebp + F_IP]
	mov al, [ecx]
	mov ecx, 1			; length
	mov edx, 1
	cmp al, 0xFA
	je .skip
	mov edx, 2
	cmp al, 0x9C
	je .skip
	mov ecx, 2
	mov edx, 4
	cmp al, 0xCD
	je .skip
	mov edx, 8
	cmp al, 0xE4
	je .skip
	mov edx, 0x10
	cmp al, 0xF4
	jne .bad
	or [v86_seen], edx
	mov esp, [scratch + 32]
	jmp v86_back
.bad:	mov edx, 0x8000
.skip:	or [v86_seen], edx
	add [ebp + F_IP], ecx
	ret

	section .rodata
	align 8
m64:	dq 0x123456789ABCDEF0
m32:	dq 0x00000000FFFFFFFF
m16:	dq 0x1111111111112222
minus:	dd -1
