; Interrupts and exceptions: the PICs, the PIT's six modes, gates of 16, 32 and 64 bits, every exception that software
; can provoke, the shadows of STI and MOV SS, NMI from the local APIC, spurious IRQ 7, double faults, IST.

%define IMG "interrupts"
%include "boot.inc"
%include "pm.inc"
%include "long.inc"
%include "user.inc"
%include "pit.inc"

S_NP	equ SEL_FREE + 0		; data, not present
S_SMALL	equ SEL_FREE + 8		; data, limit FFFh
S_STK	equ SEL_FREE + 16		; a stack of 4 KiB
S_NPS	equ SEL_FREE + 24		; stack, not present
APIC	equ 0xFEE00000

	absolute uservars
ticks	resd 1
irq_ip	resd 1
isr	resd 1
isr_eoi	resd 1
t1	resd 1
t2	resd 1
nested	resd 1
most	resd 1
f16	resw 4
spur	resd 1
	section .text

%macro PITMODE 2			; channel, mode
	mov al, ((%1) << 6) | 0x30 | ((%2) << 1)
	out 0x43, al
%endmacro
%macro PITCOUNT 2			; channel, count
	mov al, (%2) & 0xFF
	out 0x40 + %1, al
	mov al, (%2) >> 8
	out 0x40 + %1, al
%endmacro

; IRQ0COUNT "what", mode, low, high: interrupts of channel 0, count 1193, in 20000 clocks; five tries for a busy host
%macro IRQ0COUNT 4
	mov edx, 5
%%try:	PITMODE 0, %2
	sti
	mov ecx, 300
	call wait2
	mov dword [ticks], 0
	PITCOUNT 0, 1193
	mov ecx, 20000
	call wait2
	cli
	mov eax, [ticks]
	cmp eax, %3
	jb %%bad
	cmp eax, %4
	jbe %%done
%%bad:	dec edx
	jnz %%try
%%done:	RANGE %1, eax, %3, %4
%endmacro

; OUT2 "what", level: the output of channel 2
%macro OUT2 2
	in al, 0x61
	shr al, 5
	and eax, 1
	CHECK %1, eax, %2
%endmacro

	bits 16
main:	call enter_pm
	bits 32
	DESC S_NP, 0, 0xFFFFF, 0x13, 0xC
	DESC S_SMALL, 0x50000, 0xFFF, 0x93, 4
	DESC S_STK, 0x50000, 0xFFF, 0x93, 4
	DESC S_NPS, 0, 0xFFFFF, 0x13, 0xC

	SECTION_ "PIC and PIT"
	call ref2_start
	mov dword [hooks + 0x20 * 4], on_irq0
	mov al, 0xFE
	out 0x21, al
	in al, 0x21
	movzx eax, al
	CHECK "OCW1 reads back", eax, 0xFE
	IRQ0COUNT "IRQ 0, mode 2", 2, 15, 18
	CHECK "ISR in the handler", [isr], 1
	CHECK "ISR after the EOI", [isr_eoi], 0
	IRQ0COUNT "IRQ 0, mode 3", 3, 15, 18
	IRQ0COUNT "IRQ 0, mode 0", 0, 1, 1
	IRQ0COUNT "IRQ 0, mode 4", 4, 1, 1
	IRQ0COUNT "IRQ 0, mode 1: its gate never rises", 1, 0, 0
	IRQ0COUNT "IRQ 0, mode 5: its gate never rises", 5, 0, 0

	PITMODE 0, 2			; pending and masked by IF
	PITCOUNT 0, 1193
	mov ecx, 5000
	call wait2
	mov al, 0x0A
	out 0x20, al
	in al, 0x20
	and eax, 1
	CHECK "IRR while IF = 0", eax, 1
	mov dword [ticks], 0
	sti				; the shadow: CLI comes before the interrupt
	cli
	CHECK "STI CLI lets nothing in", [ticks], 0
	PITMODE 0, 0			; no more edges behind the pending one
	PITCOUNT 0, 1000
	mov ecx, 3000
	call wait2
	mov dword [ticks], 0
	sti
	nop
.sti:	cli
	CHECK "STI: one interrupt", [ticks], 1
	CHECK "STI: behind the next instruction", [irq_ip], .sti
	PITMODE 0, 0
	PITCOUNT 0, 1000
	mov ecx, 3000
	call wait2
	mov dword [ticks], 0
	mov eax, SEL_DATA
	push dword 0x202
	popfd				; no shadow
