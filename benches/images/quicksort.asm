; Branches and calls: recursive quicksort (middle element, Hoare's partition) of 64-bit random numbers.

%include "boot.inc"

ARRAY	equ DATA
COUNT	equ 100000
ROUNDS	equ 32

main:	xor r15d, r15d			; the checksum
	mov ebp, 12345			; the generator's state
	mov r14d, ROUNDS
.round:	mov edi, ARRAY
	mov ecx, COUNT
.fill:	RANDOM rbp
	mov [rdi], rbp
	add rdi, 8
	dec ecx
	jnz .fill
	mov edi, ARRAY
	mov esi, ARRAY + (COUNT - 1) * 8
	call sort
	mov esi, ARRAY			; in order? and a sum that depends on it
	mov ecx, COUNT - 1
.check:	mov rax, [rsi]
	cmp rax, [rsi + 8]
	jg .bad
	rol r15, 1
	add r15, rax
	add rsi, 8
	dec ecx
	jnz .check
	dec r14d
	jnz .round
	mov rax, r15
	ret
.bad:	mov rax, -1
	ret

; Sorts the signed numbers from [rdi] to [rsi] inclusive.
sort:	cmp rdi, rsi
	jae .ret
	push rbx
	push r12
	push r13
	mov r8, rdi
	mov r9, rsi
	lea rax, [rdi + rsi]
	shr rax, 1
	and eax, -8
	mov rax, [rax]			; the pivot
.part:	cmp [r8], rax
	jge .right
	add r8, 8
	jmp .part
.right:	cmp [r9], rax
	jle .swap
	sub r9, 8
	jmp .right
.swap:	cmp r8, r9
	ja .split
	mov rdx, [r8]
	mov rcx, [r9]
	mov [r8], rcx
	mov [r9], rdx
	add r8, 8
	sub r9, 8
	cmp r8, r9
	jbe .part
.split:	mov rbx, rsi
	mov r12, r8
	mov rsi, r9
	call sort
	mov rdi, r12
	mov rsi, rbx
	call sort
	pop r13
	pop r12
	pop rbx
.ret:	ret

END_OF_IMAGE
