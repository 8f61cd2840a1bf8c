; Task switches exit: JMP, CALL, IRET and task gates; what is checked before; the host does the switch.

%define IMG "vmxtask"
%include "boot.inc"
%include "pm.inc"
%include "vmx.inc"

TASK	equ SEL_FREE

	absolute uservars
tss2	resb 104
ran	resd 1
	section .text

	bits 16
main:	call enter_pm
	bits 32
	call vmx_start
	DESC TASK, tss2, 103, 0x89, 0
	GATE IDT32 + 0x32 * 8, TASK, 0, 0, 0x85
	mov dword [tss2 + 32], task
	mov dword [tss2 + 36], 2
	mov dword [tss2 + 56], GUEST_STACK

	SECTION_ "what comes before the exit"
	GUEST g_faults
	EXIT "faults of the descriptor do not exit", 18

	SECTION_ "the four ways"
	GUEST g_call
	EXIT "CALL", 9
	FIELD "qualification", EXIT_QUALIFICATION, TASK
	FIELD "its length", EXIT_LENGTH, 7
	FIELD "RIP is that of the instruction", G_RIP, g_call
	GUEST g_int
	EXIT "INT 32h through a task gate", 9
	FIELD "qualification", EXIT_QUALIFICATION, 0xC0000000 + TASK
	FIELD "its length", EXIT_LENGTH, 2
	FIELD "the event on its way", VECTORING_EVENT, 0x80000432
	FIELD "no exception", EXIT_EVENT, 0
	GUEST g_iret
	mov word [tss], TASK
	mov byte [gdt + TASK + 5], 0x8B
	EXIT "IRET of a nested task", 9
	FIELD "qualification", EXIT_QUALIFICATION, 0x40000000 + TASK
	FIELD "its length", EXIT_LENGTH, 1
	FIELD "no event on its way", VECTORING_EVENT, 0
	mov byte [gdt + TASK + 5], 0x89
	GUEST g_jmp
	EXIT "JMP", 9
	FIELD "qualification", EXIT_QUALIFICATION, 0x80000000 + TASK
	CHECK "the TSS is not busy yet", [gdt + TASK + 4], 0x00008900

	SECTION_ "the host switches"
	SKIP
	VMR G_RIP
	mov [tss + 32], eax
	VMR G_RSP
	mov [tss + 56], eax
	mov byte [gdt + SEL_TSS + 5], 0x89
	mov byte [gdt + TASK + 5], 0x8B
	VMW G_TR_SELECTOR, TASK
	VMW G_TR_BASE, tss2
	VMW G_TR_LIMIT, 103
	VMW G_RIP, [tss2 + 32]
	VMW G_RSP, [tss2 + 56]
	EXIT "the new task switches back", 9
	FIELD "qualification", EXIT_QUALIFICATION, 0x80000000 + SEL_TSS
	CHECK "it ran", [ran], TASK
	mov byte [gdt + SEL_TSS + 5], 0x8B
	mov byte [gdt + TASK + 5], 0x89
	VMW G_TR_SELECTOR, SEL_TSS
	VMW G_TR_BASE, tss
	VMW G_RIP, [tss + 32]
	VMW G_RSP, [tss + 56]
	EXIT "the old task goes on", 18
	jmp vmx_finish

g_faults:
	mov byte [gdt + TASK + 5], 0x09
	FAULTS "JMP to a TSS that is not present", 11, TASK, {jmp TASK:0}
	mov byte [gdt + TASK + 5], 0x8B
	FAULTS "JMP to a busy TSS", 13, TASK, {jmp TASK:0}
	FAULTS "CALL of a busy TSS", 13, TASK, {call TASK:0}
	mov byte [gdt + TASK + 5], 0x89
	vmcall
g_call:	call TASK:0
g_int:	int 0x32
g_iret:	pushf
	or dword [esp], 0x4000		; NT
	popf
	iretd
g_jmp:	jmp TASK:0
	vmcall
task:	str ax
	mov [ran], ax
	jmp SEL_TSS:0
