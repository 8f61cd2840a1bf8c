; Self-modifying and cross-modifying code: the next instruction, one ahead and one behind in the same block, instructions
; over a page boundary, string and port writes into code, an alias of the page, another processor.

%define IMG "selfmod"
%define CPUS 2
%include "boot.inc"
%include "pm.inc"
%include "pit.inc"

CODE	equ 0x50000			; pages that code is written to
PDIR	equ 0x60000
PTAB	equ 0x61000
ALIAS	equ 0x400000			; maps CODE
APIC	equ 0xFEE00000

	absolute uservars
online	resd 1
go	resd 1
sum	resd 1
served	resd 1
stop	resd 1
	section .text

	bits 16
main:	SECTION_ "real mode"
	mov byte [.n16 + 1], 0x34
	jmp short .n16
.n16:	mov al, 0x12
	movzx eax, al
	CHECK "patched MOV AL", eax, 0x34
	mov byte [.n16 + 1], 0x12
	call enter_pm
	bits 32
	cld

	SECTION_ "one processor"
	mov byte [.n1 + 1], 0x78	; the very next instruction
.n1:	mov eax, 0x12345600
	CHECK "next instruction", eax, 0x12345678
	mov ecx, 7
	mov byte [.n2], 0x41		; some instructions ahead: NOP becomes INC ECX
	inc ecx
	dec ecx
	xor edx, edx
.n2:	nop
	CHECK "ahead in the same block", ecx, 8
	xor eax, eax			; behind: each round changes what the next one does
	mov ecx, 100
.n3:	add eax, 0			; 83 C0 ib
	inc byte [.n3 + 2]
	dec ecx
	jnz .n3
	CHECK "behind, 100 rounds", eax, 4950
	movzx eax, byte [.n3 + 2]
	CHECK "the byte itself", eax, 100
	xor eax, eax
	xor edx, edx
	mov ecx, 1000			; a condition turned over every round
.n4:	test ecx, 1
.j4:	jz .odd				; 74 / 75
	inc eax
	jmp .t4
.odd:	inc edx
.t4:	xor byte [.j4], 1
	dec ecx
	jnz .n4
	CHECK "Jcc turned over: taken", edx, 1000
	CHECK "Jcc turned over: not taken", eax, 0
	xor eax, eax			; REP STOSB over what comes next: eight INC EDX
	mov al, 0x42
	xor edx, edx
	mov edi, .n5
	mov ecx, 8
	rep stosb
.n5:	times 8 nop
	CHECK "REP STOSB over the next instructions", edx, 8
	mov edx, 0x1F2			; the same with bytes from a port that keeps what is written
	mov al, 0x43
	out dx, al
	xor ebx, ebx
	mov edi, .n6
	mov ecx, 4
	rep insb
.n6:	times 4 nop
	CHECK "REP INSB over the next instructions", ebx, 4
	mov edi, .n7			; LOCK XCHG, and a write over an instruction's end
	mov eax, 0x40404040
	xor ecx, ecx
	xchg [edi - 2], eax
	jmp .n7
	nop
	nop
