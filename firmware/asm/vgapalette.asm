; AH=10h (palette and DAC), AH=0Bh, and the default palettes.

; AL = DAC_EGA64, DAC_CGA16, DAC_VGA256 or DAC_MONO: loads all 256 entries. Keeps BX, SI.
dac_default:
        push    bx
        push    si
        mov     ah, al
        mov     dx, 0x3C8
        xor     al, al
        out     dx, al
        inc     dx
        cmp     ah, DAC_VGA256
        je      .vga256
        xor     cl, cl                  ; entry
.entry: mov     al, cl
        cmp     ah, DAC_CGA16
        je      .cga
        cmp     ah, DAC_MONO
        je      .mono
        ; EGA: bits 2-0 = R, G, B at two thirds, bits 5-3 = r, g, b at one third
        mov     ch, 4
.ega:   xor     al, al
        test    cl, ch
        jz      .low
        mov     al, 0x2A
.low:   push    cx
        shl     ch, 3
        test    cl, ch
        pop     cx
        jz      .out
        add     al, 0x15
.out:   out     dx, al
        shr     ch, 1
        jnz     .ega
.next:  inc     cl
        jnz     .entry
.done:  pop     si
        pop     bx
        ret
.cga:   mov     ch, 4
.cga_colour:
        xor     al, al
        test    cl, ch
        jz      .cga_low
        mov     al, 0x2A
.cga_low:
        test    cl, 0x10
        jz      .cga_brown
        add     al, 0x15
        jmp     .cga_out
.cga_brown:
        cmp     ch, 2                   ; colour 6 has half the green: brown
        jne     .cga_out
        mov     bl, cl
        and     bl, 7
        cmp     bl, 6
        jne     .cga_out
        mov     al, 0x15
.cga_out:
        out     dx, al
        shr     ch, 1
        jnz     .cga_colour
        jmp     .next
.mono:  mov     bl, cl
        and     bl, 0x18
        xor     al, al
        cmp     bl, 0x08
        jb      .mono_out
        mov     al, 0x2A
        cmp     bl, 0x18
        jne     .mono_bit
        mov     al, 0x3F
        jmp     .mono_out
.mono_bit:
        cmp     bl, 0x10
        jne     .mono_out
        xor     al, al
.mono_out:
        out     dx, al
        out     dx, al
        out     dx, al
        jmp     .next
; 256 colours: the 16 of the CGA, 16 greys, 9 circles of 24 hues (3 brightnesses, 3 saturations), 8 black.
.vga256:
        xor     cl, cl
.first: mov     ch, 4
.first_colour:
        xor     al, al
        test    cl, ch
        jz      .f1
        mov     al, 0x2A
.f1:    cmp     cl, 6
        jne     .f2
        cmp     ch, 2
        jne     .f2
        mov     al, 0x15
.f2:    test    cl, 8
        jz      .f3
        add     al, 0x15
.f3:    out     dx, al
        shr     ch, 1
        jnz     .first_colour
        inc     cl
        cmp     cl, 16
        jb      .first
        mov     si, .greys
        mov     cx, 16
.grey:  cs lodsb
        out     dx, al
        out     dx, al
        out     dx, al
        loop    .grey
        mov     bx, .levels
.circle:
        xor     cl, cl                  ; hue
.hue:   mov     si, 16                  ; red lags the wave by 16, green by 8, blue by 0 hues
.component:
        mov     ax, si
        add     al, cl
        cmp     al, 24
        jb      .phase
        sub     al, 24
.phase: push    bx                      ; distance on the wave: 4 4 4 4 4 3 2 1 0 ... 0 1 2 3 (from hue 20 = 4)
        push    cx
        call    .wave
        cs xlatb
        pop     cx
        pop     bx
        out     dx, al
        sub     si, 8
        jns     .component
        inc     cl
        cmp     cl, 24
        jb      .hue
        add     bx, 5
        cmp     bx, .levels_end
        jb      .circle
        xor     al, al
        mov     cx, 24
.black: out     dx, al
        loop    .black
        jmp     .done
; AL = hue 0-23, 0 = pure blue -> level 0-4 of blue: full from 20 over 0 to 4, falling to 8, none to 16, rising.
.wave:  cmp     al, 4
        jbe     .full
        cmp     al, 8
        jb      .falling
        cmp     al, 16
        jbe     .nothing
        cmp     al, 20
        jae     .full
        sub     al, 16
        ret
