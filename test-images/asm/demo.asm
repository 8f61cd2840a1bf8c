; The bundled demo: what this machine is, on a coloured screen with a running clock; keys are echoed, Esc powers off.

%define IMG "demo"
%define CPUS 4
%include "boot.inc"
%include "pm.inc"
%include "long.inc"
%include "pit.inc"
%include "acpi.inc"

APIC	equ 0xFEE00000

	absolute uservars
online	resd 1				; processors that answered the SIPI
ids	resd 32
vendor	resb 16
brand	resb 64
version	resd 1
feat_d	resd 1
feat_c	resd 1
feat_x	resd 1				; 80000001 EDX
long_ok	resd 1
pm1a	resd 1
acpi	resd 1
madt	resd 1
e820n	resd 1
usable	resq 1
keycol	resd 1
lastsec	resd 1
e820	resb 24 * 16
	section .text

%macro AT 3				; row, column, attribute
	mov word [cur], ((%1) * 80 + (%2)) * 2
	mov byte [attr], %3
%endmacro
%macro LABEL 2				; row, "text"
	AT %1, 2, 0x0E
	PRINT %2
	mov byte [attr], 0x0F
%endmacro
%macro FEATURE 3			; "name", variable, bit
	mov byte [attr], 0x08		; grey: absent
	test dword [%2], 1 << (%3)
	jz %%n
	mov byte [attr], 0x0A
%%n:	PRINT %1
%endmacro

	bits 16
main:	xor eax, eax
	cpuid
	mov [vendor], ebx
	mov [vendor + 4], edx
	mov [vendor + 8], ecx
	mov eax, 1
	cpuid
	mov [version], eax
	mov [feat_d], edx
	mov [feat_c], ecx
	mov eax, 0x80000000
	cpuid
	cmp eax, 0x80000001
	jb .nobrand
	push eax
	mov eax, 0x80000001
	cpuid
	mov [feat_x], edx
	pop eax
	cmp eax, 0x80000004
	jb .nobrand
	mov di, brand
	mov esi, 0x80000002
.br:	mov eax, esi
	cpuid
	stosd
	mov eax, ebx
	stosd
	mov eax, ecx
	stosd
	mov eax, edx
	stosd
	inc esi
	cmp esi, 0x80000005
	jb .br
.nobrand:
	xor ebx, ebx			; the memory map
	mov di, e820
.map:	mov eax, 0xE820
	mov edx, 'PAMS'
	mov ecx, 20
	int 0x15
	jc .mapped
	cmp eax, 'PAMS'
	jne .mapped
	cmp dword [di + 16], 1
	jne .notram
	mov eax, [di + 8]
	add [usable], eax
	mov eax, [di + 12]
	adc [usable + 4], eax
.notram:
	add di, 24
	inc dword [e820n]
	cmp dword [e820n], 16
	jae .mapped
	test ebx, ebx
	jnz .map
.mapped:
	call enter_pm
	bits 32
	mov eax, 'FACP'
	call find_acpi
	test ebx, ebx
	jz .noacpi
	inc dword [acpi]
	mov eax, [ebx + 64]		; PM1a_CNT_BLK
	mov [pm1a], eax
.noacpi:
	mov eax, 'APIC'
	call find_acpi
	mov [madt], ebx
	test dword [feat_d], 1 << 9
	jz .noapic
	call ref2_start
	mov esi, ap16
	mov edi, 0x2000
	mov ecx, ap16_end - ap16
	cld
	rep movsb
	mov dword [APIC + 0xF0], 0x13F
	mov dword [APIC + 0x310], 0
	mov dword [APIC + 0x300], 0xC4500
	mov ecx, 12000
	call wait2
	mov dword [APIC + 0x300], 0xC4602
	mov ecx, 240
	call wait2
	mov dword [APIC + 0x300], 0xC4602
	mov ebp, 4			; 100 ms for all to answer
.join:	mov ecx, 30000
	call wait2
	dec ebp
	jnz .join
.noapic:
	test dword [feat_x], 1 << 29
	jz .no64
	call map64
	call enter64
	bits 64
	mov rax, 0x1234567890ABCDEF	; prove it
	mov rcx, rax
	shr rcx, 32
	cmp ecx, 0x12345678
	jne .bad64
	mov dword [long_ok], 1
.bad64:	call leave64
	bits 32
.no64:	call leave_pm
	bits 16

	mov ax, 0xB800			; blue desktop
	mov es, ax
	xor di, di
	mov ax, 0x0F20
	mov cx, 2000
	rep stosw
	xor di, di
	mov ax, 0x1F20
	mov cx, 80
	rep stosw
	mov di, 24 * 160
	mov ax, 0x7020
	mov cx, 80
	rep stosw
	mov di, 22 * 160 + 4		; the sixteen colours
	xor bx, bx
.pal:	mov ah, bl
	mov al, 0xDB
	mov cx, 4
	rep stosw
	inc bx
	cmp bx, 16
	jb .pal
	xor ax, ax
	mov es, ax

	AT 0, 2, 0x1F
	PRINT "rvmx-emu: this machine", 10
	LABEL 2, "Processor   "
	mov si, brand
	cmp byte [si], 0
	jne .sp
	mov si, vendor
.sp:	cmp byte [si], ' '		; brand strings are padded in front
	jne .name
	inc si
	jmp .sp
