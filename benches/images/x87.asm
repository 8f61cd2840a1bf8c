; x87: Horner's rule, square roots, divisions, comparisons, loads and stores of 32, 64 and 80 bits and of integers.
; No transcendental instructions: their last bits differ between processors.

%include "boot.inc"

VECTOR	equ DATA			; 1024 doubles
OUT80	equ DATA + 0x4000
ROUNDS	equ 2700

main:	fninit
	mov edi, VECTOR
	mov ebp, 4711
	mov ecx, 1024
.fill:	RANDOM rbp
	mov rax, rbp
	shr rax, 40
	mov [number], rax
	fild qword [number]
	fmul dword [scale]		; 0 to 1
	fstp qword [rdi]
	add rdi, 8
	dec ecx
	jnz .fill
	xor r15d, r15d			; the checksum
	mov r14d, ROUNDS
	fldz				; the running sum
.round:	mov esi, VECTOR
	mov ecx, 1024
.x:	fld qword [rsi]			; x
	fld st0
	fmul qword [c3]
	fadd qword [c2]
	fmul st1
	fadd qword [c1]
	fmulp st1, st0			; c3 x^3 + c2 x^2 + c1 x
	fld st0
	fmul st0
	fld1
	faddp
	fsqrt				; sqrt(p^2 + 1)
	fdivp st1, st0
	fxch st1
	fmul dword [decay]
	faddp				; sum = sum * decay + p / sqrt(p^2 + 1)
	fld dword [limit]
	fcomip st1
	ja .small
	fsub dword [limit]
.small:	add rsi, 8
	dec ecx
	jnz .x
	fld st0
	fstp tword [OUT80]
	fld st0
	fmul dword [big]
	fistp qword [number]
	rol r15, 3
	add r15, [OUT80]
	xor r15, [number]
	dec r14d
	jnz .round
	mov rax, r15
	ret

	align 8
number:	dq 0
c1:	dq 0.333333333333333
c2:	dq -1.7320508075688772
c3:	dq 2.718281828459045
scale:	dd 5.9604644775390625e-8	; 2^-24
decay:	dd 0.984375
limit:	dd 3.5
big:	dd 1073741824.0

END_OF_IMAGE
