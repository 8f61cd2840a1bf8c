; VM entries that fail: one mistake in each stage of the checks, then two at once, and what the VMM gets to see.

%define IMG "vmxentry"
%include "boot.inc"
%include "pm.inc"
%include "vmx.inc"

PDPT	equ SPARE_PAGES
MSR_LIST equ SPARE_PAGES + 0x1000
FAILED_GUEST equ 0x80000021		; VM-entry failure due to invalid guest state
FAILED_MSR equ 0x80000022		; VM-entry failure due to MSR loading

%macro PLANT 1				; "where": a good VMCS, into which a mistake is planted
	SECTION_ %1
	call fresh
%endmacro

%macro FAILS 2				; "what", error number or exit reason
	call try
	CHECK %1, eax, %2
%endmacro

%macro QUALIFIED 1
	FIELD "its qualification", EXIT_QUALIFICATION, %1
%endmacro

	bits 16
main:	call enter_pm
	bits 32
	call vmx_start

	PLANT "control"
	VMW PIN_CONTROLS, 0
	FAILS "pin-based controls of 0", 7

	PLANT "host"
	VMW H_CR0, 0
	FAILS "host CR0 of 0", 8

	PLANT "host address space"
	CONTROLS EXIT_CONTROLS, 4 + (1 << 9)
	FAILS "a 64-bit host of a 32-bit VMM", 8

	PLANT "guest control registers"
	VMW G_CR4, 0x10
	FAILS "guest CR4 without VMXE", FAILED_GUEST
	QUALIFIED 0

	PLANT "guest segment"
	VMW G_CS_RIGHTS, 0xC093
	FAILS "CS that is data", FAILED_GUEST
	QUALIFIED 0

	PLANT "guest RFLAGS"
	VMW G_RFLAGS, 0
	FAILS "RFLAGS of 0", FAILED_GUEST
	QUALIFIED 0

	PLANT "guest state that is in no register"
	VMW G_ACTIVITY, 9
	FAILS "activity state 9", FAILED_GUEST
	QUALIFIED 0

	PLANT "PDPTE"
	mov eax, cr4
	or eax, 0x20
	VMW G_CR4, eax
	VMW G_CR3, PDPT
	mov dword [PDPT], 3		; bit 1 is reserved
	FAILS "a reserved bit in PDPTE0", FAILED_GUEST
	QUALIFIED 2

	PLANT "MSR load"
	mov dword [MSR_LIST], 0xC0000100 ; IA32_FS_BASE
	VMW 0x200A, MSR_LIST
	VMW 0x200B, 0
	VMW 0x4014, 1
	FAILS "IA32_FS_BASE in the list", FAILED_MSR
	QUALIFIED 1

	PLANT "link pointer"
	VMW LINK_POINTER, VMCS
	VMW LINK_POINTER + 1, 0
	FAILS "the link pointer names the VMCS itself", FAILED_GUEST
	QUALIFIED 4

	PLANT "control and guest"
	VMW PRIMARY_CONTROLS, 0
	VMW G_RFLAGS, 0
	FAILS "the control comes first", 7

	PLANT "host and guest"
	VMW H_TR_SELECTOR, 0
	VMW G_ACTIVITY, 9
	FAILS "the host comes first", 8

	PLANT "two of the guest"
	VMW G_TR_RIGHTS, 0x1008B
	VMW LINK_POINTER, 0x123
	VMW LINK_POINTER + 1, 0
	FAILS "TR comes first", FAILED_GUEST
	QUALIFIED 0

	PLANT "none"
	FAILS "the guest runs", 18
	jmp vmx_finish

; The VMCS as it was made, clear.
fresh:	vmclear [vmx_start.vmcs]
	call vmx_done
	vmptrld [vmx_start.vmcs]
	call vmx_done
	mov dword [launched], 0
	call vmx_fill
	GUEST g_ok
	ret

; VMLAUNCH; eax: the exit reason, or the error number of VMfailValid.
try:	pushad
	mov eax, H_RSP
	vmwrite eax, esp
	vmlaunch
	VMR INSTRUCTION_ERROR
	mov [esp + 28], eax
	popad
	ret

g_ok:	vmcall
