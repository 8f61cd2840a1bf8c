; Event injection: every type, and what becomes of a single step and of a data breakpoint that MOV SS holds back.

%define IMG "vmxinject"
%include "boot.inc"
%include "pm.inc"
%include "vmx.inc"

	absolute uservars
events	resd 8			; vectors in the order in which their handlers ran
count	resd 1
ips	resd 8
flags	resd 8
dr6_	resd 1
watched	resd 1
code	resd 1
	section .text

%macro ORDER 3				; "what", first vector, second vector
	NAMED %1, ": first"
	CHECK namestr, [events], %2
	NAMED %1, ": second"
	CHECK namestr, [events + 4], %3
%endmacro

	bits 16
main:	call enter_pm
	bits 32
	call vmx_start
	mov dword [hooks + 1 * 4], on_db
	mov dword [hooks + 2 * 4], on_nmi
	mov dword [hooks + 3 * 4], on_event
	mov dword [hooks + 13 * 4], on_event
	mov dword [hooks + 0x30 * 4], on_event
	mov dword [hooks + 0x31 * 4], on_event
	VMW EXCEPTION_BITMAP, 1 << 3

	SECTION_ "INT3 after MOV SS under TF"
	call clear
	GUEST g_step
	EXIT "INT3 exits", 0
	FIELD "interruption information", EXIT_EVENT, 0x80000603
	FIELD "blocking by MOV SS", G_INTERRUPTIBILITY, 2
	FIELD "BS, which VM entry demands", G_PENDING_DEBUG, 0x4000
	VMW ENTRY_EVENT, 0x80000603
	VMW ENTRY_LENGTH, 1
	EXIT "#BP is injected", 18
	FIELD "the event is injected once", ENTRY_EVENT, 0x603
	ORDER "#BP, then the step after it", 3, 1
	CHECK "#BP returns behind INT3", [ips], g_step.after
	CHECK "the step is over the next instruction", [ips + 4], g_step.next
	mov eax, [flags]
	and eax, 0x100
	CHECK "#BP saves TF", eax, 0x100
	mov eax, [dr6_]
	and eax, 0x400F
	CHECK "DR6.BS", eax, 0x4000
	CHECK "two events", [count], 2

	SECTION_ "INT3 after MOV SS that hits a data breakpoint"
	call clear
	GUEST g_watch
	EXIT "INT3 exits", 0
	FIELD "blocking by MOV SS", G_INTERRUPTIBILITY, 2
	FIELD "the breakpoint is pending", G_PENDING_DEBUG, 0x1001
	VMW ENTRY_EVENT, 0x80000603
	VMW ENTRY_LENGTH, 1
	EXIT "#BP is injected", 18
	ORDER "#DB on entry to the handler of #BP", 1, 3
	CHECK "#DB returns to the handler's first instruction", [ips], stubs32 + 3 * 16
	CHECK "#BP returns behind INT3", [ips + 4], g_watch.after
	mov eax, [dr6_]
	and eax, 0x400F
	CHECK "DR6.B0", eax, 1
	CHECK "two events", [count], 2

	SECTION_ "pending debug exceptions without an event"
	call clear
	GUEST g_nops
	VMW G_PENDING_DEBUG, 0x1002
	EXIT "the guest runs", 18
	CHECK "#DB at once", [ips], g_nops
	call clear
	GUEST g_nops
	VMW G_PENDING_DEBUG, 0x1002
	VMW G_INTERRUPTIBILITY, 2
	EXIT "the guest runs", 18
	CHECK "#DB after one instruction under MOV SS", [ips], g_nops.next
	call clear
	GUEST g_nops
	VMW G_PENDING_DEBUG, 0x1002
	VMW ENTRY_EVENT, 0x80000B0D
	VMW ENTRY_ERROR_CODE, 0x1234
	EXIT "the guest runs", 18
	CHECK "an exception discards them", [count], 1

	SECTION_ "types of events"
	CHECK "#GP", [events], 13
	CHECK "#GP: its error code", [code], 0x1234
	CHECK "#GP: returns to RIP", [ips], g_nops
	call clear
	GUEST g_nops
	VMW G_RFLAGS, 0x202
	VMW ENTRY_EVENT, 0x80000031
	EXIT "the guest runs", 18
	CHECK "external interrupt", [events], 0x31
	CHECK "external interrupt: returns to RIP", [ips], g_nops
	call clear
	GUEST g_nops
	VMW ENTRY_EVENT, 0x80000430
	VMW ENTRY_LENGTH, 2
	EXIT "the guest runs", 18
	CHECK "INT 30h", [events], 0x30
	CHECK "INT 30h: returns behind it", [ips], g_nops + 2
	call clear
	GUEST g_nops
	VMW ENTRY_EVENT, 0x80000202
	EXIT "the NMI handler", 18
	CHECK "NMI", [events], 2
	FIELD "NMIs are blocked in it", G_INTERRUPTIBILITY, 8
	SKIP
	EXIT "IRET", 18
	FIELD "which ends that", G_INTERRUPTIBILITY, 0
	jmp vmx_finish

clear:	mov dword [count], 0
	mov dword [dr6_], 0
	xor eax, eax
	mov dr6, eax
	ret

on_db:	mov eax, dr6
	mov [dr6_], eax
	call on_event
	and dword [ebp + F_FLAGS], ~0x100	; no further step
	ret
on_nmi:	call on_event
	vmcall
	ret
on_event:
	mov ecx, [count]
	mov [events + ecx * 4], ebx
	mov eax, [ebp + F_IP]
	mov [ips + ecx * 4], eax
	mov eax, [ebp + F_FLAGS]
	mov [flags + ecx * 4], eax
	mov eax, [ebp + F_ERR]
	mov [code], eax
	inc dword [count]
	ret

g_step:	mov ax, ss
	pushf
	or dword [esp], 0x100
	popf
	mov ss, ax
	int3
.after:	nop
.next:	nop
	vmcall
g_watch:
	mov word [watched], SEL_DATA
	mov eax, watched
	mov dr0, eax
	mov eax, 0x70401		; DR0: reads and writes of 2 bytes
	mov dr7, eax
	mov ss, [watched]
	int3
.after:	nop
	vmcall
g_nops:	nop
.next:	nop
	nop
	vmcall
