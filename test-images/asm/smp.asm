; All processors: INIT-SIPI-SIPI, locked counters and a spin lock, IPIs of every kind, the local APIC's timer.

%define IMG "smp"
%define CPUS 4
%include "boot.inc"
%include "pm.inc"
%include "pit.inc"

APIC	equ 0xFEE00000
AP_CODE	equ 0x2000			; SIPI vector 2
ROUNDS	equ 20000

	absolute uservars
online	resd 1				; application processors in 32-bit mode
spinlk	resd 1
plain	resd 1				; counted under the lock
atomic	resd 1				; counted by LOCK XADD
phase	resd 1
done	resd 1
ids	resd 16				; the APIC id of processor n, as it came
ipis	resd 16				; per processor index: fixed IPIs taken
nmis	resd 16
lowest	resd 1
timer	resd 1
xchgs	resd 1
bits_	resd 1
t0	resd 1
t1	resd 1
svr	resd 1
sipi	resd 1
	section .text

%macro WAITFOR 3			; "what", memory, value: at most 300 ms
	mov ebp, 18
%%w:	mov ecx, 20000
	cmp dword [%2], %3
	je %%ok
	call wait2
	dec ebp
	jnz %%w
%%ok:	CHECK %1, [%2], %3
%endmacro

%macro WAITAT 2			; "what", value: the same for [edx]
	mov ebp, 18
%%w:	mov ecx, 20000
	cmp dword [edx], %2
	je %%ok
	call wait2
	dec ebp
	jnz %%w
%%ok:	CHECK %1, [edx], %2
%endmacro

%macro ICR 2				; high, low; waits until sent
	mov dword [APIC + 0x310], %1
	mov dword [APIC + 0x300], %2
%%p:	test dword [APIC + 0x300], 0x1000
	jnz %%p
%endmacro

	bits 16
main:	call enter_pm
	bits 32
	mov eax, 1
	cpuid
	test edx, 1 << 9
	jnz .apic
	FAILNOW "CPUID says there is a local APIC"
	jmp finish32
.apic:	shr ebx, 24
	mov eax, [APIC + 0x20]
	shr eax, 24
	CHECK "APIC id is CPUID's initial id", eax, ebx
	mov [ids], eax
	mov eax, [APIC + 0x30]
	and eax, 0xF0
	CHECK "version 1xh", eax, 0x10
	mov ecx, 0x1B
	rdmsr
	and eax, 0xFFFFF900
	CHECK "IA32_APIC_BASE: enabled, bootstrap processor", eax, APIC + 0x900
	mov dword [APIC + 0xF0], 0x13F
	mov dword [APIC + 0xE0], 0xFFFFFFFF
	mov dword [APIC + 0xD0], 0x01000000
	mov dword [APIC + 0x80], 0
	call ref2_start

	SECTION_ "starting the others"
	mov esi, ap16
	mov edi, AP_CODE
	mov ecx, ap16_end - ap16
	rep movsb
	ICR 0, 0xC4500			; INIT to all but self
	mov ecx, 12000			; 10 ms
	call wait2
	ICR 0, 0xC4602			; SIPI, 2000h
	mov ecx, 240
	call wait2
	ICR 0, 0xC4602
	mov ebp, 10			; those that there are, within 150 ms
	mov edx, [online]
.join:	mov ecx, 20000
	call wait2
	dec ebp
	jnz .join
	mov edx, [online]
	PRINT "processors: "
	mov eax, edx
	inc eax
	PRINTDEC eax
	PRINT 10
	mov ecx, edx			; every id once
	xor ebx, ebx
.id:	mov eax, [ids + ecx * 4]
	bts ebx, eax
	setc al
	movzx eax, al
	CHECK "every APIC id once", eax, 0
	dec ecx
	jns .id
	cmp dword [online], 0
	jne .many
	PRINT "only one processor: the rest is not run", 10
	jmp .single

.many:	SECTION_ "LOCK"
	mov dword [phase], 1
	xor edi, edi
	call count
	mov edx, [online]
	mov ebp, 100
.cw:	cmp [done], edx
	je .cd
	mov ecx, 20000
	call wait2
	dec ebp
	jnz .cw
.cd:	mov eax, [online]
	inc eax
	imul ebx, eax, ROUNDS
	CHECK "counter under a spin lock", [plain], ebx
	CHECK "counter by LOCK XADD", [atomic], ebx
	CHECK "counter by LOCK CMPXCHG", [xchgs], ebx
	CHECK "LOCK BTC, an even number of times each", [bits_], 0

	SECTION_ "IPIs"
	mov dword [hooks + 0x30 * 4], on_ipi
	mov dword [hooks + 2 * 4], on_nmi
	mov dword [phase], 2		; the others enable interrupts and HLT
	mov ecx, 2000
	call wait2
	mov edx, [online]
