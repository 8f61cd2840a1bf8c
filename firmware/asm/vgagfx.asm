; Pixels, characters and scrolling in graphics modes.

; AH=0Ch: AL = colour (bit 7: XOR, not in 256 colours), CX = x, DX = y, BH = page.
fn_write_pixel:
        call    mode_current
        mov     al, [bp + fAL]
        mov     bh, [bp + fBH]
        mov     cx, [bp + fCX]
        mov     dx, [bp + fDX]
; AL = colour, CX = x, DX = y, BH = page, SI = mode entry. Keeps all but AX, DI, ES.
pixel_write:
        cmp     byte [cs:si + mKIND], KIND_TEXT
        je      .done
        push    bx
        push    cx
        push    dx
        mov     es, [cs:si + mSEG]
        cmp     byte [cs:si + mKIND], KIND_PLANAR
        je      .planar
        jb      .cga
        push    ax
        mov     ax, 320
        mul     dx
        add     ax, cx
        mov     di, ax
        pop     ax
        mov     [es:di], al
        jmp     .leave
.planar:
        push    ax
        call    planar_address          ; DI, AH = bit mask
        mov     dx, 0x3CE
        mov     al, 8
        out     dx, ax
        mov     ax, 0x0205              ; write mode 2
        out     dx, ax
        pop     bx
        mov     ax, 0x0003
        test    bl, 0x80
        jz      .function
        mov     ah, 0x18                ; XOR
.function:
        out     dx, ax
        mov     al, [es:di]             ; latches
        mov     [es:di], bl
        call    planar_defaults
        jmp     .leave
.cga:   call    cga_address             ; DI, CL = shift, CH = mask at bit 0
        mov     bl, al
        and     al, ch
        shl     al, cl
        shl     ch, cl
        test    bl, 0x80
        jnz     .xor
        not     ch
        and     [es:di], ch
        or      [es:di], al
        jmp     .leave
.xor:   xor     [es:di], al
.leave: pop     dx
        pop     cx
        pop     bx
.done:  ret

; AH=0Dh: AL = colour.
fn_read_pixel:
        call    mode_current
        mov     bh, [bp + fBH]
        mov     cx, [bp + fCX]
        mov     dx, [bp + fDX]
        call    pixel_read
        mov     [bp + fAL], al
        ret
; AL = colour at CX, DX of page BH. Keeps all but AX, DI, ES.
pixel_read:
        xor     al, al
        cmp     byte [cs:si + mKIND], KIND_TEXT
        je      .done
        push    bx
        push    cx
        push    dx
        mov     es, [cs:si + mSEG]
        cmp     byte [cs:si + mKIND], KIND_PLANAR
        je      .planar
        jb      .cga
        mov     ax, 320
        mul     dx
        add     ax, cx
        mov     di, ax
        mov     al, [es:di]
        jmp     .leave
.planar:
        call    planar_address
        mov     bh, ah
        xor     bl, bl
        mov     dx, 0x3CE
        mov     ax, 0x0304              ; read map select 3 to 0
.plane: out     dx, ax
        shl     bl, 1
        test    [es:di], bh
        jz      .zero
        inc     bx
.zero:  dec     ah
        jns     .plane
        mov     ax, 0x0004
        out     dx, ax
        mov     al, bl
        jmp     .leave
.cga:   call    cga_address
        mov     al, [es:di]
        shr     al, cl
        and     al, ch
.leave: pop     dx
        pop     cx
        pop     bx
.done:  ret

; CX = x, DX = y, BH = page -> DI = byte, AH = bit. Changes AX, BX, CX, DX.
planar_address:
        movzx   ax, bh
        and     al, 7
        push    dx
        mul     word [bPAGESIZE]
        mov     di, ax
        pop     ax
        mul     word [bCOLS]
        add     di, ax
        mov     ax, cx
        shr     ax, 3
        add     di, ax
        and     cl, 7
        mov     ah, 0x80
        shr     ah, cl
        ret
; Bit mask FFh, replace, write mode 0.
planar_defaults:
        mov     dx, 0x3CE
        mov     ax, 0xFF08
        out     dx, ax
        mov     ax, 0x0003
        out     dx, ax
        mov     ax, 0x0005
        out     dx, ax
        ret
; CX = x, DX = y -> DI = byte, CL = shift, CH = mask of a pixel at bit 0. Keeps AX.
cga_address:
        push    ax
        mov     ax, dx
        and     ax, 1
        shl     ax, 13
        mov     di, ax
        mov     ax, dx
        shr     ax, 1
        imul    ax, ax, 80
        add     di, ax
        mov     ax, cx
        cmp     byte [cs:si + mKIND], KIND_CGA2
        je      .two
        shr     ax, 2
        add     di, ax
        not     cl
        and     cl, 3
        shl     cl, 1
        mov     ch, 3
        pop     ax
        ret
.two:   shr     ax, 3
        add     di, ax
        not     cl
        and     cl, 7
        mov     ch, 1
        pop     ax
        ret

