; A ROM of 4 KiB that tries what a processor has. It runs probes, pieces of code that whoever boots it puts into memory, and
; writes a character to port E9h for each:
;   0, 1        the probe has returned with this CF
;   A to `      it has raised exception 0 (A) to 31
;   -           it is for 64-bit mode, which this processor does not have
; A newline ends the run; then the processor halts.
;
; At 20000h is an array of 64 bytes each, which ends with a byte FFh: first the mode (0: 32-bit protected mode without paging,
; 1: 64-bit mode, 2: VMX operation in 64-bit mode with a current VMCS), then code that ends in RET. Probes of a mode stand
; together, and the modes in this order. A probe finds EBX = ESI = EDI = 9000h, the other general-purpose registers and CF 0,
; CR4 and XCR0 as 1F000h and 1F008h say, and a cleared x87 unit; it may change all of them.
bits 16
org 0xF000

PROBES	equ 0x20000
CR4_IS	equ 0x1F000			; set by whoever boots the ROM
XCR0_IS	equ 0x1F008
CR0_IS	equ 0x10031			; PE, ET, NE; WP, without which CR4 takes no CET
STACK	equ 0x1E000
IDT32	equ 0x18000
IDT64	equ 0x19000
PML4	equ 0x10000			; PDPT 11000h, page directory 12000h
BUFFER	equ 0x9000
VMXON_AT	equ 0x14000
VMCS_AT	equ 0x15000
%define LINEAR(label) ((label) + 0xF0000)

start:
	cli
	cld
	lgdt [cs:gdtr]
	mov eax, CR0_IS
	mov cr0, eax
	jmp dword 8:LINEAR(protected)

bits 32
protected:
	mov ax, 16
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov esp, STACK
	mov ebp, PROBES
	xor ecx, ecx			; gates of 32 bits
.gate:
	imul eax, ecx, stubs32.second - stubs32
	add eax, LINEAR(stubs32)
	mov [IDT32 + ecx * 8], ax
	mov word [IDT32 + ecx * 8 + 2], 8
	mov word [IDT32 + ecx * 8 + 4], 0x8E00
	shr eax, 16
	mov [IDT32 + ecx * 8 + 6], ax
	inc ecx
	cmp ecx, 32
	jb .gate
	lidt [LINEAR(idtr32)]
next32:
	mov eax, CR0_IS
	mov cr0, eax
	cmp byte [ebp], 0
	jne enter64
	mov eax, [CR4_IS]
	mov cr4, eax
	bt eax, 18
	jnc .no_xsave
	xor ecx, ecx
	xor edx, edx
	mov eax, [XCR0_IS]
	xsetbv
.no_xsave:
	fninit
	mov ebx, BUFFER
	mov esi, ebx
	mov edi, ebx
	xor eax, eax
	xor ecx, ecx
	xor edx, edx
	push ebp
	lea ebp, [ebp + 1]
	push LINEAR(returned32)
	push ebp
	mov ebp, 0
	clc
	ret
returned32:
	mov al, '0'
	adc al, 0
print32:
	out 0xE9, al
	mov ebp, [STACK - 4]
	mov esp, STACK
	add ebp, 64
	jmp next32
stubs32:
	mov al, 'A'
	jmp near print32
.second:
%assign vector 1
%rep 31
	mov al, 'A' + vector
	jmp near print32
%assign vector vector + 1
%endrep

; The rest is for 64-bit mode, if there is one.
enter64:
	mov eax, 0x80000000
	cpuid
	cmp eax, 0x80000001
	jb without64
	mov eax, 0x80000001
	cpuid
	bt edx, 29
	jc long64
without64:
	mov al, 10
	cmp byte [ebp], 0xFF
	je finish32
	mov al, '-'
	out 0xE9, al
	add ebp, 64
	jmp without64
finish32:
	out 0xE9, al
	hlt
	jmp $ - 1
long64:
	mov edi, PML4
	xor eax, eax
	mov ecx, 0x3000 / 4
	rep stosd
	mov dword [PML4], PML4 + 0x1003
	mov dword [PML4 + 0x1000], PML4 + 0x2003
	mov dword [PML4 + 0x1010], 0x83	; 2 GiB: the first gigabyte as one page
	mov dword [PML4 + 0x2000], 0x83	; pages of 2 MiB
	mov dword [PML4 + 0x2008], 0x200083
	mov eax, 0x20
	mov cr4, eax
	mov eax, PML4
	mov cr3, eax
	mov ecx, 0xC0000080
	xor edx, edx
	mov eax, 0x100
	wrmsr
	mov eax, 0x80010031		; PG, too
	mov cr0, eax
	jmp 24:LINEAR(long_mode)

bits 64
default abs
long_mode:
	mov esp, STACK
	mov ebp, ebp
	xor ecx, ecx
.gate:
	imul eax, ecx, stubs64.second - stubs64
	add eax, LINEAR(stubs64)
	mov edx, ecx
	shl edx, 4
	mov [rdx + IDT64], ax
	mov word [rdx + IDT64 + 2], 24
	mov word [rdx + IDT64 + 4], 0x8E00
	shr eax, 16
	mov [rdx + IDT64 + 6], eax
	mov qword [rdx + IDT64 + 8], 0
	inc ecx
	cmp ecx, 32
	jb .gate
	lidt [dword LINEAR(idtr64)]
next64:
	cmp byte [rbp], 0xFF
	je finish64
	mov rax, [dword CR4_IS]
	or eax, 0x20
	mov r8, cr4
	and r8d, 0x2000			; VMXE stays
	or rax, r8
	mov cr4, rax
	bt eax, 18
	jnc .no_xsave
	xor ecx, ecx
	xor edx, edx
	mov eax, [dword XCR0_IS]
	xsetbv
.no_xsave:
	fninit
	cmp byte [rbp], 2
	jne .ready
	bts dword [dword in_vmx], 0
	jc .ready
	call enter_vmx
.ready:
	mov ebx, BUFFER
	mov esi, ebx
	mov edi, ebx
	xor eax, eax
	xor ecx, ecx
	xor edx, edx
	push rbp
	push LINEAR(returned64)
	lea rbp, [rbp + 1]
	push rbp
	mov ebp, 0
	clc
	ret
returned64:
	mov al, '0'
	adc al, 0
print64:
	out 0xE9, al
	mov rbp, [dword STACK - 8]
	mov esp, STACK
	add rbp, 64
	jmp next64
stubs64:
	mov al, 'A'
	jmp near print64
.second:
%assign vector 1
%rep 31
	mov al, 'A' + vector
	jmp near print64
%assign vector vector + 1
%endrep
finish64:
	mov al, 10
	out 0xE9, al
	hlt
	jmp $ - 1

; VMX operation with a current VMCS.
enter_vmx:
	mov rax, cr4
	or eax, 0x2000
	mov cr4, rax
	mov ecx, 0x3A			; IA32_FEATURE_CONTROL: VMX outside SMX, locked
	xor edx, edx
	mov eax, 5
	wrmsr
	mov ecx, 0x480
	rdmsr
	mov [dword VMXON_AT], eax
	mov [dword VMCS_AT], eax
	mov dword [dword VMCS_AT + 4], 0
	vmxon [dword pointers]
	vmclear [dword pointers + 8]
	vmptrld [dword pointers + 8]
	ret

in_vmx	equ 0x1F010			; RAM, 0 at first
pointers equ LINEAR(vmx_pointers)
align 8
vmx_pointers:
	dq VMXON_AT, VMCS_AT
gdt:	dq 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x00AF9B000000FFFF
gdtr:	dw gdtr - gdt - 1
	dd LINEAR(gdt)
idtr32:	dw 32 * 8 - 1
	dd IDT32
idtr64:	dw 32 * 16 - 1
	dq IDT64

	times 0xFF0 - ($ - $$) db 0
bits 16
	jmp 0xF000:start
	times 0x1000 - ($ - $$) db 0
