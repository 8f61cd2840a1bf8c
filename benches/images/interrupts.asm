; Interrupts and serializing instructions: INT n and IRETQ, CPUID, OUT to a port, far return, PUSHFQ and POPFQ.

%include "boot.inc"

LOOPS	equ 6000000

main:	mov edi, IDT + 0x40 * 16
	mov ebx, handler
	call set_gate
	xor r15d, r15d			; the checksum
	mov r14d, LOOPS
.loop:	int 0x40
	mov eax, 0			; what it says differs from processor to processor: only its cost counts
	cpuid
	mov eax, r14d
	out 0x80, al
	push CODE64
	push .back
	retfq
.back:	pushfq
	xor qword [rsp], 0x801		; CF, OF
	popfq
	adc r15, r14
	dec r14d
	jnz .loop
	mov rax, r15
	ret

handler:
	imul r15, r15, 1000003
	add r15, [rsp + 24]		; the stack pointer of before
	iretq

END_OF_IMAGE
