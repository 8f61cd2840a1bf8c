; SYSENTER watched: its MSR by the MSR bitmap, its entry by EPT.

%define IMG "vmxsysenter"
%include "boot.inc"
%include "pm.inc"
%include "vmx.inc"
%include "user.inc"

WATCHED		equ SPARE_PAGES		; not to execute

	absolute uservars
read	resd 2
calls	resd 1
user_sp	resd 1
	section .text

	bits 16
main:	call enter_pm
	bits 32
	call vmx_start
	call ept_build
	mov dword [EPT_PT + (WATCHED >> 12) * 8], WATCHED + 0x33
	or byte [MSR_BITMAP + 0x176 / 8], 1 << (0x176 % 8)
	or byte [MSR_BITMAP + 0x800 + 0x176 / 8], 1 << (0x176 % 8)
	CONTROLS PRIMARY_CONTROLS, SECONDARY | USE_MSR_BITMAPS
	CONTROLS SECONDARY_CONTROLS, ENABLE_EPT

	SECTION_ "IA32_SYSENTER_EIP"
	GUEST guest
	EXIT "WRMSR of 176h alone exits", 32
	FIELD "its length", EXIT_LENGTH, 2
	FIELD "RIP", G_RIP, guest.write
	CHECK "the MSR", [g_ecx], 0x176
	CHECK "the value", [g_eax], entry
	FIELD "174h went through", G_SYSENTER_CS, SEL_CODE32
	FIELD "175h too", G_SYSENTER_ESP, RING0_STACK
	VMW G_SYSENTER_EIP, WATCHED + 0x40
	SKIP
	EXIT "RDMSR of 176h exits", 31
	FIELD "RIP", G_RIP, guest.read
	mov dword [g_eax], entry
	mov dword [g_edx], 0
	SKIP

	SECTION_ "SYSENTER"
	EXIT "its entry is not to execute", 48
	CHECK "what the guest thinks the MSR is", [read], entry
	FIELD "qualification", EXIT_QUALIFICATION, 0x19C
	FIELD "guest-physical address", GUEST_PHYSICAL, WATCHED + 0x40
	FIELD "RIP is the entry", G_RIP, WATCHED + 0x40
	FIELD "RSP is from the MSR", G_RSP, RING0_STACK
	FIELD "CPL 0", G_SS_RIGHTS, 0xC093
	VMW G_RIP, entry
	EXIT "SYSEXIT, then the second SYSENTER", 48
	CHECK "the guest's routine ran", [calls], 1
	FIELD "RIP is the entry", G_RIP, WATCHED + 0x40
	VMW G_RIP, entry
	EXIT "VMCALL at CPL 3", 18
	CHECK "twice", [calls], 2
	FIELD "CPL 3", G_SS_RIGHTS, 0xC0F3
	FIELD "RSP is the user's", G_RSP, RING3_STACK
	jmp vmx_finish

guest:	mov ecx, 0x174
	mov eax, SEL_CODE32
	xor edx, edx
	wrmsr
	inc ecx
	mov eax, RING0_STACK
	wrmsr
	inc ecx
	mov eax, entry
.write:	wrmsr
.read:	rdmsr
	mov [read], eax
	TO_USER .user
.user:	mov ecx, esp
	mov edx, .again
	sysenter
.again:	mov ecx, esp
	mov edx, .end
	sysenter
.end:	vmcall
entry:	inc dword [calls]
	sysexit
