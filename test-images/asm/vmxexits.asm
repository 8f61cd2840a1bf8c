; VM exits of CPUID and RDTSC: what they report, and that the guest sees what the host answers.

%define IMG "vmxexits"
%include "boot.inc"
%include "pm.inc"
%include "vmx.inc"
%include "user.inc"

	absolute uservars
seen	resd 4
count	resd 1
	section .text

	bits 16
main:	call enter_pm
	bits 32
	call vmx_start

	SECTION_ "CPUID"
	GUEST g_cpuid
	mov dword [g_ebx], 0xB0B0B0B0
	EXIT "CPUID exits", 10
	FIELD "its length", EXIT_LENGTH, 2
	FIELD "its qualification", EXIT_QUALIFICATION, 0
	FIELD "RIP is that of the instruction", G_RIP, g_cpuid.at
	FIELD "no event on its way", VECTORING_EVENT, 0
	FIELD "no exception", EXIT_EVENT, 0
	CHECK "the leaf it asks for", [g_eax], 0x40000000
	CHECK "registers are the guest's", [g_ebx], 0xB0B0B0B0
	mov dword [g_eax], 'rvmx'
	mov dword [g_ebx], 1
	mov dword [g_ecx], 2
	mov dword [g_edx], 3
	SKIP
	EXIT "VMCALL after CPUID", 18
	FIELD "length of VMCALL", EXIT_LENGTH, 3
	CHECK "EAX that the host answers", [seen], 'rvmx'
	CHECK "EBX", [seen + 4], 1
	CHECK "ECX", [seen + 8], 2
	CHECK "EDX", [seen + 12], 3
	GUEST g_user
	EXIT "CPUID exits at CPL 3", 10
	FIELD "SS says CPL 3", G_SS_RIGHTS, 0xC0F3

	SECTION_ "RDTSC"
	GUEST g_tsc
	EXIT "RDTSC does not exit unasked", 18
	CONTROLS PRIMARY_CONTROLS, RDTSC_EXITING
	GUEST g_tsc
	EXIT "RDTSC exits with RDTSC exiting", 16
	FIELD "its length", EXIT_LENGTH, 2
	FIELD "RIP is that of the instruction", G_RIP, g_tsc
	mov dword [g_eax], 0x55667788
	mov dword [g_edx], 0x11223344
	SKIP
	EXIT "the guest goes on", 18
	CHECK "EAX that the host answers", [seen], 0x55667788
	CHECK "EDX", [seen + 4], 0x11223344
	CONTROLS PRIMARY_CONTROLS, USE_TSC_OFFSETTING
	VMW TSC_OFFSET + 1, 0x100
	GUEST g_tsc
	EXIT "RDTSC with an offset does not exit", 18
	RANGE "the guest's TSC has the offset", [seen + 4], 0x100, 0x110
	CONTROLS PRIMARY_CONTROLS, 0

	SECTION_ "1000 round trips"
	GUEST g_loop
.next:	call vm_run
	cmp eax, 10
	jne .end
	inc dword [count]
	SKIP
	jmp .next
.end:	CHECK "the loop ends by VMCALL", eax, 18
	CHECK "VM exits", [count], 1000
	jmp vmx_finish

g_cpuid:
	mov eax, 0x40000000
.at:	cpuid
	mov [seen], eax
	mov [seen + 4], ebx
	mov [seen + 8], ecx
	mov [seen + 12], edx
	vmcall
g_user:	TO_USER .u
.u:	cpuid
g_tsc:	rdtsc
	mov [seen], eax
	mov [seen + 4], edx
	vmcall
g_loop:	mov esi, 1000
.l:	cpuid
	dec esi
	jnz .l
	vmcall
