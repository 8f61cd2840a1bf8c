; Protection: call gates with stack switch and parameters, conforming code, CPL, RPL and DPL, LAR, LSL, VERR, VERW, ARPL,
; expand-down segments, the I/O bitmap, IRET in its forms, SYSENTER and SYSEXIT, SYSCALL and SYSRET.

%define IMG "gates"
%include "boot.inc"
%include "pm.inc"
%include "long.inc"
%include "user.inc"

S_CONF	equ SEL_FREE + 0		; conforming code, DPL 0
S_GATE	equ SEL_FREE + 8		; call gate, DPL 3, two parameters
S_GATE0	equ SEL_FREE + 16		; call gate, DPL 0
S_GATE16 equ SEL_FREE + 24		; 16-bit call gate, DPL 3
S_GNP	equ SEL_FREE + 32		; call gate, not present
S_DOWN	equ SEL_FREE + 40		; expand-down, limit FFFh, 32 bits
S_DOWN16 equ SEL_FREE + 48		; the same, 16 bits
S_RO	equ SEL_FREE + 56		; read-only data, DPL 3
S_XO	equ SEL_FREE + 64		; execute-only code
S_LDT	equ SEL_FREE + 72
S_GCONF	equ SEL_FREE + 80		; call gate to conforming code, DPL 3
S_BYTE	equ SEL_FREE + 88		; data, limit 1234h bytes
S_SE	equ SEL_FREE + 96		; SYSENTER's CS and its followers: SS, 32-bit user code, data, 64-bit user code, data
S_GDATA	equ SEL_FREE + 144		; call gate to a data segment

	absolute uservars
t	resd 16
	section .text

; LARS "what", selector, ZF, access rights
%macro LARS 4
	mov ecx, %2
	mov eax, 0x12345678
	lar eax, ecx
	setz dl
	movzx edx, dl
	CHECK %1, edx, %3
  %if %3
	and eax, 0x00F0FF00		; bits 16-19 are undefined
	CHECK %1, eax, %4
  %else
	CHECK %1, eax, 0x12345678
  %endif
%endmacro
%macro LSLS 4
	mov ecx, %2
	mov eax, 0x12345678
	lsl eax, ecx
	setz dl
	movzx edx, dl
	CHECK %1, edx, %3
  %if %3
	CHECK %1, eax, %4
  %endif
%endmacro
%macro VER 4				; "what", verr or verw, selector, ZF
	mov ecx, %3
	%2 cx
	setz dl
	movzx edx, dl
	CHECK %1, edx, %4
%endmacro

	bits 16
main:	call enter_pm
	bits 32
	DESC S_CONF, 0, 0xFFFFF, 0x9F, 0xC
	DESC S_DOWN, 0, 0x00FFF, 0x97, 4
	DESC S_DOWN16, 0, 0x00FFF, 0x97, 0
	DESC S_RO, 0, 0xFFFFF, 0xF1, 0xC
	DESC S_XO, 0, 0xFFFFF, 0x99, 0xC
	DESC S_BYTE, 0, 0x1234, 0x93, 4
	DESC S_LDT, 0x50000, 7, 0x82, 0
	GATE gdt + S_GATE, SEL_CODE32, g_params, 2, 0xEC
	GATE gdt + S_GATE0, SEL_CODE32, g_same, 0, 0x8C
	GATE gdt + S_GATE16, SEL_CODE32, g_16, 1, 0xE4
	GATE gdt + S_GNP, SEL_CODE32, g_same, 0, 0x6C
	GATE gdt + S_GCONF, S_CONF, conf, 0, 0xEC
	GATE gdt + S_GDATA, SEL_DATA, conf, 0, 0xEC

	SECTION_ "call gates"
	mov esi, esp
	call S_GATE0:0xDEAD		; the same level: no stack switch
	sub esi, 8
	CHECK "same level: pushed CS and EIP alone", esi, [t]
	FAULTS "gate not present", 11, S_GNP, call S_GNP:0
	FAULTS "gate to data", 13, SEL_DATA, call S_GDATA:0
	FAULTS "RPL above the gate's DPL", 13, S_GATE0, call S_GATE0 + 3:0
	UFAULTS "gate of DPL 0 from ring 3", 13, S_GATE0, call S_GATE0:0
	UFAULTS "gate not present, ring 3", 11, S_GNP, call S_GNP:0
	UFAULTS "JMP through a gate to inner code", 13, SEL_CODE32, jmp S_GATE + 3:0
	TRY_ .cg, 0
	TO_USER .cgu
