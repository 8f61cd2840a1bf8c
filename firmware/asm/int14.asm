; INT 14h: COM1 (16550 at 3F8h). DX = port number.

; Ports that hold a value in their scratch and line control registers go into 40:00; equipment bits 11-9.
serial_init:
        push    ds
        LOADSEG ds, BDA_SEG
        xor     bx, bx
        mov     si, .ports
.next:  mov     dx, [cs:si]
        or      dx, dx
        jz      .done
        add     dx, 3
        mov     al, 0x1B
        out     dx, al
        in      al, dx
        cmp     al, 0x1B
        jne     .absent
        mov     al, 0x03
        out     dx, al
        in      al, dx
        cmp     al, 0x03
        jne     .absent
        sub     dx, 3
        mov     [bCOM1 + bx], dx
        inc     dx
        xor     al, al                  ; no interrupts
        out     dx, al
        add     bx, 2
.absent:
        add     si, 2
        jmp     .next
.done:  mov     al, bl                  ; number * 2 = bits 11-9 of the word
        or      [bEQUIP + 1], al
        pop     ds
        ret
.ports: dw      0x3F8, 0x2F8, 0

int14_entry:
        ENTER_SERVICE
        sti
        LOADSEG ds, BDA_SEG
        mov     bx, [bp + fDX]
        cmp     bx, 4
        jae     .fail
        mov     cl, [bCOMTMO + bx]
        shl     bx, 1
        mov     dx, [bCOM1 + bx]
        or      dx, dx
        jz      .fail
        mov     ah, [bp + fAH]
        or      ah, ah
        jz      .initialize
        dec     ah
        jz      .send
        dec     ah
        jz      .receive
        dec     ah
        jz      .status
.fail:  cmp     byte [bp + fAH], 3
        ja      .leave
        mov     byte [bp + fAH], 0x80
.leave: LEAVE_SERVICE
.initialize:
        add     dx, 3
        mov     al, 0x80                ; divisor latch
        out     dx, al
        movzx   bx, byte [bp + fAL]
        shr     bx, 5
        shl     bx, 1
        mov     ax, [cs:.divisors + bx]
        sub     dx, 3
        out     dx, al
        inc     dx
        mov     al, ah
        out     dx, al
        add     dx, 2
        mov     al, [bp + fAL]
        and     al, 0x1F
        out     dx, al
        sub     dx, 2
        xor     al, al
        out     dx, al
        dec     dx
.status:
        add     dx, 5
        in      al, dx
        mov     [bp + fAH], al
        inc     dx
        in      al, dx
        mov     [bp + fAL], al
        jmp     .leave
.send:  add     dx, 4
        mov     al, 3                   ; DTR, RTS
        out     dx, al
        inc     dx
        mov     ch, 0x20
        call    .wait
        jc      .time_out
        push    ax
        mov     al, [bp + fAL]
        sub     dx, 5
        out     dx, al
        pop     ax
        and     al, 0x7F
        mov     [bp + fAH], al
        jmp     .leave
.receive:
        add     dx, 4
        mov     al, 1
        out     dx, al
        inc     dx
        mov     ch, 0x01
        call    .wait
        jc      .time_out
        and     al, 0x1E
        mov     [bp + fAH], al
        sub     dx, 5
        in      al, dx
        mov     [bp + fAL], al
        jmp     .leave
.time_out:
        or      al, 0x80
        mov     [bp + fAH], al
        jmp     .leave
; Until a bit of CH is set in the line status (port DX), about CL seconds. AL = status.
.wait:  mov     bh, ch
        movzx   ecx, cl
        shl     ecx, 19
.poll:  in      al, dx
        test    al, bh
        jnz     .ready
        a32 loop .poll
        stc
.ready: ret
.divisors:
        dw      1047, 768, 384, 192, 96, 48, 24, 12
