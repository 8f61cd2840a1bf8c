; The keyboard: int 16h, IRQ 1 with translated scan codes, LEDs and other commands, scan-code sets 1 to 3, the 8042's own
; commands. The script presses what each line asks for.

%define IMG "keyboard"
%include "boot.inc"
%include "pm.inc"

	absolute uservars
count	resd 1
codes	resb 64
	section .text

%macro KEY16 2				; "what", AX
	mov ah, 0
	int 0x16
	movzx eax, ax
	CHECK %1, eax, %2
%endmacro

%macro SENDKB 1				; a byte to the keyboard
	mov ah, %1
	call send
%endmacro

%macro GETKB 2				; "what", byte expected from port 60h
	call get
	CHECK %1, eax, %2
%endmacro

	bits 16
main:	SECTION_ "int 16h"
	mov ah, 1
	int 0x16
	setz al
	movzx eax, al
	CHECK "AH=01h: no key yet", eax, 1
	PRINT "press a", 10
	mov cx, 0			; AH=01h shows it and leaves it there
.peek:	hlt
	mov ah, 1
	int 0x16
	jz .peek
	movzx eax, ax
	CHECK "AH=01h: a", eax, 0x1E61
	KEY16 "a", 0x1E61
	PRINT "press shift+b", 10
	KEY16 "B", 0x3042
	PRINT "press F1", 10
	KEY16 "F1", 0x3B00
	PRINT "press Enter", 10
	KEY16 "Enter", 0x1C0D
	PRINT "press Esc", 10
	KEY16 "Esc", 0x011B
	PRINT "type hello", 10
	KEY16 "h", 0x2368
	KEY16 "e", 0x1265
	KEY16 "l", 0x266C
	KEY16 "l again", 0x266C
	KEY16 "o", 0x186F
	PRINT "press Up", 10
	mov ah, 0x10
	int 0x16
	movzx eax, ax
	mov edx, eax
	and eax, 0xFF00
	CHECK "AH=10h: Up", eax, 0x4800
	mov ah, 2
	int 0x16
	and eax, 0x0F
	CHECK "AH=02h: no shift key down", eax, 0
	mov ah, 5			; a key stored by a program
	mov cx, 0x1234
	int 0x16
	KEY16 "AH=05h puts a key", 0x1234
	mov cx, 30			; let the last break code pass
.settle:
	hlt
	loop .settle

	SECTION_ "IRQ 1"
	call enter_pm
	bits 32
	mov dword [hooks + 0x20 * 4], on_irq0
	mov dword [hooks + 0x21 * 4], on_irq1
	mov dword [count], 0
	mov al, 0xFD
	out 0x21, al
	sti
	PRINT "press q", 10
	mov ebx, 2
	call wait_codes
	CHECK "q: make and break", [codes], 0x00009010
	mov dword [count], 0
	PRINT "press Down", 10
	mov ebx, 4
	call wait_codes
	CHECK "Down: E0 50, E0 D0", [codes], 0xD0E050E0
	cli
	mov al, 0xFF
	out 0x21, al

	SECTION_ "8042"
	mov al, 0xAD			; the keyboard is quiet meanwhile
	call cmd
	mov al, 0xAA
	call cmd
	GETKB "AAh: self test", 0x55
	mov al, 0xAB
	call cmd
	GETKB "ABh: keyboard line", 0
	mov al, 0x60			; the self test may have reset the command byte
	call cmd
	mov al, 0x40			; translation, no interrupts
	call data
	mov al, 0x20
	call cmd
	call get
	and eax, 0x41
	CHECK "20h: command byte", eax, 0x40
	in al, 0x64
	and eax, 4
	CHECK "status: system flag", eax, 0
	mov al, 0x60
	call cmd
	mov al, 0x44
	call data
	in al, 0x64
	and eax, 4
	CHECK "status: system flag from the command byte", eax, 4
	mov al, 0xAE
	call cmd
	mov al, 0xD2			; a byte as if the keyboard had sent it
	call cmd
	mov al, 0x5C
	call data
	GETKB "D2h: loop back", 0x5C
	in al, 0x60
	movzx eax, al
	CHECK "port 60h keeps its last byte", eax, 0x5C

	SECTION_ "commands"
	SENDKB 0xEE
	GETKB "EEh: echo", 0xEE
	SENDKB 0xED
	GETKB "EDh: acknowledge", 0xFA
	SENDKB 7
	GETKB "all LEDs: acknowledge", 0xFA
	SENDKB 0xED
	GETKB "EDh: acknowledge", 0xFA
	SENDKB 0
	GETKB "no LED: acknowledge", 0xFA
	SENDKB 0xF3
	GETKB "F3h: acknowledge", 0xFA
	SENDKB 0x20
	GETKB "typematic rate: acknowledge", 0xFA
	SENDKB 0xF2
	GETKB "F2h: acknowledge", 0xFA
	GETKB "F2h: first byte", 0xAB
	GETKB "F2h: second byte, 83h translated", 0x41

	SECTION_ "scan-code sets"
	mov al, 0x60			; no translation
	call cmd
	mov al, 0x04
	call data
	SENDKB 0xF0
	GETKB "F0h: acknowledge", 0xFA
	SENDKB 0
	GETKB "which set: acknowledge", 0xFA
	GETKB "set 2 is the default", 2
	PRINT "press w", 10
	GETKB "set 2: w", 0x1D
	GETKB "set 2: break prefix", 0xF0
	GETKB "set 2: w again", 0x1D
	SENDKB 0xF0
	GETKB "F0h: acknowledge", 0xFA
	SENDKB 1
	GETKB "set 1: acknowledge", 0xFA
	PRINT "press e", 10
	GETKB "set 1: e", 0x12
	GETKB "set 1: e, break", 0x92
	SENDKB 0xF0
	GETKB "F0h: acknowledge", 0xFA
	SENDKB 3
	GETKB "set 3: acknowledge", 0xFA
	PRINT "press F2", 10
	GETKB "set 3: F2", 0x0F
	; By default set 3 has break codes for few keys; some send them all the same.
	mov ebx, 30
