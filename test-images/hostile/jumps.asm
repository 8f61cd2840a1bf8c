; Code at every byte of the memory.
%include "rom.inc"
main64:
    mov rdi, 0x400000
    mov rcx, 0x380000
    mov rax, 0xc3c3c3c3c3c3c3c3
    rep stosq
.again:
    mov rdi, 0x400000
.call:
    call rdi
    inc rdi
    cmp rdi, 0x2000000
    jb .call
    jmp .again
ROMEND
