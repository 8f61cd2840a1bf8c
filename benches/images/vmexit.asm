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
	HANDLE_CPUID_EXIT lea rax, [rax * 8 + rax + 1]

END_OF_IMAGE