.popf:	mov ss, eax
	cli
	CHECK "POPF: one interrupt", [ticks], 1
	CHECK "POPF: at once", [irq_ip], .popf
	PITMODE 0, 0
	PITCOUNT 0, 1000
	mov ecx, 3000
	call wait2
	mov dword [ticks], 0
	mov eax, SEL_DATA
	sti
	mov ss, eax			; in STI's shadow; POP SS and MOV SS have their own
	nop
.ss2:	cli
	CHECK "STI, MOV SS: one interrupt", [ticks], 1
	RANGE "STI, MOV SS: not before the next instruction", [irq_ip], .ss2 - 1, .ss2
	mov dword [ticks], 0
	PITMODE 0, 0
	PITCOUNT 0, 3000
	sti
	hlt
.hlt:	cli
	CHECK "HLT: one interrupt", [ticks], 1
	CHECK "HLT: behind it", [irq_ip], .hlt

	mov al, 0xFF
	out 0x21, al
	call ref0_start
	in al, 0x61			; channel 2, gate on
	and al, 0xFC
	or al, 1
	out 0x61, al
	PITMODE 2, 0
	OUT2 "mode 0: OUT low", 0
	call measure0
	RANGE "mode 0: clocks to OUT high", eax, 1990, 2200
	in al, 0x61
	and al, 0xFE
	out 0x61, al
	PITMODE 2, 1
	OUT2 "mode 1: OUT high", 1
	PITCOUNT 2, 2000
	mov ecx, 3000
	call wait0
	OUT2 "mode 1: no trigger, still high", 1
	call gate_up
	mov ecx, 20
	call wait0
	OUT2 "mode 1: triggered, low", 0
	mov ecx, 2500
	call wait0
	OUT2 "mode 1: high again", 1
	PITMODE 2, 2
	PITCOUNT 2, 2000
	mov ecx, 100
.m2:	push ecx
	mov ecx, 100
	call wait0
	call ref2
	pop ecx
	cmp eax, 2000
	ja .m2bad
	test eax, eax
	jz .m2bad
	loop .m2
.m2bad:	CHECK "mode 2: the count stays within 1..N", ecx, 0
	PITMODE 2, 3
	PITCOUNT 2, 4000
	mov dword [most], 5
.m3:	call half_periods
	cmp eax, 15000
	jb .m3b
	cmp eax, 17000
	jbe .m3ok
.m3b:	dec dword [most]
	jnz .m3
.m3ok:	RANGE "mode 3: eight half periods", eax, 15000, 17000
	PITMODE 2, 4
	PITCOUNT 2, 20000
	OUT2 "mode 4: OUT high", 1
	mov ecx, 5000
	call wait0
	call ref2
	RANGE "mode 4: counts", eax, 12000, 15100
	in al, 0x61
	and al, 0xFE
	out 0x61, al
	mov ecx, 100
	call wait0
	call ref2
	mov ebx, eax
	mov ecx, 1000
	call wait0
	call ref2
	CHECK "mode 4: gate low stops it", eax, ebx
	PITMODE 2, 5
	PITCOUNT 2, 20000
	OUT2 "mode 5: OUT high", 1
	call gate_up
	mov ecx, 5000
	call wait0
	call ref2
	RANGE "mode 5: triggered, counts", eax, 12000, 15100
	mov al, 0xC8			; read back: latch count and status of channel 2
	out 0x43, al
	in al, 0x42
	and eax, 0x3F
	CHECK "read-back status: mode 5, two bytes", eax, 0x3A

	SECTION_ "gates"
	GATE IDT32 + 0x30 * 8, SEL_CODE32, h_flags, 0, 0x8E
	GATE IDT32 + 0x31 * 8, SEL_CODE32, h_flags, 0, 0x8F
	GATE IDT32 + 0x32 * 8, SEL_CODE32, h_16, 0, 0x86
	GATE IDT32 + 0x33 * 8, SEL_CODE32, h_16, 0, 0x87
	GATE IDT32 + 0x34 * 8, SEL_CODE32, h_flags, 0, 0x0E
	GATE IDT32 + 0x35 * 8, SEL_DATA, h_flags, 0, 0x8E
	GATE IDT32 + 0x36 * 8, 0, h_flags, 0, 0x8E
	GATE IDT32 + 0x37 * 8, SEL_CODE32, h_flags, 0, 0xEE
	sti
	int 0x30
	cli
	CHECK "interrupt gate clears IF", eax, 0
	sti
	int 0x31
	cli
	CHECK "trap gate keeps IF", eax, 0x200
	sti
	int 0x32
