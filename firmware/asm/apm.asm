; INT 15h AH=53h: APM 1.2, real-mode interface: presence, connection, power off.

int15_apm:
        mov     al, [bp + fAL]
        cmp     al, 0x00
        je      .present
        cmp     al, 0x01
        je      .ok
        cmp     al, 0x04
        je      .ok
        cmp     al, 0x05
        je      .idle
        cmp     al, 0x06
        je      .ok
        cmp     al, 0x07
        je      .state
        cmp     al, 0x08
        je      .ok
        cmp     al, 0x0A
        je      .status
        cmp     al, 0x0B
        je      .event
        cmp     al, 0x0E
        je      .version
        cmp     al, 0x0F
        je      .ok
        mov     byte [bp + fAH], 0x0C   ; not supported
        cmp     al, 0x03
        ja      .fail
        mov     byte [bp + fAH], 0x08   ; 32-bit interface not supported
        je      .fail
        mov     byte [bp + fAH], 0x06   ; 16-bit protected mode interface not supported
.fail:  SET_CF
        ret
.present:
        mov     word [bp + fAX], 0x0102
        mov     word [bp + fBX], 0x504D
        mov     word [bp + fCX], 0      ; real-mode interface only
        CLR_CF
        ret
.version:
        mov     word [bp + fAX], 0x0102
        CLR_CF
        ret
.idle:  sti
        hlt
.ok:    mov     byte [bp + fAH], 0
        CLR_CF
        ret
.status:
        mov     word [bp + fBX], 0x01FF ; on line, battery unknown
        mov     word [bp + fCX], 0x80FF
        mov     word [bp + fDX], 0xFFFF
        jmp     .ok
.event: mov     byte [bp + fAH], 0x80   ; none pending
        jmp     .fail
.state: cmp     word [bp + fCX], 3
        jne     .ok
        cmp     word [bp + fBX], 1
        jne     .ok
; Soft-off: PM1a_CNT with SLP_TYP 0 and SLP_EN, then "Shutdown" to port 8900h.
power_off:
        cli
        LOADSEG ds, EBDA_SEG
        mov     dx, [ePMBASE]
        or      dx, dx
        jz      .port
        add     dx, 4
        mov     ax, 0x2001
        out     dx, ax
.port:  mov     si, .text
        mov     dx, 0x8900
.next:  cs lodsb
        or      al, al
        jz      .stop
        out     dx, al
        jmp     .next
.stop:  hlt
        jmp     .stop
.text:  db      "Shutdown", 0
