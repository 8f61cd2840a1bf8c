; Cursor, pages, scrolling, characters and strings. The pixels of graphics modes are in vgagfx.asm.

; AH=01h: CH = first line (bit 5: off), CL = last line, in units of the 8-line cell of old.
fn_cursor_shape:
        mov     cx, [bp + fCX]
        mov     [bCURSHAPE], cx
        test    byte [bVCTL], 1         ; emulation off (AH=12h BL=34h)
        jnz     .program
        mov     al, ch
        and     al, 0x60
        jnz     .program                ; hidden
        mov     ah, [bHEIGHT]
        cmp     ah, 8
        jbe     .program
        and     cx, 0x1F1F
        cmp     ch, cl
        ja      .program
        cmp     cl, 8                   ; lines of the real cell already
        jae     .program
        ; A cursor that ends in the cell's last lines keeps its distance from the bottom.
        cmp     cl, 6
        jb      .scale
        mov     al, cl
        sub     al, ch                  ; height - 1
        mov     cl, ah
        sub     cl, 2                   ; one line above the last
        mov     ch, cl
        sub     ch, al
        jmp     .program
.scale: mov     al, ch
        mul     ah
        shr     ax, 3
        mov     ch, al
        mov     ah, [bHEIGHT]
        mov     al, cl
        inc     al
        mul     ah
        shr     ax, 3
        dec     al
        mov     cl, al
.program:
        mov     dx, [bCRTC]
        mov     al, 0x0A
        mov     ah, ch
        out     dx, ax
        mov     al, 0x0B
        mov     ah, cl
        out     dx, ax
        ret

; AH=02h: DH, DL on page BH.
fn_set_cursor:
        mov     bh, [bp + fBH]
        mov     dx, [bp + fDX]
cursor_set:
        and     bh, 7
        movzx   di, bh
        shl     di, 1
        mov     [bCURSORS + di], dx
        cmp     bh, [bPAGE]
        jne     .done
cursor_program:                         ; DX = position on the visible page
        push    bx
        mov     al, dh
        mul     byte [bCOLS]
        xor     dh, dh
        add     ax, dx
        mov     bx, [bPAGESTART]
        shr     bx, 1
        add     bx, ax
        mov     dx, [bCRTC]
        mov     al, 0x0E
        mov     ah, bh
        out     dx, ax
        inc     al
        mov     ah, bl
        out     dx, ax
        pop     bx
cursor_set.done:
        ret

; AH=03h
fn_get_cursor:
        movzx   di, byte [bp + fBH]
        and     di, 7
        shl     di, 1
        mov     ax, [bCURSORS + di]
        mov     [bp + fDX], ax
        mov     ax, [bCURSHAPE]
        mov     [bp + fCX], ax
        mov     word [bp + fAX], 0
        ret

; AH=05h: AL = page.
fn_set_page:
        mov     al, [bp + fAL]
        cmp     al, 7
        ja      .done
        mov     [bPAGE], al
        movzx   ax, al
        mul     word [bPAGESIZE]
        mov     [bPAGESTART], ax
        call    mode_current
        cmp     byte [cs:si + mKIND], KIND_TEXT
        jne     .start
        shr     ax, 1
.start: mov     bx, ax
        mov     dx, [bCRTC]
        mov     al, 0x0C
        mov     ah, bh
        out     dx, ax
        inc     al
        mov     ah, bl
        out     dx, ax
        movzx   di, byte [bPAGE]
        shl     di, 1
        mov     dx, [bCURSORS + di]
        call    cursor_program
.done:  ret

; ES:DI = cell DH, DL of page BH in text memory. SI = mode entry. Changes AX.
text_address:
        mov     es, [cs:si + mSEG]
        push    dx
        movzx   ax, bh
        and     al, 7
        mul     word [bPAGESIZE]
        mov     di, ax
        pop     dx
        mov     al, dh
        mul     byte [bCOLS]
        add     al, dl
        adc     ah, 0
        shl     ax, 1
        add     di, ax
        ret

; ---- Scrolling: AL lines (0 = all), BH attribute, window CH, CL - DH, DL ------------------------------
fn_scroll_up:
        xor     ah, ah
        jmp     fn_scroll
fn_scroll_down:
        mov     ah, 1
fn_scroll:
        mov     al, [bp + fAL]
        mov     cx, [bp + fCX]
        mov     dx, [bp + fDX]
        mov     bl, [bp + fBH]
        mov     bh, [bPAGE]
; AH = 1: down. BL = attribute, BH = page.
scroll:
        cmp     dh, [bROWS]
        jbe     .rows
        mov     dh, [bROWS]
.rows:  cmp     dl, [bCOLS]
        jb      .cols
        mov     dl, [bCOLS]
        dec     dl
.cols:  cmp     ch, dh
        ja      .done
        cmp     cl, dl
        ja      .done
        push    dx
        sub     dh, ch
        inc     dh                      ; rows of the window
        or      al, al
        jz      .all
        cmp     al, dh
        jbe     .lines
.all:   mov     al, dh
.lines: pop     dx
        call    mode_current
        cmp     byte [cs:si + mKIND], KIND_TEXT
        jne     gfx_scroll
        ; Text: row by row, AL = lines, AH = direction
        push    bp
        push    ds
        push    ax
        push    bx
        mov     al, [bCOLS]
        xor     ah, ah
        shl     ax, 1
        mov     bp, ax                  ; bytes a row
        pop     bx
        pop     ax
        push    dx
        push    ax
        or      ah, ah
        jnz     .down
        push    dx
        mov     dx, cx                  ; up: start at the top left
        call    text_address
        pop     dx
        jmp     .begin
.down:  push    dx
        mov     dl, cl                  ; down: start at the bottom left
        call    text_address
        pop     dx
        neg     bp
.begin: pop     ax
        sub     dh, ch
        inc     dh                      ; rows
        sub     dl, cl
        inc     dl                      ; columns
        mov     cl, dl
        xor     ch, ch                  ; CX = columns
        push    ax
        cbw                             ; source = destination + lines * row
        mov     ah, 0
        imul    ax, bp
        mov     si, di
        add     si, ax
        pop     ax
        sub     dh, al                  ; rows to move
        push    es
        pop     ds
.move:  or      dh, dh
        jz      .blank
        push    cx
        push    si
        push    di
        rep movsw
        pop     di
        pop     si
        pop     cx
        add     si, bp
        add     di, bp
        dec     dh
        jmp     .move
.blank: mov     dh, al
        mov     ah, bl
        mov     al, ' '
.clear: push    cx
        push    di
        rep stosw
        pop     di
        pop     cx
        add     di, bp
        dec     dh
        jnz     .clear
        pop     dx
        pop     ds
        pop     bp
.done:  ret

; ---- Characters --------------------------------------------------------------------------------------
; AH=08h: AL = character, AH = attribute at the cursor of page BH.
fn_read_char:
        mov     bh, [bp + fBH]
        call    cursor_of_page
        call    mode_current
        cmp     byte [cs:si + mKIND], KIND_TEXT
        jne     gfx_read_char
        call    text_address
        mov     ax, [es:di]
        mov     [bp + fAX], ax
        ret

; DX = cursor of page BH.
cursor_of_page:
        movzx   di, bh
        and     di, 7
        shl     di, 1
        mov     dx, [bCURSORS + di]
        ret

; AH=09h: CX times AL with attribute BL; AH=0Ah: the attribute stays.
fn_write_char_attr:
        mov     ah, 1
        jmp     fn_write_cell
fn_write_char:
        mov     ah, 0
fn_write_cell:
        mov     cx, [bp + fCX]
        jcxz    .done
        mov     al, [bp + fAL]
        mov     bl, [bp + fBL]
        mov     bh, [bp + fBH]
        call    cursor_of_page
        call    mode_current
        cmp     byte [cs:si + mKIND], KIND_TEXT
        jne     .graphics
        push    ax
        call    text_address
        pop     ax
        or      ah, ah
        jz      .plain
        mov     ah, bl
        rep stosw
        ret
.plain: stosb
        inc     di
        loop    .plain
.done:  ret
.graphics:
        push    cx
        push    ax
        call    gfx_draw_char
        pop     ax
        pop     cx
        inc     dl                      ; does not leave the row
        cmp     dl, [bCOLS]
        jae     .done
        loop    .graphics
        ret

; AH=0Eh: teletype.
fn_teletype:
        mov     al, [bp + fAL]
        mov     bl, [bp + fBL]
        mov     bh, [bPAGE]
        xor     cl, cl                  ; keep the attribute in text modes
; AL = character on page BH; CL = 1: with attribute BL in text modes too.
teletype:
        call    cursor_of_page
        cmp     al, 7
        je      .bell
        cmp     al, 8
        je      .back
        cmp     al, 10
        je      .line_feed
        cmp     al, 13
        je      .return
        call    mode_current
        cmp     byte [cs:si + mKIND], KIND_TEXT
        jne     .graphics
        push    ax
        call    text_address
        pop     ax
        mov     [es:di], al
        or      cl, cl
        jz      .advance
        mov     [es:di + 1], bl
        jmp     .advance
.graphics:
        call    gfx_draw_char
.advance:
        inc     dl
        cmp     dl, [bCOLS]
        jb      .set
        xor     dl, dl
.line_feed:
        cmp     dh, [bROWS]
        jae     .scroll
        inc     dh
        jmp     .set
.scroll:
        push    dx
        push    bx
        call    mode_current
        xor     bl, bl
        cmp     byte [cs:si + mKIND], KIND_TEXT
        jne     .fill
        call    text_address            ; the new line takes the attribute at the cursor
        mov     bl, [es:di + 1]
.fill:  mov     ax, 0x0001
        xor     cx, cx
        mov     dh, [bROWS]
        mov     dl, [bCOLS]
        dec     dl
        push    bp
        call    scroll
        pop     bp
        pop     bx
        pop     dx
.set:   jmp     cursor_set
.back:  or      dl, dl
        jz      .set
        dec     dl
        jmp     .set
.return:
        xor     dl, dl
        jmp     .set
.bell:  in      al, 0x61                ; a short beep
        push    ax
        or      al, 3
        out     0x61, al
        mov     cx, 0x4000
.beep:  in      al, 0x61
        loop    .beep
        pop     ax
        out     0x61, al
        ret

; AH=13h: CX characters at ES:BP, from DH, DL on page BH. AL bit 0: cursor follows; bit 1: attributes in the string.
fn_write_string:
        mov     cx, [bp + fCX]
        jcxz    .done
        mov     bh, [bp + fBH]
        call    cursor_of_page
        push    dx                      ; cursor as it was
        mov     dx, [bp + fDX]
        call    cursor_set
        mov     si, [bp + fEBP]
.next:  push    cx
        push    si
        mov     es, [bp + fES]
        mov     bl, [bp + fBL]
        mov     al, [es:si]
        test    byte [bp + fAL], 2
        jz      .write
        mov     bl, [es:si + 1]
.write: mov     bh, [bp + fBH]
        mov     cl, 1
        call    teletype
        pop     si
        pop     cx
        inc     si
        test    byte [bp + fAL], 2
        jz      .count
        inc     si
.count: loop    .next
        pop     dx
        test    byte [bp + fAL], 1
        jnz     .done
        mov     bh, [bp + fBH]
        call    cursor_set
.done:  ret