.i32:	cli
	movzx eax, word [f16]
	CHECK "16-bit gate pushes IP", eax, .i32
	movzx eax, word [f16 + 2]
	CHECK "and CS", eax, SEL_CODE32
	CHECK "16-bit interrupt gate clears IF", ebx, 0
	CHECK "its frame has six bytes", ecx, 6
	sti
	int 0x33
	cli
	CHECK "16-bit trap gate keeps IF", ebx, 0x200
	FAULTS "gate not present", 11, 0x34 * 8 + 2, int 0x34
	FAULTS "gate to data", 13, SEL_DATA, int 0x35
	FAULTS "gate with a null selector", 13, 0, int 0x36
	FAULTS "beyond the IDT's limit", 13, 0x40 * 8 + 2, int 0x40
	UFAULTS "INT from ring 3, gate of DPL 0", 13, 0x30 * 8 + 2, int 0x30
	UFAULTS "INT3 from ring 3, gate of DPL 0", 13, 3 * 8 + 2, int3
	UWORKS "INT from ring 3, gate of DPL 3", int 0x37

	SECTION_ "exceptions"
	xor eax, eax
	xor edx, edx
	xor ecx, ecx
	FAULTS "#DE, by zero", 0, 0, div ecx
	mov edx, 2
	mov ecx, 2
	FAULTS "#DE, quotient too big", 0, 0, div ecx
	mov eax, 0x8000
	mov cl, -1
	FAULTS "#DE, IDIV overflow", 0, 0, idiv cl
	FAULTS "#DE, AAM 0", 0, 0, aam 0
	TRAPS "#BP", 3, 0, int3
	mov al, 0x7F
	add al, 1
	TRAPS "#OF", 4, 0, into
	xor eax, eax
	TRY_ .into, 0
	into
.into:	CHECK "INTO without OF", [exc_vec], -1
	mov eax, 5
	FAULTS "#BR", 5, 0, bound eax, [.bounds]
	mov eax, 4
	WORKS "BOUND at its upper bound", bound eax, [.bounds]
	FAULTS "#UD", 6, 0, ud2
	mov eax, [exc_flags]
	and eax, 0x10000
	CHECK "RF is pushed set by a fault", eax, 0x10000
	TRAPS "INT3 again", 3, 0, int3
	mov eax, [exc_flags]
	and eax, 0x10000
	CHECK "RF is pushed clear by INT3", eax, 0
	FAULTS "#UD, LOCK on a register", 6, 0, {db 0xF0, 0x01, 0xC0}
	FAULTS "#UD, MOV to CS", 6, 0, {db 0x8E, 0xC8}
	times 0 nop
	FAULTS "#GP, 16 bytes long", 13, 0, {db 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90}
	mov eax, cr0
	mov ebx, eax
	and eax, 0xFFFFFFF3
	or eax, 8
	mov cr0, eax
	FAULTS "#NM, TS", 7, 0, fnop
	or al, 2
	mov cr0, eax
	FAULTS "#NM, WAIT with MP and TS", 7, 0, fwait
	and eax, 0xFFFFFFF5
	or eax, 4
	mov cr0, eax
	FAULTS "#NM, EM", 7, 0, fnop
	WORKS "WAIT with EM alone", fwait
	mov cr0, ebx
	mov eax, S_NP
	FAULTS "#NP", 11, S_NP, mov es, eax
	FAULTS "#NP, LFS", 11, S_NP, lfs eax, [.farnp]
	mov eax, S_NPS
	FAULTS "#SS, stack not present", 12, S_NPS, mov ss, eax
	xor eax, eax
	FAULTS "#GP, null in SS", 13, 0, mov ss, eax
	mov eax, SEL_CODE32
	FAULTS "#GP, code in SS", 13, SEL_CODE32, mov ss, eax
	mov eax, S_SMALL
	mov es, eax
	FAULTS "#GP, limit", 13, 0, mov eax, [es:0xFFD]
	WORKS "the last dword", mov eax, [es:0xFFC]
	mov ebx, esp
	mov eax, S_STK
	mov ss, eax
	mov esp, 0xFFE
	mov [.sv], ebx
	TRY_ .ssl, 0
	mov [exc_resume_sp], ebx
	mov esp, 0x800
	mov ebp, 0xFFD
	mov eax, [ebp]
