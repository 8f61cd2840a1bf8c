; VMX instructions that fail: every VM-instruction error that a processor without dual-monitor treatment can give.

%define IMG "vmxfail"
%include "boot.inc"
%include "pm.inc"
%include "vmx.inc"

OTHER	equ SPARE_PAGES			; a region with a wrong revision identifier

%macro FAILS 2				; "what", error number; -1 is VMfailInvalid, 0 success
	call number
	CHECK %1, eax, %2
%endmacro

	bits 16
main:	call enter_pm
	bits 32
	call vmx_start

	SECTION_ "VMXON, VMCALL"
	vmcall
	FAILS "VMCALL", 1
	vmxon [vmx_start.vmxon]
	FAILS "VMXON", 15

	SECTION_ "VMCLEAR, VMPTRLD"
	vmclear [odd]
	FAILS "VMCLEAR of an odd address", 2
	vmclear [vmx_start.vmxon]
	FAILS "VMCLEAR of the VMXON region", 3
	vmptrld [odd]
	FAILS "VMPTRLD of an odd address", 9
	vmptrld [vmx_start.vmxon]
	FAILS "VMPTRLD of the VMXON region", 10
	mov dword [OTHER], 0x7FFFFFFF
	vmptrld [other]
	FAILS "VMPTRLD of another revision", 11

	SECTION_ "VMREAD, VMWRITE"
	mov ecx, 0x6FFE
	vmread eax, ecx
	FAILS "VMREAD of no field", 12
	mov ecx, 0x6FFE
	vmwrite ecx, eax
	FAILS "VMWRITE of no field", 12
	mov ecx, 0x485			; IA32_VMX_MISC
	rdmsr
	bt eax, 29
	jc .any				; VM-exit information can be written here
	mov ecx, EXIT_REASON
	vmwrite ecx, eax
	FAILS "VMWRITE of the exit reason", 13
.any:
	SECTION_ "INVEPT"
	mov ecx, 0x482
	rdmsr
	test edx, edx
	jns .no_ept
	mov ecx, 0x48B
	rdmsr
	test dl, ENABLE_EPT
	jz .no_ept
	mov ecx, 9
	invept ecx, [null]
	FAILS "INVEPT of type 9", 28
.no_ept:
	SECTION_ "INVVPID"
	mov ecx, 0x482
	rdmsr
	test edx, edx
	jns .no_vpid
	mov ecx, 0x48B
	rdmsr
	test dl, ENABLE_VPID
	jz .no_vpid
	mov ecx, 9
	invvpid ecx, [null]
	FAILS "INVVPID of type 9", 28
.no_vpid:
	SECTION_ "VMLAUNCH, VMRESUME"
	GUEST g_ok
	mov eax, H_RSP
	vmwrite eax, esp
	vmresume
	FAILS "VMRESUME of a clear VMCS", 5
	mov ax, ss
	mov ss, ax
	vmlaunch
	FAILS "VMLAUNCH behind MOV SS", 26
	VMR PIN_CONTROLS
	mov ebx, eax
	VMW PIN_CONTROLS, 0
	vmlaunch
	FAILS "VMLAUNCH with bad controls", 7
	VMW PIN_CONTROLS, ebx
	VMW H_CR0, 0
	vmlaunch
	FAILS "VMLAUNCH with a bad host", 8
	mov eax, cr0
	VMW H_CR0, eax
	EXIT "the guest runs", 18
	vmlaunch
	FAILS "VMLAUNCH of a launched VMCS", 4

	SECTION_ "no current VMCS"
	vmclear [vmx_start.vmcs]
	FAILS "VMCLEAR", 0
	vmlaunch
	FAILS "VMLAUNCH without a VMCS", -1
	mov ecx, EXIT_REASON
	vmread eax, ecx
	FAILS "VMREAD without a VMCS", -1
	jmp vmx_finish

; How the last VMX instruction ended: 0, -1 for VMfailInvalid, or its error number.
number:	jc .invalid
	jz .valid
	xor eax, eax
	ret
.invalid:
	or eax, -1
	ret
.valid:	mov ecx, INSTRUCTION_ERROR
	vmread eax, ecx
	ret

g_ok:	vmcall
	align 8
odd:	dq VMCS + 8
other:	dq OTHER
null:	dq 0, 0
