; Clocks and timers agree: PIT, RTC (periodic, update-ended, alarm), HPET, ACPI PM timer, TSC. Each is counted against
; the PIT's channel 2 (1193182 a second); a busy host may spoil a try, so every measure has a few.

%define IMG "timers"
%include "boot.inc"
%include "pm.inc"
%include "pit.inc"
%include "acpi.inc"

HPET	equ 0xFED00000

	absolute uservars
ticks	resd 1
regc	resd 1
pmport	resd 1
pmmask	resd 1
hpet	resd 1
tries	resd 1
a	resd 1
b_	resd 1
elapsed	resd 1
saved_b	resd 1
alarms	resd 1
updates	resd 1
	section .text

%macro CMOS 1				; al = register
	mov al, %1
	out 0x70, al
	in al, 0x71
%endmacro
%macro CMOSW 2
	mov al, %1
	out 0x70, al
	mov al, %2
	out 0x71, al
%endmacro

	bits 16
main:	call enter_pm
	bits 32
	call ref2_start
	mov dword [hooks + 0x28 * 4], on_rtc
	mov dword [hooks + 0x20 * 4], on_pit
	mov al, 0xFB
	out 0x21, al
	mov al, 0xFE
	out 0xA1, al

	SECTION_ "PIT, channel 0 against channel 2"
	mov dword [tries], 5
.p0:	call ref0_start
	call ref2
	mov ebx, eax
	call ref0
	mov edi, eax
	mov ecx, 50000
	call wait2
	call ref0
	sub edi, eax
	and edi, 0xFFFF
	sub edi, 50000 - 100
	cmp edi, 200
	ja .p0r
	jmp .p0ok
.p0r:	dec dword [tries]
	jnz .p0
.p0ok:	add edi, 50000 - 100
	RANGE "channel 0 in 50000 clocks of channel 2", edi, 49900, 50500

	SECTION_ "RTC"
	CMOS 0x0A
	and eax, 0x7F
	CHECK "register A: divider and rate", eax, 0x26
	CMOS 0x0D
	and eax, 0x80
	CHECK "register D: valid RAM and time", eax, 0x80
	CMOS 0x0B
	movzx eax, al
	mov [saved_b], eax
	mov dword [tries], 5
.per:	CMOSW 0x0B, 0x42		; periodic: 1024 Hz
	CMOS 0x0C
	sti
	mov dword [ticks], 0
	mov ecx, 23304			; 20 periods of 1165.2 clocks
	call wait2
	cli
	CMOSW 0x0B, 0x02
	mov eax, [ticks]
	cmp eax, 19
	jb .perr
	cmp eax, 21
	jbe .perok
.perr:	dec dword [tries]
	jnz .per
.perok:	RANGE "periodic interrupts in 20 periods", [ticks], 19, 21
	mov eax, [regc]
	and eax, 0xC0
	CHECK "register C in the handler: IRQF and PF", eax, 0xC0
	CMOS 0x0C
	CMOS 0x0C
	movzx eax, al
	and eax, 0x80
	CHECK "reading register C clears it", eax, 0
	mov dword [tries], 4		; update-ended: once a second
	mov dword [updates], 0
	CMOSW 0x0B, 0x12
	CMOS 0x0C
	sti
.upd:	mov dword [ticks], 0
	mov ecx, 1193182 * 3 / 2 / 50000
	call wait_tick
	CHECK "update-ended interrupt", [ticks], 1
	mov dword [ticks], 0
	mov dword [elapsed], 0
	call count_to_tick
	mov eax, [elapsed]
	cmp eax, 1175000
	jb .updr
	cmp eax, 1211000
	jbe .updok
.updr:	dec dword [tries]
	jnz .upd
.updok:	RANGE "PIT clocks from update to update", [elapsed], 1175000, 1211000
	cli
	mov eax, [regc]
	and eax, 0x90
	CHECK "register C: IRQF and UF", eax, 0x90
	CMOS 0x0A
	and eax, 0x80
	CHECK "no update in progress just behind one", eax, 0
	CMOS 0
	mov bl, al			; the alarm in two seconds (BCD)
	add al, 2
	daa
	cmp al, 0x60
	jb .sec
	sub al, 0x60
	das
.sec:	mov bl, al
	CMOSW 1, bl
	CMOSW 3, 0xFF			; any minute, any hour
	CMOSW 5, 0xFF
	CMOSW 0x0B, 0x22
	CMOS 0x0C
	sti
	mov dword [ticks], 0
	mov ecx, 1193182 * 3 / 50000
	call wait_tick
	cli
	CHECK "alarm interrupt", [ticks], 1
	mov eax, [regc]
	and eax, 0xA0
	CHECK "register C: IRQF and AF", eax, 0xA0
	CMOS 0
	movzx eax, al
	movzx ebx, bl
	CHECK "at its second", eax, ebx
	CMOSW 0x0B, [saved_b]

	SECTION_ "ACPI PM timer"
	mov eax, 'FACP'
	call find_acpi
	test ebx, ebx
	jz .nopm
	mov eax, [ebx + 76]
	mov [pmport], eax
	mov dword [pmmask], 0xFFFFFF
	test dword [ebx + 112], 1 << 8
	jz .b24
	mov dword [pmmask], -1
