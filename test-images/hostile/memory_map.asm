; The memory map changes all the time: PAM registers, the frame buffer's BAR, the HPET's legacy routes.
%include "rom.inc"
%macro configure 2
    mov dx, 0xcf8
    mov eax, %1
    out dx, eax
    mov dx, 0xcfc
    mov eax, %2
    out dx, eax
%endmacro
main64:
    mov r8d, 0xfed00000
.again:
    configure 0x80000058, 0x11111111
    configure 0x80001010, 0xe0000000
    mov dword [r8 + 0x10], 2
    configure 0x80000058, 0x33333333
    configure 0x80001010, 0xd0000000
    mov dword [r8 + 0x10], 0
    jmp .again
ROMEND
