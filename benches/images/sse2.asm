; SSE2: products of 128 x 128 matrices of doubles, two columns at a time, unrolled four times.

%include "boot.inc"

N	equ 128
A	equ DATA
B	equ DATA + N * N * 8
C	equ DATA + 2 * N * N * 8
ROUNDS	equ 40

main:	mov edi, A			; A and B: random numbers from 0 to 1
	mov ebp, 777
	mov ecx, 2 * N * N
	mov rax, 0x3DF0000000000000	; 2^-32
	movq xmm1, rax
.fill:	RANDOM rbp
	mov rax, rbp
	shr rax, 32
	cvtsi2sd xmm0, rax
	mulsd xmm0, xmm1
	movsd [rdi], xmm0
	add rdi, 8
	dec ecx
	jnz .fill
	xor r15d, r15d			; the checksum
	mov r14d, ROUNDS
.round:	mov r8d, A			; the row of A
	mov r9d, C			; and of C
	mov r10d, N
.row:	mov r11d, B			; columns of B
	mov r12d, N / 8
.col:	xorpd xmm4, xmm4
	xorpd xmm5, xmm5
	xorpd xmm6, xmm6
	xorpd xmm7, xmm7
	mov rsi, r8
	mov rdi, r11
	mov ecx, N
.dot:	movsd xmm0, [rsi]
	unpcklpd xmm0, xmm0
	movapd xmm1, [rdi]
	mulpd xmm1, xmm0
	addpd xmm4, xmm1
	movapd xmm2, [rdi + 16]
	mulpd xmm2, xmm0
	addpd xmm5, xmm2
	movapd xmm3, [rdi + 32]
	mulpd xmm3, xmm0
	addpd xmm6, xmm3
	mulpd xmm0, [rdi + 48]
	addpd xmm7, xmm0
	add rsi, 8
	add rdi, N * 8
	dec ecx
	jnz .dot
	movapd [r9], xmm4
	movapd [r9 + 16], xmm5
	movapd [r9 + 32], xmm6
	movapd [r9 + 48], xmm7
	add r9, 64
	add r11, 64
	dec r12d
	jnz .col
	add r8, N * 8
	dec r10d
	jnz .row
	mov esi, C			; the sum of the results' bits
	mov ecx, N * N
.sum:	rol r15, 1
	add r15, [rsi]
	add rsi, 8
	dec ecx
	jnz .sum
	mov eax, r14d			; and one element of A changes
	and eax, N * N - 1
	cvtsi2sd xmm0, r14
	sqrtsd xmm0, xmm0
	movsd [A + rax * 8], xmm0
	dec r14d
	jnz .round
	mov rax, r15
	ret

END_OF_IMAGE
