; Resets by port CF9h, a few cycles apart.
bits 16
    times 0xff0 db 0
    mov dx, 0xcf9
    mov al, 6
    out dx, al
    times 0x1000 - ($ - $$) db 0
