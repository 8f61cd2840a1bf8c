; A demo that runs a VM: the guest looks for primes on the left half of the screen, its monitor shows every VM exit on the
; right one. Keys: S one guest instruction, R run, F a VM entry that fails, Esc power off.

%define IMG "vmdemo"
%include "boot.inc"
%include "pm.inc"
%include "acpi.inc"
%include "vmx.inc"

TEXT		equ 0xB8000
COLUMN		equ 42			; where the monitor's half begins
FIRST_LOG	equ 17			; rows of the last VM exits
LAST_LOG	equ 22
PRIMES_TOP	equ 6			; rows of primes, six in each
PRIMES_ROWS	equ 16
REASON_SIZE	equ 21

	absolute uservars
pm1a		resd 1
key		resd 1			; the last scan code that was not looked at
ticks		resd 1
stopped		resd 1			; the guest waits for a key
exits		resd 1
reason		resd 1
counts		resd 8			; as in `reasons`, the last one is for all others
found		resd 1			; the guest's own
name		resd 3
	section .text

%macro AT 3				; row, column, attribute
	mov dword [cur], ((%1) * 80 + (%2)) * 2
	mov dword [attr], %3
%endmacro
%macro SAY 1				; PRINT, but for port E9; esi is lost
	STR %1
	mov esi, strptr
	call say
%endmacro
%macro SHOW 4				; row, column, "name", field
	AT %1, %2, 0x07
	SAY %3
	VMR %4
	call say_hex
%endmacro
%macro REGISTER 4			; row, column, "name", variable
	AT %1, %2, 0x07
	SAY %3
	mov eax, [%4]
	call say_hex
%endmacro

	bits 16
main:	call enter_pm
	bits 32
	mov eax, 'FACP'
	call find_acpi
	test ebx, ebx
	jz .noacpi
	mov eax, [ebx + 64]		; PM1a_CNT_BLK
	mov [pm1a], eax
.noacpi:
	call vmx_start
	CONTROLS PRIMARY_CONTROLS, HLT_EXITING | UNCONDITIONAL_IO_EXITING
	call frame
	mov dword [hooks + 0x20 * 4], on_tick
	mov dword [hooks + 0x21 * 4], on_key
	mov al, 0xFC			; IRQ 0 and 1
	out 0x21, al
	GUEST guest

run:	call vm_run
	mov [reason], eax
	inc dword [exits]
	call show
	movzx eax, word [reason]
	cmp eax, 10
	jne .hlt
	mov dword [g_ebx], 'rvmx'	; CPUID tells the guest whose guest it is
	mov dword [g_edx], 'mon '
	mov dword [g_ecx], 'demo'
	jmp .skip
.hlt:	cmp eax, 12
	jne .others
	call tick			; the guest sleeps for one
.skip:	SKIP
	jmp .keys
.others:
	cmp eax, 18
	je .skip
	cmp eax, 30
	je .skip
	cmp eax, 37
	je .keys
	call failed			; nothing else is expected
.keys:	sti				; interrupts that came while the guest ran
	nop
	nop
	cli
	xor eax, eax
	xchg eax, [key]
	cmp eax, 1			; Esc
	je near power_off
	cmp eax, 0x1F			; S
	je .step
	cmp eax, 0x13			; R
	je .free
	cmp eax, 0x21			; F
	je .fail
	cmp dword [stopped], 0
	je near run
	call tick
	jmp .keys
.step:	CONTROLS PRIMARY_CONTROLS, HLT_EXITING | UNCONDITIONAL_IO_EXITING | MONITOR_TRAP_FLAG
	mov dword [stopped], 1
	jmp run
.free:	CONTROLS PRIMARY_CONTROLS, HLT_EXITING | UNCONDITIONAL_IO_EXITING
	mov dword [stopped], 0
	call clear_message
	jmp run
.fail:	VMR G_RFLAGS			; two mistakes in the guest-state area
	push eax
	and eax, ~2			; bit 1 of RFLAGS is always 1
	VMW G_RFLAGS, eax
	VMW G_CS_RIGHTS, 0xC093		; CS is a data segment
	call vm_run
	mov [reason], eax
	inc dword [exits]
	call show
	call failed
	VMW G_CS_RIGHTS, 0xC09B
	pop eax
	VMW G_RFLAGS, eax
	jmp .keys

