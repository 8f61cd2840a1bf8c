; External interrupts of CPU1 while its guest runs: exits with and without acknowledgement, forwarding, the interrupt
; window, a guest in HLT. CPU0 sends them.

%define IMG "vmxirq"
%include "boot.inc"
%include "pm.inc"
%include "pit.inc"
%include "vmx.inc"

APIC	equ 0xFEE00000
AP_CODE	equ 0x2000			; SIPI vector 2
STACK	equ 0x4000
VECTOR	equ 0x31

	absolute uservars
online	resd 1
request	resd 1			; command that CPU0 is to send to CPU1
target	resd 1
finished resd 1
got	resd 1
by_host	resd 1
	section .text

%macro SEND 0				; CPU0 sends the interrupt soon
	mov dword [request], 0x4000 + VECTOR
%endmacro

	bits 16
main:	call enter_pm
	bits 32
	mov dword [APIC + 0xF0], 0x13F
	call ref2_start
	mov esi, ap16
	mov edi, AP_CODE
	mov ecx, ap16_end - ap16
	rep movsb
	mov dword [APIC + 0x310], 0
	mov dword [APIC + 0x300], 0xC4500	; INIT to all but self
	mov ecx, 12000
	call wait2
	mov dword [APIC + 0x300], 0xC4602	; SIPI, 2000h
	mov ebp, 5
.join:	mov ecx, 20000
	call wait2
	cmp dword [online], 0
	jne .serve
	dec ebp
	jnz .join
	PRINT "only one processor: nothing is run", 10
	jmp finish32
.serve:	pause
	cmp dword [finished], 0
	jne finish32
	cmp dword [request], 0
	je .serve
	mov ecx, 1200			; CPU1 is in its guest by then
	call wait2
	mov eax, [target]
	mov [APIC + 0x310], eax
	mov eax, [request]
	mov dword [request], 0
	mov [APIC + 0x300], eax
	jmp .serve

	bits 16
ap16:	cli
	xor ax, ax
	mov ds, ax
	mov eax, 1
	lock xadd [online], eax
	test eax, eax
	jnz .hlt			; one is enough
	lgdt [gdtr]
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp dword SEL_CODE32:ap32
.hlt:	hlt
	jmp .hlt
ap16_end:

	bits 32
ap32:	mov eax, SEL_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov fs, eax
	mov gs, eax
	mov esp, STACK
	lidt [idtr32]
	mov dword [APIC + 0xF0], 0x13F
	mov eax, [APIC + 0x20]
	mov [target], eax
	call vmx_start
	CONTROLS PIN_CONTROLS, EXTERNAL_INTERRUPT_EXITING
	mov dword [hooks + VECTOR * 4], on_host

	SECTION_ "without acknowledgement"
	GUEST g_spin
	SEND
	EXIT "an interrupt exits though IF is 0", 1
	FIELD "no vector", EXIT_EVENT, 0
	FIELD "RIP", G_RIP, g_spin
	CHECK "it has not been taken", [by_host], 0
	sti
	nop
	nop
	cli
	CHECK "the host takes it when it allows interrupts", [by_host], 1

	SECTION_ "with acknowledgement, forwarded"
	CONTROLS EXIT_CONTROLS, 4 | ACKNOWLEDGE_INTERRUPT
	mov dword [hooks + VECTOR * 4], on_guest
	GUEST g_wait
	VMW G_RFLAGS, 0x202
	SEND
	EXIT "an interrupt exits", 1
	FIELD "its vector", EXIT_EVENT, 0x80000000 + VECTOR
	mov dword [APIC + 0xB0], 0
	VMW ENTRY_EVENT, 0x80000000 + VECTOR
	EXIT "the guest's handler runs", 18
	CHECK "once", [got], 1

	SECTION_ "interrupt window"
	GUEST g_window
	SEND
	EXIT "an interrupt exits", 1
	mov dword [APIC + 0xB0], 0
	CONTROLS PRIMARY_CONTROLS, INTERRUPT_WINDOW_EXITING
	VMW G_RIP, g_window.sti
	EXIT "the guest allows interrupts", 7
	FIELD "one instruction after STI", G_RIP, g_window.open
	CONTROLS PRIMARY_CONTROLS, 0
	VMW ENTRY_EVENT, 0x80000000 + VECTOR
	EXIT "the guest's handler runs", 18
	CHECK "once more", [got], 2

	SECTION_ "HLT"
	GUEST g_window.open
	VMW G_ACTIVITY, 1
	SEND
	EXIT "an interrupt exits from HLT", 1
	FIELD "activity state: HLT", G_ACTIVITY, 1
	FIELD "RIP", G_RIP, g_window.open
	mov dword [APIC + 0xB0], 0
	VMW G_RFLAGS, 0x202
	VMW ENTRY_EVENT, 0x80000000 + VECTOR
	EXIT "an event ends HLT", 18
	FIELD "activity state: active", G_ACTIVITY, 0
	CHECK "once more", [got], 3
	vmxoff
	mov dword [finished], 1
.hlt:	hlt
	jmp .hlt

on_host:
	inc dword [by_host]
	mov dword [APIC + 0xB0], 0
	ret
on_guest:
	inc dword [got]
	ret

g_spin:	jmp $
g_wait:	cmp dword [got], 0
	je g_wait
	vmcall
g_window:
	jmp $
.sti:	sti
	nop
.open:	vmcall