.each:	mov eax, [ids + edx * 4]
	shl eax, 24
	ICR eax, 0x4030			; fixed, physical
	push edx
	lea edx, [ipis + edx * 4]
	WAITAT "fixed IPI to one", 1
	pop edx
	dec edx
	jnz .each
	CHECK "none to ourselves", [ipis], 0
	ICR 0, 0xC4030			; all but self
	mov edx, [online]
.each2:	push edx
	lea edx, [ipis + edx * 4]
	WAITAT "IPI to all but self", 2
	pop edx
	dec edx
	jnz .each2
	sti
	ICR 0, 0x84030			; all, self included
	mov edx, [online]
.each3:	push edx
	lea edx, [ipis + edx * 4]
	WAITAT "IPI to all", 3
	pop edx
	dec edx
	jnz .each3
	WAITFOR "IPI to all, self", ipis, 1
	ICR 0, 0x44030			; self
	WAITFOR "self IPI", ipis, 2
	cli
	mov eax, [online]		; logical: processors 1 and, if there, 2
	ICR 0x06000000, 0x4830
	WAITFOR "logical IPI to processor 1", ipis + 4, 4
	cmp dword [online], 2
	jb .low
	WAITFOR "logical IPI to processor 2", ipis + 8, 4
	cmp dword [online], 3
	jb .low
	CHECK "and not to processor 3", [ipis + 12], 3
.low:	mov dword [hooks + 0x31 * 4], on_lowest
	ICR 0x0E000000, 0x4931		; lowest priority, logical 1..3
	WAITFOR "lowest priority: one takes it", lowest, 1
	mov ecx, 20000
	call wait2
	CHECK "and only one", [lowest], 1
	ICR 0, 0xC4400			; NMI to all but self
	mov edx, [online]
.each4:	push edx
	lea edx, [nmis + edx * 4]
	WAITAT "NMI to all but self", 1
	pop edx
	dec edx
	jnz .each4
	CHECK "no NMI to ourselves", [nmis], 0

	SECTION_ "INIT again"
	mov eax, [ids + 4]		; one back to wait-for-SIPI, then up again
	shl eax, 24
	mov edx, [online]
	mov [t1], edx
	ICR eax, 0x4500
	mov ecx, 12000
	call wait2
	mov ebx, [ipis + 4]
	push ebx
	ICR eax, 0x4030			; it sleeps: nobody takes this
	mov ecx, 5000
	call wait2
	pop ebx
	CHECK "no IPI after INIT", [ipis + 4], ebx
	mov eax, [ids + 4]
	shl eax, 24
	ICR eax, 0x4602
	mov edx, [t1]
	inc edx
	mov [t1], edx
	WAITFOR "it comes up once more", online, edx

.single:
	SECTION_ "APIC timer"
	mov dword [hooks + 0x32 * 4], on_timer
	mov dword [APIC + 0x3E0], 0xB	; divide by 1
	mov dword [APIC + 0x320], 0x10032	; masked, one-shot
	mov dword [APIC + 0x380], 0xFFFFFFFF
	call ref2
	mov ebx, eax
	mov ecx, 11932			; 10 ms
	call wait2
	mov eax, [APIC + 0x390]
	not eax
	mov [t0], eax			; its ticks in 10 ms
	RANGE "it counts", eax, 1000, 0xF0000000
	mov dword [APIC + 0x380], 0
	mov dword [APIC + 0x320], 0x32
	mov dword [timer], 0
	sti
	mov eax, [t0]
	mov [APIC + 0x380], eax
	WAITFOR "one-shot: an interrupt", timer, 1
	mov ecx, 40000
	call wait2
	CHECK "one-shot: only one", [timer], 1
	CHECK "one-shot: the count stays 0", [APIC + 0x390], 0
	mov ebp, 5
.per:	mov dword [APIC + 0x320], 0x20032
	mov eax, [t0]
	shr eax, 1			; 5 ms
	mov dword [timer], 0
	mov [APIC + 0x380], eax
	mov ecx, 50000			; 41.9 ms
	call wait2
	mov dword [APIC + 0x380], 0
	mov eax, [timer]
	sub eax, 7
	cmp eax, 2
	jbe .perok
	dec ebp
	jnz .per
.perok:	mov eax, [timer]
	RANGE "periodic: interrupts of 5 ms in 41.9 ms", eax, 7, 9
	mov ecx, 20000
	call wait2
	mov dword [timer], 0
	mov ecx, 20000
	call wait2
	CHECK "a count of 0 stops it", [timer], 0
	mov eax, 1
	cpuid
	bt ecx, 24
	jnc .nodl
	PRINT "TSC deadline", 10
	mov dword [APIC + 0x320], 0x40032
	rdtsc
	mov esi, eax
	mov edi, edx
	mov ecx, 11932
	call wait2
	rdtsc
	sub eax, esi			; TSC ticks in 10 ms
	mov esi, eax
	rdtsc
	add eax, esi
	adc edx, 0
	mov ecx, 0x6E0
	mov dword [timer], 0
	wrmsr
	WAITFOR "TSC deadline: an interrupt", timer, 1
	mov ecx, 0x6E0
	rdmsr
	CHECK "the deadline is cleared", eax, 0
	rdtsc
	mov ecx, 0x6E0
	sub eax, 1000
	sbb edx, 0
	wrmsr				; in the past: at once
	WAITFOR "a deadline in the past", timer, 2
