; INT 13h functions of the floppy drives (the chip is in floppy.asm). BP = frame, DS = 40h, GS = EBDA, BX = drive.

floppy_service:
        push    gs
        LOADSEG gs, EBDA_SEG
        LOADSEG ds, BDA_SEG
        movzx   bx, byte [bp + fDL]
        movzx   si, byte [bp + fAH]
        cmp     si, 0x18
        ja      .bad
        cmp     si, 0x08
        je      .call
        cmp     bl, 2
        jae     .bad_drive
.call:  shl     si, 1
        call    [cs:.table + si]
.status:
        mov     [bFDSTAT], ah
        mov     [bp + fAH], ah
        CLR_CF
        or      ah, ah
        jz      .stop
        SET_CF
.stop:  cmp     byte [bFDTIMER], 0xFF   ; motor was switched on: let it run out
        jne     .leave
        push    es
        call    floppy_dpt
        mov     al, [es:si + 2]
        pop     es
        mov     [bFDTIMER], al
.leave: pop     gs
        ret
.bad_drive:
        cmp     si, 0x15
        je      .no_drive
.bad:   mov     ah, 1
        jmp     .status
.no_drive:
        mov     byte [bp + fAH], 0
        CLR_CF
        jmp     .leave
.table: dw      floppy_fn_reset, floppy_fn_status, floppy_fn_read, floppy_fn_write
        dw      floppy_fn_verify, floppy_fn_format, floppy_fn_bad, floppy_fn_bad
        dw      floppy_fn_parameters
        times 0x15 - 0x09 dw floppy_fn_bad
        dw      floppy_fn_type, floppy_fn_change, floppy_fn_set_type, floppy_fn_set_media

floppy_fn_bad:
        mov     ah, 1
        ret
floppy_fn_status:
        mov     ah, [bFDSTAT]
        ret
floppy_fn_reset:
        call    floppy_type
        or      al, al
        mov     ah, 0x80
        jz      .done
        call    floppy_reset
        mov     ah, 0x20
        jc      .done
        mov     ah, 0
.done:  ret

floppy_fn_read:
        mov     byte [gs:eFDOP], FDOP_READ
        jmp     floppy_transfer
floppy_fn_write:
        mov     byte [gs:eFDOP], FDOP_WRITE
        jmp     floppy_transfer
floppy_fn_verify:
        mov     byte [gs:eFDOP], FDOP_VERIFY
; AL sectors from CH, CL, DH on, over the ends of tracks and cylinders; buffer ES:BX. AL = sectors transferred.
floppy_transfer:
        mov     byte [gs:eFDDONE], 0
        call    floppy_type
        or      al, al
        mov     ah, 0x80
        jz      .result
        mov     ah, 0x01
        cmp     byte [bp + fAL], 0
        je      .result
        call    floppy_establish
        jc      .result
        mov     ch, [bp + fCH]
        mov     cl, [bp + fCL]
        mov     dh, [bp + fDH]
        mov     ah, 0x04
        or      cl, cl
        jz      .result
        cmp     cl, [gs:eFDSPT + bx]
        ja      .result
        cmp     dh, 1
        ja      .result
        movzx   edi, word [bp + fES]
        shl     edi, 4
        movzx   eax, word [bp + fBX]
        add     edi, eax
.chunk: mov     ah, 0x04
        cmp     ch, 84                  ; beyond any drive's last cylinder
        jae     .result
        push    cx
        call    floppy_seek
        pop     cx
        jc      .result
        ; AL = sectors to the end of the cylinder, or what is left of the request.
        mov     al, [gs:eFDSPT + bx]
        mov     ah, al
        or      dh, dh
        jnz     .last_head
        add     al, ah
.last_head:
        sub     al, cl
        inc     al
        mov     ah, [bp + fAL]
        sub     ah, [gs:eFDDONE]
        cmp     al, ah
        jbe     .left
        mov     al, ah
.left:  cmp     byte [gs:eFDOP], FDOP_VERIFY
        je      .bounce                 ; verify: data goes nowhere
        movzx   esi, di                 ; whole sectors before the next 64 KiB boundary
        neg     esi
        add     esi, 0x10000
        shr     esi, 9
        jz      .bounce
        push    dx
        movzx   dx, al
        cmp     dx, si
        jbe     .whole
        mov     dx, si
.whole: mov     al, dl
        pop     dx
        push    ax
        push    cx
        push    edi
        push    dx
        call    .retry
        pop     dx
        pop     edi
        pop     cx
        pop     si                      ; SI low = sectors
        jc      .result
        mov     ax, si
        jmp     .advance
.bounce:
        cmp     byte [gs:eFDOP], FDOP_WRITE
        jne     .bounce_go
        call    .to_bounce
.bounce_go:
        mov     al, 1
        push    cx
        push    edi
        push    dx
        mov     edi, EBDA_SEG * 16 + eBOUNCE
        call    .retry
        pop     dx
        pop     edi
        pop     cx
        jc      .result
        cmp     byte [gs:eFDOP], FDOP_READ
        jne     .one
        call    .from_bounce
.one:   mov     al, 1
.advance:
        add     [gs:eFDDONE], al
        movzx   esi, al
        shl     esi, 9
        add     edi, esi
        mov     ah, 0
        push    ax
        mov     al, [bp + fAL]
        cmp     al, [gs:eFDDONE]
        pop     ax
        je      .result
        add     cl, al                  ; next sector, head, cylinder
.wrap:  cmp     cl, [gs:eFDSPT + bx]
        jbe     .chunk
        sub     cl, [gs:eFDSPT + bx]
        xor     dh, 1
        jnz     .wrap
        inc     ch
        jmp     .wrap
.result:
        mov     al, [gs:eFDDONE]
        mov     [bp + fAL], al
        ret
; floppy_command, up to three times with a recalibration between.
.retry: mov     si, 3
.again: push    ax
        push    cx
        push    dx
        push    si
        push    edi
        call    floppy_command
        pop     edi
        pop     si
        pop     dx
        pop     cx
        jnc     .good
        cmp     ah, 0x03                ; write protected: no use
        je      .failed
        cmp     ah, 0x80
        je      .failed
        dec     si
        jz      .failed
        push    dx
        push    cx
        call    floppy_recalibrate
        pop     cx
        push    cx
        call    floppy_seek
        pop     cx
        pop     dx
        pop     ax
        jmp     .again
.good:  pop     si
        clc
        ret
.failed:
        pop     si
        stc
        ret
; 512 bytes between the caller's buffer at physical EDI and the bounce buffer.
.to_bounce:
        pushad
        push    ds
        push    es
        mov     eax, edi
        shr     eax, 4
        mov     ds, ax
        mov     si, di
        and     si, 0x0F
        LOADSEG es, EBDA_SEG
        mov     di, eBOUNCE
        jmp     .move
.from_bounce:
        pushad
        push    ds
        push    es
        mov     eax, edi
        shr     eax, 4
        mov     es, ax
        and     di, 0x0F
        LOADSEG ds, EBDA_SEG
        mov     si, eBOUNCE
.move:  mov     cx, 256
        rep movsw
        pop     es
        pop     ds
        popad
        ret

; AH=05h: format track CH, head DH; ES:BX = four address bytes for each sector.
floppy_fn_format:
        call    floppy_type
        or      al, al
        mov     ah, 0x80
        jz      .done
        call    floppy_establish
        jc      .done
        mov     ch, [bp + fCH]
        call    floppy_seek
        jc      .done
        movzx   edi, word [bp + fES]
        shl     edi, 4
        movzx   eax, word [bp + fBX]
        add     edi, eax
        mov     byte [gs:eFDOP], FDOP_WRITE
        call    floppy_layout
        movzx   cx, ah
        shl     cx, 2
        mov     ax, di
        add     ax, cx
        mov     ah, 0x09                ; DMA across 64 KiB
        jc      .done
        mov     al, 0x4A
        call    floppy_dma
        mov     al, 0x4D
        call    floppy_out
        mov     ah, 0x80
        jc      .done
        mov     al, [bp + fDH]
        shl     al, 2
        or      al, bl
        call    floppy_out
        call    floppy_layout
        call    floppy_out
        mov     al, ah
        call    floppy_out
        push    es
        call    floppy_dpt
        mov     al, [es:si + 7]
        call    floppy_out
        mov     al, [es:si + 8]
        call    floppy_out
        pop     es
        call    floppy_wait_irq
        mov     ah, 0x80
        jc      .done
        call    floppy_results
        mov     ah, 0x80
        jc      .done
        call    floppy_result_status
.done:  ret

; AH=08h: drive type and its largest format.
floppy_fn_parameters:
        xor     ax, ax
        mov     [bp + fAX], ax
        mov     [bp + fBX], ax
        mov     [bp + fCX], ax
        mov     [bp + fDX], ax
        mov     [bp + fDI], ax
        mov     [bp + fES], ax
        mov     al, [gs:eFDCOUNT]
        mov     [bp + fDL], al
        cmp     bl, 2
        jae     .none
        call    floppy_type
        or      al, al
        jz      .none
        mov     [bp + fBL], al
        movzx   si, al
        shl     si, 1
        mov     ax, [cs:floppy_types + si]
        mov     [bp + fCH], al
        mov     [bp + fCL], ah
        mov     byte [bp + fDH], 1
        push    es
        call    floppy_dpt
        mov     [bp + fDI], si
        mov     [bp + fES], es
        pop     es
.none:  mov     ah, 0
        ret

; AH=15h: 0 none, 1 without, 2 with change line.
floppy_fn_type:
        call    floppy_type
        mov     ah, 0
        or      al, al
        jz      .done
        inc     ah
        cmp     al, 1
        je      .done
        inc     ah
.done:  pop     cx                      ; AH is no error
        mov     byte [bFDSTAT], 0
        mov     [bp + fAH], ah
        CLR_CF
        jmp     floppy_service.leave

; AH=16h: 06h when the change line is active.
floppy_fn_change:
        call    floppy_type
        or      al, al
        mov     ah, 0x80
        jz      .done
        call    floppy_motor
        mov     dx, FD_DIR
        in      al, dx
        mov     ah, 0
        test    al, 0x80
        jz      .done
        mov     ah, 0x06
.done:  ret

; AH=17h: AL = 1 360K in 360K drive, 2 360K in 1.2M, 3 1.2M, 4 720K.
floppy_fn_set_type:
        movzx   si, byte [bp + fAL]
        dec     si
        cmp     si, 3
        ja      floppy_fn_bad
        shl     si, 2
        mov     ah, [cs:.formats + si + 2]
        mov     [bFDMEDIA + bx], ah
        mov     ax, [cs:.formats + si]
        mov     [gs:eFDSPT + bx], al
        mov     [gs:eFDCYL + bx], ah
        mov     ah, 0
        ret
.formats:
        db      9, 40, 0x93, 0
        db      9, 40, 0x74, 0
        db      15, 80, 0x15, 0
        db      9, 80, 0x97, 0

; AH=18h: media for formatting: CH = last cylinder, CL = sectors. ES:DI = parameter table.
floppy_fn_set_media:
        call    floppy_type
        or      al, al
        mov     ah, 0x80
        jz      .done
        movzx   si, al
        shl     si, 1
        mov     si, [cs:floppy_media + si]
.try:   mov     ah, [cs:si]
        cmp     ah, 0xFF
        je      .unsupported
        mov     al, [bp + fCL]
        and     al, 0x3F
        cmp     al, [cs:si + 1]
        jne     .next
        mov     al, [bp + fCH]
        inc     al
        cmp     al, [cs:si + 2]
        jne     .next
        mov     [gs:eFDCYL + bx], al
        mov     al, [cs:si + 1]
        mov     [gs:eFDSPT + bx], al
        mov     al, [cs:si + 3]
        mov     [bFDMEDIA + bx], al
        call    floppy_rate
        push    es
        call    floppy_dpt
        mov     [bp + fDI], si
        mov     [bp + fES], es
        pop     es
        mov     ah, 0
        ret
.next:  add     si, 4
        jmp     .try
.unsupported:
        mov     ah, 0x0C
.done:  ret
