; Hardware task switching: JMP, CALL, IRET, INT through task gates; busy bits, back link, NT, TS, the T bit, an LDT per
; task, 16- and 32-bit TSSs, faults that a task switch raises.

%define IMG "tasks"
%include "boot.inc"
%include "pm.inc"

TSSA	equ 0x20000			; 32-bit tasks: the other one, the fault's, the debug one
TSSF	equ 0x20100
TSSD	equ 0x20200
TSS16	equ 0x20300
LDTA	equ 0x20400

S_A	equ SEL_FREE + 0
S_F	equ SEL_FREE + 8
S_D	equ SEL_FREE + 16
S_16	equ SEL_FREE + 24
S_LDTA	equ SEL_FREE + 32
S_GATE	equ SEL_FREE + 40		; task gate in the GDT
S_SMALL	equ SEL_FREE + 48		; a TSS with a limit too small
S_NP	equ SEL_FREE + 56		; a TSS not present

	absolute uservars
r	resd 16
	section .text

; what a task left behind
%macro BUSY 3				; "what", selector, expected type byte
	movzx eax, byte [gdt + (%2) + 5]
	CHECK %1, eax, %3
%endmacro

	bits 16
main:	call enter_pm
	bits 32
	mov edi, TSSA
	xor eax, eax
	mov ecx, 0x1000 / 4
	rep stosd
	mov edi, TSSA
	mov ebx, task_a
	mov edx, 0x6000
	call tss_init
	mov word [TSSA + 0x60], S_LDTA
	mov edi, TSSF
	mov ebx, task_f
	mov edx, 0x5800
	call tss_init
	mov edi, TSSD
	mov ebx, task_d
	mov edx, 0x5400
	call tss_init
	mov byte [TSSD + 0x64], 1	; T
	mov word [TSS16 + 14], task_16
	mov word [TSS16 + 16], 2
	mov word [TSS16 + 26], 0x5C00	; SP
	mov word [TSS16 + 34], SEL_DATA16
	mov word [TSS16 + 36], SEL_CODE16
	mov word [TSS16 + 38], SEL_DATA16
	mov word [TSS16 + 40], SEL_DATA16
	mov word [TSS16 + 18], 0x1616	; AX
	DESC S_A, TSSA, 103, 0x89, 0
	DESC S_F, TSSF, 103, 0x89, 0
	DESC S_D, TSSD, 103, 0x89, 0
	DESC S_16, TSS16, 43, 0x81, 0
	DESC S_LDTA, LDTA, 15, 0x82, 0
	DESC S_SMALL, TSSA, 102, 0x89, 0
	DESC S_NP, TSSA, 103, 0x09, 0
	GATE gdt + S_GATE, S_A, 0, 0, 0x85
	mov dword [LDTA + 8], 0x0000FFFF	; LDT entry 1: data at 100000h
	mov dword [LDTA + 12], 0x00409310
	mov dword [0x100000], 0x1D71D71D

	SECTION_ "CALL to a TSS, IRET back"
	BUSY "our own TSS is busy", SEL_TSS, 0x8B
	mov dword [r], 0
	mov ebx, 0xB0B0B0B0
	mov ebp, 0x0B0E0B0E
	stc
	call S_A:0
	setc al
	movzx eax, al
	CHECK "flags come back", eax, 1
	CHECK "EBX comes back", ebx, 0xB0B0B0B0
	CHECK "EBP comes back", ebp, 0x0B0E0B0E
	CHECK "the task ran", [r], 0xA
	CHECK "its EAX was the TSS's", [r + 4], 0x5EED0001
	CHECK "NT in the nested task", [r + 8], 0x4000
	CHECK "CR0.TS", [r + 12], 8
	CHECK "back link", [TSSA], SEL_TSS
	CHECK "busy inside: the old and the new one", [r + 16], 0x8B8B
	CHECK "data through the task's LDT", [r + 20], 0x1D71D71D
	CHECK "TR inside", [r + 24], S_A
	BUSY "after IRET the inner one is free", S_A, 0x89
	BUSY "and ours busy", SEL_TSS, 0x8B
	CHECK "its EIP was saved behind the IRET", [TSSA + 0x20], task_a.again
	CHECK "NT saved clear by IRET", [TSSA + 0x24], 2
	str eax
	CHECK "TR", eax, SEL_TSS
	sldt eax
	CHECK "LDTR comes back empty", eax, 0
	mov eax, cr0
	and eax, 8
	CHECK "CR0.TS stays set", eax, 8
	clts
	call S_A:0			; again: goes on where it left
	CHECK "the second call goes on behind its IRET", [r], 0xAA

	SECTION_ "JMP there and back"
	mov dword [TSSA + 0x20], task_j
	jmp S_A:0
	CHECK "the task ran", [r], 0x1
	CHECK "NT clear after JMP", [r + 8], 0
	CHECK "the old one is free after JMP", [r + 16], 0x8B89
	BUSY "the new one is free", S_A, 0x89
	clts

	SECTION_ "task gates"
	mov dword [TSSA + 0x20], task_a
	mov dword [r], 0
	call S_GATE:0x12345678		; the offset does not count
	CHECK "CALL through a gate of the GDT", [r], 0xA
	clts
	GATE IDT32 + 0x30 * 8, S_A, 0, 0, 0x85
	mov dword [TSSA + 0x20], task_a
	mov dword [r], 0
	int 0x30
	CHECK "INT through a task gate", [r], 0xA
	CHECK "INT: back link", [TSSA], SEL_TSS
	clts
	GATE IDT32 + 13 * 8, S_F, 0, 0, 0x85	; #GP as a task: its error code lies on the new stack
	mov dword [r], 0
	mov eax, 0x1F0
