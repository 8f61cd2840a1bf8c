; AVX-512 (and what else has EVEX forms or operation masks): thousands of instructions, each in a few random states of
; all vector, mask and general registers, MXCSR and memory; a checksum of everything they leave is compared with the
; one in the table. The table, inc/evex.bin, is written by `host-compare --evex-table` and holds the checksums of a
; processor (or of another emulator) that has AVX-512.

%define IMG "evex"
%define BIG
%include "boot.inc"
%include "pm.inc"
%include "long.inc"
%include "avx512.inc"

POOL	equ 0x10000			; 64 KiB of operands
HEAD	equ 0x20000			; the table's header, 512 bytes
H_COUNT	equ HEAD			; instructions
H_STATES equ HEAD + 4			; states of each
H_PRINT	equ HEAD + 8			; 1: print checksums instead of comparing
H_DUMP	equ HEAD + 12			; this instruction's states are printed
H_STATE	equ HEAD + 16			; this state of it in full
H_FIRST	equ HEAD + 20			; the first instruction to run
H_SEED	equ HEAD + 24
H_MXCSR	equ HEAD + 256			; 64 values
ENTRIES	equ HEAD + 512			; 32 bytes each: length, index register + 1, flags (1: its indexes are quadwords,
					; 2: there is no checksum, skip it), 0, code (16), checksum, 8 free
LAST	equ 0x68000
BEFORE	equ 0x200000			; registers before
AFTER	equ 0x201000			; and after
S_K	equ 2048
S_GPR	equ S_K + 64
S_FLAGS	equ S_GPR + 128
S_MXCSR	equ S_FLAGS + 8
S_FAULT	equ S_MXCSR + 8			; vector + 1, error code, CR2, RIP within the instruction
S_END	equ S_FAULT + 32
CODE	equ 0x210000
IDTV	equ 0x220000
DATA	equ 0x3FFC00			; 1 KiB, then nothing is there
HOLE	equ 0x400000

	absolute uservars
entry	resd 1
number	resd 1
state	resd 1
sum	resd 1
rsp_	resq 1
seed	resq 1
window	resq 1
wmask	resq 1
	section .text

	bits 16
main:	mov dword [.lba], LOAD_SECTORS + 1
	mov word [.seg], POOL >> 4
.read:	mov si, .dap			; 32 sectors at a time
	mov dl, [boot_drive]
	mov ah, 0x42
	int 0x13
	jc .bad
	add dword [.lba], 32
	add word [.seg], 0x400
	cmp word [.seg], LAST >> 4
	jb .read
	ENTER_AVX512 0xC0010000	; AVX512F, BW, VL
	align 4
.dap:	db 16, 0
	dw 32, 0
.seg:	dw 0
.lba:	dq 0

	bits 64
run:	cli
	mov qword [PD + 16], 0		; the hole
	mov rax, cr3
	mov cr3, rax
	ENABLE_AVX512
	mov edi, IDTV			; 32 gates to stubs of 16 bytes
	mov ebx, stubs
	mov ecx, 32
.gate:	mov eax, ebx
	mov [rdi], ax
	mov word [rdi + 2], SEL_CODE64
	mov word [rdi + 4], 0x8E00
	shr eax, 16
	mov [rdi + 6], ax
	mov qword [rdi + 8], 0
	add rdi, 16
	add rbx, 16
	loop .gate
	lidt [.idtr]
	mov eax, [H_FIRST]
	mov [number], eax
	shl eax, 5
	add eax, ENTRIES
	mov [entry], eax
	SECTION_ "AVX-512"
next:	mov eax, [number]
	cmp eax, [H_COUNT]
	jae done
	mov ebx, [entry]
	test byte [rbx + 2], 2
	jnz back.next
	mov ecx, eax
	mov rdx, 0x9E3779B97F4A7C15
	inc rcx
	imul rcx, rdx
	xor rcx, [H_SEED]
	mov [seed], rcx
	mov dword [sum], 0
	mov dword [state], 0
	; The code, then a jump out.
	mov rax, [rbx + 4]
	mov [CODE], rax
	mov rax, [rbx + 12]
	mov [CODE + 8], rax
	movzx ecx, byte [rbx]
	mov byte [CODE + rcx], 0xE9
	lea eax, [rcx + CODE + 5]
	neg eax
	add eax, out
	mov [CODE + rcx + 1], eax
.state:	call prepare
	jmp go