.ssl:	mov eax, SEL_DATA
	mov ss, eax
	mov esp, [.sv]
	CHECK "#SS, limit vector", [exc_vec], 12
	CHECK "#SS, limit error code", [exc_err], 0
	FAULTS "#GP, write to code", 13, 0, mov [cs:0x50000], eax
	xor eax, eax
	mov fs, eax
	FAULTS "#GP, null FS", 13, 0, mov eax, [fs:0]
	UFAULTS "#GP, CLI in ring 3", 13, 0, cli
	UFAULTS "#GP, HLT in ring 3", 13, 0, hlt
	UFAULTS "#GP, IN in ring 3", 13, 0, in al, 0x80
	UFAULTS "#GP, LGDT in ring 3", 13, 0, lgdt [gdtr]
	mov eax, cr0
	bts eax, 18
	mov cr0, eax
	TRY_ .ac, 0
	push dword SEL_UDATA
	pop ds
	push dword SEL_UDATA
	push dword RING3_STACK
	push dword 0x40002		; AC
	push dword SEL_UCODE32
	push dword .acu
	iretd
.acu:	mov eax, [0x50004]		; aligned: fine
.acat:	mov eax, [0x50001]
	ud2
.ac:	CHECK "#AC vector", [exc_vec], 17
	CHECK "#AC error code", [exc_err], 0
	CHECK "#AC address", [exc_ip], .acat
	mov eax, cr0
	btr eax, 18
	mov cr0, eax
	mov word [tss], 0
	push dword 0x4002
	popfd
	FAULTS "#TS, IRET with NT and no back link", 10, 0, iretd

	SECTION_ "debug exceptions"
	call debug_tests

	SECTION_ "double fault"
	mov eax, [IDT32 + 13 * 8 + 4]
	push eax
	mov byte [IDT32 + 13 * 8 + 5], 0x0E	; #GP's gate not present
	TRY_ .df, 0
	xor eax, eax
	mov ss, eax
.df:	mov eax, [exc_vec]
	mov ebx, [exc_err]
	pop dword [IDT32 + 13 * 8 + 4]
	CHECK "#NP while delivering #GP: #DF", eax, 8
	CHECK "#DF error code", ebx, 0
	mov eax, [IDT32 + 6 * 8 + 4]
	push eax
	mov byte [IDT32 + 6 * 8 + 5], 0x0E	; #UD is benign: #NP is delivered
	TRY_ .nodf, 0
	ud2
.nodf:	mov eax, [exc_vec]
	mov ebx, [exc_err]
	pop dword [IDT32 + 6 * 8 + 4]
	CHECK "#NP while delivering #UD: #NP", eax, 11
	CHECK "#NP error code: IDT and EXT", ebx, 6 * 8 + 3

	SECTION_ "spurious interrupt"
	mov dword [hooks + 0x27 * 4], on_irq7
	call ref2_start
	mov al, 0x7E
	out 0x21, al
	PITMODE 0, 3
	PITCOUNT 0, 1193
	mov ecx, 3000
	call wait2
	mov dword [spur], 0
	PITMODE 0, 0			; the line drops before anybody acknowledges
	sti
	mov ecx, 100
	call wait2
	cli
	CHECK "a spurious IRQ 7 has no ISR bit", [spur], 0
	int 0x27			; what a driver would see: no ISR bit, no EOI
	CHECK "ISR bit 7 clear by software interrupt", [spur], 0
	mov al, 0xFF
	out 0x21, al

	mov eax, 1
	cpuid
	test edx, 1 << 9
	jz .noapic
	SECTION_ "NMI"
	mov dword [APIC + 0xF0], 0x13F
	mov dword [hooks + 2 * 4], on_nmi
	mov dword [exc_count + 8], 0
	mov dword [nested], 0
	mov dword [most], 0
	mov dword [t1], 1		; the handler sends one more
	call send_nmi
	mov ecx, 1000
.nmiw:	nop
	loop .nmiw
	CHECK "NMIs taken with IF = 0", [exc_count + 8], 2
	CHECK "no NMI inside the handler before IRET", [most], 1
	mov dword [hooks + 2 * 4], 0