.gpat:	mov es, ax			; an empty descriptor
.gpnext:
	CHECK "#GP through a task gate ran", [r], 0xF
	CHECK "its error code", [r + 4], 0x1F0
	CHECK "the faulting task's saved EIP", [r + 8], .gpat
	CHECK "stack of the fault's task", [r + 12], 0x5800 - 4
	clts
	mov eax, 0x08			; the IDT's gate again
	mov ecx, [IDT32 + 12 * 8]
	add ecx, 16
	mov [IDT32 + 13 * 8], ecx
	mov ecx, [IDT32 + 12 * 8 + 4]
	mov [IDT32 + 13 * 8 + 4], ecx

	SECTION_ "16-bit TSS"
	mov dword [r], 0
	mov ebx, 0xCAFEBABE
	call S_16:0
	CHECK "the task ran with its AX", [r], 0x1616
	CHECK "SP", [r + 4], 0x5C00
	CHECK "EBX comes back whole from the 32-bit TSS", ebx, 0xCAFEBABE
	movzx eax, word [TSS16]
	CHECK "back link", eax, SEL_TSS
	BUSY "free again", S_16, 0x81
	clts

	SECTION_ "T bit"
	mov eax, 0xFFFF0FF0
	mov dr6, eax
	mov dword [hooks + 4], on_debug
	mov dword [r], 0
	mov dword [r + 4], 0
	call S_D:0
	CHECK "the task ran", [r], 0xD
	CHECK "#DB before its first instruction", [r + 4], task_d
	CHECK "DR6.BT", [r + 8], 0x8000
	mov dword [hooks + 4], 0
	clts

	SECTION_ "what goes wrong"
	FAULTS "busy TSS: JMP", 13, SEL_TSS, jmp SEL_TSS:0
	FAULTS "busy TSS: CALL", 13, SEL_TSS, call SEL_TSS:0
	FAULTS "TSS not present", 11, S_NP, call S_NP:0
	FAULTS "TSS too small", 10, S_SMALL, call S_SMALL:0
	FAULTS "LTR of a busy TSS", 13, SEL_TSS, ltr [.tr]
	FAULTS "LTR of data", 13, SEL_DATA, ltr [.data]
	FAULTS "LLDT of a TSS", 13, S_A, lldt [.tssa]
	; Faults past the point of no return belong to the new task, whose segments are not all loaded yet: SDM Vol. 3A,
	; Interrupt 10, wants a task gate for them. task_t notes what it finds and comes back here.
	mov eax, [IDT32 + 10 * 8]
	mov ebx, [IDT32 + 10 * 8 + 4]
	push eax
	push ebx
	GATE IDT32 + 10 * 8, S_F, 0, 0, 0x85
	mov dword [TSSF + 0x20], task_t
	mov dword [TSSF + 0x38], 0x5800
	mov byte [gdt + S_LDTA + 5], 0x02
	mov dword [TSSA + 0x20], task_a
	mov dword [r], -1
	call S_A:0
	CHECK "LDT not present: #TS error code", [r], S_LDTA
	CHECK "LDT not present: #TS in the new task", [r + 4], S_A
	CHECK "LDT not present: at its EIP", [r + 8], task_a
	mov byte [gdt + S_LDTA + 5], 0x82
	mov dword [TSSA + 0x50], SEL_CODE32
	mov dword [r], -1
	call S_A:0
	CHECK "code in SS: #TS error code", [r], SEL_CODE32
	CHECK "code in SS: #TS in the new task", [r + 4], S_A
	mov dword [TSSA + 0x50], SEL_DATA
	mov dword [TSSA + 0x4C], SEL_DATA
	mov dword [r], -1
	call S_A:0
	CHECK "data in CS: #TS error code", [r], SEL_DATA
	CHECK "data in CS: #TS in the new task", [r + 4], S_A
	mov dword [TSSA + 0x4C], SEL_CODE32
	mov dword [TSSA + 0x54], 0x1F0	; an empty descriptor in DS
	mov dword [r], -1
	call S_A:0
	CHECK "empty descriptor in DS: #TS error code", [r], 0x1F0
	mov dword [TSSA + 0x54], SEL_DATA
	mov dword [TSSA + 0x60], SEL_DATA	; no LDT
	mov dword [r], -1
	call S_A:0
	CHECK "data in LDTR: #TS error code", [r], SEL_DATA
	pop ebx
	pop eax
	mov [IDT32 + 10 * 8], eax
	mov [IDT32 + 10 * 8 + 4], ebx
	clts
	pushfd				; IRET with NT and a back link to a free TSS
	pop eax
	mov dword [tss], S_F
	TRY_ .nt, 0
	push dword 0x4002
	popfd
	iretd