back:	call checksum
	inc dword [state]
	mov eax, [state]
	cmp eax, [H_STATES]
	jb next.state
	mov ebx, [entry]
	cmp dword [H_PRINT], 0
	jne .print
	CHECK "a checksum", [sum], [rbx + 20]
	mov eax, [sum]
	cmp eax, [rbx + 20]
	je .next
	PRINT "instruction "
	PRINTDEC [number]
	PRINT ":"
	xor ecx, ecx
.byte:	PRINT " "
	PRINTHEX [rbx + rcx + 4]
	add ecx, 4
	cmp ecx, 12
	jb .byte
	PRINT 10
	jmp .next
.print:	mov eax, [sum]
	call hex32
	mov al, 10
	out 0xE9, al
.next:	inc dword [number]
	add dword [entry], 32
	jmp next
done:	lidt [next_idt]
	jmp finish64

	align 8
run.idtr: dw 511
	dq IDTV
next_idt: dw 0xFFF
	dq IDT64

; Random bits in RAX; RDX is lost.
random:	mov rax, [seed]
	mov rdx, rax
	shl rdx, 13
	xor rax, rdx
	mov rdx, rax
	shr rdx, 7
	xor rax, rdx
	mov rdx, rax
	shl rdx, 17
	xor rax, rdx
	mov [seed], rax
	ret

; The address of a random block of the pool in RSI.
block:	call random
	shr rax, 20
	and rax, [wmask]
	add rax, [window]
	and eax, 0xFFC0
	lea rsi, [rax + POOL]
	ret

; All of BEFORE, and the data.
prepare:
	call random
	mov ecx, 0xFFC0
	mov edx, eax
	and eax, 0xFFC0
	mov [window], rax
	shr edx, 30			; a quarter has few different operands
	jnz .wide
	mov ecx, 0xC0
.wide:	mov [wmask], rcx
	mov edi, BEFORE
.v:	call block
	vmovdqu64 zmm0, [rsi]
	vmovdqu64 [rdi], zmm0
	add edi, 64
	cmp edi, BEFORE + S_K
	jb .v
.k:	call random
	mov rcx, rax
	call random
	shr rax, 40
	and eax, 7
	jz .ones
	cmp eax, 1
	jne .mask
	xor ecx, ecx
	jmp .mask
.ones:	mov rcx, -1
.mask:	mov [rdi], rcx
	add edi, 8
	cmp edi, BEFORE + S_GPR
	jb .k
	call block
	vmovdqu64 zmm0, [rsi]
	vmovdqu64 [rdi], zmm0
	call block
	vmovdqu64 zmm0, [rsi]
	vmovdqu64 [rdi + 64], zmm0
	call random
	and eax, 0x8D5
	or eax, 2
	mov [BEFORE + S_FLAGS], rax
	call random
	shr rax, 33
	and eax, 63
	mov eax, [H_MXCSR + rax * 4]
	mov [BEFORE + S_MXCSR], eax
	mov edi, DATA
.d:	call block
	vmovdqu64 zmm0, [rsi]
	vmovdqu64 [rdi], zmm0
	add edi, 64
	cmp edi, HOLE
	jb .d
	call random			; RSI: anywhere, or so that operands run into the hole; half of them aligned
	mov rcx, rax
	shr rcx, 32
	and ecx, 0xFF
	add ecx, DATA + 0x100
	test eax, 0x10000
	jnz .there
	add ecx, 0x180
.there:	test eax, 0x20000
	jnz .odd
	and ecx, -64
.odd:	mov [BEFORE + S_GPR + 6 * 8], rcx
	mov ebx, [entry]
	movzx ecx, byte [rbx + 1]	; indexes of a gather become small
	test ecx, ecx
	jz .ready
	dec ecx
	shl ecx, 6
	vmovdqu64 zmm0, [BEFORE + rcx]
	mov eax, 0x3F
	vpbroadcastq zmm1, rax
	test byte [rbx + 2], 1
	jnz .quad
	vpbroadcastd zmm1, eax
.quad:	vpandq zmm0, zmm0, zmm1
	vmovdqu64 [BEFORE + rcx], zmm0
.ready:	xor eax, eax
	mov [AFTER + S_FAULT], rax
	mov [AFTER + S_FAULT + 8], rax
	mov [AFTER + S_FAULT + 16], rax
	mov [AFTER + S_FAULT + 24], rax
	ret

go:	mov [rsp_], rsp
%assign i 0
%rep 32
	vmovdqu64 zmm%[i], [BEFORE + i * 64]
  %assign i i + 1
%endrep
%assign i 0
%rep 8
	kmovq k%[i], [BEFORE + S_K + i * 8]
  %assign i i + 1