.name:	call puts16
	PRINT 10
	LABEL 3, "Identity    "
	mov si, vendor
	call puts16
	PRINT ", signature "
	PRINTHEX [version]
	PRINT 10
	LABEL 4, "Running     "
	mov eax, [online]
	inc eax
	call putdec16
	PRINT " logical processor(s), APIC ids 0"
	xor si, si
.ids:	mov ax, si
	shr ax, 2
	cmp ax, [online]
	jae .idsd
	PRINT " "
	PRINTDEC [ids + esi]
	add si, 4
	cmp si, 64
	jb .ids
.idsd:	PRINT 10
	LABEL 5, "Features    "
	FEATURE "FPU ", feat_d, 0
	FEATURE "TSC ", feat_d, 4
	FEATURE "PAE ", feat_d, 6
	FEATURE "APIC ", feat_d, 9
	FEATURE "SSE2 ", feat_d, 26
	FEATURE "SSE4.2 ", feat_c, 20
	FEATURE "AES ", feat_c, 25
	FEATURE "AVX ", feat_c, 28
	FEATURE "x2APIC ", feat_c, 21
	FEATURE "VMX ", feat_c, 5
	FEATURE "NX ", feat_x, 20
	FEATURE "LM", feat_x, 29
	PRINT 10
	LABEL 6, "Modes       "
	PRINT "real > 32-bit protected"
	cmp dword [long_ok], 0
	je .nolm
	PRINT " > 64-bit mode"
.nolm:	PRINT " > real", 10
	LABEL 7, "Firmware    "
	cmp dword [acpi], 0
	je .na
	PRINT "ACPI FADT "
.na:	cmp dword [madt], 0
	je .nm
	PRINT "MADT "
.nm:	mov eax, [usable]
	mov edx, [usable + 4]
	shrd eax, edx, 20
	PRINT "usable memory "
	call putdec16
	PRINT " MiB", 10
	LABEL 9, "Memory map  "
	mov word [cur], 9 * 160 + 28
	mov byte [attr], 0x07
	PRINT "base             length           type", 10
	mov esi, e820
	mov cx, [e820n]
	cmp cx, 8
	jbe .rows
	mov cx, 8
.rows:	test cx, cx
	jz near .rowsd
.row:	mov ax, [cur]
	add ax, 28
	mov [cur], ax
	mov byte [attr], 0x0B
	cmp dword [esi + 16], 1
	je .ram
	mov byte [attr], 0x09
.ram:	PRINTHEX [esi + 4]
	PRINTHEX [esi]
	PRINT " "
	PRINTHEX [esi + 12]
	PRINTHEX [esi + 8]
	PRINT " "
	PRINTDEC [esi + 16]
	PRINT 10
	add esi, 24
	dec cx
	jnz near .row
.rowsd:	LABEL 19, "Clock       "
	LABEL 20, "Keys        "
	mov byte [attr], 0x70
	mov word [cur], 24 * 160 + 4
	PRINT "Type something; Esc powers off"
	mov word [keycol], (20 * 80 + 14) * 2

.loop:	mov ah, 2			; the RTC, once a second
	clc
	int 0x1A
	jc .keys
	movzx eax, dh
	cmp eax, [lastsec]
	je .keys
	mov [lastsec], eax
	push dx
	push cx
	mov ah, 4
	int 0x1A
	mov bx, 0xB800
	mov es, bx
	mov di, (19 * 80 + 14) * 2
	mov bl, 0x0F
	mov al, ch
	call bcd
	mov al, cl
	call bcd
	mov al, '-'
	call glyph
	mov al, dh
	call bcd
	mov al, '-'
	call glyph
	mov al, dl
	call bcd
	mov al, ' '
	call glyph
	pop cx
	pop dx
	mov al, ch
	call bcd
	mov al, ':'
	call glyph
	mov al, cl
	call bcd
	mov al, ':'
	call glyph
	mov al, dh
	call bcd
	xor ax, ax
	mov es, ax
.keys:	mov ah, 1
	int 0x16
	jnz .key
	sti
	hlt
	jmp .loop
.key:	mov ah, 0
	int 0x16
	cmp al, 27
	je .off
	cmp al, 13
	jne .show
	mov al, 0xFE
.show:	test al, al
	jnz .echo
	mov al, 0xF0			; keys without a character
.echo:	mov cx, [keycol]
	mov [cur], cx
	mov byte [attr], 0x0E
	call putc16
	add cx, 2
	cmp cx, 20 * 160 + 156
	jb .col
	mov cx, (20 * 80 + 14) * 2
.col:	mov [keycol], cx
	jmp .loop

.off:	AT 24, 2, 0x4F
	PRINT "Power off                     ", 10
	POWER_OFF

bcd:	push ax				; al: two digits to es:di
	shr al, 4
	add al, '0'
	call glyph
	pop ax
	and al, 15
	add al, '0'
glyph:	mov ah, bl
	stosw
	ret

	bits 16
ap16:	cli				; runs at 2000h in real mode
	xor ax, ax
	mov ds, ax
	mov eax, 1
	cpuid
	shr ebx, 24
	mov eax, 1
	lock xadd [online], eax
	cmp eax, 32
	jae .z
	mov [ids + eax * 4], ebx
.z:	hlt
	jmp .z
ap16_end:
