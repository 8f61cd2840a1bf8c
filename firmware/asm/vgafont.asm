; AH=11h: fonts in map 2 and font vectors. AH=12h: alternate select.

; CX glyphs of BH bytes from ES:BP into block BL, from character DX on. Changes AX, CX, DX, DI, BP.
font_load:
        push    ds
        push    si
        push    es
        push    dx
        mov     dx, 0x3C4               ; map 2, sequential addresses at A0000h
        mov     ax, 0x0402
        out     dx, ax
        mov     ax, 0x0704
        out     dx, ax
        mov     dx, 0x3CE
        mov     ax, 0x0204
        out     dx, ax
        mov     ax, 0x0005
        out     dx, ax
        mov     ax, 0x0406
        out     dx, ax
        pop     dx
        push    es
        pop     ds
        mov     ax, 0xA000
        mov     es, ax
        mov     al, bl                  ; block: 0-3 at 16 KiB, 4-7 at 8 KiB more
        and     ax, 7
        mov     ah, al
        and     al, 3
        shl     al, 1
        shr     ah, 2
        or      al, ah
        xor     ah, ah
        shl     ax, 13
        mov     di, ax
        shl     dx, 5
        add     di, dx
        mov     si, bp
        jcxz    .restore
.glyph: push    cx
        push    di
        mov     cl, bh
        xor     ch, ch
        rep movsb
        pop     di
        pop     cx
        add     di, 32
        loop    .glyph
.restore:
        mov     ax, BDA_SEG
        mov     ds, ax
        mov     dx, 0x3C4
        mov     ax, 0x0302
        out     dx, ax
        mov     ax, 0x0304              ; text mode's: odd/even
        out     dx, ax
        mov     dx, 0x3CE
        mov     ax, 0x0004
        out     dx, ax
        mov     ax, 0x1005
        out     dx, ax
        mov     ax, 0x0E06
        cmp     byte [bCRTC], 0xD4
        je      .window
        mov     ah, 0x0A
.window:
        out     dx, ax
        pop     es
        pop     si
        pop     ds
        ret

; After a font of height BH in a text mode: cell height, cursor, rows, visible lines.
font_fit:
        mov     byte [bHEIGHT], bh
        mov     byte [bHEIGHT + 1], 0
        mov     dx, [bCRTC]
        mov     al, 0x09                ; maximum scan line
        out     dx, al
        inc     dx
        in      al, dx
        and     al, 0xE0
        mov     ah, bh
        dec     ah
        or      al, ah
        out     dx, al
        dec     dx
        mov     al, 0x0A
        mov     ah, bh
        sub     ah, 3
        cmp     bh, 14
        jae     .start
        inc     ah
.start: out     dx, ax
        mov     al, 0x0B
        inc     ah
        out     dx, ax
        mov     dx, [bCRTC]
        mov     al, 0x09
        out     dx, al
        inc     dx
        in      al, dx
        mov     cl, al
        dec     dx
        push    dx
        mov     dx, 0x3CC
        in      al, dx
        pop     dx
        and     al, 0xC0
        cmp     al, 0x80                ; the polarity of the sync pulses tells the mode's scan lines
        mov     ax, 350
        je      .lines
        mov     ax, 400
        shl     cl, 1                   ; CF = 1: each line twice
        jnc     .lines
        mov     ax, 200
.lines: pushf
        div     bh
        mov     [bROWS], al
        dec     byte [bROWS]
        mul     bh                      ; lines shown
        popf
        jnc     .once
        shl     ax, 1
.once:  dec     ax
        push    ax
        mov     ah, al
        mov     al, 0x12
        out     dx, ax
        mov     al, 0x07                ; bits 8 and 9 in the overflow register
        out     dx, al
        inc     dx
        in      al, dx
        pop     bx
        and     al, 0xBD
        test    bh, 1
        jz      .nine
        or      al, 0x02
.nine:  test    bh, 2
        jz      .overflow
        or      al, 0x40
.overflow:
        out     dx, al
        mov     al, [bROWS]
        inc     al
        mul     byte [bCOLS]
        shl     ax, 1
        add     ax, 0xFF                ; pages start at multiples of 256
        xor     al, al
        mov     [bPAGESIZE], ax
        ret

fn_font:
        mov     al, [bp + fAL]
        cmp     al, 0x30
        je      .info
        cmp     al, 0x20
        jae     .graphics
        mov     ah, al
        and     al, 0x0F
        cmp     al, 4
        ja      .done
        mov     bl, [bp + fBL]
        cmp     al, 3
        je      .block
        call    mode_current
        cmp     byte [cs:si + mKIND], KIND_TEXT
        jne     .done
        push    bp
        push    ax
        or      al, al
        jz      .user
        push    cs
        pop     es
        mov     cx, 256
        xor     dx, dx
        mov     bh, 14
        mov     bp, font_8x14
        cmp     al, 1
        je      .load
        mov     bh, 8
        mov     bp, font_8x8
        cmp     al, 2
        je      .load
        mov     bh, 16
        mov     bp, font_8x16
        jmp     .load
.user:  mov     bh, [bp + fBH]
        mov     cx, [bp + fCX]
        mov     dx, [bp + fDX]
        mov     es, [bp + fES]
        mov     bp, [bp + fEBP]
        or      bh, bh
        jz      .skip
        cmp     bh, 32
        ja      .skip
.load:  push    bx
        call    font_load
        pop     bx
.skip:  pop     ax
        pop     bp
        test    ah, 0x10
        jz      .done
        or      bh, bh
        jz      .done
        cmp     bh, 32
        jbe     font_fit
