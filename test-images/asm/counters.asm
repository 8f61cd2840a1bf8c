; Performance counters: what they count, their overflow as an interrupt and as an NMI, freezing, HLT. What it expects
; of instructions and branches holds for every clock.

%define IMG "counters"
%include "boot.inc"
%include "pm.inc"

APIC		equ 0xFEE00000
LVT_PERF	equ APIC + 0x340
VECTOR		equ 0x31

PMC0		equ 0xC1
SELECT0		equ 0x186
DEBUGCTL	equ 0x1D9
FIXED0		equ 0x309
FIXED_CTRL	equ 0x38D
STATUS		equ 0x38E
GLOBAL_CTRL	equ 0x38F
OVF_CTRL	equ 0x390

ALL		equ 0x00430000		; USR, OS, EN
INT_		equ 0x00100000
INV_		equ 0x00800000
CYCLES		equ 0x3C
INSTRUCTIONS	equ 0xC0
BRANCHES	equ 0xC4

	absolute uservars
version	resd 1
pmis	resd 1
nmis	resd 1
pmi_ip	resd 1
ticks	resd 1
	section .text

%macro WRITE 2-3 0			; msr, low half, high half
	mov ecx, %1
	mov eax, %2
	mov edx, %3
	wrmsr
%endmacro
%macro READ 1				; msr -> edx:eax
	mov ecx, %1
	rdmsr
%endmacro
; Nothing counts, all counters are 0, nothing has overflowed.
%macro FRESH 0
	WRITE GLOBAL_CTRL, 0
	WRITE FIXED_CTRL, 0
	WRITE SELECT0, 0
	WRITE SELECT0 + 1, 0
	WRITE PMC0, 0
	WRITE PMC0 + 1, 0
	WRITE FIXED0, 0
	WRITE FIXED0 + 1, 0
	WRITE FIXED0 + 2, 0
	WRITE OVF_CTRL, 3, 7
%endmacro
; Counts a loop of %1 turns: 2 * %1 + 5 instructions, %1 of them branches.
%macro LOOP_ 1
	WRITE GLOBAL_CTRL, 3, 7
	mov ecx, %1
%%l:	dec ecx
	jnz %%l
	WRITE GLOBAL_CTRL, 0
%endmacro

	bits 16
main:	call enter_pm
	bits 32
	mov dword [hooks + VECTOR * 4], on_pmi
	mov dword [hooks + 2 * 4], on_nmi
	mov dword [hooks + 0x20 * 4], on_pit
	mov dword [APIC + 0xF0], 0x1FF

	SECTION_ "what CPUID says"
	xor eax, eax
	cpuid
	cmp eax, 0xA
	jb .none
	mov eax, 0xA
	cpuid
	movzx ecx, al
	mov [version], ecx
	cmp ecx, 2
	jae .some
.none:	PRINT "no performance monitoring of version 2: no checks", 10
	jmp finish32
.some:	RANGE "version", [version], 2, 5
	movzx eax, ah
	RANGE "general-purpose counters", eax, 2, 8
	and edx, 0x1F
	CHECK "fixed-function counters", edx, 3

	SECTION_ "what is counted"
	FRESH
	WRITE FIXED_CTRL, 0x333
	WRITE SELECT0, ALL | INSTRUCTIONS
	WRITE SELECT0 + 1, ALL | BRANCHES
	LOOP_ 1000
	READ PMC0
	CHECK "instructions", eax, 2005
	READ PMC0 + 1
	CHECK "branches", eax, 1000
	READ FIXED0
	CHECK "instructions, fixed", eax, 2005
	READ FIXED0 + 1
	mov ebx, eax
	RANGE "core cycles", eax, 500, 1000000
	READ FIXED0 + 2
	CHECK "reference cycles", eax, ebx
	mov ecx, 0x40000000
	rdpmc
	CHECK "RDPMC of a fixed-function counter", eax, 2005
	mov ecx, 1
	rdpmc
	CHECK "RDPMC of a general-purpose counter", eax, 1000

	FRESH
	WRITE SELECT0, ALL | INSTRUCTIONS | 1 << 24	; cycles in which an instruction retires
	WRITE SELECT0 + 1, ALL | INSTRUCTIONS | INV_ | 1 << 24	; and in which none does
	WRITE FIXED_CTRL, 0x333
	LOOP_ 1000
	READ PMC0
	mov ebx, eax
	RANGE "cycles in which an instruction retires", ebx, 500, 2005
	READ PMC0 + 1
	add ebx, eax
	READ FIXED0 + 1
	CHECK "these and the others are all cycles", eax, ebx

	FRESH
	WRITE FIXED_CTRL, 0x222
	WRITE SELECT0, 0x00410000 | INSTRUCTIONS	; USR alone
	LOOP_ 1000
	READ PMC0
	CHECK "nothing runs above CPL 0", eax, 0
	READ FIXED0
	CHECK "nothing runs above CPL 0, fixed", eax, 0

	SECTION_ "registers"
	FRESH
	WRITE PMC0, 0x80000000
	READ PMC0
	RANGE "a write is sign-extended", edx, 0xFF, 0xFFFF
	mov ecx, STATUS
	xor eax, eax
	xor edx, edx
	FAULTS "the status is read-only", 13, 0, wrmsr
	mov ecx, FIXED0
	mov edx, 0x80000000
	FAULTS "bits beyond a counter's width", 13, 0, wrmsr
	mov ecx, GLOBAL_CTRL
	mov edx, 0x80000000
	FAULTS "an enable of no counter", 13, 0, wrmsr
	mov ecx, 0x4000000F
	FAULTS "RDPMC of no counter", 13, 0, rdpmc

	SECTION_ "overflow"
	FRESH
	mov dword [LVT_PERF], VECTOR
	WRITE SELECT0 + 1, ALL | BRANCHES | INT_
	WRITE PMC0 + 1, -100
	WRITE GLOBAL_CTRL, 2
	sti
	mov ecx, 200
