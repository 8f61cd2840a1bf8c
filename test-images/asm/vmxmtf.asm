; The monitor trap flag: a VM exit after every instruction, iteration and event.

%define IMG "vmxmtf"
%include "boot.inc"
%include "pm.inc"
%include "vmx.inc"

	absolute uservars
buffer	resd 4
	section .text

%macro STEP 2				; "what", RIP after it
	EXIT %1, 37
	NAMED %1, ": RIP"
	FIELD namestr, G_RIP, %2
%endmacro

	bits 16
main:	call enter_pm
	bits 32
	call vmx_start
	CONTROLS PRIMARY_CONTROLS, MONITOR_TRAP_FLAG

	SECTION_ "instruction by instruction"
	GUEST guest
	STEP "MOV", guest.mov2
	FIELD "no length, no qualification", EXIT_QUALIFICATION, 0
	STEP "MOV", guest.jmp
	STEP "JMP", guest.rep
	STEP "REP STOSB, first iteration", guest.rep
	CHECK "ECX counts", [g_ecx], 2
	STEP "REP STOSB, second", guest.rep
	STEP "REP STOSB, last", guest.cpuid
	EXIT "CPUID exits as ever", 10
	SKIP
	STEP "MOV SS is no boundary less", guest.after_ss
	FIELD "but blocks", G_INTERRUPTIBILITY, 2
	STEP "the instruction after it", guest.int
	FIELD "and no longer", G_INTERRUPTIBILITY, 0
	mov eax, [IDT32 + 0x30 * 8]
	and eax, 0xFFFF
	STEP "INT 30h: its handler's first instruction", eax

	SECTION_ "events"
	GUEST guest.nop
	VMW G_RFLAGS, 0x202
	VMW ENTRY_EVENT, 0x80000031
	mov eax, [IDT32 + 0x31 * 8]
	and eax, 0xFFFF
	STEP "injected interrupt: its handler", eax
	GUEST guest.nop
	VMW ENTRY_EVENT, 0x80000700
	STEP "injected MTF: before any instruction", guest.nop
	GUEST guest.ud
	mov eax, [IDT32 + 6 * 8]
	and eax, 0xFFFF
	STEP "exception: its handler", eax
	GUEST guest.nop
	VMW G_RFLAGS, 0x102
	STEP "comes before the single step", guest.nop2
	FIELD "which is pending", G_PENDING_DEBUG, 0x4000

	SECTION_ "without it"
	CONTROLS PRIMARY_CONTROLS, 0
	GUEST guest
	EXIT "to CPUID in one go", 10
	FIELD "RIP", G_RIP, guest.cpuid
	jmp vmx_finish

guest:	mov edi, buffer
.mov2:	mov ecx, 3
.jmp:	jmp short .rep
	ud2
.rep:	rep stosb
.cpuid:	cpuid
	mov ss, [.sel]
.after_ss:
	nop
.int:	int 0x30
.nop:	nop
.nop2:	nop
	vmcall
.ud:	ud2
.sel:	dw SEL_DATA