.nt:	CHECK "IRET with NT to a TSS not busy vector", [exc_vec], 10
	CHECK "IRET with NT to a TSS not busy error code", [exc_err], S_F
	jmp finish32
	align 2
.tr:	dw SEL_TSS
.data:	dw SEL_DATA
.tssa:	dw S_A

tss_init:				; edi: TSS, ebx: EIP, edx: ESP
	mov [edi + 0x20], ebx
	mov dword [edi + 0x24], 2
	mov dword [edi + 0x28], 0x5EED0001	; EAX
	mov [edi + 0x38], edx
	mov eax, SEL_DATA
	mov [edi + 0x48], eax
	mov [edi + 0x50], eax
	mov [edi + 0x54], eax
	mov [edi + 0x58], eax
	mov [edi + 0x5C], eax
	mov dword [edi + 0x4C], SEL_CODE32
	mov word [edi + 0x66], 104
	ret

; ---- the tasks ----
task_a:	mov [r + 4], eax
	pushfd
	pop eax
	and eax, 0x4000
	mov [r + 8], eax
	mov eax, cr0
	and eax, 8
	mov [r + 12], eax
	mov al, [gdt + SEL_TSS + 5]
	mov ah, [gdt + S_A + 5]
	movzx eax, ax
	mov [r + 16], eax
	mov eax, 0x0C			; entry 1 of the LDT
	mov fs, eax
	mov eax, [fs:0]
	mov [r + 20], eax
	str eax
	mov [r + 24], eax
	mov dword [r], 0xA
	mov ebx, 0
	mov ebp, 0
	clc
	iretd
.again:	mov dword [r], 0xAA
	iretd
	jmp task_a

task_j:	pushfd
	pop eax
	and eax, 0x4000
	mov [r + 8], eax
	mov al, [gdt + SEL_TSS + 5]
	mov ah, [gdt + S_A + 5]
	movzx eax, ax
	mov [r + 16], eax
	mov dword [r], 1
	jmp SEL_TSS:0

task_f:	mov [r + 12], esp
	pop eax
	mov [r + 4], eax
	mov eax, [tss + 0x20]
	mov [r + 8], eax
	add dword [tss + 0x20], main.gpnext - main.gpat
	mov dword [r], 0xF
	iretd

task_t:	pop eax				; #TS as a task
	mov [r], eax
	movzx eax, word [TSSF]
	mov [r + 4], eax
	mov eax, [TSSA + 0x20]
	mov [r + 8], eax
	mov byte [gdt + S_A + 5], 0x89
	mov word [TSSF], SEL_TSS	; back to the task that called the broken one
	iretd
	jmp task_t

task_d:	mov dword [r], 0xD
	iretd
	jmp task_d

on_debug:
	mov eax, [ebp + F_IP]
	mov [r + 4], eax
	mov eax, dr6
	and eax, 0x8000
	mov [r + 8], eax
	ret

	bits 16
task_16:
	movzx eax, ax
	mov [r], eax
	movzx eax, sp
	mov [r + 4], eax
	iret
	jmp task_16