; The guest: primes, with a VMCALL for each, and port 80h and HLT after eight.
guest:	mov eax, 0x40000000
	cpuid
	mov [name], ebx
	mov [name + 4], edx
	mov [name + 8], ecx
	mov esi, name
	mov edi, TEXT + (4 * 80 + 13) * 2
	mov ecx, 12
	mov ah, 0x0F
.name:	lodsb
	stosw
	loop .name
.first:	mov ebx, 2
.number:
	mov ecx, 2
.divide:
	mov eax, ecx
	mul ecx
	cmp eax, ebx
	ja .prime
	mov eax, ebx
	xor edx, edx
	div ecx
	test edx, edx
	jz .next
	inc ecx
	jmp .divide
.prime:	call .print
	inc dword [found]
	mov eax, ebx
	vmcall
	test byte [found], 7
	jnz .next
	mov al, bl
	out 0x80, al
	hlt
.next:	inc ebx
	cmp ebx, 99999
	jb .number
	jmp .first
.print:	mov eax, [found]
	xor edx, edx
	mov ecx, 6 * PRIMES_ROWS
	div ecx
	mov eax, edx
	test eax, eax
	jnz .place
	mov edi, TEXT + PRIMES_TOP * 160
	mov edx, PRIMES_ROWS
.clear:	mov ecx, 38
	mov eax, 0x0720
	rep stosw
	add edi, 160 - 38 * 2
	dec edx
	jnz .clear
	xor eax, eax
.place:	xor edx, edx
	mov ecx, 6
	div ecx
	imul edi, eax, 160
	imul edx, edx, 12
	lea edi, [edi + edx + TEXT + PRIMES_TOP * 160 + 12]
	mov eax, ebx
	mov ecx, 10
.digit:	xor edx, edx
	div ecx
	mov dh, 0x0B
	add dl, '0'
	mov [edi], dx
	sub edi, 2
	test eax, eax
	jnz .digit
	ret

on_tick:
	inc dword [ticks]
	jmp eoi
on_key:	push eax
	in al, 0x60
	movzx eax, al
	test al, al
	js .up
	mov [key], eax
.up:	pop eax
eoi:	push eax
	mov al, 0x20
	out 0x20, al
	pop eax
	ret

tick:	push eax
	mov eax, [ticks]
.wait:	sti
	hlt
	cli
	cmp eax, [ticks]
	jne .over
	cmp dword [key], 0
	je .wait
.over:	pop eax
	ret

; What does not change.
frame:	mov edi, TEXT
	mov ecx, 80
	mov eax, 0x1F20
	rep stosw
	mov ecx, 23 * 80
	mov eax, 0x0720
	rep stosw
	mov ecx, 80
	mov eax, 0x7020
	rep stosw
	mov edi, TEXT + (80 + COLUMN - 2) * 2
	mov ecx, 23
.bar:	mov word [edi], 0x08B3
	add edi, 160
	loop .bar
	AT 0, 2, 0x1F
	PRINT "rvmx-emu: a guest ...", 10
	AT 0, COLUMN, 0x1F
	PRINT "... and its monitor", 10
	AT 2, 2, 0x0E
	PRINT "Primes, in VMX non-root operation", 10
	AT 4, 2, 0x07
	PRINT "I run on   ", 10
	AT 2, COLUMN, 0x0E
	PRINT "VM exits so far", 10
	AT 9, COLUMN, 0x0E
	PRINT "Guest state at the last one", 10
	AT FIRST_LOG - 1, COLUMN, 0x0E
	PRINT "The last ones", 10
	AT 24, 2, 0x70
	PRINT "S one guest instruction   R run   F a VM entry that fails   Esc power off"
	ret

; Counts, state, and a line for the VM exit with [reason].
show:	pushad
	movzx eax, word [reason]
	mov esi, reasons
	xor ecx, ecx
.find:	cmp byte [esi], 0
	je .this
	cmp [esi], al
	je .this
	add esi, REASON_SIZE
	inc ecx
	jmp .find
