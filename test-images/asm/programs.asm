; Programs that gcc has compiled (c/programs.c; c/build makes inc/programs.bin, which runs at 10000h in 64-bit mode, and
; inc/programs.txt, what the same source prints on the host): their output must be the host's, byte for byte.

%define IMG "programs"
%define BIG
%include "boot.inc"
%include "pm.inc"
%include "long.inc"
%include "avx512.inc"

PROGRAM	equ 0x10000
BSS	equ 0x200000
OUTPUT	equ 0x300000

	section .rodata
expected: incbin "programs.txt"
expected_end:
	section .text

	bits 16
main:	mov si, .dap
	mov dl, [boot_drive]
	mov ah, 0x42
	int 0x13
	jc .bad
	ENTER_AVX512 0xD0030000	; AVX512F, DQ, CD, BW, VL
	align 4
.dap:	db 16, 0
	dw 64, 0, PROGRAM >> 4
	dq LOAD_SECTORS + 1

	bits 64
run:	SECTION_ "programs"
	ENABLE_AVX512
	fninit
	cld
	mov edi, BSS
	mov ecx, 0x100000 / 8
	xor eax, eax
	rep stosq
	mov rbp, rsp
	mov rsp, 0x1F0000
	mov edi, OUTPUT
	mov eax, PROGRAM
	call rax
	mov rsp, rbp
	mov byte [OUTPUT + rax], 0
	mov ebx, expected_end - expected
	CHECK "length of the output", eax, ebx
	mov esi, OUTPUT			; all of it to port E9
	mov ecx, ebx
	mov dx, 0xE9
	rep outsb
	xor ebx, ebx
.byte:	movzx ecx, byte [OUTPUT + rbx]
	movzx edi, byte [expected + rbx]
	CHECK "a byte of the output", ecx, edi
	inc ebx
	cmp ebx, expected_end - expected
	jb .byte
	jmp finish64

	section .table start=0x10000		; where the loader's 65 sectors end
	incbin "programs.bin"