.l:	dec ecx
	jnz .l
	cli
	WRITE GLOBAL_CTRL, 0
	CHECK "interrupts", [pmis], 1
	RANGE "interrupted in the loop", [pmi_ip], .l, .l + 2
	READ STATUS
	CHECK "status", eax, 2
	READ PMC0 + 1
	RANGE "it counts on", eax, 100, 120
	mov eax, [LVT_PERF]
	CHECK "the entry is masked", eax, 0x10000 | VECTOR
	WRITE OVF_CTRL, 2
	READ STATUS
	CHECK "status, cleared", eax, 0

	FRESH
	mov dword [LVT_PERF], 0x400
	WRITE FIXED0, -1000 & 0xFFFFFFFF, 0xFF
	mov eax, 0xA
	cpuid
	shr edx, 5
	and edx, 0xFF
	cmp edx, 40
	je .narrow
	WRITE FIXED0, -1000 & 0xFFFFFFFF, 0xFFFF
.narrow:
	WRITE FIXED_CTRL, 0x00B
	LOOP_ 1000
	CHECK "NMIs", [nmis], 1
	READ STATUS
	CHECK "status of a fixed-function counter", edx, 1

	SECTION_ "freezing"
	FRESH
	mov dword [LVT_PERF], VECTOR
	mov dword [pmis], 0
	WRITE DEBUGCTL, 1 << 12
	WRITE SELECT0, ALL | INSTRUCTIONS | INT_
	WRITE SELECT0 + 1, ALL | BRANCHES
	WRITE PMC0, -100
	WRITE GLOBAL_CTRL, 3
	sti
	mov ecx, 200
.f:	dec ecx
	jnz .f
	cli
	CHECK "interrupts", [pmis], 1
	READ PMC0
	RANGE "the counter stands", eax, 0, 8
	READ PMC0 + 1
	RANGE "the other one too", eax, 48, 52
	READ STATUS
	mov ebx, edx
	READ GLOBAL_CTRL
	cmp dword [version], 4
	jae .v4
	CHECK "the enables are cleared", eax, 0
	jmp .thawed
.v4:	CHECK "the enables stay", eax, 3
	CHECK "CTR_FRZ", ebx, 1 << 27
	WRITE OVF_CTRL, 1, 1 << 27
	READ STATUS
	CHECK "CTR_FRZ, cleared", edx, 0
.thawed:
	WRITE DEBUGCTL, 0

	SECTION_ "HLT"
	FRESH
	WRITE FIXED_CTRL, 0x333
	mov al, 0xFE
	out 0x21, al
	sti
	hlt				; up to a tick of the PIT
	cli
	mov dword [ticks], 0
	WRITE GLOBAL_CTRL, 0, 7
	sti
	hlt
	cli
	WRITE GLOBAL_CTRL, 0
	mov al, 0xFF
	out 0x21, al
	CHECK "ticks", [ticks], 1
	READ FIXED0 + 1
	RANGE "cycles without those in HLT", eax, 10, 20000
	jmp finish32

on_pmi:	inc dword [pmis]
	mov eax, [ebp + F_IP]
	mov [pmi_ip], eax
	mov dword [APIC + 0xB0], 0
	ret
on_nmi:	inc dword [nmis]
	ret
on_pit:	inc dword [ticks]
	mov al, 0x20
	out 0x20, al
	ret
