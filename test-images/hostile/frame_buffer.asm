; VBE registers of all values, the smallest width first, and writes all over the frame buffer.
%include "rom.inc"
main64:
    LINEAR_FRAME_BUFFER
    mov ebx, 4
    mov r8d, 0xe0000000
.next:
    mov ecx, 10
.register:
    mov dx, 0x1ce
    mov eax, ecx
    and eax, 15
    out dx, ax
    imul ebx, ebx, 69069
    add ebx, 5
    mov eax, ebx
    shr eax, 12
    cmp ecx, 1
    jne .write
    and eax, 15
.write:
    mov dx, 0x1cf
    out dx, ax
    loop .register
    mov edi, ebx
    and edi, 0xffffff
    mov [r8 + rdi], ebx
    mov edi, ebx
    and edi, 0x1ffff
    mov [0xa0000 + rdi], bl
    jmp .next
ROMEND
