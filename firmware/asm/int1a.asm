; INT 1Ah: time of day, RTC, PCI BIOS.

int1a_entry:
        ENTER_SERVICE
        LOADSEG ds, BDA_SEG
        mov     al, [bp + fAH]
        cmp     al, 0xB1
        je      .pci
        cmp     al, 7
        ja      .unknown
        movzx   bx, al
        shl     bx, 1
        call    [cs:.table + bx]
        jmp     .leave
.pci:   pushf
        cli
        call    int1a_pci
        popf
        jmp     .leave
.unknown:
        SET_CF
.leave: LEAVE_SERVICE
.table: dw      .ticks, .set_ticks, .time, .set_time, .date, .set_date, .alarm, .alarm_off

.ticks: cli
        mov     eax, [bTICKS]
        mov     cl, 0
        xchg    cl, [bMIDNIGHT]
        sti
        mov     [bp + fAL], cl
        mov     [bp + fDX], ax
        shr     eax, 16
        mov     [bp + fCX], ax
        CLR_CF
        ret
.set_ticks:
        mov     ax, [bp + fCX]
        shl     eax, 16
        mov     ax, [bp + fDX]
        mov     [bTICKS], eax
        mov     byte [bMIDNIGHT], 0
        mov     byte [bp + fAH], 0
        CLR_CF
        ret
; AH=02h: CH hours, CL minutes, DH seconds (BCD), DL daylight saving.
.time:  call    rtc_wait
        mov     al, 0x00
        call    cmos_read
        mov     [bp + fDH], al
        mov     al, 0x02
        call    cmos_read
        mov     [bp + fCL], al
        mov     al, 0x04
        call    cmos_read
        mov     [bp + fCH], al
        mov     al, 0x0B
        call    cmos_read
        and     al, 1
        mov     [bp + fDL], al
        jmp     .good
.set_time:
        call    .stop
        mov     ah, [bp + fDH]
        mov     al, 0x00
        call    cmos_write
        mov     ah, [bp + fCL]
        mov     al, 0x02
        call    cmos_write
        mov     ah, [bp + fCH]
        mov     al, 0x04
        call    cmos_write
        mov     al, 0x0B
        call    cmos_read
        and     al, 0x7E
        mov     ah, [bp + fDL]
        and     ah, 1
        or      ah, al
        mov     al, 0x0B
        call    cmos_write
        jmp     .good
; AH=04h: CX century and year, DH month, DL day.
.date:  call    rtc_wait
        mov     al, 0x07
        call    cmos_read
        mov     [bp + fDL], al
        mov     al, 0x08
        call    cmos_read
        mov     [bp + fDH], al
        mov     al, 0x09
        call    cmos_read
        mov     [bp + fCL], al
        mov     al, 0x32
        call    cmos_read
        mov     [bp + fCH], al
        jmp     .good
.set_date:
        call    .stop
        mov     ah, [bp + fDL]
        mov     al, 0x07
        call    cmos_write
        mov     ah, [bp + fDH]
        mov     al, 0x08
        call    cmos_write
        mov     ah, [bp + fCL]
        mov     al, 0x09
        call    cmos_write
        mov     ah, [bp + fCH]
        mov     al, 0x32
        call    cmos_write
        call    .run
.good:  mov     byte [bp + fAH], 0
        CLR_CF
        ret
; AH=06h: alarm at CH:CL:DH calls INT 4Ah.
.alarm: mov     al, 0x0B
        call    cmos_read
        test    al, 0x20
        jnz     .busy
        mov     ah, [bp + fDH]
        mov     al, 0x01
        call    cmos_write
        mov     ah, [bp + fCL]
        mov     al, 0x03
        call    cmos_write
        mov     ah, [bp + fCH]
        mov     al, 0x05
        call    cmos_write
        in      al, 0xA1
        and     al, 0xFE
        out     0xA1, al
        mov     al, 0x0B
        call    cmos_read
        and     al, 0x7F
        or      al, 0x20
        jmp     .set_b
.busy:  SET_CF
        ret
.alarm_off:
        mov     al, 0x0B
        call    cmos_read
        and     al, 0x57
.set_b: mov     ah, al
        mov     al, 0x0B
        call    cmos_write
        jmp     .good
.stop:  mov     al, 0x0B
        call    cmos_read
        or      al, 0x80
        jmp     .b
.run:   mov     al, 0x0B
        call    cmos_read
        and     al, 0x7F
.b:     mov     ah, al
        mov     al, 0x0B
        jmp     cmos_write
