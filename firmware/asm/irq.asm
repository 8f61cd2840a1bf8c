; Small interrupt handlers: NMI, spurious and unexpected interrupts, INT 05h, 11h, 12h, 17h, IRQ 9, 13-15.

int02_nmi:
        iret

; INT 05h: there is no printer; 50:0 says "failed".
int05_print_screen:
        push    ds
        push    ax
        LOADSEG ds, 0x50
        mov     byte [0], 0xFF
        pop     ax
        pop     ds
        iret

int11_equipment:
        push    ds
        LOADSEG ds, BDA_SEG
        mov     ax, [bEQUIP]
        pop     ds
        iret

int12_memory:
        push    ds
        LOADSEG ds, BDA_SEG
        mov     ax, [bMEMKB]
        pop     ds
        iret

; No parallel port: AH = 01h, time-out.
int17_entry:
        cmp     ah, 2
        ja      .done
        mov     ah, 0x01
.done:  iret

; EOI when the master 8259A has an interrupt in service, and masks the line.
irq_unexpected_master:
        push    ax
        mov     al, 0x0B                ; OCW3: read ISR
        out     0x20, al
        in      al, 0x20
        or      al, al
        jz      .done
        mov     ah, al
        in      al, 0x21
        or      al, ah
        and     al, 0xFB                ; never the cascade
        out     0x21, al
        mov     al, 0x20
        out     0x20, al
.done:  pop     ax
        iret

; IRQ 7: real only when bit 7 of the ISR is set. The local APIC's spurious vector is the same and needs no EOI.
irq7_spurious:
        push    ax
        mov     al, 0x0B
        out     0x20, al
        in      al, 0x20
        test    al, 0x80
        jz      .done
        mov     al, 0x20
        out     0x20, al
.done:  pop     ax
        iret

irq_unexpected_slave:
        push    ax
        mov     al, 0x0B
        out     0xA0, al
        in      al, 0xA0
        or      al, al
        jz      .master
        mov     ah, al
        in      al, 0xA1
        or      al, ah
        out     0xA1, al
        mov     al, 0x20
        out     0xA0, al
.master:
        mov     al, 0x20
        out     0x20, al
        pop     ax
        iret

; IRQ 9 stands for the old IRQ 2.
irq9_redirect:
        push    ax
        mov     al, 0x20
        out     0xA0, al
        pop     ax
        int     0x0A
        iret

; IRQ 13: FPU error; the latch at F0h is cleared, programs expect INT 02h.
irq13_fpu:
        push    ax
        xor     al, al
        out     0xF0, al
        mov     al, 0x20
        out     0xA0, al
        out     0x20, al
        pop     ax
        int     0x02
        iret

irq14_disk:
        push    ax
        push    ds
        LOADSEG ds, BDA_SEG
        mov     byte [bHDINT], 0xFF
        mov     al, 0x20
        out     0xA0, al
        out     0x20, al
        mov     ax, 0x9100
        int     0x15
        pop     ds
        pop     ax
        iret

; IRQ 15 may be the slave's spurious interrupt: then only the master wants an EOI.
irq15_disk:
        push    ax
        push    ds
        LOADSEG ds, BDA_SEG
        mov     al, 0x0B
        out     0xA0, al
        in      al, 0xA0
        test    al, 0x80
        jz      .master
        mov     byte [bHDINT], 0xFF
        mov     al, 0x20
        out     0xA0, al
.master:
        mov     al, 0x20
        out     0x20, al
        pop     ds
        pop     ax
        iret

; Resets the machine: CF9h, then the 8042, then a triple fault.
reset_machine:
        cli
        mov     dx, 0xCF9
        mov     al, 0x02
        out     dx, al
        mov     al, 0x06
        out     dx, al
        mov     cx, 0x100
        call    delay_io
        mov     al, 0xFE
        out     0x64, al
        mov     cx, 0x1000
        call    delay_io
        o32 lidt [cs:.no_idt]
        int3
.no_idt:
        dw      0
        dd      0