.drain:	call nap			; (a byte may follow the one before by milliseconds)
	call flush
	dec ebx
	jnz .drain
	SENDKB 0xF0
	GETKB "F0h: acknowledge", 0xFA
	SENDKB 2
	GETKB "set 2: acknowledge", 0xFA
	SENDKB 0xF5
	GETKB "F5h: acknowledge", 0xFA
	SENDKB 0xF4
	GETKB "F4h: acknowledge", 0xFA
	SENDKB 0xFF
	GETKB "reset: acknowledge", 0xFA
	GETKB "reset: self test passed", 0xAA
	mov al, 0x60
	call cmd
	mov al, 0x45
	call data
	mov dword [count], 0
	mov al, 0xFD
	out 0x21, al
	sti
	PRINT "press z", 10
	mov ebx, 2
	call wait_codes
	CHECK "z: make and break, translated", [codes], 0x0000AC2C
	jmp finish32

nap:	pushfd				; to the next tick of the BIOS's clock: 55 ms that cost nothing
	push eax
	in al, 0x21
	push eax
	and al, 0xFE
	out 0x21, al
	sti
	hlt
	cli
	pop eax
	out 0x21, al
	pop eax
	popfd
	ret

on_irq0:
	mov al, 0x20
	out 0x20, al
	ret

on_irq1:
	in al, 0x60
	mov ecx, [count]
	and ecx, 63
	mov [codes + ecx], al
	inc dword [count]
	mov al, 0x20
	out 0x20, al
	ret

wait_codes:				; until ebx bytes came (20 s); clears the ones before
	mov dword [codes], 0
	mov edx, 400
.w:	cmp [count], ebx
	jae .ok
	call nap
	dec edx
	jnz .w
.ok:	ret

cmd:	call idle
	out 0x64, al
	ret
data:	call idle
	out 0x60, al
	ret
send:	mov al, ah
	jmp data
idle:	push eax
	push ecx
	mov ecx, 1000000
.i:	in al, 0x64
	test al, 2
	jz .ok
	loop .i
.ok:	pop ecx
	pop eax
	ret

get:	push ecx			; eax: the next byte, or -1 after 20 s
	push edx
	mov edx, 400
.g:	in al, 0x64
	test al, 1
	jnz .ok
	call nap
	dec edx
	jnz .g
	mov eax, -1
	jmp .e
.ok:	in al, 0x60
	movzx eax, al
.e:	pop edx
	pop ecx
	ret

flush:	in al, 0x64
	test al, 1
	jz .e
	in al, 0x60
	jmp flush
.e:	ret