%endrep
	ldmxcsr [BEFORE + S_MXCSR]
	push qword [BEFORE + S_FLAGS]
	popfq
	mov rax, [BEFORE + S_GPR]
	mov rcx, [BEFORE + S_GPR + 8]
	mov rdx, [BEFORE + S_GPR + 16]
	mov rbx, [BEFORE + S_GPR + 24]
	mov rbp, [BEFORE + S_GPR + 40]
	mov rsi, [BEFORE + S_GPR + 48]
	mov rdi, [BEFORE + S_GPR + 56]
%assign i 8
%rep 8
	mov r%[i], [BEFORE + S_GPR + i * 8]
  %assign i i + 1
%endrep
	jmp CODE

out:	mov [AFTER + S_GPR], rax
	mov [AFTER + S_GPR + 8], rcx
	mov [AFTER + S_GPR + 16], rdx
	mov [AFTER + S_GPR + 24], rbx
	mov [AFTER + S_GPR + 40], rbp
	mov [AFTER + S_GPR + 48], rsi
	mov [AFTER + S_GPR + 56], rdi
%assign i 8
%rep 8
	mov [AFTER + S_GPR + i * 8], r%[i]
  %assign i i + 1
%endrep
	pushfq
	pop qword [AFTER + S_FLAGS]
	mov rsp, [rsp_]
	and qword [AFTER + S_FLAGS], 0x8D5
	mov qword [AFTER + S_GPR + 32], 0
%assign i 0
%rep 32
	vmovdqu64 [AFTER + i * 64], zmm%[i]
  %assign i i + 1
%endrep
%assign i 0
%rep 8
	kmovq [AFTER + S_K + i * 8], k%[i]
  %assign i i + 1
%endrep
	mov dword [AFTER + S_MXCSR + 4], 0
	stmxcsr [AFTER + S_MXCSR]
	mov dword [BEFORE + S_MXCSR + 8], 0x1F80
	ldmxcsr [BEFORE + S_MXCSR + 8]
	jmp back

; A stub for each vector: those without an error code push a 0; then the vector.
	align 16
stubs:
%assign i 0
%rep 32
	align 16
  %if !(i == 8 || (i >= 10 && i <= 14) || i == 17 || i == 21 || i == 29 || i == 30)
	push 0
  %endif
	push i + 1
	jmp fault
  %assign i i + 1
%endrep
	align 16

fault:	pop qword [AFTER + S_FAULT]
	pop qword [AFTER + S_FAULT + 8]
	pop qword [AFTER + S_FAULT + 24]
	mov rsp, [rsp_]
	sub qword [AFTER + S_FAULT + 24], CODE
	cmp qword [AFTER + S_FAULT], 15
	jne out
	push rax
	mov rax, cr2
	mov [AFTER + S_FAULT + 16], rax
	pop rax
	jmp out

; Adds AFTER and the data to the checksum.
checksum:
	mov eax, [sum]
	mov esi, AFTER
	mov ecx, S_END / 8
.o:	crc32 rax, qword [rsi]
	add esi, 8
	dec ecx
	jnz .o
	mov esi, DATA
	mov ecx, 1024 / 8
.d:	crc32 rax, qword [rsi]
	add esi, 8
	dec ecx
	jnz .d
	mov [sum], eax
	mov ecx, [number]
	cmp ecx, [H_DUMP]
	jne .done
	call hex32
	mov al, 10
	out 0xE9, al
	mov ecx, [state]
	cmp ecx, [H_STATE]
	jne .done
	mov esi, BEFORE
	mov ecx, S_END / 8
	call dump
	mov esi, AFTER
	mov ecx, S_END / 8
	call dump
	mov esi, DATA
	mov ecx, 1024 / 8
	call dump
.done:	ret

dump:	mov eax, [rsi + 4]
	call hex32
	mov eax, [rsi]
	call hex32
	mov al, 10
	out 0xE9, al
	add esi, 8
	dec ecx
	jnz dump
	ret

; EAX as eight digits to port E9.
hex32:	push rcx
	push rdx
	mov edx, eax
	mov ecx, 8
.d:	rol edx, 4
	mov eax, edx
	and eax, 15
	add al, '0'
	cmp al, '9'
	jbe .p
	add al, 'a' - '9' - 1
.p:	out 0xE9, al
	dec ecx
	jnz .d
	pop rdx
	pop rcx
	ret

	section .table start=0x10000		; where the loader's 65 sectors end
	incbin "evex.bin"
