; Exceptions that come before VM exits, and exceptions that are VM exits.

%define IMG "vmxfaults"
%include "boot.inc"
%include "pm.inc"
%include "vmx.inc"
%include "user.inc"

	bits 16
main:	call enter_pm
	bits 32
	call vmx_start
	CONTROLS PRIMARY_CONTROLS, HLT_EXITING | RDTSC_EXITING | UNCONDITIONAL_IO_EXITING

	SECTION_ "faults before exits"
	GUEST g_faults
	EXIT "nothing before VMCALL exits", 18
	SECTION_ "exits after the same checks"
	GUEST g_hlt
	EXIT "HLT at CPL 0", 12
	GUEST g_in
	EXIT "IN that the I/O map allows", 30
	FIELD "qualification: size 1, IN, port 70h in DX", EXIT_QUALIFICATION, 0x700008
	GUEST g_vmread
	EXIT "VMREAD exits at CPL 3 too", 23
	GUEST g_rdmsr
	EXIT "RDMSR before what it reads is looked at", 31

	SECTION_ "exceptions that exit"
	VMW EXCEPTION_BITMAP, 1 << 13 | 1 << 6 | 1 << 3 | 1 << 14 | 1 << 1
	GUEST g_user_hlt
	EXIT "the same #GP exits by the exception bitmap", 0
	FIELD "interruption information", EXIT_EVENT, 0x80000B0D
	FIELD "error code", EXIT_ERROR_CODE, 0
	FIELD "RIP is that of the instruction", G_RIP, g_user_hlt.u
	GUEST g_ud
	EXIT "UD2", 0
	FIELD "interruption information: #UD", EXIT_EVENT, 0x80000306
	GUEST g_int3
	EXIT "INT3", 0
	FIELD "interruption information: software exception", EXIT_EVENT, 0x80000603
	FIELD "its length", EXIT_LENGTH, 1
	GUEST g_int13
	EXIT "INT 13 is no exception", 18
	GUEST g_pf
	EXIT "page fault", 0
	FIELD "interruption information: #PF", EXIT_EVENT, 0x80000B0E
	FIELD "error code: reserved bit in a present entry", EXIT_ERROR_CODE, 9
	FIELD "qualification: the linear address", EXIT_QUALIFICATION, 0x40000123
	mov eax, cr2
	CHECK "CR2 is not changed", eax, 0x12345
	GUEST g_step
	EXIT "single step", 0
	FIELD "interruption information: #DB", EXIT_EVENT, 0x80000301
	FIELD "qualification: BS", EXIT_QUALIFICATION, 0x4000
	FIELD "RIP is that of the next instruction", G_RIP, g_step.next
	FIELD "no pending debug exceptions", G_PENDING_DEBUG, 0
	jmp vmx_finish

g_faults:
	UFAULTS "HLT at CPL 3", 13, 0, hlt
	UFAULTS "RDMSR at CPL 3", 13, 0, rdmsr
	UFAULTS "INVLPG at CPL 3", 13, 0, invlpg [0]
	UFAULTS "MOV to CR3 at CPL 3", 13, 0, {mov cr3, eax}
	UFAULTS "IN that the I/O map forbids", 13, 0, {in al, dx}
	mov eax, cr4
	or al, 4			; TSD
	mov cr4, eax
	UFAULTS "RDTSC at CPL 3 with TSD", 13, 0, rdtsc
	mov eax, cr4
	and al, 0xFB
	mov cr4, eax
	FAULTS "LOCK before HLT", 6, 0, {db 0xF0, 0xF4}
	FAULTS "RDTSCP without its control", 6, 0, rdtscp
	vmcall
g_hlt:	hlt
g_in:	mov edx, 0x70
	in al, dx
g_vmread:
	TO_USER .u
.u:	vmread eax, ebx
g_rdmsr:	mov ecx, 0x12345678		; no such MSR
	rdmsr
g_user_hlt:
	TO_USER .u
.u:	hlt
g_ud:	ud2
g_int3:	int3
g_int13:
	mov dword [hooks + 13 * 4], .handler
	int 13				; the handler expects an error code
.handler:
	mov dword [hooks + 13 * 4], 0
	vmcall
g_pf:	mov dword [HOST_PD + 0x100 * 4], 0x40200087	; bit 21 of a 4 MiB entry is reserved
	mov eax, cr3
	mov cr3, eax
	mov eax, 0x12345
	mov cr2, eax
	mov eax, [0x40000123]
g_step:	pushf
	or dword [esp], 0x100
	popf
	nop
.next:	nop