.cgu:	push dword 0x11111111
	push dword 0x22222222
	call S_GATE + 3:0
.cgr:	mov ebp, esp
	mov ecx, cs
	mov edx, ss
	ud2
.cg:	CHECK "back in ring 3: vector of UD2", [exc_vec], 6
	CHECK "CPL 3 again", ecx, SEL_UCODE32
	CHECK "SS of ring 3 again", edx, SEL_UDATA
	CHECK "parameters released by RETF 8", ebp, RING3_STACK
	CHECK "ESP after the switch", [t], RING0_STACK - 24
	CHECK "return EIP", [t + 4], .cgr
	CHECK "return CS", [t + 8], SEL_UCODE32
	CHECK "second parameter", [t + 12], 0x22222222
	CHECK "first parameter", [t + 16], 0x11111111
	CHECK "old ESP", [t + 20], RING3_STACK - 8
	CHECK "old SS", [t + 24], SEL_UDATA
	CHECK "CPL 0 inside", [t + 28], SEL_CODE32
	TRY_ .c16, 0
	TO_USER .c16u
.c16u:	push word 0x3333
	call S_GATE16 + 3:0
.c16r:	mov ebp, esp
	ud2
.c16:	CHECK "16-bit gate: back", [exc_vec], 6
	CHECK "16-bit gate: ESP inside", [t], RING0_STACK - 10
	CHECK "16-bit gate: IP", [t + 4], .c16r
	CHECK "16-bit gate: its parameter", [t + 8], 0x3333
	CHECK "16-bit gate: parameter released", ebp, RING3_STACK
.conf:	SECTION_ "conforming code, privilege"
	UWORKS "CALL to conforming code", call S_CONF:conf
	CHECK "CPL stays 3", eax, S_CONF + 3
	UWORKS "CALL through a gate to conforming code", call S_GCONF + 3:0
	CHECK "CPL stays 3 there", eax, S_CONF + 3
	UFAULTS "CALL to inner code", 13, SEL_CODE32, call SEL_CODE32:conf
	FAULTS "CALL to outer code", 13, SEL_UCODE32 & ~3, call SEL_UCODE32:conf
	FAULTS "JMP with RPL above CPL", 13, SEL_CODE32, jmp SEL_CODE32 + 3:conf
	FAULTS "JMP to data", 13, SEL_DATA, jmp SEL_DATA:0
	FAULTS "JMP to null", 13, 0, jmp 0:0
	mov eax, SEL_DATA
	UFAULTS "inner data from ring 3", 13, SEL_DATA, mov ds, eax
	mov eax, SEL_DATA + 3
	FAULTS "RPL above DPL", 13, SEL_DATA, mov ds, eax
	mov eax, SEL_UDATA
	FAULTS "SS with RPL 3 in ring 0", 13, SEL_UDATA & ~3, mov ss, eax
	mov eax, S_CONF
	UWORKS "conforming code as data from ring 3", mov es, eax
	mov eax, S_XO
	FAULTS "execute-only code in DS", 13, S_XO, mov ds, eax
	mov eax, S_RO
	mov es, eax
	FAULTS "write to read-only data", 13, 0, mov [es:0x50000], eax
	FAULTS "read-only data in SS", 13, S_RO, mov ss, eax
	mov eax, SEL_DATA
	mov es, eax
	and byte [gdt + SEL_UDATA - 3 + 5], 0xFE	; the accessed bit
	mov ecx, SEL_UDATA
	mov fs, ecx
	mov al, [gdt + SEL_UDATA - 3 + 5]
	and eax, 1
	CHECK "loading sets the accessed bit", eax, 1
	mov eax, SEL_DATA
	mov gs, eax
	TRY_ .nul, 0			; going out nulls what ring 3 may not have
	push dword SEL_UDATA
	push dword RING3_STACK
	push dword 2
	push dword SEL_UCODE32
	push dword .nulu
	iretd
