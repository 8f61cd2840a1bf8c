; A level-triggered interrupt of the UART that nobody takes away: it comes again behind each EOI.
%include "rom.inc"
main64:
    mov rax, handler
    call set_idt
    mov r9d, 0xfee00000
    mov dword [r9 + 0xf0], 0x1ff
    mov r8d, 0xfec00000
    mov dword [r8], 0x18                    ; pin 4: level, vector 40h, to processor 0
    mov dword [r8 + 0x10], 0x8040
    mov dword [r8], 0x19
    mov dword [r8 + 0x10], 0
    mov dx, 0x3f9                           ; the transmitter is empty
    mov al, 2
    out dx, al
    mov dx, 0x3fc
    mov al, 8
    out dx, al
    sti
    jmp $
handler:
    mov dword [r9 + 0xb0], 0
    iretq
ROMEND
