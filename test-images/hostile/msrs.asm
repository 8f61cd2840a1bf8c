; Reads and writes of ever new MSRs.
%include "rom.inc"
main64:
    mov rax, handler
    call set_idt
    mov ebx, 0x10000
.next:
    mov ecx, ebx
    rdmsr
    mov ecx, ebx
    wrmsr
    inc ebx
    jmp .next
handler:
    add rsp, 8
    add qword [rsp], 2
    iretq
ROMEND