.noapic:
	mov eax, 0x80000001
	cpuid
	test edx, 1 << 29
	jz .nolong
	SECTION_ "64-bit gates"
	call map64
	call enter64
	bits 64
	mov dword [tss + 0x24], 0x58000	; IST1
	mov dword [tss + 0x28], 0
	mov byte [IDT64 + 6 * 16 + 4], 1
	mov rbx, rsp
	FAULTS "#UD by IST1", 6, 0, ud2
	CHECKQ "the old RSP is on it", [exc_sp], rbx
	CHECK "and SS, ring 0 too", [exc_ss], SEL_DATA
	mov dword [hooks + 3 * 4], h_rsp
	mov byte [IDT64 + 3 * 16 + 4], 1
	int3
	mov rax, [t1]
	and eax, 0xFFFF
	CHECK "the frame lies on IST1", eax, 0x8000 - 56
	mov byte [IDT64 + 3 * 16 + 4], 0
	mov rbx, rsp
	and rsp, -16
	sub rsp, 3			; not aligned: the processor aligns the frame
	int3
	mov rsp, rbx
	mov eax, [t1]
	add eax, 56			; error code and vector are ours
	and eax, 15
	CHECK "RSP is aligned before the frame is pushed", eax, 0
	mov dword [hooks + 3 * 4], 0
	mov byte [IDT64 + 3 * 16 + 5], 0xEE
	mov dword [hooks + 3 * 4], h_ss
	UWORKS "INT3 from ring 3", int3
	CHECK "SS is null in the handler", [t2], 0
	mov dword [hooks + 3 * 4], 0
	FAULTS "beyond the IDT's limit", 13, 0x40 * 8 + 2, int 0x40
	mov byte [IDT64 + 0x30 * 16 + 5], 0x86
	FAULTS "no 16-bit gates in 64-bit mode", 13, 0x30 * 8 + 2, int 0x30
	mov byte [IDT64 + 0x30 * 16 + 5], 0x8E
	mov byte [IDT64 + 0x30 * 16 + 2], SEL_CODE32
	FAULTS "gate to 32-bit code", 13, SEL_CODE32, int 0x30
	FAULTS "INTO has no encoding", 6, 0, db 0xCE
	mov byte [IDT64 + 14 * 16 + 5], 0x0E
	FAULTS "#PF without a gate: #DF", 8, 0, mov eax, [abs qword 0x4000000000]
	jmp finish64
	bits 32
.nolong:
	jmp finish32
	align 4
.bounds: dd 1, 4
.farnp:	dd 0
	dw S_NP
	align 4
.sv:	dd 0

; ---- helpers ----
gate_up:
	in al, 0x61
	and al, 0xFC
	out 0x61, al
	or al, 1
	out 0x61, al
	ret

measure0:				; writes count 2000 to channel 2; eax: clocks of channel 0 until OUT rises
	mov edx, 5
.try:	PITMODE 2, 0
	call ref0
	mov ebx, eax
	PITCOUNT 2, 2000
.w:	in al, 0x61
	test al, 0x20
	jz .w
	call ref0
	neg eax
	add eax, ebx
	and eax, 0xFFFF
	cmp eax, 2200
	jbe .ok
	dec edx
	jnz .try
.ok:	ret

half_periods:				; eax: clocks of eight edges of channel 2
	call .edge
	call ref0
	mov ebx, eax
	mov ecx, 8
.n:	call .edge
	loop .n
	call ref0
	neg eax
	add eax, ebx
	and eax, 0xFFFF
	ret
.edge:	in al, 0x61
	and al, 0x20
	mov ah, al
.e:	in al, 0x61
	and al, 0x20
	cmp al, ah
	je .e
	ret

send_nmi:				; to ourselves, by our physical id
	mov eax, [APIC + 0x20]
	and eax, 0xFF000000
	mov [APIC + 0x310], eax
	mov dword [APIC + 0x300], 0x4400
.p:	test dword [APIC + 0x300], 0x1000
	jnz .p
	ret

on_nmi:	inc dword [nested]
	mov eax, [nested]
	cmp eax, [most]
	jbe .n
	mov [most], eax
.n:	cmp dword [t1], 0
	je .done
	mov dword [t1], 0
	call send_nmi
	mov ecx, 1000
.w:	nop
	loop .w
.done:	dec dword [nested]
	ret

on_irq0:
	inc dword [ticks]
	mov eax, [ebp + F_IP]
	mov [irq_ip], eax
	mov al, 0x0B
	out 0x20, al
	in al, 0x20
	movzx eax, al
	mov [isr], eax
	mov al, 0x20
	out 0x20, al
	in al, 0x20
	movzx eax, al
	mov [isr_eoi], eax
	mov al, 0x0A
	out 0x20, al
	ret

