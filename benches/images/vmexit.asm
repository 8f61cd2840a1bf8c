; VM exits: round trips by CPUID, without EPT; the host reads the reason, emulates and resumes.
; peers: vmx

%include "boot.inc"
%include "vmx.inc"

LOOPS	equ 800000

main:	mov ebx, guest
	mov esi, on_exit
	xor edi, edi
	call vmx_prepare
	xor r15d, r15d			; the checksum
	mov r14d, LOOPS
	vmlaunch
	jmp vmx_failed

guest:	mov eax, r14d
	cpuid
	imul r15, r15, 1000003
	add r15, rax
	dec r14d
	jnz guest
	vmcall

on_exit:
	mov edx, F_REASON
	vmread rcx, rdx
	cmp ecx, CPUID_EXIT
	jne .other
	lea rax, [rax * 8 + rax + 1]
	mov edx, F_LENGTH
	vmread rcx, rdx
	mov edx, F_GUEST_RIP
	vmread rbx, rdx
	add rbx, rcx
	vmwrite rdx, rbx
	vmresume
	jmp vmx_failed
.other:	cmp ecx, VMCALL_EXIT
	jne vmx_unexpected
	mov rax, r15
	mov esp, STACK - 8		; main's frame
	ret

END_OF_IMAGE