; ES:DI = glyph of character AL: INT 43h, the upper half of CGA modes by INT 1Fh.
gfx_glyph:
        push    ax
        xor     di, di
        mov     es, di
        cmp     byte [cs:si + mKIND], KIND_PLANAR
        jae     .all
        or      al, al
        jns     .all
        les     di, [es:0x1F * 4]
        and     al, 0x7F
        jmp     .index
.all:   les     di, [es:0x43 * 4]
.index: mul     byte [bHEIGHT]
        add     di, ax
        pop     ax
        ret

; Draws AL at row DH, column DL of page BH in colour BL (bit 7: XOR, not in 256 colours). Keeps all registers but DI, ES.
gfx_draw_char:
        pusha
        push    ds
        mov     cx, [bHEIGHT]
        call    gfx_glyph               ; ES:DI
        cmp     byte [cs:si + mKIND], KIND_PLANAR
        je      .planar
        ; Pixel by pixel: x = column * 8, y = row * height
        mov     al, dh
        xor     ah, ah
        push    dx
        mul     cx
        pop     dx
        push    dx
        mov     dx, ax                  ; y
        pop     ax
        xor     ah, ah
        shl     ax, 3
        mov     bp, ax                  ; x
.line:  push    cx
        mov     ah, [es:di]
        inc     di
        mov     cx, bp
.dot:   mov     al, bl
        shl     ah, 1
        jc      .put
        cmp     byte [cs:si + mKIND], KIND_LINEAR
        je      .background
        test    bl, 0x80                ; XOR leaves the background
        jnz     .skip
.background:
        xor     al, al
.put:   push    ax
        push    di
        push    es
        call    pixel_write
        pop     es
        pop     di
        pop     ax
.skip:  inc     cx
        mov     al, cl
        test    al, 7
        jnz     .dot
        inc     dx
        pop     cx
        loop    .line
        jmp     .done
; Planar: whole bytes: all planes to 0, then the glyph in the planes of the colour.
.planar:
        push    es
        push    di
        call    gfx_cell                ; DI, DX = bytes a row
        mov     ax, di
        pop     si                      ; glyph
        pop     ds
        mov     di, ax
        mov     ax, 0xA000
        mov     es, ax
        mov     bp, dx
        mov     dx, 0x3CE
        mov     ax, 0x0003
        test    bl, 0x80
        jz      .function
        mov     ah, 0x18
.function:
        out     dx, ax
        mov     dx, 0x3C4
        mov     al, 2
.row:   test    bl, 0x80
        jnz     .glyph
        mov     ah, 0x0F
        out     dx, ax
        mov     byte [es:di], 0
.glyph: mov     ah, bl
        and     ah, 0x0F
        out     dx, ax
        mov     bh, [es:di]             ; latches for XOR
        mov     bh, [si]
        mov     [es:di], bh
        inc     si
        add     di, bp
        loop    .row
        mov     ah, 0x0F
        out     dx, ax
        call    planar_defaults
.done:  pop     ds
        popa
        ret

; DI = first byte of cell DH, DL of page BH in a planar mode; DX = bytes a line. Changes AX.
gfx_cell:
        push    dx
        movzx   ax, bh
        and     al, 7
        mul     word [bPAGESIZE]
        mov     di, ax
        pop     dx
        push    dx
        movzx   ax, dh
        mul     byte [bHEIGHT]
        mul     word [bCOLS]
        add     di, ax
        pop     dx
        xor     dh, dh
        add     di, dx
        mov     dx, [bCOLS]
        ret

; AH=08h in graphics modes: compares the cell with the font; AL = 0 when nothing fits. DX = cell, BH = page.
gfx_read_char:
        mov     cx, [bHEIGHT]
        sub     sp, 16                  ; the cell's pattern
        push    bp
        mov     bp, sp
        add     bp, 2
        push    dx
        movzx   ax, dh
        mul     cl
        mov     dx, ax                  ; y
        pop     ax
        xor     ah, ah
        shl     ax, 3
        xor     di, di
.line:  push    cx
        push    di
        mov     cx, ax                  ; x
        xor     bl, bl
.dot:   push    ax
        call    pixel_read
        cmp     al, 1
        cmc
        adc     bl, bl
        pop     ax
        inc     cx
        test    cl, 7
        jnz     .dot
        pop     di
        pop     cx
        mov     [bp + di], bl
        inc     di
        inc     dx
        loop    .line
        xor     ax, ax
.next:  call    gfx_glyph
        mov     cx, [bHEIGHT]
        push    si
        mov     si, bp
.compare:
        mov     bl, [ss:si]
        cmp     bl, [es:di]
        jne     .differs
        inc     si
        inc     di
        loop    .compare
        pop     si
        jmp     .found
.differs:
        pop     si
        inc     al
        jnz     .next
.found: pop     bp
        add     sp, 16
        mov     ah, 0
        mov     [bp + fAX], ax
        ret