on_irq7:
	mov al, 0x0B
	out 0x20, al
	in al, 0x20
	and eax, 0x80
	or [spur], eax
	ret

h_flags:				; eax = IF
	pushfd
	pop eax
	and eax, 0x200
	iretd

h_16:	mov ecx, RING0_STACK		; a frame of three words
	mov eax, [esp]
	mov [f16], eax
	mov ax, [esp + 4]
	mov [f16 + 4], ax
	pushfd
	pop ebx
	and ebx, 0x200
	mov ecx, main
	sub ecx, main - 6
	o16 iret

	bits 64
h_rsp:	lea rax, [rbp + 128]
	mov [t1], eax
	ret
h_ss:	xor eax, eax
	mov ax, ss
	mov [t2], eax
	ret
	bits 32

debug_tests:
	xor eax, eax
	mov dr7, eax
	mov dword [hooks + 4], 0
	mov eax, 0xFFFF0FF0
	mov dr6, eax
	TRY_ .tf, 0
	pushfd
	or dword [esp], 0x100
	popfd
	nop				; runs, then the trap
.tf1:	nop
.tf:	CHECK "single step vector", [exc_vec], 1
	CHECK "single step address", [exc_ip], .tf1
	mov eax, dr6
	CHECK "DR6.BS", eax, 0xFFFF4FF0
	mov eax, 0xFFFF0FF0
	mov dr6, eax
	mov eax, SEL_DATA
	TRY_ .ss, 0
	pushfd
	or dword [esp], 0x100
	popfd
	mov ss, eax			; its shadow covers the next instruction
	nop
.ss1:	nop
.ss:	CHECK "no trap between MOV SS and the next", [exc_ip], .ss1
	mov eax, 0xFFFF0FF0
	mov dr6, eax
	mov eax, .bp			; an instruction breakpoint is a fault
	mov dr0, eax
	mov eax, 0x402 | 1
	mov dr7, eax
	TRY_ .bpn, 0
	nop
.bp:	nop
	nop
.bpn:	CHECK "instruction breakpoint vector", [exc_vec], 1
	CHECK "instruction breakpoint address", [exc_ip], .bp
	mov eax, [exc_flags]
	and eax, 0x10000
	CHECK "RF is pushed clear by an instruction breakpoint", eax, 0
	mov eax, dr6
	CHECK "DR6.B0", eax, 0xFFFF0FF1
	mov dword [hooks + 4], .resume	; with RF the instruction runs
	mov dword [t1], 0
	nop
	jmp .bp2
.resume:
	inc dword [t1]
	or dword [ebp + F_FLAGS], 0x10000
	ret
.bp2:	mov eax, .bp3
	mov dr0, eax
	nop
.bp3:	nop
	mov dword [hooks + 4], 0
	CHECK "RF lets the instruction run", [t1], 1
	mov eax, 0xFFFF0FF0
	mov dr6, eax
	mov eax, 0x50010		; data breakpoint, write, four bytes, DR1
	mov dr1, eax
	mov eax, 0x00D00400 | 0x04
	mov dr7, eax
	WORKS "read does not hit a write breakpoint", mov eax, [0x50010]
	TRAPS "data write breakpoint", 1, 0, mov byte [0x50013], 1
	mov eax, dr6
	and eax, 0xF
	CHECK "DR6.B1", eax, 2
	WORKS "just behind it", mov byte [0x50014], 1
	mov eax, 0x00F00400 | 0x04
	mov dr7, eax
	TRAPS "data access breakpoint, read", 1, 0, mov eax, [0x50010]
	xor eax, eax
	mov dr7, eax
	mov eax, 0xFFFF0FF0
	mov dr6, eax
	mov eax, 0x2400			; general detect
	mov dr7, eax
	FAULTS "general detect", 1, 0, mov eax, dr0
	mov eax, dr7			; GD was cleared on entry
	and eax, 0x2000
	CHECK "GD clear in the handler", eax, 0
	mov eax, dr6
	and eax, 0x2000
	CHECK "DR6.BD", eax, 0x2000
	mov eax, 0x400
	mov dr7, eax
	mov eax, 0xFFFF0FF0
	mov dr6, eax
	TRAPS "INT1", 1, 0, db 0xF1
	ret
