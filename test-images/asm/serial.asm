; COM1: polled, by interrupts, in loopback, bytes from outside, and a driver that waits for nothing. The script judges what
; arrives on the line, to the last byte before the end.

%define IMG "serial"
%include "boot.inc"
%include "pm.inc"

BASE	equ 0x3F8

	absolute uservars
irqs	resd 1
next	resd 1				; what the interrupt routine sends next
	section .text

%macro REG 2				; register, value
	mov dx, BASE + %1
	mov al, %2
	out dx, al
%endmacro

%macro INREG 1				; eax: register
	mov dx, BASE + %1
	in al, dx
	movzx eax, al
%endmacro

	bits 16
main:	REG 3, 0x83			; 115,200 baud, 8N1
	REG 0, 1
	REG 1, 0
	REG 3, 0x03
	REG 4, 0x0B
	REG 2, 0

	SECTION_ "polled"
	mov si, polled
.p:	lodsb
	test al, al
	jz .sent
	mov ah, al
	mov dx, BASE + 5
	mov cx, 0xFFFF			; as many looks as drivers commonly take
.w:	in al, dx
	test al, 0x20
	loopz .w
	movzx ecx, cx
	test al, 0x20
	setz al
	or [next], al
	mov dx, BASE
	mov al, ah
	out dx, al
	jmp .p
.sent:	movzx eax, byte [next]
	CHECK "the transmitter is ready in 65535 looks", eax, 0
	call drained
	INREG 5
	CHECK "both registers empty", eax, 0x60

	SECTION_ "without waiting"
	mov si, hasty			; 16 bytes fit into no holding register
	mov dx, BASE
.h:	lodsb
	test al, al
	jz .hasty
	out dx, al
	jmp .h
.hasty:	call drained
	REG 2, 0x07			; the same into the FIFO: more than it holds
	mov si, hastier
	mov dx, BASE
.f:	lodsb
	test al, al
	jz .fifo
	out dx, al
	jmp .f
.fifo:	call drained
	REG 2, 0

	SECTION_ "loopback"
	REG 4, 0x1E
	mov cl, 0xAE
	call echo
	CHECK "AEh comes back", eax, 0xAE
	mov cl, 0x51
	call echo
	CHECK "51h comes back", eax, 0x51
	INREG 6
	and eax, 0xF0
	CHECK "modem lines follow modem control", eax, 0xD0
	REG 4, 0x0B

	SECTION_ "interrupts"
	mov word [0x0C * 4], irq4
	mov word [0x0C * 4 + 2], 0
	mov word [next], by_irq
	in al, 0x21
	push ax
	and al, 0xEF
	out 0x21, al
	sti
	REG 1, 0x02
.i:	hlt
	cmp word [next], by_irq_end
	jb .i
	call drained
	REG 1, 0
	pop ax
	out 0x21, al
	RANGE "an interrupt for each byte", [irqs], by_irq_end - by_irq, by_irq_end - by_irq + 1

	SECTION_ "received"
	PRINT "send ok", 10
	call receive
	CHECK "o", eax, "o"
	call receive
	CHECK "k", eax, "k"
	REG 2, 0x01
	PRINT "send more", 10
	call receive
	CHECK "m", eax, "m"
	call receive
	CHECK "o", eax, "o"
	call receive
	CHECK "r", eax, "r"
	call receive
	CHECK "e", eax, "e"
	mov si, last			; the FIFO is full of it when the run ends
	mov dx, BASE
.l:	lodsb
	test al, al
	jz .end
	out dx, al
	jmp .l
.end:	jmp finish16

irq4:	push ax
	push dx
	push si
	inc word [irqs]
	mov dx, BASE + 2		; the transmitter's interrupt goes by this
	in al, dx
	mov si, [next]
	cmp si, by_irq_end
	jae .none
	mov dx, BASE
	outsb
	mov [next], si
.none:	mov al, 0x20
	out 0x20, al
	pop si
	pop dx
	pop ax
	iret

drained:				; until everything has left
	mov dx, BASE + 5
.d:	in al, dx
	test al, 0x40
	jz .d
	ret

echo:	mov dx, BASE			; eax: what comes back for cl, read at once
	mov al, cl
	out dx, al
	in al, dx
	movzx eax, al
	ret

receive:				; eax: the next byte
	mov dx, BASE + 5
.r:	in al, dx
	test al, 1
	jz .r
	mov dx, BASE
	in al, dx
	movzx eax, al
	ret

polled	db "polled: 0123456789", 13, 10, 0
hasty	db "without waiting: 0123456789", 13, 10, 0
hastier	db "FIFO, without waiting: 0123456789 0123456789 0123456789", 13, 10, 0
by_irq	db "by interrupts: 0123456789", 13, 10
by_irq_end:
last	db "last words 9876", 0
