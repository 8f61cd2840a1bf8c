; Integer code: the sieve of Eratosthenes over 256 KiB of flags, then CRC-32 by table over the flags; again and again.

%include "boot.inc"

FLAGS	equ DATA
SIZE	equ 0x40000
TABLE	equ DATA + SIZE
ROUNDS	equ 140

main:	mov edi, TABLE			; the CRC's table, polynomial EDB88320h
	xor ecx, ecx
.entry:	mov eax, ecx
	mov edx, 8
.bit:	shr eax, 1
	jnc .zero
	xor eax, 0xEDB88320
.zero:	dec edx
	jnz .bit
	stosd
	inc ecx
	cmp ecx, 256
	jb .entry
	xor r15d, r15d			; the checksum
	mov r14d, ROUNDS
.round:	mov edi, FLAGS
	mov ecx, SIZE / 8
	mov rax, 0x0101010101010101
	rep stosq
	mov ebx, 2
.next:	cmp byte [FLAGS + rbx], 0
	je .not
	mov eax, ebx
	imul rax, rbx
	cmp rax, SIZE
	jae .done
.cross:	mov byte [FLAGS + rax], 0
	add rax, rbx
	cmp rax, SIZE
	jb .cross
.not:	inc ebx
	jmp .next
.done:	mov byte [FLAGS], 0
	mov byte [FLAGS + 1], 0
	mov [FLAGS], r14b		; every round another CRC
	mov eax, -1
	mov esi, FLAGS
	mov ecx, SIZE
	xor r13d, r13d
.crc:	movzx edx, byte [rsi]
	inc rsi
	add r13d, edx
	xor dl, al
	shr eax, 8
	xor eax, [TABLE + rdx * 4]
	dec ecx
	jnz .crc
	rol r15, 7
	xor r15, rax
	add r15, r13
	dec r14d
	jnz .round
	mov rax, r15
	ret

END_OF_IMAGE
