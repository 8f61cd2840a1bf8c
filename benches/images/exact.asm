; Whole numbers in double: products of 128 x 128 matrices, by scalar and by packed instructions, and the norms of their
; rows. Every result is exact, so that MXCSR.PE stays clear.

%include "boot.inc"

N	equ 128
A	equ DATA
B	equ DATA + N * N * 8
C	equ DATA + 2 * N * N * 8
ROUNDS	equ 40

main:	mov edi, A			; A and B: whole numbers from -128 to 127
	mov ebp, 777
	mov ecx, 2 * N * N
.fill:	RANDOM rbp
	mov rax, rbp
	sar rax, 56
	cvtsi2sd xmm0, eax
	movsd [rdi], xmm0
	add rdi, 8
	dec ecx
	jnz .fill
	xor r15d, r15d			; the checksum
	mov r14d, ROUNDS
.round:	mov r8d, A			; the row of A
	mov r9d, C			; and of C
	mov r10d, N
.row:	mov r11d, B			; columns of B, one at a time
	mov r12d, N / 2
.col:	xorpd xmm1, xmm1
	xor eax, eax
	mov rdx, r11
.dot:	movsd xmm0, [r8 + rax * 8]
	inc rax
	mulsd xmm0, [rdx]
	add rdx, N * 8
	addsd xmm1, xmm0
	cmp rax, N
	jne .dot
	movsd [r9], xmm1
	add r9, 8
	add r11, 8
	dec r12d
	jnz .col
	mov r12d, N / 4			; two at a time
.col2:	xorpd xmm1, xmm1
	xor eax, eax
	mov rdx, r11
.dot2:	movsd xmm0, [r8 + rax * 8]
	inc rax
	unpcklpd xmm0, xmm0
	mulpd xmm0, [rdx]
	add rdx, N * 8
	addpd xmm1, xmm0
	cmp rax, N
	jne .dot2
	movapd [r9], xmm1
	add r9, 16
	add r11, 16
	dec r12d
	jnz .col2
	add r8, N * 8
	dec r10d
	jnz .row
	mov esi, C			; rows: the largest element, and |element| by square and root
	mov r10d, N
.norm:	xorpd xmm2, xmm2
	xorpd xmm3, xmm3
	mov ecx, N
.elem:	movsd xmm0, [rsi]
	movapd xmm1, xmm0
	maxsd xmm2, xmm0
	mulsd xmm1, xmm0
	sqrtsd xmm1, xmm1
	comisd xmm1, xmm0
	je .plus
	subsd xmm3, xmm0
	jmp .next
.plus:	addsd xmm3, xmm0
.next:	add rsi, 8
	dec ecx
	jnz .elem
	cvttsd2si rax, xmm3
	rol r15, 1
	add r15, rax
	cvtsd2si eax, xmm2
	add r15, rax
	dec r10d
	jnz .norm
	mov eax, r14d			; and one element of A changes
	cvtsi2sd xmm0, eax
	movsd [A + rax * 8], xmm0
	dec r14d
	jnz .round
	sub rsp, 8			; the exceptions: none
	stmxcsr [rsp]
	mov eax, [rsp]
	add rsp, 8
	shl rax, 32
	xor rax, r15
	ret

END_OF_IMAGE
