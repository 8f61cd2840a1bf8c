; Four processors: a counter under a spin lock, an IPI that goes round in a ring, IPIs to all that wait for answers.
; peers: cpus=4

%include "boot.inc"

APIC	equ 0xFEE00000
CPUS	equ 4
TAKES	equ 500000			; of the lock, by each processor
HOPS	equ 1000000			; of the ring
CALLS	equ 250000			; to all others
TRAMPOLINE equ 0x5000

	section .vars start=DATA nobits align=64
arrived	resd 16
online	resd 16
lock_	resd 16
counter	resd 16
ready	resd 16
hops	resd 16
calls	resd 16
answers	resd 16
perhop	resd 16
	section .text

main:	mov r12d, APIC			; for good; an absolute address would be sign-extended
	mov edi, DATA
	mov ecx, 0x1000
	xor eax, eax
	rep stosb
	mov edi, IDT + 0x41 * 16
	mov ebx, on_hop
	call set_gate
	mov ebx, on_call
	call set_gate
	mov ebx, spurious
	mov edi, IDT + 0xFF * 16
	call set_gate
	call apic_on
	mov esi, trampoline
	mov edi, TRAMPOLINE
	mov ecx, trampoline.end - trampoline
	rep movsb
	mov eax, 0xC4500		; INIT to all but self
	call icr
	mov ecx, 200000
.wait:	pause
	loop .wait
	mov eax, 0xC4600 + (TRAMPOLINE >> 12)
	call icr
.join:	pause
	cmp dword [arrived], CPUS - 1
	jb .join
	call work
	mov eax, [counter]		; all that must be the same everywhere
	imul rax, rax, 1000003
	mov ecx, [hops]
	add rax, rcx
	imul rax, rax, 1000003
	mov ecx, [answers]
	add rax, rcx
	mov esi, perhop
	mov ecx, CPUS
.sum:	imul rax, rax, 1000003
	mov edx, [rsi]
	add rax, rdx
	add esi, 4
	loop .sum
	ret

; What every processor does.
work:	mov r15d, [r12 + 0x20]		; which one this is
	shr r15d, 24
	mov ecx, TAKES
.take:	mov eax, 1
	xchg [lock_], eax
	test eax, eax
	jz .have
.spin:	pause
	cmp dword [lock_], 0
	jne .spin
	jmp .take
.have:	inc dword [counter]
	mov dword [lock_], 0
	dec ecx
	jnz .take
	lock inc dword [ready]
.all:	pause
	cmp dword [ready], CPUS
	jb .all
	sti
	test r15d, r15d
	jnz .ring
	mov edx, 1 << 24		; processor 0 starts the ring
	mov [r12 + 0x310], edx
	mov eax, 0x4041
	call icr
.ring:	pause
	cmp dword [hops], HOPS
	jb .ring
	test r15d, r15d
	jnz .serve
	mov r14d, CALLS
	xor r13d, r13d
.call:	mov eax, 0xC4042		; to all but self
	call icr
	add r13d, CPUS - 1
.answer: pause
	cmp [answers], r13d
	jb .answer
	dec r14d
	jnz .call
	mov dword [calls], 1
	cli
	ret
.serve:	pause
	cmp dword [calls], 0
	je .serve
	cli
	ret

on_hop:	push rax
	push rdx
	inc dword [perhop + r15 * 4]
	mov dword [r12 + 0xB0], 0
	cmp dword [hops], HOPS - 1	; one IPI is under way at any time: no race
	jae .last
	lea edx, [r15 + 1]
	and edx, CPUS - 1
	shl edx, 24
	mov [r12 + 0x310], edx
	lock inc dword [hops]
	mov dword [r12 + 0x300], 0x4041
	pop rdx
	pop rax
	iretq
.last:	lock inc dword [hops]
	pop rdx
	pop rax
	iretq

on_call:
	mov dword [r12 + 0xB0], 0
	lock inc dword [answers]
	iretq

spurious:
	iretq

apic_on:
	mov dword [r12 + 0x80], 0
	mov dword [r12 + 0xF0], 0x1FF
	ret

icr:	mov [r12 + 0x300], eax
.busy:	test dword [r12 + 0x300], 0x1000
	jnz .busy
	ret

	bits 16
trampoline:
	cli
	xor ax, ax
	mov ds, ax
	mov es, ax
	mov ss, ax
	jmp 0:ap16
.end:
ap16:	mov ax, 1
	lock xadd [cs:.index], ax
	shl ax, 6
	mov sp, TRAMPOLINE
	sub sp, ax
	lgdt [gdtr]
	call long_mode
	bits 64
	lidt [idtr]
	mov eax, 1
	lock xadd [arrived], eax
	inc eax
	shl eax, 14
	mov esp, STACK
	sub esp, eax
	mov r12d, APIC
	call apic_on
	call work
	cli
.halt:	hlt
	jmp .halt
	align 2
.index:	dw 0

END_OF_IMAGE
