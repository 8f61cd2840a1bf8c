; An EFI program that says what it finds, on port E9h, and powers off: VMX as the firmware has left it, the ACPI tables,
; how often it has been started (a UEFI variable), and a file of its folder, which it answers with another.

%include "pe.inc"

SYSTEM_CON_OUT equ 64
SYSTEM_RUNTIME equ 88
SYSTEM_BOOT equ 96
SYSTEM_TABLES equ 104			; how many there are; their address behind it
CON_OUTPUT_STRING equ 8
BOOT_ALLOCATE_PAGES equ 40
BOOT_HANDLE_PROTOCOL equ 152
RUNTIME_GET_VARIABLE equ 72
RUNTIME_SET_VARIABLE equ 88
RUNTIME_RESET equ 104
IMAGE_DEVICE equ 24
VOLUME_OPEN equ 8
FILE_OPEN equ 8
FILE_CLOSE equ 16
FILE_READ equ 32
FILE_WRITE equ 40
MODE_READ equ 1
MODE_CREATE equ 3

FEATURE_CONTROL equ 0x3A
VMX_BASIC equ 0x480

%macro SAY 1
	lea	rsi, [%1]
	call	say
%endmacro

start:	push	rbx
	push	rsi
	push	rdi
	push	rbp
	push	r12
	sub	rsp, 64			; 32 bytes for callees, then arguments
	mov	rbx, rcx		; the image
	mov	rbp, rdx		; the system table
	mov	rcx, [rbp + SYSTEM_CON_OUT]
	lea	rdx, [greeting]
	EFI_CALL rcx, CON_OUTPUT_STRING
	SAY	t_started
	call	vmx
	call	acpi
	call	variable
	call	files
	SAY	t_pass
	mov	ecx, 2			; shutdown
	xor	edx, edx
	xor	r8d, r8d
	xor	r9d, r9d
	mov	rax, [rbp + SYSTEM_RUNTIME]
	EFI_CALL rax, RUNTIME_RESET
	jmp	$

; The text at RSI to port E9h.
say:	lodsb
	test	al, al
	jz	.done
	out	0xE9, al
	jmp	say
.done:	ret

; The digit in AL.
digit:	add	al, '0'
	out	0xE9, al
	ret

fail:	SAY	t_fail
	mov	al, 10
	out	0xE9, al
	cli
	hlt

vmx:	sub	rsp, 56
	SAY	t_control
	mov	ecx, FEATURE_CONTROL
	rdmsr
	call	digit
	xor	ecx, ecx		; any pages
	mov	edx, 2			; of boot services' data
	mov	r8d, 1
	lea	r9, [region]
	mov	rax, [rbp + SYSTEM_BOOT]
	EFI_CALL rax, BOOT_ALLOCATE_PAGES
	test	rax, rax
	jnz	fail
	mov	ecx, VMX_BASIC
	rdmsr
	mov	rdi, [region]
	and	eax, 0x7FFFFFFF
	mov	[rdi], eax
	cli
	mov	rax, cr4
	mov	r12, rax
	bts	rax, 13
	mov	cr4, rax
	mov	rax, cr0
	bts	rax, 5			; NE, which VMX operation demands
	mov	cr0, rax
	vmxon	[region]
	jbe	fail
	vmxoff
	mov	cr4, r12
	sti
	SAY	t_vmxon
	add	rsp, 56
	ret

; Whether the RSDP leads to a MADT.
acpi:	mov	rcx, [rbp + SYSTEM_TABLES]
	mov	rdi, [rbp + SYSTEM_TABLES + 8]
	mov	r8, [acpi_guid]
	mov	r9, [acpi_guid + 8]
.table:	test	rcx, rcx
	jz	fail
	cmp	[rdi], r8
	jne	.next
	cmp	[rdi + 8], r9
	je	.found
.next:	add	rdi, 24
	dec	rcx
	jmp	.table
.found:	mov	rdi, [rdi + 16]
	mov	rdi, [rdi + 24]		; XSDT
	mov	ecx, [rdi + 4]
	sub	ecx, 36
	shr	ecx, 3
.entry:	test	ecx, ecx
	jz	fail
	mov	rax, [rdi + 28 + rcx * 8]
	cmp	dword [rax], "APIC"
	je	.madt
	dec	rcx
	jmp	.entry
.madt:	SAY	t_acpi
	ret