; Scrolls the window CX-DX by AL rows of text (AH = 1: down), fills with colour BL. SI = mode entry, BH = page.
gfx_scroll:
        push    bp
        push    ds
        sub     dx, cx
        add     dx, 0x0101              ; DH rows, DL columns
        cmp     byte [cs:si + mKIND], KIND_PLANAR
        jne     .pixels
        ; Planar: latched copies of bytes
        push    ax
        push    dx
        mov     dx, cx
        call    gfx_cell
        mov     bp, dx                  ; bytes a line
        pop     dx
        mov     ax, 0xA000
        mov     es, ax
        pop     ax
        mov     cl, [bHEIGHT]
        push    ax
        mul     cl
        xchg    ax, cx                  ; CX = lines to scroll, AL = height
        mul     dh
        xchg    ax, dx                  ; DX = lines of the window, AL = columns
        pop     si
        xor     ah, ah
        push    ax                      ; columns
        cmp     si, 0x100
        jb      .up
        mov     ax, dx                  ; down: from the last line upwards
        dec     ax
        push    dx
        mul     bp
        pop     dx
        add     di, ax
        neg     bp
.up:    mov     ax, cx
        push    dx
        imul    ax, bp
        pop     dx
        mov     si, di
        add     si, ax
        push    es
        pop     ds
        sub     dx, cx                  ; lines to copy; CX lines to clear
        push    dx
        mov     dx, 0x3CE
        mov     ax, 0x0105              ; write mode 1
        out     dx, ax
        pop     dx
        pop     ax                      ; columns
.copy:  or      dx, dx
        jz      .copied
        push    cx
        push    si
        push    di
        mov     cx, ax
        rep movsb
        pop     di
        pop     si
        pop     cx
        add     si, bp
        add     di, bp
        dec     dx
        jmp     .copy
.copied:
        push    ax
        mov     dx, 0x3CE
        mov     ax, 0x0205              ; write mode 2: the byte is a colour
        out     dx, ax
        pop     dx
.clear: push    cx
        push    di
        mov     cx, dx
        mov     al, bl
        rep stosb
        pop     di
        pop     cx
        add     di, bp
        loop    .clear
        call    planar_defaults
        pop     ds
        pop     bp
        ret

; Packed modes: pixel rows. One text row = bHEIGHT lines; a line is DL * (bytes a character).
.pixels:
        mov     es, [cs:si + mSEG]
        mov     bh, ah
        push    ax
        mov     al, [bHEIGHT]
        mul     dh
        mov     bp, ax                  ; lines of the window
        mov     al, [bHEIGHT]
        mul     ch
        mov     di, ax                  ; first line
        pop     ax
        mul     byte [bHEIGHT]          ; AX = lines to scroll
        push    si
        mov     si, [cs:si + mKIND]
        and     si, 0xFF
        cmp     si, KIND_LINEAR
        mov     si, 3                   ; shift: column -> bytes
        je      .shift
        mov     si, 0
        cmp     byte [bCOLS], 80
        je      .shift
        mov     si, 1
.shift: push    cx
        mov     dh, 0
        mov     ch, 0
        xchg    si, cx
        shl     dx, cl                  ; bytes a line
        shl     si, cl                  ; first byte of a line
        pop     cx
        mov     cx, dx
        pop     dx                      ; mode entry
        ; BX: BL colour, BH direction; AX scroll; BP lines; DI first line; SI byte; CX bytes; DX entry
        push    es
        pop     ds
        sub     bp, ax                  ; lines to copy
        or      bh, bh
        jz      .up_lines
        add     di, bp                  ; down: last line first
        add     di, ax
        dec     di
.up_lines:
        push    ax
.copy_line:
        or      bp, bp
        jz      .clear_lines
        pop     ax
        push    ax
        push    di
        push    si
        or      bh, bh
        jz      .source_below
        neg     ax
.source_below:
        add     ax, di
        call    packed_line             ; AX = line -> AX = offset, DX = entry
        add     ax, si
        push    ax
        mov     ax, di
        call    packed_line
        add     ax, si
        mov     di, ax
        pop     si
        push    cx
        rep movsb
        pop     cx
        pop     si
        pop     di
        call    .step
        dec     bp
        jmp     .copy_line
.clear_lines:
        pop     bp
.clear_line:
        push    di
        mov     ax, di
        call    packed_line
        add     ax, si
        mov     di, ax
        push    cx
        mov     al, bl
        rep stosb
        pop     cx
        pop     di
        call    .step
        dec     bp
        jnz     .clear_line
        pop     ds
        pop     bp
        ret
.step:  inc     di
        or      bh, bh
        jz      .stepped
        sub     di, 2
.stepped:
        ret

; AX = line, DX = mode entry -> AX = offset of its first byte.
packed_line:
        push    si
        mov     si, dx
        cmp     byte [cs:si + mKIND], KIND_LINEAR
        jne     .banks
        imul    ax, ax, 320
        pop     si
        ret
.banks: shr     ax, 1
        mov     si, 0
        jnc     .even
        mov     si, 0x2000
.even:  imul    ax, ax, 80
        add     ax, si
        pop     si
        ret