.nulu:	mov eax, gs
	mov ebx, fs
	mov ecx, ds
	ud2
.nul:	CHECK "IRET to ring 3 nulls GS of DPL 0", eax, 0
	CHECK "and keeps FS of DPL 3", ebx, SEL_UDATA
	CHECK "and nulls DS", ecx, 0
	UFAULTS "POPF keeps IF and IOPL: CLI", 13, 0, cli
	TRY_ .popf, 0
	TO_USER .popfu
.popfu:	push dword 0x3202
	popfd
	pushfd
	pop eax
	ud2
.popf:	and eax, 0x3200
	CHECK "POPF in ring 3 changes neither IF nor IOPL", eax, 0
	mov byte [gdt + SEL_TSS], 104 + 32	; an I/O bitmap
	mov dword [tss + 104 + 0x80 / 8], 0xFFFFFFFE	; port 80h allowed
	mov byte [gdt + SEL_TSS + 5], 0x89
	mov eax, SEL_TSS
	ltr ax
	UWORKS "I/O bitmap: allowed", out 0x80, al
	UFAULTS "I/O bitmap: refused", 13, 0, out 0x81, al
	UFAULTS "I/O bitmap: a word over both", 13, 0, out 0x80, ax
	mov edx, 0x200
	UFAULTS "I/O bitmap: beyond the limit", 13, 0, in al, dx

	SECTION_ "LAR, LSL, VERR, VERW, ARPL"
	LARS "LAR code", SEL_CODE32, 1, 0x00C09B00
	LARS "LAR data", SEL_DATA, 1, 0x00C09300
	LARS "LAR null", 0, 0, 0
	LARS "LAR beyond the GDT", 0xFFF8, 0, 0
	LARS "LAR busy TSS", SEL_TSS, 1, 0x00008B00
	LARS "LAR call gate", S_GATE, 1, 0x0000EC00
	LARS "LAR RPL 3 of DPL 0", SEL_DATA + 3, 0, 0
	LARS "LAR RPL 3, conforming", S_CONF + 3, 1, 0x00C09F00
	LSLS "LSL pages", SEL_DATA, 1, 0xFFFFFFFF
	LSLS "LSL bytes", S_BYTE, 1, 0x1234
	LSLS "LSL TSS", SEL_TSS, 1, 104 + 32
	LSLS "LSL call gate", S_GATE, 0, 0
	LSLS "LSL LDT", S_LDT, 1, 7
	VER "VERR data", verr, SEL_DATA, 1
	VER "VERW data", verw, SEL_DATA, 1
	VER "VERW read-only", verw, S_RO, 0
	VER "VERR read-only", verr, S_RO, 1
	VER "VERR code", verr, SEL_CODE32, 1
	VER "VERW code", verw, SEL_CODE32, 0
	VER "VERR execute-only", verr, S_XO, 0
	VER "VERR RPL 3 of DPL 0", verr, SEL_DATA + 3, 0
	VER "VERR null", verr, 0, 0
	VER "VERR TSS", verr, SEL_TSS, 0
	mov eax, 0x0010
	mov ecx, 0x0003
	arpl ax, cx
	setz dl
	movzx edx, dl
	CHECK "ARPL raises", eax, 0x0013
	CHECK "ARPL raises: ZF", edx, 1
	mov ecx, 2
	arpl ax, cx
	setz dl
	movzx edx, dl
	CHECK "ARPL leaves", eax, 0x0013
	CHECK "ARPL leaves: ZF", edx, 0

	SECTION_ "expand-down segments"
	mov eax, S_DOWN
	mov es, eax
	FAULTS "at the limit", 13, 0, mov eax, [es:0xFFF]
	mov eax, S_DOWN			; (the handler has loaded ES)
	mov es, eax
	WORKS "just above the limit", mov eax, [es:0x1000]
	FAULTS "a dword over the limit", 13, 0, mov eax, [es:0xFFD]
	mov eax, S_DOWN
	mov es, eax
	WORKS "far above", mov eax, [es:0x50000]
	mov eax, S_DOWN16
	mov es, eax
	WORKS "16 bits: up to FFFF", mov al, [es:0xFFFF]
	FAULTS "16 bits: not beyond", 13, 0, mov al, [es:0x10000]
	mov eax, SEL_DATA
	mov es, eax

	SECTION_ "IRET"
	mov ebx, esp
	pushfd
	push dword SEL_CODE32
	push dword .ir
	iretd
