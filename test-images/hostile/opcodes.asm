; Undefined instructions, each at a new place.
%include "rom.inc"
main64:
    mov rax, handler
    call set_idt
    mov rdi, 0x400000
    mov rcx, 0x380000
    mov rax, 0x370f370f370f370f
    rep stosq
    mov rbx, 0x400000
    jmp rbx
handler:
    add rbx, 2
    cmp rbx, 0x2000000
    jb .go
    mov rbx, 0x400000
.go:
    mov [rsp], rbx
    iretq
ROMEND
