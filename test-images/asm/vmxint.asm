; INT intercepted: the host keeps the limit of IDTR small, takes the #GP of a vector beyond it and delivers INT itself.

%define IMG "vmxint"
%include "boot.inc"
%include "pm.inc"
%include "vmx.inc"

	absolute uservars
count	resd 1
back	resd 1
	section .text

	bits 16
main:	call enter_pm
	bits 32
	call vmx_start
	mov dword [hooks + 0x30 * 4], on_int
	mov dword [hooks + 0x31 * 4], on_int
	CONTROLS PRIMARY_CONTROLS, SECONDARY
	CONTROLS SECONDARY_CONTROLS, DESCRIPTOR_TABLE_EXITING
	VMW EXCEPTION_BITMAP, 1 << 13

	SECTION_ "LIDT and SIDT"
	GUEST guest
	EXIT "LIDT exits", 46
	FIELD "qualification: the displacement", EXIT_QUALIFICATION, idtr32
	FIELD "its length", EXIT_LENGTH, 7
	VMR 0x440E
	and eax, 0x30000000
	CHECK "instruction information: LIDT", eax, 0x30000000
	VMW G_IDTR_LIMIT, 0xFF
	SKIP

	SECTION_ "INT"
	EXIT "INT 30h is beyond the limit", 0
	FIELD "#GP", EXIT_EVENT, 0x80000B0D
	FIELD "its error code names the gate", EXIT_ERROR_CODE, 0x30 * 8 + 2
	FIELD "the event on its way: INT 30h", VECTORING_EVENT, 0x80000430
	FIELD "the length of INT", EXIT_LENGTH, 2
	FIELD "RIP is that of INT", G_RIP, guest.int
	VMR G_RSP				; EFLAGS, CS, EIP as INT pushes them
	sub eax, 12
	mov ecx, eax
	VMW G_RSP, ecx
	SKIP
	VMR G_RIP
	mov [ecx], eax
	mov dword [ecx + 4], SEL_CODE32
	VMR G_RFLAGS
	mov [ecx + 8], eax
	mov eax, [IDT32 + 0x30 * 8]
	and eax, 0xFFFF
	VMW G_RIP, eax
	EXIT "the handler runs and returns", 18
	CHECK "once", [count], 1
	CHECK "behind INT", [back], guest.after
	SKIP

	SECTION_ "interrupts"
	EXIT "exceptions below the limit are the guest's own", 18
	CHECK "#UD", [exc_vec], 6
	GUEST guest.int
	VMW G_RFLAGS, 0x202
	VMW ENTRY_EVENT, 0x80000031
	EXIT "an external interrupt beyond the limit", 0
	FIELD "#GP", EXIT_EVENT, 0x80000B0D
	FIELD "its error code: external", EXIT_ERROR_CODE, 0x31 * 8 + 3
	FIELD "the event on its way", VECTORING_EVENT, 0x80000031
	VMW G_IDTR_LIMIT, 511
	VMR VECTORING_EVENT
	VMW ENTRY_EVENT, eax
	VMW G_RIP, guest.after
	EXIT "with room for it", 18
	CHECK "it is delivered", [count], 2
	jmp vmx_finish

on_int:	inc dword [count]
	mov eax, [ebp + F_IP]
	mov [back], eax
	ret

guest:	lidt [idtr32]
.int:	int 0x30
.after:	vmcall
	TRY_ .handled, 0
	ud2
.handled:
	vmcall