.falling:
        neg     al
        add     al, 8
        ret
.nothing:
        xor     al, al
        ret
.full:  mov     al, 4
        ret
.greys: db      0x00, 0x05, 0x08, 0x0B, 0x0E, 0x11, 0x14, 0x18, 0x1C, 0x20, 0x24, 0x28, 0x2D, 0x32, 0x38, 0x3F
.levels:
        db      0x00, 0x10, 0x1F, 0x2F, 0x3F
        db      0x1F, 0x27, 0x2F, 0x37, 0x3F
        db      0x2D, 0x31, 0x36, 0x3A, 0x3F
        db      0x00, 0x07, 0x0E, 0x15, 0x1C
        db      0x0E, 0x11, 0x15, 0x18, 0x1C
        db      0x14, 0x16, 0x18, 0x1A, 0x1C
        db      0x00, 0x04, 0x08, 0x0C, 0x10
        db      0x08, 0x0A, 0x0C, 0x0E, 0x10
        db      0x0B, 0x0C, 0x0D, 0x0F, 0x10
.levels_end:

; AL = attribute register, AH = value.
attr_write:
        push    dx
        call    attr_reset
        mov     dx, 0x3C0
        out     dx, al
        xchg    al, ah
        out     dx, al
        xchg    al, ah
        mov     al, 0x20
        out     dx, al
        pop     dx
        ret
; AL = attribute register -> AL = value.
attr_read:
        push    dx
        call    attr_reset
        mov     dx, 0x3C0
        out     dx, al
        inc     dx
        in      al, dx
        call    attr_reset
        dec     dx
        push    ax
        mov     al, 0x20
        out     dx, al
        pop     ax
        pop     dx
        ret

; AH=0Bh: BH = 0: border and background BL; BH = 1: palette of 320x200 modes.
fn_colour:
        mov     bl, [bp + fBL]
        cmp     byte [bp + fBH], 0
        jne     .palette
        mov     ah, bl
        and     ah, 0x0F
        test    ah, 8
        jz      .border
        add     ah, 8                   ; intense colours are 10h-17h
.border:
        and     byte [bCOLOR], 0xE0
        mov     al, bl
        and     al, 0x1F
        or      [bCOLOR], al
        cmp     byte [bVMODE], 3
        jbe     .overscan
        mov     al, 0
        call    attr_write
.overscan:
        mov     al, 0x11
        call    attr_write
        mov     bl, [bCOLOR]
        shr     bl, 5
        jmp     .set
.palette:
        and     byte [bCOLOR], 0xDF
        and     bl, 1
        mov     al, bl
        shl     al, 5
        or      [bCOLOR], al
.set:   cmp     byte [bVMODE], 3
        jbe     .done
        and     bl, 1
        mov     ah, 2                   ; green, red, brown or cyan, magenta, white
        or      ah, bl
        test    byte [bCOLOR], 0x10
        jz      .plain
        or      ah, 0x10
.plain: mov     cx, 3
        mov     al, 1
.reg:   push    ax
        call    attr_write
        pop     ax
        inc     al
        add     ah, 2
        loop    .reg
.done:  ret

; AH=10h
fn_palette:
        movzx   si, byte [bp + fAL]
        cmp     si, 0x1B
        ja      .done
        shl     si, 1
        mov     bx, [bp + fBX]
        mov     cx, [bp + fCX]
        mov     dx, [bp + fDX]
        call    [cs:.table + si]
.done:  ret
.table: dw      .set_one, .set_border, .set_all, .blink
        dw      fn_none, fn_none, fn_none
        dw      .get_one, .get_border, .get_all
        times 0x10 - 0x0A dw fn_none
        dw      .dac_set, fn_none, .dac_set_block, .paging, fn_none
        dw      .dac_get, fn_none, .dac_get_block, .mask_set, .mask_get, .paging_get, .grey
.set_one:
        cmp     bl, 0x14
        ja      .done
        mov     al, bl
        mov     ah, bh
        jmp     attr_write
.set_border:
        mov     al, 0x11
        mov     ah, bh
        jmp     attr_write
.set_all:
        mov     es, [bp + fES]
        mov     di, dx
        xor     al, al
.all:   mov     ah, [es:di]
        push    ax
        call    attr_write
        pop     ax
        inc     di
        inc     ax
        cmp     al, 0x10
        jb      .all
        mov     ah, [es:di]
        mov     al, 0x11
        jmp     attr_write
.blink: mov     al, 0x10
        call    attr_read
        and     al, 0xF7
        and     byte [bMODECTL], 0xDF
        test    bl, 1
        jz      .blink_set
        or      al, 8
        or      byte [bMODECTL], 0x20
.blink_set:
        mov     ah, al
        mov     al, 0x10
        jmp     attr_write
.get_one:
        mov     al, bl
        call    attr_read
        mov     [bp + fBH], al
        ret
.get_border:
        mov     al, 0x11
        call    attr_read
        mov     [bp + fBH], al
        ret
.get_all:
        mov     es, [bp + fES]
        mov     di, dx
        xor     cl, cl
.get:   mov     al, cl
        call    attr_read
        stosb
        inc     cl
        cmp     cl, 0x10
        jb      .get
        mov     al, 0x11
        call    attr_read
        stosb
        ret
.dac_set:
        mov     al, bl
        mov     ah, dh
        mov     dx, 0x3C8
        out     dx, al
        inc     dx
        mov     al, ah
        out     dx, al
        mov     al, ch
        out     dx, al
        mov     al, cl
        out     dx, al
        ret
.dac_set_block:
        mov     es, [bp + fES]
        mov     si, dx
        mov     al, bl
        mov     dx, 0x3C8
        out     dx, al
        inc     dx
        jcxz    .stop
.set_block:
        mov     al, [es:si]
        out     dx, al
        mov     al, [es:si + 1]
        out     dx, al
        mov     al, [es:si + 2]
        out     dx, al
        add     si, 3
        loop    .set_block
.stop:  ret
.dac_get:
        mov     al, bl
        mov     dx, 0x3C7
        out     dx, al
        mov     dx, 0x3C9
        in      al, dx
        mov     [bp + fDH], al
        in      al, dx
        mov     [bp + fCH], al
        in      al, dx
        mov     [bp + fCL], al
        ret
.dac_get_block:
        mov     es, [bp + fES]
        mov     di, dx
        mov     al, bl
        mov     dx, 0x3C7
        out     dx, al
        mov     dx, 0x3C9
        jcxz    .stop
.get_block:
        in      al, dx
        stosb
        in      al, dx
        stosb
        in      al, dx
        stosb
        loop    .get_block
        ret
.mask_set:
        mov     dx, 0x3C6
        mov     al, bl
        out     dx, al
        ret
.mask_get:
        mov     dx, 0x3C6
        in      al, dx
        mov     [bp + fBL], al
        ret
; AL=13h: BL = 0: paging mode BH; BL = 1: page BH.
.paging:
        mov     al, 0x10
        call    attr_read
        or      bl, bl
        jnz     .page
        and     al, 0x7F
        shl     bh, 7
        or      al, bh
        mov     ah, al
        mov     al, 0x10
        jmp     attr_write
.page:  test    al, 0x80                ; 16 pages of 16, or 4 of 64
        mov     al, 0x14
        mov     ah, bh
        jnz     attr_write
        shl     ah, 2
        jmp     attr_write
.paging_get:
        mov     al, 0x10
        call    attr_read
        mov     bl, al
        shr     bl, 7
        mov     al, 0x14
        call    attr_read
        or      bl, bl
        jnz     .page_is
        shr     al, 2
.page_is:
        mov     [bp + fBL], bl
        mov     [bp + fBH], al
        ret
; AL=1Bh: entries BX to BX + CX - 1 become grey (30% red, 59% green, 11% blue).
.grey:  or      cx, cx
        jz      .stop
        mov     al, bl
        mov     dx, 0x3C7
        out     dx, al
        mov     dx, 0x3C9
        push    cx
        in      al, dx
        mov     ah, 77
        mul     ah
        mov     si, ax
        in      al, dx
        mov     ah, 151
        mul     ah
        add     si, ax
        in      al, dx
        mov     ah, 28
        mul     ah
        add     ax, si
        pop     cx
        cmp     ah, 0x3F
        jbe     .level
        mov     ah, 0x3F
.level: mov     al, bl
        mov     dx, 0x3C8
        out     dx, al
        inc     dx
        mov     al, ah
        out     dx, al
        out     dx, al
        out     dx, al
        inc     bl
        dec     cx
        jmp     .grey
        ret
