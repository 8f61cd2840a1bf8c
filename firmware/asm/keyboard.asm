; 8042 and keyboard: start-up, IRQ 1, INT 16h.

; ---- Controller access while polling. AL = byte; CF = 1 after a time-out ---------------
kbc_wait_in:
        push    ecx
        push    ax
        mov     ecx, 0x40000
.poll:  in      al, 0x64
        test    al, 2
        jz      .done
        a32 loop .poll
        stc
.done:  pop     ax
        pop     ecx
        ret
kbc_command:
        call    kbc_wait_in
        jc      .done
        out     0x64, al
        call    kbc_wait_in
.done:  ret
kbc_data:
        call    kbc_wait_in
        jc      .done
        out     0x60, al
        call    kbc_wait_in
.done:  ret
kbc_read:
        push    ecx
        mov     ecx, 0x40000
.poll:  in      al, 0x64
        test    al, 1
        jnz     .full
        a32 loop .poll
        pop     ecx
        stc
        ret
.full:  in      al, 0x60
        pop     ecx
        clc
        ret
kbc_flush:
        push    cx
        mov     cx, 64
.next:  in      al, 0x64
        test    al, 1
        jz      .done
        in      al, 0x60
        loop    .next
.done:  pop     cx
        ret
; AL = byte for the keyboard; waits for its FAh.
kbd_send:
        call    kbc_data
        jc      .done
        call    kbc_read
.done:  ret

keyboard_init:
        push    ds
        LOADSEG ds, BDA_SEG
        in      al, 0x64
        cmp     al, 0xFF                ; no controller
        je      .done
        mov     al, 0xAD                ; both ports off while we talk
        call    kbc_command
        mov     al, 0xA7
        call    kbc_command
        call    kbc_flush
        mov     al, 0xAA                ; self test
        call    kbc_command
        call    kbc_read
        jc      .done
        cmp     al, 0x55
        jne     .done
        mov     al, 0xAB                ; keyboard interface test
        call    kbc_command
        call    kbc_read
        mov     al, 0xAE
        call    kbc_command
        mov     al, 0xFF                ; keyboard reset: FAh, AAh
        call    kbd_send
        jc      .command_byte
        call    kbc_read
        mov     al, 0xF4                ; scanning on
        call    kbd_send
.command_byte:
        mov     al, 0x60                ; translation, system flag, IRQ 1; auxiliary port off
        call    kbc_command
        mov     al, 0x65
        call    kbc_data
        call    kbc_flush
.done:  pop     ds
        ret

; ---- IRQ 1 -------------------------------------------------------------------------------
; Flags in 40:17: 0 right shift, 1 left shift, 2 Ctrl, 3 Alt, 4 Scroll, 5 Num, 6 Caps, 7 Ins.
; 40:18: 0 left Ctrl, 1 left Alt, 2 SysRq, 3 pause, 4-7 lock keys down. 40:96: 0 E1h seen, 1 E0h seen, 2 right Ctrl, 3 right Alt.
irq1_keyboard:
        sti
        pushad
        push    ds
        push    es
        cld
        LOADSEG ds, BDA_SEG
        in      al, 0x60
        mov     ah, 0x4F                ; keyboard intercept: CF = 0 swallows the code
        stc
        int     0x15
        jnc     .eoi
        cmp     al, 0xFA
        je      .ack
        cmp     al, 0xFE
        je      .resend
        call    keyboard_code
        jmp     .eoi
.ack:   call    keyboard_led_ack
        jmp     .eoi
.resend:
        and     byte [bKBLED], 0x3F     ; give the LEDs up
.eoi:   cli
        mov     al, 0x20
        out     0x20, al
        pop     es
        pop     ds
        popad
        iret

; AL = scan code (set 1). DS = 40h.
keyboard_code:
        test    byte [bKBF3], 1
        jz      .not_e1
        ; E1 1D 45 E1 9D C5: Pause
        cmp     al, 0xE1
        je      .done
        and     al, 0x7F
        cmp     al, 0x1D
        je      .done
        and     byte [bKBF3], 0xFE
        test    byte [bKBF1], 8
        jnz     .done
        or      byte [bKBF1], 8
        mov     al, 0x20
        out     0x20, al
        sti
.pause: hlt                             ; until a key clears the flag
        test    byte [bKBF1], 8
        jnz     .pause
.done:  ret
.not_e1:
        cmp     al, 0xE1
        jne     .not_prefix1
        test    byte [bKBF1], 8
        jnz     .done
        or      byte [bKBF3], 1
        ret
.not_prefix1:
        cmp     al, 0xE0
        jne     .key
        or      byte [bKBF3], 2
        ret
.key:   mov     bl, [bKBF3]             ; BL bit 1: extended
        and     byte [bKBF3], 0xFD
        mov     bh, al                  ; BH bit 7: released
        and     al, 0x7F
        ; Shift, Ctrl, Alt
        cmp     al, 0x2A
        je      .lshift
        cmp     al, 0x36
        je      .rshift
        cmp     al, 0x1D
        je      .ctrl
        cmp     al, 0x38
        je      .alt
        cmp     al, 0x3A
        je      .caps
        cmp     al, 0x45
        je      .num
        cmp     al, 0x46
        je      .scroll
        cmp     al, 0x54
        je      .sysrq
        cmp     al, 0x52
        jne     .plain
        or      bh, bh
        jns     .plain
        and     byte [bKBF1], 0x7F      ; Ins released
.plain: or      bh, bh
        js      .done
        test    byte [bKBF1], 8         ; the first key ends the pause and is lost
        jz      keyboard_translate
        and     byte [bKBF1], 0xF7
        ret
.lshift:
        test    bl, 2                   ; E0 2A: fake shift
        jnz     .done
        mov     ah, 2
        jmp     .shift
.rshift:
        test    bl, 2
        jnz     .done
        mov     ah, 1
.shift: or      bh, bh
        js      .clear17
.set17: or      [bKBF0], ah
        ret
.clear17:
        not     ah
        and     [bKBF0], ah
        ret
.ctrl:  test    bl, 2
        jnz     .rctrl
        mov     al, 1
        jmp     .left
.rctrl: mov     ah, 4
        mov     al, 4
        jmp     .right
.alt:   test    bl, 2
        jnz     .ralt
        mov     al, 2
.left:  or      bh, bh
        js      .left_up
        or      [bKBF1], al
        jmp     .either
.left_up:
        not     al
        and     [bKBF1], al
        jmp     .either
.ralt:  mov     al, 8
.right: or      bh, bh
        js      .right_up
        or      [bKBF3], al
        jmp     .either
.right_up:
        not     al
        and     [bKBF3], al
; Ctrl and Alt of 40:17 from the left and right keys
.either:
        mov     al, [bKBF1]
        mov     ah, [bKBF3]
        mov     cl, [bKBF0]
        mov     ch, cl
        and     cl, 0xF3
        test    al, 1
        jnz     .is_ctrl
        test    ah, 4
        jz      .no_ctrl
.is_ctrl:
        or      cl, 4
.no_ctrl:
        test    al, 2
        jnz     .is_alt
        test    ah, 8
        jz      .no_alt
.is_alt:
        or      cl, 8
.no_alt:
        mov     [bKBF0], cl
        test    ch, 8                   ; Alt released: the number typed on the keypad
        jz      .mod_done
        test    cl, 8
        jnz     .mod_done
        xor     ax, ax
        xchg    al, [bALTNUM]
        or      al, al
        jnz     keyboard_put
.mod_done:
        ret
.caps:  mov     ah, 0x40
        jmp     .lock
.num:   test    byte [bKBF0], 4         ; Ctrl-NumLock: pause on old keyboards
        mov     ah, 0x20
        jmp     .lock
.scroll:
        test    bl, 2                   ; E0 46: Ctrl-Break
        jnz     .break
        mov     ah, 0x10
.lock:  or      bh, bh
        js      .lock_up
        test    [bKBF1], ah             ; typematic
        jnz     .lock_done
        or      [bKBF1], ah
        xor     [bKBF0], ah
        jmp     keyboard_leds
.lock_up:
        not     ah
        and     [bKBF1], ah
.lock_done:
        ret
.break: or      bh, bh
        js      .lock_done
        mov     byte [bBREAK], 0x80
        mov     ax, bKBBUF
        mov     [bKBHEAD], ax
        mov     [bKBTAIL], ax
        int     0x1B
        xor     ax, ax
        jmp     keyboard_put
.sysrq: mov     ax, 0x8500
        or      bh, bh
        jns     .sys_down
        and     byte [bKBF1], 0xFB
        inc     ax                      ; 8501h: released
        jmp     .sys_call
.sys_down:
        test    byte [bKBF1], 4
        jnz     .lock_done
        or      byte [bKBF1], 4
.sys_call:
        int     0x15
        ret

; AL = make code, BL bit 1 = extended: looks the key up and stores it.
keyboard_translate:
        cmp     al, KEYMAP_LAST
        ja      .none
        mov     dl, [bKBF0]
        cmp     al, 0x53                ; Ctrl-Alt-Del
        jne     .no_reset
        mov     dh, dl
        and     dh, 0x0C
        cmp     dh, 0x0C
        jne     .no_reset
        mov     word [bWARM], 0x1234
        jmp     reset_machine
.no_reset:
        movzx   si, al
        test    bl, 2
        jnz     .extended
        cmp     al, 0x52
        jne     .not_ins
        test    dl, 0x0C
        jnz     .not_ins
        call    keypad_is_number
        jnz     .not_ins
        call    .toggle_ins
.not_ins:
        test    dl, 8                   ; Alt with the keypad: collects a character code
        jz      .lookup
        cmp     al, 0x47
        jb      .lookup
        cmp     al, 0x52
        ja      .lookup
        mov     ah, [cs:keypad_digits + si - 0x47]
        cmp     ah, 10
        jae     .lookup
        mov     cl, ah
        mov     al, [bALTNUM]
        mov     ch, 10
        mul     ch
        add     al, cl
        mov     [bALTNUM], al
        ret
.lookup:
        mov     byte [bALTNUM], 0
        imul    si, si, 9
        mov     cl, [cs:keymap + si - 9 + 8]    ; 1 = Caps Lock shifts it, 2 = Num Lock
        test    dl, 8
        jnz     .alt
        test    dl, 4
        jnz     .ctrl
        mov     ch, 0                   ; CH = shifted
        test    dl, 3
        jz      .caps
        mov     ch, 1
.caps:  test    cl, 1
        jz      .num
        test    dl, 0x40
        jz      .num
        xor     ch, 1
.num:   test    cl, 2
        jz      .choose
        test    dl, 0x20
        jz      .choose
        xor     ch, 1
.choose:
        or      ch, ch
        jz      .normal
        mov     ax, [cs:keymap + si - 9 + 2]
        jmp     .store
.normal:
        mov     ax, [cs:keymap + si - 9]
        jmp     .store
.ctrl:  mov     ax, [cs:keymap + si - 9 + 4]
        jmp     .store
.alt:   mov     ax, [cs:keymap + si - 9 + 6]
.store: cmp     ax, -1
        jne     keyboard_put
.none:  ret
.toggle_ins:
        test    byte [bKBF1], 0x80
        jnz     .none
        or      byte [bKBF1], 0x80
        xor     byte [bKBF0], 0x80
        ret
; Grey keys: E0-prefixed codes
.extended:
        cmp     al, 0x52
        jne     .ext_find
        call    .toggle_ins
.ext_find:
        mov     si, keymap_extended
.ext_next:
        mov     cl, [cs:si]
        or      cl, cl
        jz      .none
        cmp     cl, al
        je      .ext_found
        add     si, 7
        jmp     .ext_next
.ext_found:
        mov     ax, [cs:si + 1]
        test    dl, 8
        jz      .ext_ctrl
        mov     ax, [cs:si + 5]
        jmp     .store
.ext_ctrl:
        test    dl, 4
        jz      .store
        mov     ax, [cs:si + 3]
        jmp     .store

; ZF = 0 when the keypad gives digits: Num Lock differs from Shift. DL = 40:17.
keypad_is_number:
        push    ax
        mov     al, dl
        and     al, 0x20
        test    dl, 3
        jz      .done
        xor     al, 0x20
.done:  or      al, al
        pop     ax
        ret
keypad_digits:
        db      7, 8, 9, 10, 4, 5, 6, 10, 1, 2, 3, 0

; AX = scan code and character: into the ring buffer; beeps when it is full.
keyboard_put:
        pushf
        cli
        mov     si, [bKBTAIL]
        mov     di, si
        add     di, 2
        cmp     di, [bKBEND]
        jb      .room
        mov     di, [bKBSTART]
.room:  cmp     di, [bKBHEAD]
        je      .full
        mov     [si], ax
        mov     [bKBTAIL], di
        popf
        clc
        ret
.full:  popf
        stc
        ret

; Starts the LED command; the rest follows with the keyboard's acknowledgements (40:97 bit 6, bit 7).
keyboard_leds:
        test    byte [bKBLED], 0xC0
        jnz     .done
        or      byte [bKBLED], 0x40
        mov     al, 0xED
        call    kbc_data
.done:  ret
keyboard_led_ack:
        test    byte [bKBLED], 0x40
        jnz     .value
        test    byte [bKBLED], 0x80
        jz      .done
        and     byte [bKBLED], 0x7F
        mov     al, [bKBF0]             ; changed meanwhile?
        shr     al, 4
        xor     al, [bKBLED]
        test    al, 7
        jnz     keyboard_leds
.done:  ret
.value: mov     al, [bKBF0]
        shr     al, 4
        and     al, 7
        and     byte [bKBLED], 0x38
        or      [bKBLED], al
        or      byte [bKBLED], 0x80
        jmp     kbc_data

; ---- INT 16h --------------------------------------------------------------------------------
int16_entry:
        ENTER_SERVICE
        LOADSEG ds, BDA_SEG
        sti
        mov     ah, [bp + fAH]
        or      ah, ah
        jz      .read
        dec     ah
        jz      .peek
        dec     ah
        jz      .flags
        dec     ah
        jz      .typematic
        sub     ah, 2
        jz      .push
        cmp     ah, 0x09 - 5
        je      .caps09
        cmp     ah, 0x0A - 5
        je      .id
        sub     ah, 0x10 - 5
        jz      .read_ext
        dec     ah
        jz      .peek_ext
        dec     ah
        jz      .flags_ext
        jmp     .leave
.read:  call    keyboard_get
        call    key_compatible
        jc      .read
        mov     [bp + fAX], ax
        jmp     .leave
.read_ext:
        call    keyboard_get
        call    key_enhanced
        mov     [bp + fAX], ax
        jmp     .leave
.peek:  call    keyboard_peek
        jz      .empty
        call    key_compatible
        jnc     .have
        call    keyboard_get            ; a key that this function does not know
        jmp     .peek
.peek_ext:
        call    keyboard_peek
        jz      .empty
        call    key_enhanced
.have:  mov     [bp + fAX], ax
        CLR_ZF
        jmp     .leave
.empty: SET_ZF
        jmp     .leave
.flags: mov     al, [bKBF0]
        mov     [bp + fAL], al
        jmp     .leave
.flags_ext:
        mov     al, [bKBF0]
        mov     [bp + fAL], al
        mov     al, [bKBF1]
        mov     ah, al
        and     ax, 0x0473              ; AH: SysRq; AL: locks, left Alt and Ctrl
        or      al, ah
        and     al, 0x73
        test    byte [bKBF1], 4
        jz      .no_sysrq
        or      al, 0x80
.no_sysrq:
        mov     ah, [bKBF3]
        and     ah, 0x0C
        or      al, ah
        mov     [bp + fAH], al
        jmp     .leave
.typematic:
        cmp     byte [bp + fAL], 5
        jne     .leave
        cli
        mov     al, 0xF3
        call    kbd_send
        jc      .leave
        mov     al, [bp + fBH]
        shl     al, 5
        mov     ah, [bp + fBL]
        and     ah, 0x1F
        and     al, 0x60
        or      al, ah
        call    kbd_send
        jmp     .leave
.push:  mov     ax, [bp + fCX]
        call    keyboard_put
        mov     byte [bp + fAL], 0
        jnc     .leave
        mov     byte [bp + fAL], 1
        jmp     .leave
.caps09:
        mov     byte [bp + fAL], 0x30   ; functions 0Ah, 10h-12h
        jmp     .leave
.id:    mov     word [bp + fBX], 0x41AB
.leave: LEAVE_SERVICE

; Waits for a key -> AX. DS = 40h.
keyboard_get:
        cli
        call    keyboard_peek
        jnz     .take
        sti
        hlt
        jmp     keyboard_get
.take:  mov     si, [bKBHEAD]
        add     si, 2
        cmp     si, [bKBEND]
        jb      .store
        mov     si, [bKBSTART]
.store: mov     [bKBHEAD], si
        sti
        ret
; ZF = 1 when there is none, else AX = next key.
keyboard_peek:
        mov     si, [bKBHEAD]
        mov     ax, [si]
        cmp     si, [bKBTAIL]
        ret
; AX as functions 00h and 01h show it; CF = 1 for keys that they hide.
key_compatible:
        cmp     ah, 0xE0                ; keypad Enter and slash
        jne     .grey
        mov     ah, 0x1C
        cmp     al, '/'
        jne     .ok
        mov     ah, 0x35
.ok:    clc
        ret
.grey:  cmp     al, 0xE0
        jne     .plain
        or      ah, ah
        jz      .plain
        xor     al, al
        ret
.plain: cmp     ah, 0x85                ; F11 and later
        cmc
        ret
; AX as functions 10h and 11h show it.
key_enhanced:
        ret
