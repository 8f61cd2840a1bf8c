; INT 13h: sends a request to the floppy, hard disk or CD-ROM services by its drive number.

int13_entry:
        cmp     dl, 0x80
        jb      int13_low
        ENTER_SERVICE
        sti
        call    cdrom_claims            ; CF = 1: served by the CD-ROM services
        jc      .done
        call    disk_service
.done:  LEAVE_SERVICE

; Drives below 80h go through INT 40h, where the floppy services live.
int13_low:
        int     0x40
        push    bp                      ; the flags of INT 40h become ours
        mov     bp, sp
        push    ax
        lahf
        mov     [bp + 6], ah
        pop     ax
        pop     bp
        iret

int40_entry:
        ENTER_SERVICE
        sti
        call    cdrom_claims
        jc      .done
        call    floppy_service
.done:  LEAVE_SERVICE

; ES:DI -> BX:DI style normalization: adds nothing, keeps the offset below 16 so that 64 KiB - 16 follow.
normalize_es_di:
        push    ax
        push    dx
        mov     ax, di
        shr     ax, 4
        mov     dx, es
        add     ax, dx
        mov     es, ax
        and     di, 0x0F
        pop     dx
        pop     ax
        ret