.done:  ret
.block: mov     dx, 0x3C4               ; font blocks of attribute bit 3
        mov     al, 3
        mov     ah, bl
        out     dx, ax
        ret
; 20h: INT 1Fh = ES:BP. 21h-24h: INT 43h = ES:BP, 8x14, 8x8, 8x16 with BL rows (0: DL, 1: 14, 2: 25, 3: 43).
.graphics:
        cmp     al, 0x24
        ja      .done
        xor     bx, bx
        mov     es, bx
        cmp     al, 0x20
        jne     .vector43
        mov     ax, [bp + fEBP]
        mov     [es:0x1F * 4], ax
        mov     ax, [bp + fES]
        mov     [es:0x1F * 4 + 2], ax
        ret
.vector43:
        mov     bx, cs
        mov     dx, font_8x14
        mov     cx, 14
        cmp     al, 0x22
        je      .set
        mov     dx, font_8x8
        mov     cx, 8
        cmp     al, 0x23
        je      .set
        mov     dx, font_8x16
        mov     cx, 16
        cmp     al, 0x24
        je      .set
        mov     bx, [bp + fES]
        mov     dx, [bp + fEBP]
        mov     cx, [bp + fCX]
.set:   mov     [es:0x43 * 4], dx
        mov     [es:0x43 * 4 + 2], bx
        mov     [bHEIGHT], cx
        movzx   bx, byte [bp + fBL]
        cmp     bl, 3
        ja      .rows_set
        mov     al, [cs:.rows + bx]
        or      bl, bl
        jnz     .rows_given
        mov     al, [bp + fDL]
.rows_given:
        dec     al
        mov     [bROWS], al
.rows_set:
        ret
.rows:  db      0, 14, 25, 43
; 30h: BH = 0 INT 1Fh, 1 INT 43h, 2 8x14, 3 8x8, 4 8x8 upper half, 5, 7 none (9-dot alternates), 6 8x16.
.info:  mov     ax, [bHEIGHT]
        mov     [bp + fCX], ax
        mov     al, [bROWS]
        mov     [bp + fDL], al
        movzx   bx, byte [bp + fBH]
        cmp     bl, 7
        ja      .done
        cmp     bl, 2
        jae     .rom
        xor     ax, ax
        mov     es, ax
        mov     di, 0x1F * 4
        or      bl, bl
        jz      .far
        mov     di, 0x43 * 4
.far:   les     di, [es:di]
        mov     [bp + fEBP], di
        mov     [bp + fES], es
        ret
.rom:   shl     bx, 1
        mov     ax, [cs:.fonts + bx - 4]
        mov     [bp + fEBP], ax
        mov     [bp + fES], cs
        ret
.fonts: dw      font_8x14, font_8x8, font_8x8 + 128 * 8, font_none, font_8x16, font_none
font_none:
        db      0                       ; empty list of replacement glyphs

; AH=12h, by BL.
fn_alternate:
        mov     bl, [bp + fBL]
        mov     al, [bp + fAL]
        cmp     bl, 0x10
        je      .info
        cmp     bl, 0x20
        je      .ret                    ; print screen: nothing to select
        sub     bl, 0x30
        cmp     bl, 6
        ja      .ret
        movzx   si, bl
        shl     si, 1
        call    [cs:.table + si]
        mov     byte [bp + fAL], 0x12
.ret:   ret
.table: dw      .scan_lines, .palette, .video, .grey, .cursor, .ret, .refresh
.info:  xor     ax, ax                  ; BH = 0 colour, BL = 3: 256 KiB, CX = feature bits and switches
        cmp     byte [bCRTC], 0xD4
        je      .colour
        inc     ah
.colour:
        mov     al, 3
        mov     [bp + fBX], ax
        mov     al, [bVSWITCH]
        and     ax, 0x0F
        mov     [bp + fCX], ax
        ret
; 30h: scan lines of text from the next mode set on: AL = 0 200, 1 350, 2 400.
.scan_lines:
        cmp     al, 2
        ja      .ret
        mov     ah, 0x80
        mov     cl, 0x08                ; switches of a CGA, or of an enhanced adapter
        cmp     al, 1
        jb      .set_lines
        mov     ah, 0x00
        mov     cl, 0x09
        je      .set_lines
        mov     ah, 0x10
.set_lines:
        and     byte [bVMODESET], 0x6F
        or      [bVMODESET], ah
        and     byte [bVSWITCH], 0xF0
        or      [bVSWITCH], cl
        ret
.palette:
        and     byte [bVMODESET], 0xF7
        and     al, 1
        shl     al, 3
        or      [bVMODESET], al
        ret
.video: mov     dx, 0x3CC               ; display memory on or off
        mov     ah, al
        in      al, dx
        and     al, 0xFD
        test    ah, 1
        jnz     .video_set
        or      al, 2
.video_set:
        mov     dx, 0x3C2
        out     dx, al
        ret
.grey:  and     byte [bVMODESET], 0xFD
        test    al, 1
        jnz     .ret
        or      byte [bVMODESET], 2
        ret
.cursor:
        and     byte [bVCTL], 0xFE
        and     al, 1
        or      [bVCTL], al
        ret
.refresh:
        mov     ah, al
        mov     dx, 0x3C4
        mov     al, 1
        out     dx, al
        inc     dx
        in      al, dx
        and     al, 0xDF
        test    ah, 1
        jz      .refresh_set
        or      al, 0x20
.refresh_set:
        out     dx, al
        ret