.b24:	test eax, eax
	jz .nopm
	mov dword [tries], 5
.pm:	mov edx, [pmport]
	in eax, dx
	mov edi, eax
	mov ecx, 40000
	call wait2
	mov edx, [pmport]
	in eax, dx
	sub eax, edi
	and eax, [pmmask]
	mov edi, eax
	cmp eax, 119600
	jb .pmr
	cmp eax, 122500
	jbe .pmok
.pmr:	dec dword [tries]
	jnz .pm
.pmok:	RANGE "three ticks a PIT clock, 40000 clocks", edi, 119600, 122500
	jmp .hpet
.nopm:	PRINT "no FADT with a PM timer: not run", 10

.hpet:	SECTION_ "HPET"
	mov eax, 'HPET'
	call find_acpi
	test ebx, ebx
	jz .nohpet
	mov esi, [ebx + 44]
	mov [hpet], esi
	mov eax, [esi + 4]		; femtoseconds a tick
	RANGE "period, femtoseconds", eax, 1, 100000000
	mov ebx, eax
	and dword [esi + 0x10], ~3
	mov dword [esi + 0xF0], 0
	mov dword [esi + 0xF4], 0
	mov eax, [esi + 0xF0]
	CHECK "stopped and set to 0", eax, 0
	or dword [esi + 0x10], 1
	mov dword [tries], 5
.hp:	mov esi, [hpet]
	mov edi, [esi + 0xF0]
	mov ecx, 40000			; 33523.8 microseconds
	call wait2
	mov eax, [esi + 0xF0]
	sub eax, edi
	mul ebx				; femtoseconds -> microseconds
	mov ecx, 1000000000
	div ecx
	mov edi, eax
	cmp eax, 33400
	jb .hpr
	cmp eax, 34200
	jbe .hpok
.hpr:	dec dword [tries]
	jnz .hp
.hpok:	RANGE "microseconds in 40000 PIT clocks", edi, 33400, 34200
	mov esi, [hpet]			; timer 0, one-shot, polled through its status bit (level)
	and dword [esi + 0x10], ~1
	mov eax, [esi + 0xF0]
	mov edi, eax
	mov ecx, 1000
	call wait2
	mov eax, [esi + 0xF0]
	CHECK "halted: the counter stands", eax, edi
	or dword [esi + 0x10], 1
	jmp .tsc
.nohpet:
	PRINT "no HPET table: not run", 10

.tsc:	SECTION_ "TSC"
	mov dword [tries], 5
.ts:	rdtsc
	mov edi, eax
	mov ecx, 20000
	call wait2
	rdtsc
	sub eax, edi
	mov [a], eax
	rdtsc
	mov edi, eax
	mov ecx, 40000
	call wait2
	rdtsc
	sub eax, edi
	mov [b_], eax
	xor edx, edx			; twice the time, twice the ticks: 1000 * b / a
	mov ecx, 1000
	mul ecx
	div dword [a]
	mov edi, eax
	cmp eax, 1950
	jb .tsr
	cmp eax, 2050
	jbe .tsok
.tsr:	dec dword [tries]
	jnz .ts
.tsok:	RANGE "TSC of 40000 clocks by that of 20000, in thousandths", edi, 1950, 2050

	SECTION_ "BIOS tick"
	call leave_pm
	bits 16
	mov al, 0x36			; the BIOS's 18.2 Hz again
	out 0x43, al
	xor al, al
	out 0x40, al
	out 0x40, al
	xor ah, ah
	int 0x1A
	mov bx, dx
.bt:	xor ah, ah
	int 0x1A
	cmp dx, bx
	je .bt
	mov bx, dx
	mov ah, 2
	int 0x1A
	mov [lsec], dh
.s1:	mov ah, 2			; to the next second
	int 0x1A
	cmp dh, [lsec]
	je .s1
	mov [lsec], dh
	xor ah, ah
	int 0x1A
	mov bx, dx
.s2:	mov ah, 2
	int 0x1A
	cmp dh, [lsec]
	je .s2
	xor ah, ah
	int 0x1A
	sub dx, bx
	movzx eax, dx
	RANGE "int 1Ah ticks in an RTC second", eax, 17, 20
	jmp finish16
lsec:	dd 0

	bits 32

wait_tick:				; until an interrupt or ecx times 50000 clocks
.w:	cmp dword [ticks], 0
	jne .e
	push ecx
	mov ecx, 500
	call wait2
	pop ecx
	mov eax, [b_]
	inc eax
	mov [b_], eax
	cmp eax, 100
	jb .w
	mov dword [b_], 0
	loop .w
.e:	mov dword [b_], 0
	ret

count_to_tick:				; elapsed: clocks of channel 2 until the next interrupt
	call ref2
	mov ebx, eax
.c:	call ref2
	mov ecx, ebx
	sub ecx, eax
	and ecx, 0xFFFF
	mov ebx, eax
	add [elapsed], ecx
	cmp dword [elapsed], 3000000
	ja .e
	cmp dword [ticks], 0
	je .c
.e:	ret

on_rtc:	inc dword [ticks]
	CMOS 0x0C
	movzx eax, al
	mov [regc], eax
	mov al, 0x20
	out 0xA0, al
	out 0x20, al
	ret
on_pit:	mov al, 0x20
	out 0x20, al
	ret
