; IRQ 0 (18.2 Hz), IRQ 8 (RTC), and the waits of INT 15h 83h and 86h.

TICKS_PER_DAY   equ 0x1800B0
RTC_TICK_US     equ 976                 ; periodic interrupt at 1024 Hz

irq0_timer:
        push    ds
        push    ax
        push    dx
        LOADSEG ds, BDA_SEG
        inc     dword [bTICKS]
        cmp     dword [bTICKS], TICKS_PER_DAY
        jb      .motor
        mov     dword [bTICKS], 0
        mov     byte [bMIDNIGHT], 1
.motor: cmp     byte [bFDTIMER], 0
        je      .user
        dec     byte [bFDTIMER]
        jnz     .user
        and     byte [bFDMOTOR], 0xF0
        mov     dx, 0x3F2
        mov     al, 0x0C                ; motors off, DMA and reset lines as they were
        out     dx, al
.user:  sti
        int     0x1C
        cli
        mov     al, 0x20
        out     0x20, al
        pop     dx
        pop     ax
        pop     ds
        iret

; 40:6C from the RTC's time of day: (seconds * 1193180 / 65536), with 18.2065 = 1193180 / 65536.
ticks_from_rtc:
        push    ds
        LOADSEG ds, BDA_SEG
        call    rtc_wait
        mov     al, 0x04
        call    .bcd
        imul    ecx, eax, 3600
        mov     al, 0x02
        call    .bcd
        imul    eax, eax, 60
        add     ecx, eax
        mov     al, 0x00
        call    .bcd
        add     eax, ecx
        mov     ecx, 1193180
        mul     ecx
        shrd    eax, edx, 16
        mov     [bTICKS], eax
        pop     ds
        ret
; AL = CMOS index of a BCD byte -> EAX
.bcd:   call    cmos_read
        mov     ah, al
        shr     ah, 4
        and     al, 0x0F
        aad                             ; AL = AH * 10 + AL
        movzx   eax, al
        ret

; Until no update is in progress; gives up after about an update's length on a dead clock.
rtc_wait:
        push    cx
        push    ax
        mov     cx, 0x2000
.poll:  mov     al, 0x0A
        call    cmos_read
        test    al, 0x80
        loopnz  .poll
        pop     ax
        pop     cx
        ret

irq8_rtc:
        push    ds
        push    ax
        LOADSEG ds, BDA_SEG
        mov     al, 0x0C                ; reading C ends the interrupt
        call    cmos_read
        mov     ah, al
        mov     al, 0x0B
        call    cmos_read
        and     ah, al
        test    ah, 0x40
        jz      .alarm
        test    byte [bWAITFLAG], 1
        jz      .alarm
        sub     dword [bWAITCNT], RTC_TICK_US
        ja      .alarm
        push    ax
        push    es
        push    bx
        les     bx, [bWAITPTR]
        or      byte [es:bx], 0x80
        pop     bx
        pop     es
        and     byte [bWAITFLAG], 0xFE
        call    rtc_periodic_off
        pop     ax
.alarm: test    ah, 0x20
        jz      .eoi
        sti
        int     0x4A
        cli
.eoi:   mov     al, 0x20
        out     0xA0, al
        out     0x20, al
        pop     ax
        pop     ds
        iret

rtc_periodic_off:
        mov     al, 0x0B
        call    cmos_read
        and     al, 0xBF
        jmp     rtc_periodic_set
rtc_periodic_on:
        in      al, 0xA1                ; IRQ 8 and the cascade open
        and     al, 0xFE
        out     0xA1, al
        in      al, 0x21
        and     al, 0xFB
        out     0x21, al
        mov     al, 0x0B
        call    cmos_read
        or      al, 0x40
rtc_periodic_set:
        mov     ah, al
        mov     al, 0x0B
        jmp     cmos_write

; INT 15h AH=83h: event wait. AL = 0: after CX:DX microseconds bit 7 of ES:BX is set. AL = 1: cancel.
int15_event_wait:
        LOADSEG ds, BDA_SEG
        cmp     byte [bp + fAL], 1
        je      .cancel
        cmp     byte [bp + fAL], 0
        jne     int15_unsupported
        cli
        test    byte [bWAITFLAG], 1
        jnz     .busy
        mov     ax, [bp + fBX]
        mov     [bWAITPTR], ax
        mov     ax, [bp + fES]
        mov     [bWAITPTR + 2], ax
        call    wait_start
        sti
        mov     byte [bp + fAH], 0
        CLR_CF
        ret
.busy:  sti
        mov     byte [bp + fAH], 0x80
        SET_CF
        ret
.cancel:
        cli
        and     byte [bWAITFLAG], 0xFE
        call    rtc_periodic_off
        sti
        mov     byte [bp + fAH], 0
        CLR_CF
        ret
wait_start:
        mov     ax, [bp + fDX]
        mov     [bWAITCNT], ax
        mov     ax, [bp + fCX]
        mov     [bWAITCNT + 2], ax
        mov     byte [bWAITFLAG], 1
        mov     al, 0x0C
        call    cmos_read
        jmp     rtc_periodic_on

; INT 15h AH=86h: wait CX:DX microseconds.
int15_wait:
        LOADSEG ds, BDA_SEG
        cli
        test    byte [bWAITFLAG], 1
        jnz     int15_event_wait.busy
        mov     word [bWAITPTR], bWAITFLAG
        mov     word [bWAITPTR + 2], BDA_SEG
        call    wait_start
.hold:  sti
        hlt
        cli
        test    byte [bWAITFLAG], 0x80
        jz      .hold
        mov     byte [bWAITFLAG], 0
        sti
        mov     byte [bp + fAH], 0
        CLR_CF
        ret
