; Writes all sectors of the first disk, again and again: sector n of round r is filled with r << 16 | n. The cache is
; flushed after each, and then port E9h tells the four bytes.
%include "rom.inc"
main64:
    mov r12d, 1                             ; round
.round:
    xor r13d, r13d                          ; sector
.sector:
    mov ebx, r12d
    shl ebx, 16
    or ebx, r13d
    mov edi, 0x300000
    mov eax, ebx
    mov ecx, 128
    rep stosd
    call ready
    mov dx, 0x1f6
    mov al, 0xe0
    out dx, al
    mov dx, 0x1f2
    mov al, 1
    out dx, al
    mov eax, r13d
    inc dx
    out dx, al
    shr eax, 8
    inc dx
    out dx, al
    inc dx
    xor eax, eax
    out dx, al
    mov dx, 0x1f7
    mov al, 0x30                            ; WRITE SECTORS
    out dx, al
.data:
    in al, dx
    test al, 8
    jz .data
    mov esi, 0x300000
    mov dx, 0x1f0
    mov ecx, 256
    rep outsw
    call ready
    mov al, 0xe7                            ; FLUSH CACHE
    out dx, al
    call ready
    mov ecx, 4
.told:
    mov al, bl
    out 0xe9, al
    shr ebx, 8
    loop .told
    inc r13d
    cmp r13d, 2000
    jb .sector
    inc r12d
    jmp .round
ready:
    mov dx, 0x1f7
.busy:
    in al, dx
    test al, 0x80
    jnz .busy
    ret
ROMEND