.this:	inc dword [counts + ecx * 4]
	mov edi, esi
	mov esi, reasons
	xor ecx, ecx
	mov ebx, (3 * 80 + COLUMN) * 2
.count:	mov [cur], ebx
	mov dword [attr], 0x07
	push esi
	inc esi
	call say
	pop esi
	mov eax, [counts + ecx * 4]
	call say_dec
	add ebx, 160
	inc ecx
	add esi, REASON_SIZE
	cmp byte [esi - REASON_SIZE], 0
	jne .count
	SHOW 10, COLUMN, "RIP    ", G_RIP
	SHOW 11, COLUMN, "RSP    ", G_RSP
	SHOW 12, COLUMN, "RFLAGS ", G_RFLAGS
	SHOW 13, COLUMN, "CR0    ", G_CR0
	SHOW 14, COLUMN, "CR3    ", G_CR3
	REGISTER 10, COLUMN + 20, "EAX ", g_eax
	REGISTER 11, COLUMN + 20, "EBX ", g_ebx
	REGISTER 12, COLUMN + 20, "ECX ", g_ecx
	REGISTER 13, COLUMN + 20, "EDX ", g_edx
	REGISTER 14, COLUMN + 20, "EDI ", g_edi
	push edi
	mov edi, TEXT + (FIRST_LOG * 80 + COLUMN) * 2
	mov edx, LAST_LOG - FIRST_LOG
.scroll:
	lea esi, [edi + 160]
	mov ecx, 80 - COLUMN
	rep movsw
	add edi, COLUMN * 2
	dec edx
	jnz .scroll
	pop esi
	AT LAST_LOG, COLUMN, 0x07
	inc esi
	call say
	SAY " at "
	VMR G_RIP
	call say_hex
	popad
	ret

; As puts, puthex and putdec do it, but the screen alone: this comes with every VM exit. esi; eax; eax.
say:	push eax
	push edi
	mov edi, [cur]
	mov ah, [attr]
.c:	lodsb
	test al, al
	jz .e
	mov [edi + TEXT], ax
	add edi, 2
	jmp .c
.e:	mov [cur], edi
	pop edi
	pop eax
	ret
say_hex:
	pushad
	mov ebx, 16
	mov ecx, 8
	mov esi, 0x0F30			; zeros in front
	jmp say_number
say_dec:
	pushad
	mov ebx, 10
	mov ecx, 9
	mov esi, 0x0F20			; blanks
say_number:
	mov edi, [cur]
	lea edi, [edi + ecx * 2]
	mov [cur], edi
.digit:	sub edi, 2
	xor edx, edx
	div ebx
	mov dl, [edx + .digits]
	mov dh, 0x0F
	mov [edi + TEXT], dx
	dec ecx
	jz .done
	test eax, eax
	jnz .digit
	mov edx, esi
.pad:	sub edi, 2
	mov [edi + TEXT], dx
	loop .pad
.done:	popad
	ret
.digits:
	db "0123456789ABCDEF"

reasons:				; basic exit reason, 19 characters
%macro REASON 2
%%at:	db %1, %2
	times 20 - ($ - %%at) db " "
	db 0
%endmacro
	REASON 10, "CPUID"
	REASON 12, "HLT"
	REASON 18, "VMCALL"
	REASON 30, "I/O instruction"
	REASON 37, "monitor trap flag"
	REASON 0, "failed VM entry"

; A VM entry failed, or something exited that nobody expects: the guest stops.
failed:	push eax
	mov dword [stopped], 1
	AT 23, 2, 0x4F
	PRINT "Exit reason "
	PRINTHEX [reason]
	PRINT ": ask rvmx-emu debug for 'vmentry why'. R goes on.", 10
	pop eax
	ret
clear_message:
	pushad
	mov edi, TEXT + 23 * 160
	mov ecx, 80
	mov eax, 0x0720
	rep stosw
	mov word [TEXT + 23 * 160 + (COLUMN - 2) * 2], 0x08B3
	popad
	ret

power_off:
	AT 24, 2, 0x4F
	PRINT "Power off                                                                  "
	POWER_OFF
