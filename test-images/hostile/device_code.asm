; Code in the linear frame buffer: each fetch is a device's.
%include "rom.inc"
main64:
    LINEAR_FRAME_BUFFER
    mov ebx, 0xe0000000
    mov dword [rbx], 0xfdeb9090             ; nop; nop; jmp $-1
    jmp rbx
ROMEND
