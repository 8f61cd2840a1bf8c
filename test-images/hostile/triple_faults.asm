; Triple faults, a few cycles apart.
bits 16
    times 0xff0 db 0
    cs lidt [0xfff8]
    int3
    times 0x1000 - ($ - $$) db 0
