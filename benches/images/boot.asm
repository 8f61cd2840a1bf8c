; What every run costs before its workload begins: BIOS, loader, 64-bit mode. The checksum is that of the loaded image.

%include "boot.inc"

main:	mov esi, start64
	mov ecx, IMAGE_SECTORS * 512 / 8
	xor ebx, ebx
.sum:	lodsq
	rol rbx, 5
	add rbx, rax
	loop .sum
	mov rax, rbx
	ret

END_OF_IMAGE
