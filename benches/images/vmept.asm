; A guest under EPT that walks pages: `tlb` in a VM whose EPT has 4 KiB pages, with a CPUID exit every 16 rounds.
; peers: vmx

%include "boot.inc"
%define ON_ROUND cpuid
%include "churn.inc"
%include "vmx.inc"

EPT	equ 0x1000000			; PML4, PDPT, PD, 64 page tables: 128 MiB

main:	mov edi, EPT
	mov ecx, 0x3000 / 8
	xor eax, eax
	rep stosq
	mov dword [EPT], EPT + 0x1000 + 7
	mov dword [EPT + 0x1000], EPT + 0x2000 + 7
	mov edi, EPT + 0x2000
	mov eax, EPT + 0x3000 + 7
	mov ecx, 64
.pd:	mov [rdi], rax
	add eax, 0x1000
	add edi, 8
	loop .pd
	mov edi, EPT + 0x3000
	mov eax, 6 << 3 | 7		; write-back
	mov ecx, 64 * 512
.pt:	mov [rdi], rax
	add eax, 0x1000
	add edi, 8
	loop .pt
	call churn_map
	mov ebx, guest
	mov esi, on_exit
	mov edi, PROC2_EPT | PROC2_VPID
	call vmx_prepare
	VMWRITE F_EPTP, EPT + (3 << 3) + 6	; four levels, write-back
	VMWRITE F_VPID, 1
	mov ebp, 31337
	mov r14d, 6000
	vmlaunch
	jmp vmx_failed

guest:	call churn
	vmcall

on_exit:
	HANDLE_CPUID_EXIT

END_OF_IMAGE