.ir:	push word 0x0002
	push word SEL_CODE32
	push word .ir16
	o16 iret
.ir16:	mov eax, esp
	CHECK "16- and 32-bit IRET leave ESP right", eax, ebx
	push dword SEL_DATA
	push dword RING3_STACK
	push dword 2
	push dword SEL_UCODE32
	push dword .ir
	FAULTS "IRET to ring 3 with SS of ring 0", 13, SEL_DATA, iretd
	add esp, 20
	push dword 2
	push dword 0
	push dword .ir
	FAULTS "IRET to a null CS", 13, 0, iretd
	add esp, 12
	push dword 2
	push dword SEL_DATA
	push dword .ir
	FAULTS "IRET to data", 13, SEL_DATA, iretd
	add esp, 12

	mov eax, 1
	cpuid
	test edx, 1 << 11
	jz .nosep
	SECTION_ "SYSENTER"
	mov dword [gdt + S_SE], 0x0000FFFF
	mov dword [gdt + S_SE + 4], 0x00CF9B00
	mov dword [gdt + S_SE + 8], 0x0000FFFF
	mov dword [gdt + S_SE + 12], 0x00CF9300
	mov dword [gdt + S_SE + 16], 0x0000FFFF
	mov dword [gdt + S_SE + 20], 0x00CFFB00
	mov dword [gdt + S_SE + 24], 0x0000FFFF
	mov dword [gdt + S_SE + 28], 0x00CFF300
	mov dword [gdt + S_SE + 32], 0x0000FFFF
	mov dword [gdt + S_SE + 36], 0x00AFFB00
	mov dword [gdt + S_SE + 40], 0x0000FFFF
	mov dword [gdt + S_SE + 44], 0x00CFF300
	xor edx, edx
	xor eax, eax
	mov ecx, 0x174
	wrmsr
	UFAULTS "SYSENTER with a null CS", 13, 0, sysenter
	FAULTS "SYSEXIT with a null CS", 13, 0, sysexit
	mov eax, S_SE
	wrmsr
	inc ecx
	mov eax, RING0_STACK
	wrmsr
	inc ecx
	mov eax, se_entry
	wrmsr
	UFAULTS "SYSEXIT in ring 3", 13, 0, sysexit
	TRY_ .se, 0
	TO_USER .seu
.seu:	mov ecx, RING3_STACK - 64
	mov edx, .seb
	sysenter
.seb:	mov ebp, esp
	mov esi, cs
	mov edi, ss
	ud2
.se:	CHECK "SYSEXIT: back in ring 3", [exc_vec], 6
	CHECK "SYSENTER: CS", [t], S_SE
	CHECK "SYSENTER: SS", [t + 4], S_SE + 8
	CHECK "SYSENTER: ESP", [t + 8], RING0_STACK
	CHECK "SYSENTER: IF clear", [t + 12], 0
	CHECK "SYSEXIT: ESP", ebp, RING3_STACK - 64
	CHECK "SYSEXIT: CS", esi, S_SE + 16 + 3
	CHECK "SYSEXIT: SS", edi, S_SE + 24 + 3
.nosep:
	mov eax, 0x80000001
	cpuid
	test edx, 1 << 29
	jz .nolong
	SECTION_ "64-bit"
	call map64
	call enter64
	bits 64
	mov rbx, rsp
	push SEL_DATA
	push rbx
	push 2
	push SEL_CODE64
	push .i64
	iretq				; SS:RSP is always popped
.i64:	mov rcx, rsp
	CHECKQ "IRETQ to the same level: RSP", rcx, rbx
	push 0				; a null SS is allowed in 64-bit ring 0
	push rbx
	push 2
	push SEL_CODE64
	push .i64n
	iretq
