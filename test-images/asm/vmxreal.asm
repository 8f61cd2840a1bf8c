; An unrestricted guest in real mode under EPT: remapped memory, violations, a misconfiguration, a visit to protected mode.

%define IMG "vmxreal"
%include "boot.inc"
%include "pm.inc"
%include "vmx.inc"

CODE_PAGE	equ SPARE_PAGES		; the guest's 7000h
IVT_PAGE	equ SPARE_PAGES + 0x1000 ; 0
VIDEO_PAGE	equ SPARE_PAGES + 0x2000 ; B8000h
STACK_PAGE	equ SPARE_PAGES + 0x3000 ; 6000h
DATA_PAGE	equ SPARE_PAGES + 0x4000 ; 49000h to 4C000h in different ways

%macro MAP 2				; guest-physical page, EPT entry
	mov dword [EPT_PT + (%1 >> 12) * 8], %2
%endmacro

	bits 16
main:	call enter_pm
	bits 32
	call vmx_start
	mov ecx, 0x48B
	rdmsr
	test dl, UNRESTRICTED_GUEST
	jnz .run
	PRINT "no unrestricted guests here: nothing is run", 10
	jmp vmx_finish
.run:	call ept_build
	MAP 0x0000, IVT_PAGE + 0x37
	MAP 0x6000, STACK_PAGE + 0x37
	MAP 0x7000, CODE_PAGE + 0x37
	MAP 0x49000, 0
	MAP 0x4A000, DATA_PAGE + 0x31	; read-only
	MAP 0x4B000, DATA_PAGE + 0x33	; not to execute
	MAP 0x4C000, DATA_PAGE + 0x32	; write-only: a misconfiguration
	MAP 0xB8000, VIDEO_PAGE + 0x37
	mov esi, real
	mov edi, CODE_PAGE
	mov ecx, real_end - real
	rep movsb
	mov dword [IVT_PAGE + 0x60 * 4], 0x07000000 + real_int - real
	mov dword [DATA_PAGE + 0x123], 0x5A
	CONTROLS PRIMARY_CONTROLS, SECONDARY | HLT_EXITING | UNCONDITIONAL_IO_EXITING
	CONTROLS SECONDARY_CONTROLS, ENABLE_EPT | UNRESTRICTED_GUEST
	GUEST 0
	mov esi, .segments
	mov edi, .end
	call vmx_table
	mov eax, cr0
	and eax, 0x7FFFFFFE
	VMW G_CR0, eax

	SECTION_ "real mode"
	mov ebx, [0xB8000]
	mov dword [g_ebx], 0
	EXIT "OUT in real mode exits", 30
	FIELD "qualification: size 1, OUT, immediate, port 80h", EXIT_QUALIFICATION, 0x800040
	FIELD "CS has kept its base", G_ES_BASE + 2, 0x7000
	CHECK "text memory is the page that EPT names", [VIDEO_PAGE], 0x07420741
	CHECK "and not the screen", [0xB8000], ebx
	CHECK "INT through the guest's interrupt table", [g_ebx], 0x6060
	CHECK "its stack", [STACK_PAGE + 0xFFC], 0x0700 | 2 << 16
	CHECK "CR0.PE that the guest reads", [g_ecx], 0
	SKIP

	SECTION_ "EPT violations"
	EXIT "read of a page that is not there", 48
	FIELD "qualification", EXIT_QUALIFICATION, 0x181
	FIELD "guest-physical address", GUEST_PHYSICAL, 0x49123
	FIELD "linear address", GUEST_LINEAR, 0x49123
	MAP 0x49000, DATA_PAGE + 0x37
	EXIT "the instruction again, then a write to a read-only page", 48
	CHECK "what the read got", [g_edx], 0x5A
	FIELD "qualification", EXIT_QUALIFICATION, 0x18A
	FIELD "guest-physical address", GUEST_PHYSICAL, 0x4A200
	VMW G_RIP, real.fetch - real
	EXIT "fetch from a page not to execute", 48
	FIELD "qualification", EXIT_QUALIFICATION, 0x19C
	FIELD "guest-physical address", GUEST_PHYSICAL, 0x4B010
	VMW G_ES_SELECTOR + 2, 0x700
	VMW G_ES_BASE + 2, 0x7000
	VMW G_RIP, real.config - real
	EXIT "write-only page", 49
	FIELD "guest-physical address", GUEST_PHYSICAL, 0x4C000
	VMW G_RIP, real.prot - real

	SECTION_ "protected mode and back"
	EXIT "HLT", 12
	CHECK "a protected-mode segment", [g_esi], 0x600DF00D
	CHECK "CR0.PE within", [g_edx], 1
	VMR G_CR0
	and eax, 0x80000001
	CHECK "PE and PG are clear again", eax, 0
	FIELD "CS limit and rights", G_CS_RIGHTS, 0x9B
	jmp vmx_finish

	align 4
.segments:
%assign i 0
%rep 6
	dd G_ES_SELECTOR + i, 0, G_ES_BASE + i, 0, G_ES_LIMIT + i, 0xFFFF, G_ES_RIGHTS + i, 0x93
  %assign i i + 2
%endrep
	dd G_CS_SELECTOR, 0x700, G_ES_BASE + 2, 0x7000, G_CS_RIGHTS, 0x9B
	dd G_RSP, 0x7000, G_IDTR_BASE, 0, G_IDTR_LIMIT, 0x3FF
.end:

	bits 16
real:	mov ax, 0xB800
	mov es, ax
	mov dword [es:0], 0x07420741
	push dword 0x12345678
	pop eax
	int 0x60
.back:	mov eax, cr0
	and eax, 1
	mov ecx, eax
	out 0x80, al
	mov ax, 0x4000
	mov ds, ax
	xor edx, edx
	mov dl, [0x9123]
	mov [0xA200], dl
.fetch:	jmp 0x4B00:0x0010
.config:
	mov al, [0xC000]
.prot:	cli
	mov eax, cr0
	or al, 1
	mov cr0, eax
	mov edx, eax
	and edx, 1
	mov bx, SEL_DATA
	mov fs, bx
	mov dword [fs:dword 0x200000], 0x600DF00D
	mov esi, [fs:dword 0x200000]
	and al, 0xFE
	mov cr0, eax
	hlt
real_int:
	mov bx, 0x6060
	push bp
	mov bp, sp
	mov ax, [bp + 2]
	cmp ax, real.back - real
	jne .bad
	pop bp
	iret
.bad:	hlt
real_end:
