; AH=1Ah display combination, 1Bh functionality and state, 1Ch save and restore.

; AL = 0: BL = active, BH = other display; AL = 1: set.
fn_display:
        cmp     byte [bp + fAL], 1
        ja      .done
        je      .set
        movzx   bx, byte [bDCC]
        mov     [bp + fBX], bx
        jmp     .known
.set:   mov     al, [bp + fBL]
        mov     [bDCC], al
.known: mov     byte [bp + fAL], 0x1A
.done:  ret

; BX = 0: 64 bytes to ES:DI.
fn_state_info:
        cmp     word [bp + fBX], 0
        jne     fn_display.done
        mov     es, [bp + fES]
        mov     di, [bp + fDI]
        mov     ax, static_functionality
        stosw
        mov     ax, cs
        stosw
        mov     si, bVMODE              ; 40:49-40:66
        mov     cx, 0x1E
        rep movsb
        mov     al, [bROWS]
        inc     al
        stosb
        mov     ax, [bHEIGHT]
        stosw
        mov     al, [bDCC]
        stosb
        xor     al, al
        stosb
        push    di
        call    mode_current
        movzx   bx, byte [cs:si + mKIND]
        shl     bx, 1
        mov     ax, [cs:.colours + bx]
        pop     di
        stosw
        mov     al, 8                   ; pages
        cmp     bx, KIND_TEXT * 2
        je      .pages
        mov     al, 1
.pages: stosb
        mov     al, 2                   ; 400 lines
        or      bx, bx
        jz      .text
        cmp     bx, KIND_PLANAR * 2
        jne     .lines
        cmp     byte [bHEIGHT], 14
        jb      .lines
        mov     al, 1                   ; 350
        je      .lines
        mov     al, 3                   ; 480
.lines: stosb
        xor     ax, ax                  ; font blocks
        stosw
        mov     al, [bVMODESET]
        and     al, 0x0E
        or      al, 0x01
        stosb
        xor     ax, ax
        stosw
        stosb
        mov     al, 3                   ; 256 KiB
        stosb
        xor     ax, ax
        mov     cx, 7
        stosb
        stosw
        stosw
        stosw
        stosw
        stosw
        stosb
        mov     byte [bp + fAL], 0x1B
        ret
.text:  mov     al, [bROWS]
        inc     al
        mul     byte [bHEIGHT]
        cmp     ax, 300
        setae   bl
        cmp     ax, 390                 ; 28 rows of 14 lines, which 400 lines have room for
        setae   al                      ; AL = 0 200, 1 350, 2 400
        add     al, bl
        jmp     .lines
.colours:
        dw      16, 4, 2, 16, 256

static_functionality:
        db      0xFF, 0xE0, 0x0F        ; modes 0-7, 0Dh-0Fh, 10h-13h
        dd      0
        db      0x07                    ; 200, 350, 400 scan lines in text modes
        db      8, 2                    ; font blocks, active at once
        dw      0x0CFF                  ; functions
        dw      0
        db      0
        db      0

; AH=1Ch: CX bit 0 hardware, 1 BIOS data, 2 DAC. AL = 0 size, 1 save, 2 restore at ES:BX.
; Layout: 64-byte blocks: registers (2 blocks), BIOS data (1), DAC (13).
fn_save_restore:
        mov     cx, [bp + fCX]
        test    cx, 0xFFF8
        jnz     .ret
        mov     es, [bp + fES]
        mov     di, [bp + fBX]
        mov     al, [bp + fAL]
        cmp     al, 1
        je      .save
        jb      .size
        cmp     al, 2
        je      .restore
.ret:   ret
.size:  xor     bx, bx
        test    cl, 1
        jz      .s1
        add     bx, 2
.s1:    test    cl, 2
        jz      .s2
        inc     bx
.s2:    test    cl, 4
        jz      .s3
        add     bx, 13
.s3:    mov     [bp + fBX], bx
        mov     byte [bp + fAL], 0x1C
        ret

.save:  test    cl, 1
        jz      .save_bda
        push    cx
        push    di
        mov     dx, 0x3C4
        mov     cx, 5
        call    .read_indexed
        mov     dx, [bCRTC]
        mov     cx, 25
        call    .read_indexed
        mov     dx, 0x3CE
        mov     cx, 9
        call    .read_indexed
        xor     cl, cl
.save_attr:
        mov     al, cl
        call    attr_read
        stosb
        inc     cl
        cmp     cl, 0x15
        jb      .save_attr
        mov     dx, 0x3CC
        in      al, dx
        stosb
        pop     di
        pop     cx
        add     di, 128
.save_bda:
        test    cl, 2
        jz      .save_dac
        push    cx
        push    di
        mov     si, bVMODE
        mov     cx, 0x1E
        rep movsb
        mov     si, bROWS
        mov     cx, 7
        rep movsb
        pop     di
        pop     cx
        add     di, 64
.save_dac:
        test    cl, 4
        jz      .ok
        mov     dx, 0x3C7
        xor     al, al
        out     dx, al
        mov     dx, 0x3C9
        mov     cx, 768
.dac_in:
        in      al, dx
        stosb
        loop    .dac_in
        mov     dx, 0x3C6
        in      al, dx
        stosb
.ok:    mov     byte [bp + fAL], 0x1C
        ret
.read_indexed:
        xor     ah, ah
.read:  mov     al, ah
        out     dx, al
        inc     dx
        in      al, dx
        dec     dx
        stosb
        inc     ah
        loop    .read
        ret

.restore:
        test    cl, 1
        jz      .load_bda
        push    cx
        push    di
        mov     al, [es:di + 5 + 25 + 9 + 0x15]
        mov     dx, 0x3C2
        out     dx, al
        mov     dx, 0x3C4
        mov     ax, 0x0100
        out     dx, ax
        mov     cx, 5
        call    .write_indexed
        mov     ax, 0x0300
        out     dx, ax
        mov     dx, [bCRTC]
        mov     ax, 0x0E11
        out     dx, ax
        mov     cx, 25
        call    .write_indexed
        mov     dx, 0x3CE
        mov     cx, 9
        call    .write_indexed
        xor     al, al
.load_attr:
        mov     ah, [es:di]
        inc     di
        push    ax
        call    attr_write
        pop     ax
        inc     ax
        cmp     al, 0x15
        jb      .load_attr
        pop     di
        pop     cx
        add     di, 128
.load_bda:
        test    cl, 2
        jz      .load_dac
        push    cx
        push    di
        push    ds
        push    es
        push    ds
        push    es
        pop     ds
        pop     es
        mov     si, di
        mov     di, bVMODE
        mov     cx, 0x1E
        rep movsb
        mov     di, bROWS
        mov     cx, 7
        rep movsb
        pop     es
        pop     ds
        pop     di
        pop     cx
        add     di, 64
.load_dac:
        test    cl, 4
        jz      .ok
        mov     dx, 0x3C8
        xor     al, al
        out     dx, al
        inc     dx
        mov     cx, 768
.dac_out:
        mov     al, [es:di]
        inc     di
        out     dx, al
        loop    .dac_out
        mov     dx, 0x3C6
        mov     al, [es:di]
        out     dx, al
        jmp     .ok
.write_indexed:
        xor     al, al
.write: mov     ah, [es:di]
        inc     di
        cmp     dx, 0x3C4               ; the sequencer's reset register is set apart
        jne     .out
        or      al, al
        jz      .skip
.out:   out     dx, ax
.skip:  inc     ax
        loop    .write
        ret