.i64n:	mov eax, ss
	CHECK "IRETQ with a null SS", eax, 0
	mov eax, SEL_DATA
	mov ss, eax
	UWORKS "64-bit ring 3", mov eax, cs
	CHECK "its CS", eax, SEL_UCODE64
	TRY_ .cm, 0			; IRETQ to compatibility mode
	push SEL_UDATA
	push RING3_STACK
	push 2
	push SEL_UCODE32
	push .cmu
	iretq
	bits 32
.cmu:	mov eax, 5
	db 0x48				; DEC EAX there
	ud2
	bits 64
.cm:	CHECK "IRETQ to compatibility mode", eax, 4
	CHECK "and an exception from there", [exc_cs], SEL_UCODE32
	mov ecx, MSR_EFER
	rdmsr
	or al, 1
	wrmsr
	mov ecx, 0xC0000081		; STAR: SYSCALL to 18h would need SS = 20h; use a pair of our own
	xor eax, eax
	mov edx, ((S_SE + 16) << 16) | S_SC
	wrmsr
	mov rax, 0x00AF9B000000FFFF
	mov [gdt + S_SC], rax
	mov rax, 0x00CF93000000FFFF
	mov [gdt + S_SC + 8], rax
	mov ecx, 0xC0000082		; LSTAR
	mov eax, sc_entry
	xor edx, edx
	wrmsr
	mov ecx, 0xC0000084		; FMASK: clears CF
	mov eax, 1
	wrmsr
	TRY_ .sc, 0
	TO_USER .scu
.scu:	stc
	syscall
.scb:	pushfq
	pop rax
	mov ebx, cs
	mov edi, ss
	ud2
.sc:	CHECK "SYSRET: back in ring 3", [exc_vec], 6
	CHECK "SYSCALL: CS", [t], S_SC
	CHECK "SYSCALL: SS", [t + 4], S_SC + 8
	CHECK "SYSCALL: RCX is the return address", [t + 8], .scb
	mov edx, [t + 12]
	and edx, 1
	CHECK "SYSCALL: R11 has the flags", edx, 1
	CHECK "SYSCALL: FMASK", [t + 16], 0
	and eax, 1
	CHECK "SYSRET: flags come back", eax, 1
	CHECK "SYSRET: CS", ebx, S_SE + 32 + 3
	CHECK "SYSRET: SS", edi, S_SE + 24 + 3
	UFAULTS "SYSRET in ring 3", 13, 0, o64 sysret
	mov ecx, MSR_EFER
	rdmsr
	and al, 0xFE
	wrmsr
	UFAULTS "SYSCALL with SCE = 0", 6, 0, syscall
	jmp finish64
S_SC	equ SEL_FREE + 160
	bits 32
.nolong:
	jmp finish32

g_same:	mov [t], esp
	mov eax, esp
	retf

g_params:				; DS may be the caller's
	push ds
	push dword SEL_DATA
	pop ds
	lea eax, [esp + 4]
	mov [t], eax
	mov eax, [esp + 4]
	mov [t + 4], eax
	mov eax, [esp + 8]
	mov [t + 8], eax
	mov eax, [esp + 12]
	mov [t + 12], eax
	mov eax, [esp + 16]
	mov [t + 16], eax
	mov eax, [esp + 20]
	mov [t + 20], eax
	mov eax, [esp + 24]
	mov [t + 24], eax
	mov eax, cs
	mov [t + 28], eax
	pop ds
	retf 8

conf:	mov eax, cs
	retf

g_16:	mov [t], esp			; IP, CS, one word, SP, SS
	movzx eax, word [esp]
	mov [t + 4], eax
	movzx eax, word [esp + 4]
	mov [t + 8], eax
	o16 retf 2

se_entry:
	mov eax, cs
	mov [t], eax
	mov eax, ss
	mov [t + 4], eax
	mov [t + 8], esp
	pushfd
	pop eax
	and eax, 0x200
	mov [t + 12], eax
	sysexit				; to EDX with ESP = ECX

	bits 64
sc_entry:
	mov eax, cs
	mov [t], eax
	mov eax, ss
	mov [t + 4], eax
	mov [t + 8], rcx
	mov [t + 12], r11d
	setc al
	movzx eax, al
	mov [t + 16], eax
	o64 sysret