.n7:	nop
	nop
	CHECK "XCHG over code", eax, 0x90909092
	push dword 0xC3C3C3C3		; code on the stack
	push dword 0x12345678
	push dword 0xB8909090		; NOP NOP NOP, MOV EAX, 12345678h, RET
	call esp
	add esp, 12
	CHECK "code on the stack", eax, 0x12345678
	push dword 0xC3C3C3C3
	push dword 0x87654321
	push dword 0xB8909090
	call esp
	add esp, 12
	CHECK "other code at the same place", eax, 0x87654321

	SECTION_ "over a page boundary"
	mov dword [CODE + 0xFFC], 0xB8909090
	mov dword [CODE + 0x1000], 0x11111111
	mov byte [CODE + 0x1004], 0xC3
	mov ebx, CODE + 0xFFC
	call ebx
	CHECK "MOV EAX, imm32 over the boundary", eax, 0x11111111
	mov byte [CODE + 0x1003], 0x22
	call ebx
	CHECK "patched in the second page", eax, 0x22111111
	mov byte [CODE + 0xFFF], 0xB9
	xor ecx, ecx
	call ebx
	CHECK "patched in the first page", ecx, 0x22111111
	mov dword [CODE + 0xFFE], 0x3344B890	; a write over the boundary: MOV EAX, 11113344h
	mov byte [CODE + 0x1004], 0xC3
	mov word [CODE + 0x1002], 0x1111
	call ebx
	CHECK "a write over the boundary", eax, 0x11113344

	SECTION_ "alias"
	mov edi, PDIR
	xor eax, eax
	mov ecx, 0x2000 / 4
	rep stosd
	mov dword [PDIR], 0x87
	mov dword [PDIR + 4], PTAB + 7
	mov dword [PDIR + 0xFEC], 0xFEC00097	; the APIC, uncached
	mov dword [PTAB], CODE + 7
	mov dword [PTAB + 4], CODE + 0x1007
	mov dword [PTAB + 8], CODE + 5	; read-only: run from here
	mov eax, cr4
	or al, 0x10
	mov cr4, eax
	mov eax, PDIR
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
	mov dword [CODE], 0x000001B8	; MOV EAX, 1; RET
	mov dword [CODE + 4], 0x0000C300
	mov esi, CODE
	call esi
	CHECK "before", eax, 1
	mov byte [ALIAS + 1], 2		; by its other address; SDM: then serialize
	xor eax, eax
	cpuid
	call esi
	CHECK "patched by its alias", eax, 2
	mov esi, ALIAS + 0x2000
	call esi
	CHECK "run at a third address", eax, 2
	mov byte [CODE + 1], 3
	xor eax, eax
	cpuid
	call esi
	CHECK "patched, run at the third address", eax, 3
	mov dword [PTAB + 8], CODE + 0x1005	; another frame under the same address
	mov dword [CODE + 0x1000], 0x000004B8
	mov dword [CODE + 0x1004], 0x0000C300
	invlpg [ALIAS + 0x2000]
	call esi
	CHECK "another frame under the same address", eax, 4
	mov dword [PTAB + 8], CODE + 5
	invlpg [ALIAS + 0x2000]
	call esi
	CHECK "and the first again", eax, 3
	mov eax, cr0
	and eax, 0x7FFFFFFF
	mov cr0, eax

	mov eax, 1
	cpuid
	test edx, 1 << 9
	jz .up
	call ref2_start
	mov dword [hooks + 0x30 * 4], on_ipi
	mov dword [APIC + 0xF0], 0x13F
	mov esi, ap16
	mov edi, 0x2000
	mov ecx, ap16_end - ap16
	rep movsb
	mov dword [APIC + 0x310], 0
	mov dword [APIC + 0x300], 0xC4500
	mov ecx, 12000
	call wait2
	mov dword [APIC + 0x300], 0xC4602
	mov ecx, 30000
	call wait2
	cmp dword [online], 0
	jne .smp
	mov dword [APIC + 0x300], 0xC4602
	mov ecx, 50000
	call wait2
	cmp dword [online], 0
	je .up
.smp:	SECTION_ "another processor"
	mov dword [CODE], 0x000001B8
	mov dword [CODE + 4], 0x0000C300
	mov dword [go], 1
	mov ebx, 1			; it calls CODE over and over; we patch, then an IPI makes it serialize
.round:	inc ebx
	mov [CODE + 1], bl
	mov ecx, [served]
	mov dword [APIC + 0x300], 0xC4030
	mov edx, 1000
.sv:	cmp [served], ecx
	jne .seen
	push ecx
	mov ecx, 1000
	call wait2
	pop ecx
	dec edx
	jnz .sv
	FAILNOW "the other processor takes the IPI"
	jmp .up
.seen:	mov dword [sum], 0		; what it computes from now on is new
	mov edx, 1000
.nz:	mov eax, [sum]
	test eax, eax
	jnz .got
	mov ecx, 1000
	call wait2
	dec edx
	jnz .nz
.got:	CHECK "it runs the new code", eax, ebx
	cmp ebx, 20
	jb .round
	mov dword [stop], 1
	jmp finish32
.up:	PRINT "only one processor: cross-modifying is not run", 10
	jmp finish32

on_ipi:	push ebx
	xor eax, eax
	cpuid				; serializes
	pop ebx
	mov dword [APIC + 0xB0], 0
	inc dword [served]
	ret

ap_main:
	mov eax, SEL_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov eax, 1
	lock xadd [online], eax
	test eax, eax
	jnz .idle			; one is enough
	mov esp, 0x88000
	lidt [idtr32]
	mov dword [APIC + 0xF0], 0x13F
	sti
.w:	pause
	cmp dword [go], 0
	je .w
.l:	mov esi, CODE
	cli				; the call and its report belong together
	call esi
	mov [sum], eax
	sti
	cmp dword [stop], 0
	je .l
.idle:	cli
	hlt
	jmp .idle

	bits 16
ap16:	cli
	xor ax, ax
	mov ds, ax
	lgdt [gdtr]
	mov eax, cr0
	and eax, 0x9FFFFFFF
	or al, 1
	mov cr0, eax
	jmp dword SEL_CODE32:ap_main
ap16_end:
