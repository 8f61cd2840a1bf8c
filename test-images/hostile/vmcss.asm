; VMCSs loaded and never cleared.
%include "rom.inc"
main64:
    mov rax, cr4
    or eax, 0x2000
    mov cr4, rax
    mov ecx, 0x3a
    rdmsr
    test al, 1
    jnz .locked
    or eax, 5
    wrmsr
.locked:
    mov ecx, 0x480
    rdmsr
    mov ebx, eax
    mov [0x1ff000], ebx
    push qword 0x1ff000
    vmxon [rsp]
    mov rdi, 0x400000
.fill:
    mov [rdi], ebx
    add rdi, 0x1000
    cmp rdi, 0x2000000
    jb .fill
.again:
    mov rdi, 0x400000
.load:
    mov [rsp], rdi
    vmptrld [rsp]
    add rdi, 0x1000
    cmp rdi, 0x2000000
    jb .load
    jmp .again
ROMEND