; One more start.
variable:
	sub	rsp, 56
	mov	qword [size], 1
	lea	rcx, [name]
	lea	rdx, [vendor]
	xor	r8d, r8d
	lea	r9, [size]
	lea	rax, [count]
	mov	[rsp + 32], rax
	mov	rax, [rbp + SYSTEM_RUNTIME]
	EFI_CALL rax, RUNTIME_GET_VARIABLE
	test	rax, rax
	jz	.there
	mov	byte [count], 0
.there:	inc	byte [count]
	lea	rcx, [name]
	lea	rdx, [vendor]
	mov	r8d, 7			; kept, for boot and run time
	mov	r9d, 1
	lea	rax, [count]
	mov	[rsp + 32], rax
	mov	rax, [rbp + SYSTEM_RUNTIME]
	EFI_CALL rax, RUNTIME_SET_VARIABLE
	test	rax, rax
	jnz	fail
	SAY	t_count
	mov	al, [count]
	call	digit
	add	rsp, 56
	ret

; \input.txt to port E9h, the number of starts to \answer.txt.
files:	sub	rsp, 56
	mov	rcx, rbx
	lea	rdx, [loaded_image]
	call	protocol
	mov	rcx, [rax + IMAGE_DEVICE]
	lea	rdx, [file_system]
	call	protocol
	mov	rcx, rax
	lea	rdx, [root]
	EFI_CALL rcx, VOLUME_OPEN
	test	rax, rax
	jnz	fail
	lea	r8, [input]
	mov	r9d, MODE_READ
	call	open
	mov	qword [size], 32
	mov	rcx, [file]
	lea	rdx, [size]
	lea	r8, [buffer]
	EFI_CALL rcx, FILE_READ
	test	rax, rax
	jnz	fail
	call	close
	SAY	t_input
	SAY	buffer
	lea	r8, [answer]
	mov	r9, 0x8000000000000000 | MODE_CREATE
	call	open
	mov	al, [count]
	add	al, '0'
	mov	[t_answer.digit], al
	mov	qword [size], t_answer.end - t_answer
	mov	rcx, [file]
	lea	rdx, [size]
	lea	r8, [t_answer]
	EFI_CALL rcx, FILE_WRITE
	test	rax, rax
	jnz	fail
	call	close
	add	rsp, 56
	ret

; RAX = protocol RDX of handle RCX.
protocol:
	sub	rsp, 40
	lea	r8, [interface]
	mov	rax, [rbp + SYSTEM_BOOT]
	EFI_CALL rax, BOOT_HANDLE_PROTOCOL
	test	rax, rax
	jnz	fail
	mov	rax, [interface]
	add	rsp, 40
	ret

; The file named at R8, in mode R9.
open:	sub	rsp, 56
	mov	rcx, [root]
	lea	rdx, [file]
	mov	qword [rsp + 32], 0
	EFI_CALL rcx, FILE_OPEN
	test	rax, rax
	jnz	fail
	add	rsp, 56
	ret

close:	sub	rsp, 40
	mov	rcx, [file]
	EFI_CALL rcx, FILE_CLOSE
	add	rsp, 40
	ret

	align	8
acpi_guid: dd 0x8868E871
	dw 0xE4F1, 0x11D3
	db 0xBC, 0x22, 0x00, 0x80, 0xC7, 0x3C, 0x88, 0x81
loaded_image: dd 0x5B1B31A1
	dw 0x9562, 0x11D2
	db 0x8E, 0x3F, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B
file_system: dd 0x964E5B22
	dw 0x6459, 0x11D2
	db 0x8E, 0x39, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B
vendor:	dd 0x72766D78
	dw 0x656D, 0x4575
	db 0x80, 0x53, 0x74, 0x61, 0x72, 0x74, 0x73, 0x01
region:	dq 0
size:	dq 0
interface: dq 0
root:	dq 0
file:	dq 0
count:	db 0
	align	2
greeting: UTF16 `rvmx-emu: an EFI program\r\n`
name:	UTF16 "Starts"
input:	UTF16 "\input.txt"
answer:	UTF16 "\answer.txt"
buffer:	times 33 db 0
t_started: db "starts: an EFI program", 10, 0
t_control: db "feature control ", 0
t_vmxon: db 10, "VMX operation entered and left", 10, 0
t_acpi:	db "ACPI leads to the MADT", 10, 0
t_count: db "start ", 0
t_input: db 10, "input: ", 0
t_pass:	db 10, "PASS starts", 10, 0
t_fail:	db 10, "FAIL starts", 10, 0
t_answer: db "start "
.digit:	db "0", 10
.end:

	IMAGE_END
