; Self-modifying code: a patched immediate two instructions ahead, and routines generated anew into the same pages.

%include "boot.inc"

CODE	equ DATA			; 16 routines, 256 bytes apart
LOOPS	equ 12000

main:	xor r15d, r15d			; the checksum
	mov ebp, 2026
	mov r14d, LOOPS
.loop:	mov edi, CODE			; write 16 routines of 8 instructions each ...
	mov r13d, 16
.gen:	mov rbx, rdi
	mov r12d, 8
.ins:	RANDOM rbp
	mov rax, rbp
	shr rax, 33
	mov ecx, eax
	and ecx, 3
	mov dx, [.opcodes + rcx * 2]	; add, xor, sub or adc r15, imm32
	mov byte [rdi], 0x49
	mov [rdi + 1], dx
	mov [rdi + 3], eax
	add rdi, 7
	dec r12d
	jnz .ins
	mov byte [rdi], 0xC3
	lea rdi, [rbx + 256]
	dec r13d
	jnz .gen
	mov r13d, 20			; ... and call them 20 times
.again:	mov ebx, CODE
.call:	clc
	call rbx
	add ebx, 256
	cmp ebx, CODE + 16 * 256
	jb .call
	dec r13d
	jnz .again
	mov ecx, 16			; patch what runs next
.patch:	mov [.imm + 3], r15d
	rol r15, 5
.imm:	add r15, 0x12345678
	dec ecx
	jnz .patch
	dec r14d
	jnz .loop
	mov rax, r15
	ret

	align 8
.opcodes: db 0x81, 0xC7, 0x81, 0xF7, 0x81, 0xEF, 0x81, 0xD7

END_OF_IMAGE
