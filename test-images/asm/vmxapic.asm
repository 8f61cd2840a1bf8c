; The local APIC of a guest: EPT maps another address to the APIC-access page; TPR shadow and threshold, APIC-access exits.

%define IMG "vmxapic"
%include "boot.inc"
%include "pm.inc"
%include "vmx.inc"

APIC		equ 0xFEE00000
GUEST_APIC	equ 0x01000000
APIC_PT		equ SPARE_PAGES

	absolute uservars
seen	resd 2
	section .text

	bits 16
main:	call enter_pm
	bits 32
	call vmx_start
	call ept_build
	mov dword [EPT_PD + (GUEST_APIC >> 21) * 8], APIC_PT + 7
	mov dword [APIC_PT], APIC + 7
	VMW APIC_ACCESS_PAGE, APIC
	VMW APIC_ACCESS_PAGE + 1, 0
	VMW VIRTUAL_APIC_PAGE, VIRTUAL_APIC
	VMW VIRTUAL_APIC_PAGE + 1, 0
	CONTROLS PRIMARY_CONTROLS, SECONDARY | USE_TPR_SHADOW
	CONTROLS SECONDARY_CONTROLS, ENABLE_EPT | VIRTUALIZE_APIC
	mov dword [APIC + 0x80], 0x10

	SECTION_ "TPR"
	GUEST g_tpr
	EXIT "accesses to TPR do not exit", 18
	CHECK "the virtual-APIC page has it", [VIRTUAL_APIC + 0x80], 0x50
	CHECK "the guest reads it", [seen], 0x50
	CHECK "the processor's own is as it was", [APIC + 0x80], 0x10
	mov dword [VIRTUAL_APIC + 0x80], 0x60
	GUEST g_tpr.read
	EXIT "what the host writes", 18
	CHECK "is what the guest reads", [seen], 0x60
	mov dword [APIC + 0x80], 0

	SECTION_ "threshold"
	VMW TPR_THRESHOLD, 3
	GUEST g_below
	EXIT "TPR below the threshold", 43
	FIELD "after the instruction", G_RIP, g_below.next
	CHECK "it has been written", [VIRTUAL_APIC + 0x80], 0x20
	GUEST g_tpr
	EXIT "at VM entry too", 43
	FIELD "before any instruction", G_RIP, g_tpr
	VMW TPR_THRESHOLD, 2
	EXIT "equal is not below", 18
	VMW TPR_THRESHOLD, 0

	SECTION_ "other registers"
	GUEST g_read
	EXIT "read", 44
	FIELD "qualification: linear read of 30h", EXIT_QUALIFICATION, 0x0030
	FIELD "RIP is that of the instruction", G_RIP, g_read
	mov dword [g_eax], 0x50014
	VMW G_RIP, g_read.next
	EXIT "write", 44
	CHECK "what the host answers", [seen], 0x50014
	FIELD "qualification: linear write of B0h", EXIT_QUALIFICATION, 0x10B0
	GUEST GUEST_APIC
	EXIT "fetch", 44
	FIELD "qualification: instruction fetch", EXIT_QUALIFICATION, 0x2000
	GUEST g_event
	EXIT "delivery of an event", 44
	FIELD "qualification: linear access during delivery", EXIT_QUALIFICATION, 0x33FC
	FIELD "the event", VECTORING_EVENT, 0x80000430
	GUEST g_direct
	EXIT "its address in the host is virtualized too", 18
	CHECK "the same page", [seen], 0x20
	jmp vmx_finish

g_tpr:	mov dword [GUEST_APIC + 0x80], 0x50
.read:	mov eax, [GUEST_APIC + 0x80]
	mov [seen], eax
	vmcall
g_below:
	mov dword [GUEST_APIC + 0x80], 0x20
.next:	vmcall
g_read:	mov eax, [GUEST_APIC + 0x30]
.next:	mov [seen], eax
	mov [GUEST_APIC + 0xB0], eax
	vmcall
g_event:
	mov esp, GUEST_APIC + 0x400
	int 0x30
g_direct:
	mov dword [GUEST_APIC + 0x80], 0x20
	mov eax, [APIC + 0x80]
	mov [seen], eax
	vmcall
