; PS/2 mouse: IRQ 12 and INT 15h C2xxh.

; Whether a mouse answers: sets the equipment bit (40:10 bit 2, assumed set) accordingly.
mouse_init:
        pushf
        cli
        push    ds
        LOADSEG ds, BDA_SEG
        call    mouse_open
        jc      .absent
        mov     al, 0xF2                ; read device type
        call    mouse_send
        jc      .absent
        call    kbc_read
        jc      .absent
        jmp     .close
.absent:
        and     byte [bEQUIP], 0xFB
.close: call    mouse_shut
        pop     ds
        popf
        ret

; Switches the keyboard off and the auxiliary port on while we talk to the mouse; IRQ 12 is off. CF = 1: no controller.
mouse_open:
        mov     al, 0xAD
        call    kbc_command
        jc      .done
        mov     al, 0x20
        call    kbc_command
        call    kbc_read
        jc      .done
        and     al, 0xDD                ; auxiliary clock on, IRQ 12 off
        push    ax
        mov     al, 0x60
        call    kbc_command
        pop     ax
        call    kbc_data
        call    kbc_flush
        clc
.done:  ret
; Keyboard on again. IRQ 12 stays off.
mouse_shut:
        mov     al, 0xAE
        jmp     kbc_command
; The same with IRQ 12 on.
mouse_shut_enable:
        mov     al, 0x20
        call    kbc_command
        call    kbc_read
        jc      mouse_shut
        or      al, 0x02
        push    ax
        mov     al, 0x60
        call    kbc_command
        pop     ax
        call    kbc_data
        jmp     mouse_shut

; AL = byte for the mouse; CF = 1 unless it answers FAh.
mouse_send:
        push    ax
        mov     al, 0xD4
        call    kbc_command
        pop     ax
        jc      .done
        call    kbc_data
        jc      .done
        call    kbc_read
        jc      .done
        cmp     al, 0xFA
        je      .done
        stc
.done:  ret

; INT 15h AH=C2h. Results: AH = 0, or 1 function, 2 input, 3 interface, 5 no handler, with CF = 1.
int15_mouse:
        LOADSEG ds, EBDA_SEG
        movzx   bx, byte [bp + fAL]
        cmp     bl, 7
        ja      .bad_function
        shl     bx, 1
        cli
        call    [cs:.table + bx]
        sti
        mov     [bp + fAH], ah
        CLR_CF
        or      ah, ah
        jz      .done
        SET_CF
.done:  ret
.bad_function:
        mov     byte [bp + fAH], 1
        SET_CF
        ret
.table: dw      .enable, .reset, .rate, .resolution, .type, .initialize, .extended, .handler

.enable:
        mov     bl, [bp + fBH]
        cmp     bl, 1
        ja      .bad_input
        jb      .disable
        test    byte [eMOUSEF1], 0x80
        jz      .no_handler
        call    mouse_open
        mov     al, 0xF4
        call    mouse_send
        pushf
        mov     byte [eMOUSEF0], 0
        call    mouse_shut_enable
        popf
        jmp     .result
.disable:
        call    mouse_open
        mov     al, 0xF5
        call    mouse_send
        pushf
        call    mouse_shut
        popf
.result:
        mov     ah, 0
        jnc     .ret
        mov     ah, 3
.ret:   ret
.bad_input:
        mov     ah, 2
        ret
.no_handler:
        mov     ah, 5
        ret
.initialize:
        mov     al, [bp + fBH]          ; packet size 1-8
        dec     al
        cmp     al, 7
        ja      .bad_input
        and     byte [eMOUSEF1], 0x80
        or      [eMOUSEF1], al
.reset: call    mouse_open
        mov     al, 0xFF
        call    mouse_send
        jc      .closed
        call    kbc_read                ; AAh
        jc      .closed
        mov     [bp + fBL], al
        call    kbc_read                ; device id
        jc      .closed
        mov     [bp + fBH], al
.closed:
        pushf
        call    mouse_shut
        popf
        jmp     .result
.rate:  movzx   bx, byte [bp + fBH]
        cmp     bl, 6
        ja      .bad_input
        mov     ah, [cs:.rates + bx]
        mov     al, 0xF3
        jmp     .two
.rates: db      10, 20, 40, 60, 80, 100, 200
.resolution:
        mov     ah, [bp + fBH]
        cmp     ah, 3
        ja      .bad_input
        mov     al, 0xE8
.two:   push    ax
        call    mouse_reporting
        pop     ax
        push    ax
        call    mouse_send
        pop     ax
        jc      .reopen
        mov     al, ah
        call    mouse_send
.reopen:
        pushf
        call    mouse_resume
        popf
        jmp     .result
.type:  call    mouse_reporting
        mov     al, 0xF2
        call    mouse_send
        jc      .reopen
        call    kbc_read
        jc      .reopen
        mov     [bp + fBH], al
        jmp     .reopen
.extended:
        mov     al, [bp + fBH]
        or      al, al
        jz      .status
        cmp     al, 2
        ja      .bad_input
        add     al, 0xE6 - 1            ; 1: scaling 1:1, 2: scaling 2:1
        push    ax
        call    mouse_reporting
        pop     ax
        call    mouse_send
        jmp     .reopen
.status:
        call    mouse_reporting
        mov     al, 0xE9
        call    mouse_send
        jc      .reopen
        call    kbc_read
        jc      .reopen
        mov     [bp + fBL], al
        call    kbc_read
        jc      .reopen
        mov     [bp + fCL], al
        call    kbc_read
        jc      .reopen
        mov     [bp + fDL], al
        jmp     .reopen
.handler:
        mov     ax, [bp + fBX]
        mov     [eMOUSEPTR], ax
        mov     bx, [bp + fES]
        mov     [eMOUSEPTR + 2], bx
        and     byte [eMOUSEF1], 0x7F
        or      ax, bx
        mov     ah, 0
        jz      .ret
        or      byte [eMOUSEF1], 0x80
        ret

; Opens the port for a command and remembers whether IRQ 12 was on (BH bit 1) and the port off (bit 5).
mouse_reporting:
        mov     al, 0x20
        call    kbc_command
        call    kbc_read
        mov     bh, al
        jmp     mouse_open
mouse_resume:
        test    bh, 2
        jnz     mouse_shut_enable
        jmp     mouse_shut

; ---- IRQ 12 ----------------------------------------------------------------------------------
; Collects a packet and calls the handler with status, X, Y, Z as words on the stack (last pushed: Z).
irq12_mouse:
        sti
        pushad
        push    ds
        push    es
        cld
        LOADSEG ds, EBDA_SEG
        in      al, 0x64
        test    al, 0x21
        jz      .eoi
        in      al, 0x60
        test    byte [eMOUSEF1], 0x80
        jz      .eoi
        movzx   bx, byte [eMOUSEF0]
        and     bx, 7
        jnz     .store
        test    al, 8                   ; first byte of a packet: bit 3 is always set
        jz      .eoi
.store: mov     [eMOUSEBUF + bx], al
        inc     bx
        mov     al, [eMOUSEF1]
        and     al, 7
        cmp     al, 2
        jae     .size
        mov     al, 2                   ; packets have three bytes at least
.size:  cmp     bl, al
        ja      .complete
        mov     [eMOUSEF0], bl
        jmp     .eoi
.complete:
        mov     byte [eMOUSEF0], 0
        movzx   ax, byte [eMOUSEBUF]
        push    ax
        mov     al, [eMOUSEBUF + 1]
        push    ax
        mov     al, [eMOUSEBUF + 2]
        push    ax
        push    word 0
        mov     al, 0x20                ; the handler may run long
        out     0xA0, al
        out     0x20, al
        call    far [eMOUSEPTR]
        add     sp, 8
        jmp     .leave
.eoi:   cli
        mov     al, 0x20
        out     0xA0, al
        out     0x20, al
.leave: pop     es
        pop     ds
        popad
        iret