.nodl:	cli
	mov dword [APIC + 0x320], 0x10000
	mov eax, 1
	cpuid
	bt ecx, 21
	jnc .nox2
	SECTION_ "x2APIC"
	mov ecx, 0x1B
	rdmsr
	or eax, 0xC00
	wrmsr
	mov ecx, 0x802
	rdmsr
	CHECK "id", eax, [ids]
	mov ecx, 0x80D
	rdmsr
	mov ebx, [ids]
	mov ecx, ebx
	and ecx, 15
	mov edx, 1
	shl edx, cl
	shr ebx, 4
	shl ebx, 16
	or edx, ebx
	CHECK "logical id from the id", eax, edx
	mov dword [ipis], 0
	sti
	mov ecx, 0x83F			; SELF IPI
	mov eax, 0x30
	xor edx, edx
	wrmsr
	WAITFOR "SELF IPI", ipis, 1
	mov ecx, 0x830
	mov eax, 0x30
	mov edx, [ids]
	wrmsr
	WAITFOR "ICR in one write", ipis, 2
	cli
	mov ecx, 0x80E
	FAULTS "DFR does not exist", 13, 0, rdmsr
	mov ecx, 0x802
	FAULTS "the id is read-only", 13, 0, wrmsr
	mov ecx, 0x1B
	rdmsr
	and eax, 0xFFFFFBFF
	FAULTS "x2APIC to xAPIC in one step", 13, 0, wrmsr
.nox2:	jmp finish32

; edi: our index. Everybody counts.
count:	mov ecx, ROUNDS
.n:	mov eax, 1
	lock xadd [atomic], eax
.cx:	mov eax, [xchgs]
	lea edx, [eax + 1]
	lock cmpxchg [xchgs], edx
	jne .cx
	lock btc dword [bits_], edi
.spin:	mov eax, 1
	xchg eax, [spinlk]
	test eax, eax
	jz .got
	pause
	jmp .spin
.got:	inc dword [plain]		; not atomic by itself
	mov dword [spinlk], 0
	dec ecx
	jnz .n
	ret

index:					; eax: the index of the processor that runs this
	push ecx
	push edx
	mov edx, [APIC + 0x20]
	shr edx, 24
	mov ecx, [online]
.i:	mov eax, ecx
	cmp [ids + ecx * 4], edx
	je .f
	dec ecx
	jns .i
	xor eax, eax
.f:	pop edx
	pop ecx
	ret

eoi:	mov ecx, 0x1B
	rdmsr
	test ah, 4
	jnz .x2
	mov dword [APIC + 0xB0], 0
	ret
.x2:	mov ecx, 0x80B
	xor eax, eax
	xor edx, edx
	wrmsr
	ret

on_ipi:	mov ecx, 0x1B
	rdmsr
	test ah, 4
	mov eax, 0
	jnz .x
	call index
.x:	lock inc dword [ipis + eax * 4]
	jmp eoi
on_lowest:
	lock inc dword [lowest]
	jmp eoi
on_nmi:	call index
	lock inc dword [nmis + eax * 4]
	ret
on_timer:
	inc dword [timer]
	jmp eoi

; what an application processor runs, in 32-bit mode
ap_main:
	mov eax, SEL_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov eax, 1			; an index of our own, and with it a stack
	lock xadd [sipi], eax
	mov edi, eax
	inc edi
	mov esp, edi
	shl esp, 12
	add esp, 0x80000
	lidt [idtr32]
	mov eax, [APIC + 0x20]
	shr eax, 24
	cmp edi, 16
	jae .idle			; more than the tables hold: asleep
	mov [ids + edi * 4], eax
	mov dword [APIC + 0xF0], 0x13F
	mov dword [APIC + 0xE0], 0xFFFFFFFF
	mov ecx, edi
	mov eax, 0x01000000
	shl eax, cl
	mov [APIC + 0xD0], eax
	mov dword [APIC + 0x80], 0
	lock inc dword [online]
.p1:	pause
	cmp dword [phase], 1
	jb .p1
	ja .p2
	call count
	lock inc dword [done]
.p2:	pause
	cmp dword [phase], 2
	jb .p2
.idle:	sti
	hlt
	jmp .idle

	bits 16
ap16:	cli				; runs at 2000h
	xor ax, ax
	mov ds, ax
	lgdt [gdtr]
	mov eax, cr0
	and eax, 0x9FFFFFFF
	or al, 1
	mov cr0, eax
	jmp dword SEL_CODE32:ap_main
ap16_end:
