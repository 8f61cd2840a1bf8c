; Floppy controller (82077AA) with ISA DMA channel 2 and IRQ 6: INT 13h / 40h for drives 0 and 1.

FD_DOR          equ 0x3F2
FD_MSR          equ 0x3F4
FD_DATA         equ 0x3F5
FD_DIR          equ 0x3F7               ; read: change line; write: data rate
FD_TIMEOUT      equ 91                  ; ticks: 5 seconds
FD_MOTOR_TICKS  equ 37

; eFDOP
FDOP_READ       equ 0
FDOP_WRITE      equ 1
FDOP_VERIFY     equ 2
FDOP_DETECT     equ 3                   ; a read on behalf of the BIOS

MEDIA_KNOWN     equ 0x10

; Drive types of CMOS 10h: data for AH=08h: type, last cylinder, sectors per track.
floppy_types:
        db      0, 0                    ; 0 none
        db      39, 9                   ; 1 360 KiB
        db      79, 15                  ; 2 1.2 MiB
        db      79, 9                   ; 3 720 KiB
        db      79, 18                  ; 4 1.44 MiB
        db      79, 36                  ; 5 2.88 MiB
FD_TYPES        equ 6

; Media by drive type: data rate (3F7h), sectors per track, cylinders, media state of 40:90. FFh ends.
floppy_media:
        dw      .t0, .t1, .t2, .t3, .t4, .t5
.t1:    db      2, 9, 40, 0x93
        db      2, 8, 40, 0x93
.t0:    db      0xFF
.t2:    db      0, 15, 80, 0x15
        db      1, 9, 40, 0x74          ; double stepping
        db      1, 8, 40, 0x74
        db      0xFF
.t3:    db      2, 9, 80, 0x97
        db      0xFF
.t5:    db      3, 36, 80, 0xD7
.t4:    db      0, 18, 80, 0x17
        db      0, 15, 80, 0x17
        db      2, 9, 80, 0x97
        db      2, 9, 40, 0x97
        db      0xFF

floppy_init:
        push    ds
        LOADSEG ds, BDA_SEG
        call    floppy_type_messages
        LOADSEG es, EBDA_SEG
        cmp     byte [es:eFDCOUNT], 0
        je      .done
        call    floppy_reset
.done:  pop     ds
        ret

floppy_type_messages:
        mov     al, 0x10
        call    cmos_read
        mov     bl, al
        shr     al, 4
        mov     ah, 'A'
        call    .one
        mov     al, bl
        and     al, 0x0F
        mov     ah, 'B'
.one:   or      al, al
        jz      .none
        cmp     al, FD_TYPES
        jae     .none
        push    ax
        mov     al, ah
        call    putc
        mov     si, .colon
        call    print
        pop     ax
        movzx   si, al
        shl     si, 3
        add     si, .names - 8
        jmp     print
.none:  ret
.colon: db      ": ", 0
.names: db      "360K", 13, 10, 0, 0
        db      "1.2M", 13, 10, 0, 0
        db      "720K", 13, 10, 0, 0
        db      "1.44M", 13, 10, 0
        db      "2.88M", 13, 10, 0

; ---- Controller ------------------------------------------------------------------------------
; DS = 40h. The drive of the current request is in BX (0 or 1).

; Resets the controller; SPECIFY from INT 1Eh. CF = 1: no answer.
floppy_reset:
        mov     byte [bFDRECAL], 0      ; all drives need a recalibration
        mov     byte [bFDMOTOR], 0
        mov     dx, FD_DOR
        xor     al, al
        cli
        out     dx, al
        mov     cx, 8
        call    delay_io
        and     byte [bFDRECAL], 0x7F
        mov     al, 0x0C
        out     dx, al
        sti
        call    floppy_wait_irq
        jc      .done
        mov     cx, 4                   ; one status for each of four drives
.sense: mov     al, 0x08
        call    floppy_out
        jc      .done
        call    floppy_in
        jc      .done
        cmp     al, 0x80                ; invalid: nothing more
        je      .specify
        call    floppy_in
        jc      .done
        loop    .sense
.specify:
        push    es
        push    si
        call    floppy_dpt
        mov     al, 0x03
        call    floppy_out
        mov     al, [es:si]
        call    floppy_out
        mov     al, [es:si + 1]
        call    floppy_out
        pop     si
        pop     es
.done:  ret

; ES:SI = diskette parameter table (INT 1Eh).
floppy_dpt:
        xor     si, si
        mov     es, si
        les     si, [es:0x1E * 4]
        ret

; AL = command or parameter byte. CF = 1: the controller does not take it.
floppy_out:
        push    cx
        push    dx
        push    ax
        mov     dx, FD_MSR
        xor     cx, cx
.poll:  in      al, dx
        and     al, 0xC0
        cmp     al, 0x80
        je      .ready
        loop    .poll
        pop     ax
        stc
        jmp     .done
.ready: inc     dx
        pop     ax
        out     dx, al
        clc
.done:  pop     dx
        pop     cx
        ret
; AL = result byte.
floppy_in:
        push    cx
        push    dx
        mov     dx, FD_MSR
        xor     cx, cx
.poll:  in      al, dx
        and     al, 0xC0
        cmp     al, 0xC0
        je      .ready
        loop    .poll
        stc
        jmp     .done
.ready: inc     dx
        in      al, dx
        clc
.done:  pop     dx
        pop     cx
        ret
; Result phase to 40:42: seven bytes.
floppy_results:
        push    cx
        push    di
        mov     cx, 7
        mov     di, bFDRES
.next:  call    floppy_in
        jc      .done
        mov     [di], al
        inc     di
        loop    .next
        clc
.done:  pop     di
        pop     cx
        ret

; Until IRQ 6 (40:3E bit 7). CF = 1 after 5 seconds. INT 15h 90h may do something else meanwhile.
floppy_wait_irq:
        push    eax
        push    ecx
        mov     ax, 0x9001
        clc
        sti
        int     0x15
        mov     ecx, [bTICKS]
.poll:  cli
        test    byte [bFDRECAL], 0x80
        jnz     .come
        sti
        hlt
        mov     eax, [bTICKS]
        sub     eax, ecx
        jb      .wrapped                ; midnight
        cmp     eax, FD_TIMEOUT
        jb      .poll
        stc
        jmp     .done
.wrapped:
        xor     ecx, ecx
        jmp     .poll
.come:  and     byte [bFDRECAL], 0x7F
        sti
        clc
.done:  pop     ecx
        pop     eax
        ret

irq6_floppy:
        push    ds
        push    ax
        LOADSEG ds, BDA_SEG
        or      byte [bFDRECAL], 0x80
        mov     al, 0x20
        out     0x20, al
        mov     ax, 0x9101
        int     0x15
        pop     ax
        pop     ds
        iret

; Motor of drive BX on; it stops FD_MOTOR_TICKS after the request.
floppy_motor:
        mov     byte [bFDTIMER], 0xFF
        mov     cl, bl
        mov     al, 1
        shl     al, cl
        and     byte [bFDMOTOR], 0xF0
        or      [bFDMOTOR], al
        shl     al, 4
        or      al, bl
        or      al, 0x0C
        mov     dx, FD_DOR
        out     dx, al
        ret

; AH = data rate code 0-3 for the controller.
floppy_rate:
        mov     al, ah
        mov     dx, FD_DIR
        out     dx, al
        shl     al, 6
        mov     [bFDRATE], al
        ret

; Moves drive BX to cylinder CH (doubled when the media asks for it). AH = status, CF = 1 on error.
floppy_seek:
        push    dx
        call    .move
        pop     dx
        ret
.move:  mov     cl, bl
        mov     al, 1
        shl     al, cl
        test    [bFDRECAL], al
        jnz     .calibrated
        push    ax
        call    floppy_recalibrate
        pop     dx
        jc      .error
        or      [bFDRECAL], dl
.calibrated:
        mov     al, ch
        test    byte [bFDMEDIA + bx], 0x20
        jz      .single
        shl     al, 1
.single:
        cmp     al, [bFDTRACK + bx]
        je      .there
        mov     ah, al
        mov     al, 0x0F
        call    floppy_out
        jc      .timeout
        mov     al, bl
        call    floppy_out
        mov     al, ah
        call    floppy_out
        push    ax
        call    floppy_finish_seek
        pop     ax
        jc      .error
        mov     [bFDTRACK + bx], ah
.there: clc
        ret
.timeout:
        mov     ah, 0x80
        stc
        ret
.error: mov     ah, 0x40                ; seek failed
        stc
        ret

; Recalibrates drive BX (twice: one command covers 77 cylinders only).
floppy_recalibrate:
        mov     byte [bFDTRACK + bx], 0
        call    .once
        jnc     .done
.once:  mov     al, 0x07
        call    floppy_out
        jc      .done
        mov     al, bl
        call    floppy_out
        jc      .done
        call    floppy_finish_seek
.done:  ret
; Waits for the end of a seek and asks for its status. CF = 1: abnormal.
floppy_finish_seek:
        call    floppy_wait_irq
        jc      .done
        mov     al, 0x08
        call    floppy_out
        jc      .done
        call    floppy_in
        jc      .done
        mov     ah, al
        call    floppy_in
        jc      .done
        and     ah, 0xE0
        cmp     ah, 0x20                ; normal termination, seek end
        je      .done
        stc
.done:  ret

; AH = INT 13h status from ST0, ST1, ST2 in 40:42; CF = 1 unless 0.
floppy_result_status:
        mov     ah, 0
        test    byte [bFDRES], 0xC0
        jz      .done
        mov     al, [bFDRES + 1]
        mov     ah, 0x04                ; end of cylinder, no data
        test    al, 0x84
        jnz     .fail
        mov     ah, 0x10
        test    al, 0x20
        jnz     .fail
        mov     ah, 0x08
        test    al, 0x10
        jnz     .fail
        mov     ah, 0x03
        test    al, 0x02
        jnz     .fail
        mov     ah, 0x02
        test    al, 0x01
        jnz     .fail
        mov     ah, 0x20
.fail:  stc
.done:  ret

; DMA channel 2: EDI = physical address, CX = bytes, AL = mode (46h from the drive, 4Ah to the drive).
floppy_dma:
        pushf
        cli
        push    ax
        mov     al, 0x06
        out     0x0A, al
        out     0x0C, al
        pop     ax
        out     0x0B, al
        mov     eax, edi
        out     0x04, al
        mov     al, ah
        out     0x04, al
        shr     eax, 16
        out     0x81, al
        mov     ax, cx
        dec     ax
        out     0x05, al
        mov     al, ah
        out     0x05, al
        mov     al, 0x02
        out     0x0A, al
        popf
        ret

; What a program's own table at INT 1Eh says of the sectors on a track: AL = N, AH = EOT. The table of the BIOS, or one
; without a last sector, stands for the medium's: 2 and its sectors per track; so does any while the medium is looked for.
floppy_layout:
        mov     al, 2
        mov     ah, [gs:eFDSPT + bx]
        cmp     byte [gs:eFDOP], FDOP_DETECT
        je      .done
        push    es
        push    si
        call    floppy_dpt
        push    cx
        mov     cx, es
        cmp     cx, 0xF000
        pop     cx
        jne     .program
        cmp     si, diskette_table
        je      .own
.program:
        cmp     byte [es:si + 4], 0
        je      .own
        mov     ax, [es:si + 3]
.own:   pop     si
        pop     es
.done:  ret

; One transfer command within a cylinder: CH = cylinder, DH = head, CL = first sector, AL = sectors, EDI = physical
; buffer (no 64 KiB boundary inside), eFDOP. GS = EBDA. AH = status, CF = 1 on error.
floppy_command:
        push    ax
        call    floppy_layout
        cmp     cl, ah                  ; behind the last sector
        pop     ax
        jbe     .found
        mov     ah, 0x04
        stc
        ret
.found: push    cx
        mov     [gs:eFDHEAD], dh
        movzx   cx, al
        shl     cx, 9
        mov     al, 0x46
        cmp     byte [gs:eFDOP], FDOP_WRITE
        jne     .mode
        mov     al, 0x4A
.mode:  call    floppy_dma
        pop     cx
        call    floppy_layout
        cmp     ah, [gs:eFDSPT + bx]    ; CF = 1: the program's track ends early, and so does the transfer
        mov     al, 0xE6                ; READ DATA: multi-track, MFM, skip deleted
        jnc     .sides
        mov     al, 0x66
.sides: cmp     byte [gs:eFDOP], FDOP_WRITE
        jne     .code
        and     al, 0x80
        or      al, 0x45                ; WRITE DATA
.code:  call    floppy_out
        jc      .timeout
        mov     al, dh
        shl     al, 2
        or      al, bl
        call    floppy_out
        mov     al, ch
        call    floppy_out
        mov     al, dh
        call    floppy_out
        mov     al, cl
        call    floppy_out
        call    floppy_layout
        call    floppy_out
        mov     al, ah
        call    floppy_out
        push    es
        push    si
        call    floppy_dpt
        mov     al, [es:si + 5]
        call    floppy_out
        mov     al, [es:si + 6]
        pop     si
        pop     es
        call    floppy_out
        jc      .timeout
        call    floppy_wait_irq
        jc      .timeout
        call    floppy_results
        jc      .timeout
        jmp     floppy_result_status
.timeout:
        call    floppy_reset
        mov     ah, 0x80
        stc
        ret

; READ ID on the current cylinder, head 0. CF = 1: not readable at this rate.
floppy_read_id:
        mov     al, 0x4A
        call    floppy_out
        jc      .bad
        mov     al, bl
        call    floppy_out
        jc      .bad
        call    floppy_wait_irq
        jc      .reset
        call    floppy_results
        jc      .reset
        jmp     floppy_result_status
.reset: call    floppy_reset
.bad:   mov     ah, 0x80
        stc
        ret

; ---- Media --------------------------------------------------------------------------------------
; AL = CMOS type of drive BX.
floppy_type:
        mov     al, 0x10
        call    cmos_read
        or      bl, bl
        jnz     .second
        shr     al, 4
.second:
        and     al, 0x0F
        cmp     al, FD_TYPES
        jb      .done
        xor     al, al
.done:  ret

; Finds rate and format of the media in drive BX when not known. AH = status, CF = 1 on error.
; A change that was noticed is reported once as 06h when the media had been known.
floppy_establish:
        call    floppy_motor
        mov     dx, FD_DIR
        in      al, dx
        test    al, 0x80
        jz      .unchanged
        mov     al, [bFDMEDIA + bx]
        push    ax
        mov     byte [bFDMEDIA + bx], 0
        call    floppy_clear_change
        pop     ax
        jc      .absent
        test    al, MEDIA_KNOWN
        jz      .detect
        mov     ah, 0x06
        stc
        ret
.absent:
        mov     ah, 0x80                ; no media
        stc
        ret
.unchanged:
        test    byte [bFDMEDIA + bx], MEDIA_KNOWN
        jz      .detect
        mov     ah, [bFDMEDIA + bx]
        shr     ah, 6
        jmp     floppy_rate             ; CF = 0
.detect:
        mov     al, [gs:eFDOP]
        push    ax
        call    .look
        pop     cx
        mov     [gs:eFDOP], cl          ; what is to be done with it
        ret
.look:  call    floppy_type
        movzx   si, al
        shl     si, 1
        mov     si, [cs:floppy_media + si]
.try:   mov     ah, [cs:si]
        cmp     ah, 0xFF
        je      .unknown
        call    floppy_rate
        mov     al, [cs:si + 1]
        mov     [gs:eFDSPT + bx], al
        mov     al, [cs:si + 2]
        mov     [gs:eFDCYL + bx], al
        mov     al, [cs:si + 3]
        and     al, 0xEF
        mov     [bFDMEDIA + bx], al
        push    si
        xor     ch, ch
        call    floppy_seek
        jc      .next
        call    floppy_read_id
        jc      .next
        mov     byte [gs:eFDOP], FDOP_DETECT ; the track's last sector tells the format
        mov     ch, 0
        mov     dh, 0
        mov     cl, [gs:eFDSPT + bx]
        mov     al, 1
        mov     edi, EBDA_SEG * 16 + eBOUNCE
        call    floppy_command
        jc      .next
        cmp     byte [gs:eFDCYL + bx], 80
        jb      .found
        ; An 80-cylinder format must have cylinder 79, else the 40-cylinder entry follows.
        cmp     byte [gs:eFDSPT + bx], 9
        jne     .found
        mov     ch, 79
        call    floppy_seek
        jc      .found
        mov     ch, 79
        mov     cl, 1
        mov     dh, 0
        mov     al, 1
        mov     edi, EBDA_SEG * 16 + eBOUNCE
        call    floppy_command
        jc      .next
.found: pop     si
        or      byte [bFDMEDIA + bx], MEDIA_KNOWN
        mov     ah, 0
        clc
        ret
.next:  pop     si
        cmp     ah, 0x80                ; no answer at all: no other format will help
        je      .no_answer
        add     si, 4
        jmp     .try
.unknown:
        mov     ah, 0x0C                ; media type not found
.no_answer:
        mov     byte [bFDMEDIA + bx], 0
        stc
        ret

; A step away and back resets the change line. CF = 1: it stays, there is no media.
floppy_clear_change:
        mov     byte [bFDTRACK + bx], 0xFF
        mov     ch, 1
        call    floppy_seek
        mov     ch, 0
        call    floppy_seek
        mov     dx, FD_DIR
        in      al, dx
        shl     al, 1
        ret
