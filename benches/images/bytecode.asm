; A bytecode interpreter: a stack machine whose every instruction ends in an indirect jump through a table.

%include "boot.inc"

STACK_VM equ DATA
LOCALS	equ DATA + 0x1000
LOOPS	equ 2500000

%macro OP 1				; OP name: its number and its code
  %assign op_%1 opcodes
  %assign opcodes opcodes + 1
i_%1:
%endmacro
%macro NEXT 0
	movzx eax, byte [rsi]
	inc rsi
	jmp [table + rax * 8]
%endmacro
%assign opcodes 0

; RSI next bytecode, RDI stack (grows up, [rdi] is the top), R8 locals
main:	mov esi, program
	mov edi, STACK_VM
	mov r8d, LOCALS
	mov qword [rdi], 0
	NEXT

	OP push				; a 32-bit constant
	movsxd rax, dword [rsi]
	add rsi, 4
	add rdi, 8
	mov [rdi], rax
	NEXT
	OP load			; a local variable
	movzx eax, byte [rsi]
	inc rsi
	mov rax, [r8 + rax * 8]
	add rdi, 8
	mov [rdi], rax
	NEXT
	OP store
	movzx eax, byte [rsi]
	inc rsi
	mov rdx, [rdi]
	sub rdi, 8
	mov [r8 + rax * 8], rdx
	NEXT
	OP add
	mov rax, [rdi]
	sub rdi, 8
	add [rdi], rax
	NEXT
	OP sub
	mov rax, [rdi]
	sub rdi, 8
	sub [rdi], rax
	NEXT
	OP mul
	mov rax, [rdi]
	sub rdi, 8
	imul rax, [rdi]
	mov [rdi], rax
	NEXT
	OP and
	mov rax, [rdi]
	sub rdi, 8
	and [rdi], rax
	NEXT
	OP xor
	mov rax, [rdi]
	sub rdi, 8
	xor [rdi], rax
	NEXT
	OP shr
	mov ecx, [rdi]
	sub rdi, 8
	shr qword [rdi], cl
	NEXT
	OP jz				; 16-bit displacement from the next instruction
	movsx rdx, word [rsi]
	add rsi, 2
	mov rax, [rdi]
	sub rdi, 8
	test rax, rax
	jnz .no
	add rsi, rdx
.no:	NEXT
	OP jmp
	movsx rdx, word [rsi]
	lea rsi, [rsi + rdx + 2]
	NEXT
	OP halt
	mov rax, [rdi]
	ret

%macro PUSH_ 1
	db op_push
	dd %1
%endmacro
%macro LOAD 1
	db op_load, %1
%endmacro
%macro STORE 1
	db op_store, %1
%endmacro
%macro JZ_ 1
	db op_jz
	dw %1 - ($ + 2)
%endmacro
%macro JMP_ 1
	db op_jmp
	dw %1 - ($ + 2)
%endmacro

; n = LOOPS; x = 1; s = 0
; while n { x = x * 1103515245 + 12345 & 7FFFFFFFh; if x >> 9 & 1 { s = s + (x ^ n) } else { s = s - (x >> 3) } n = n - 1 }
program:
	PUSH_ LOOPS
	STORE 0
	PUSH_ 1
	STORE 1
	PUSH_ 0
	STORE 2
.while:	LOAD 0
	JZ_ .end
	LOAD 1
	PUSH_ 1103515245
	db op_mul
	PUSH_ 12345
	db op_add
	PUSH_ 0x7FFFFFFF
	db op_and
	STORE 1
	LOAD 1
	PUSH_ 9
	db op_shr
	PUSH_ 1
	db op_and
	JZ_ .else
	LOAD 2
	LOAD 1
	LOAD 0
	db op_xor
	db op_add
	STORE 2
	JMP_ .next
.else:	LOAD 2
	LOAD 1
	PUSH_ 3
	db op_shr
	db op_sub
	STORE 2
.next:	LOAD 0
	PUSH_ 1
	db op_sub
	STORE 0
	JMP_ .while
.end:	LOAD 2
	db op_halt

	align 8
table:	dq i_push, i_load, i_store, i_add, i_sub, i_mul, i_and, i_xor, i_shr, i_jz, i_jmp, i_halt

END_OF_IMAGE
