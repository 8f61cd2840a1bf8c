; Mode setting: AH=00h, and the register values of the standard modes.

; Kinds of display memory
KIND_TEXT       equ 0
KIND_CGA4       equ 1                   ; 2 bits a pixel, two banks
KIND_CGA2       equ 2                   ; 1 bit a pixel, two banks
KIND_PLANAR     equ 3
KIND_LINEAR     equ 4                   ; 1 byte a pixel
; Default palettes
DAC_EGA64       equ 0
DAC_CGA16       equ 1
DAC_VGA256      equ 2
DAC_MONO        equ 3

%macro MODE 5                           ; mode, kind, palette, segment, parameters
        db      %1, %2, %3
        dw      %4
        dw      mode_parameters + (%5) * 64
%endmacro
mMODE           equ 0
mKIND           equ 1
mDAC            equ 2
mSEG            equ 3
mPARAM          equ 5
MODE_SIZE       equ 7
mode_table:
        MODE    0x00, KIND_TEXT,   DAC_EGA64,  0xB800, 0
        MODE    0x01, KIND_TEXT,   DAC_EGA64,  0xB800, 0
        MODE    0x02, KIND_TEXT,   DAC_EGA64,  0xB800, 1
        MODE    0x03, KIND_TEXT,   DAC_EGA64,  0xB800, 1
        MODE    0x04, KIND_CGA4,   DAC_CGA16,  0xB800, 3
        MODE    0x05, KIND_CGA4,   DAC_CGA16,  0xB800, 3
        MODE    0x06, KIND_CGA2,   DAC_CGA16,  0xB800, 4
        MODE    0x07, KIND_TEXT,   DAC_MONO,   0xB000, 2
        MODE    0x0D, KIND_PLANAR, DAC_CGA16,  0xA000, 5
        MODE    0x0E, KIND_PLANAR, DAC_CGA16,  0xA000, 6
        MODE    0x10, KIND_PLANAR, DAC_EGA64,  0xA000, 7
        MODE    0x11, KIND_PLANAR, DAC_EGA64,  0xA000, 8
        MODE    0x12, KIND_PLANAR, DAC_EGA64,  0xA000, 9
        MODE    0x13, KIND_LINEAR, DAC_VGA256, 0xA000, 10
        db      0xFF

; Blocks of 64 bytes in the layout of the video parameter table: columns, rows - 1, character height, page size,
; sequencer 1-4, miscellaneous output, CRTC 0-18h, attribute controller 0-13h, graphics controller 0-8.
pCOLS           equ 0
pROWS           equ 1
pHEIGHT         equ 2
pPAGE           equ 3
pSEQ            equ 5
pMISC           equ 9
pCRTC           equ 10
pATTR           equ 35
pGFX            equ 55

%macro ATTR_EGA 0
        db      0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F
%endmacro
%macro ATTR_CGA 0
        db      0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17
%endmacro
mode_parameters:
        ; 0: 40x25 text
        db      40, 24, 16
        dw      0x0800
        db      0x08, 0x03, 0x00, 0x02, 0x67
        db      0x2D, 0x27, 0x28, 0x90, 0x2B, 0xA0, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0x00, 0x00, 0x00, 0x00
        db      0x9C, 0x8E, 0x8F, 0x14, 0x1F, 0x96, 0xB9, 0xA3, 0xFF
        ATTR_EGA
        db      0x0C, 0x00, 0x0F, 0x08
        db      0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0E, 0x00, 0xFF
        ; 1: 80x25 text
        db      80, 24, 16
        dw      0x1000
        db      0x00, 0x03, 0x00, 0x02, 0x67
        db      0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0x00, 0x00, 0x00, 0x00
        db      0x9C, 0x8E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF
        ATTR_EGA
        db      0x0C, 0x00, 0x0F, 0x08
        db      0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0E, 0x00, 0xFF
        ; 2: 80x25 monochrome text
        db      80, 24, 16
        dw      0x1000
        db      0x00, 0x03, 0x00, 0x02, 0x66
        db      0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0x00, 0x00, 0x00, 0x00
        db      0x9C, 0x8E, 0x8F, 0x28, 0x0D, 0x96, 0xB9, 0xA3, 0xFF
        db      0x00, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x10, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18
        db      0x0E, 0x00, 0x0F, 0x08
        db      0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0A, 0x00, 0xFF
        ; 3: 320x200, 4 colours
        db      40, 24, 8
        dw      0x4000
        db      0x09, 0x03, 0x00, 0x02, 0x63
        db      0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0x00, 0xC1, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00
        db      0x9C, 0x8E, 0x8F, 0x14, 0x00, 0x96, 0xB9, 0xA2, 0xFF
        db      0x00, 0x13, 0x15, 0x17, 0x02, 0x04, 0x06, 0x07, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17
        db      0x01, 0x00, 0x03, 0x00
        db      0x00, 0x00, 0x00, 0x00, 0x00, 0x30, 0x0F, 0x00, 0xFF
        ; 4: 640x200, 2 colours
        db      80, 24, 8
        dw      0x4000
        db      0x01, 0x01, 0x00, 0x06, 0x63
        db      0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0xC1, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00
        db      0x9C, 0x8E, 0x8F, 0x28, 0x00, 0x96, 0xB9, 0xC2, 0xFF
        db      0x00, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17
        db      0x01, 0x00, 0x01, 0x00
        db      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0D, 0x00, 0xFF
        ; 5: 320x200, 16 colours
        db      40, 24, 8
        dw      0x2000
        db      0x09, 0x0F, 0x00, 0x06, 0x63
        db      0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0x00, 0xC0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00
        db      0x9C, 0x8E, 0x8F, 0x14, 0x00, 0x96, 0xB9, 0xE3, 0xFF
        ATTR_CGA
        db      0x01, 0x00, 0x0F, 0x00
        db      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0F, 0xFF
        ; 6: 640x200, 16 colours
        db      80, 24, 8
        dw      0x4000
        db      0x01, 0x0F, 0x00, 0x06, 0x63
        db      0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0xC0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00
        db      0x9C, 0x8E, 0x8F, 0x28, 0x00, 0x96, 0xB9, 0xE3, 0xFF
        ATTR_CGA
        db      0x01, 0x00, 0x0F, 0x00
        db      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0F, 0xFF
        ; 7: 640x350, 16 colours
        db      80, 24, 14
        dw      0x8000
        db      0x01, 0x0F, 0x00, 0x06, 0xA3
        db      0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00
        db      0x83, 0x85, 0x5D, 0x28, 0x0F, 0x63, 0xBA, 0xE3, 0xFF
        ATTR_EGA
        db      0x01, 0x00, 0x0F, 0x00
        db      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0F, 0xFF
        ; 8: 640x480, 2 colours
        db      80, 29, 16
        dw      0xA000
        db      0x01, 0x0F, 0x00, 0x06, 0xE3
        db      0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00
        db      0xEA, 0x8C, 0xDF, 0x28, 0x00, 0xE7, 0x04, 0xC3, 0xFF
        db      0x00, 0x3F, 0x00, 0x3F, 0x00, 0x3F, 0x00, 0x3F, 0x00, 0x3F, 0x00, 0x3F, 0x00, 0x3F, 0x00, 0x3F
        db      0x01, 0x00, 0x0F, 0x00
        db      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x01, 0xFF
        ; 9: 640x480, 16 colours
        db      80, 29, 16
        dw      0xA000
        db      0x01, 0x0F, 0x00, 0x06, 0xE3
        db      0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00
        db      0xEA, 0x8C, 0xDF, 0x28, 0x00, 0xE7, 0x04, 0xE3, 0xFF
        ATTR_EGA
        db      0x01, 0x00, 0x0F, 0x00
        db      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0F, 0xFF
        ; 10: 320x200, 256 colours
        db      40, 24, 8
        dw      0xFA00
        db      0x01, 0x0F, 0x00, 0x0E, 0x63
        db      0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0x41, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00
        db      0x9C, 0x8E, 0x8F, 0x28, 0x40, 0x96, 0xB9, 0xA3, 0xFF
        db      0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F
        db      0x41, 0x00, 0x0F, 0x00
        db      0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x05, 0x0F, 0xFF
mode_parameters_end:
%if mode_parameters_end - mode_parameters != 11 * 64
%error "a parameter block is not 64 bytes"
%endif

; Save pointer table (40:A8): video parameters, nothing else.
save_pointers:
        dw      mode_parameters, 0xC000
        times 6 dd 0

; AL = mode -> SI = entry of mode_table; CF = 1: unknown.
mode_find:
        mov     si, mode_table
.next:  cmp     byte [cs:si], 0xFF
        je      .none
        cmp     [cs:si], al
        je      .found
        add     si, MODE_SIZE
        jmp     .next
.none:  stc
.found: ret

; SI = entry of the current mode (text mode 3's when a VBE mode or an unknown one is set).
mode_current:
        push    ax
        mov     al, [bVMODE]
        and     al, 0x7F
        call    mode_find
        jnc     .done
        mov     si, mode_table + 3 * MODE_SIZE
.done:  pop     ax
        ret

; AH=00h: AL = mode, bit 7 = keep the memory. AL returns 20h, 30h or 3Fh as old BIOSes do.
fn_set_mode:
        mov     al, [bp + fAL]
        mov     ah, al
        and     al, 0x7F
        call    mode_find
        jc      .done
        call    vbe_disable
        mov     al, [bp + fAL]
        call    mode_set
        mov     al, [bp + fAL]
        and     al, 0x7F
        mov     ah, 0x3F
        cmp     al, 6
        je      .result
        mov     ah, 0x30
        cmp     al, 7
        jbe     .result
        mov     ah, 0x20
.result:
        mov     [bp + fAL], ah
.done:  ret

; AL = mode with bit 7, SI = entry of mode_table.
mode_set:
        push    bp
        push    es
        mov     ah, al
        and     ah, 0x80
        and     byte [bVCTL], 0x7F
        or      [bVCTL], ah
        and     al, 0x7F
        mov     [bVMODE], al
        mov     word [bVBEMODE], 0
        mov     bx, [cs:si + mPARAM]
        ; BIOS data area
        movzx   ax, byte [cs:bx + pCOLS]
        mov     [bCOLS], ax
        mov     al, [cs:bx + pROWS]
        mov     [bROWS], al
        movzx   ax, byte [cs:bx + pHEIGHT]
        mov     [bHEIGHT], ax
        mov     ax, [cs:bx + pPAGE]
        mov     [bPAGESIZE], ax
        mov     word [bPAGESTART], 0
        mov     byte [bPAGE], 0
        push    ds
        pop     es
        mov     di, bCURSORS
        xor     ax, ax
        mov     cx, 8
        rep stosw
        mov     word [bCURSHAPE], 0x0607
        mov     word [bCRTC], 0x3D4
        test    byte [cs:bx + pMISC], 1
        jnz     .colour
        mov     word [bCRTC], 0x3B4
.colour:
        mov     byte [bMODECTL], 0x29
        mov     byte [bCOLOR], 0x30
        ; Screen off, then the registers
        call    attr_reset
        mov     dx, 0x3C0
        xor     al, al
        out     dx, al
        mov     dx, 0x3C2
        mov     al, [cs:bx + pMISC]
        out     dx, al
        mov     dx, 0x3C4
        mov     ax, 0x0100              ; synchronous reset
        out     dx, ax
        lea     di, [bx + pSEQ]
        mov     cx, 4
        mov     al, 1
        call    .write
        mov     ax, 0x0300
        out     dx, ax
        mov     dx, [bCRTC]
        mov     ax, 0x0E11              ; CRTC 0-7 unlocked
        out     dx, ax
        lea     di, [bx + pCRTC]
        mov     cx, 25
        xor     al, al
        call    .write
        mov     dx, 0x3CE
        lea     di, [bx + pGFX]
        mov     cx, 9
        xor     al, al
        call    .write
        call    attr_reset
        mov     dx, 0x3C0
        lea     di, [bx + pATTR]
        mov     cx, 20
        xor     al, al
.attr:  out     dx, al
        inc     ax
        push    ax
        mov     al, [cs:di]
        inc     di
        out     dx, al
        pop     ax
        loop    .attr
        mov     al, 0x14                ; colour select
        out     dx, al
        xor     al, al
        out     dx, al
        mov     dx, 0x3C6
        mov     al, 0xFF
        out     dx, al
        test    byte [bVMODESET], 8
        jnz     .memory
        mov     al, [cs:si + mDAC]
        call    dac_default
.memory:
        test    byte [bVCTL], 0x80
        jnz     .fonts
        mov     es, [cs:si + mSEG]
        xor     di, di
        mov     ax, 0x0720
        mov     cx, 0x4000
        cmp     byte [cs:si + mKIND], KIND_TEXT
        je      .fill
        xor     ax, ax
        cmp     byte [cs:si + mKIND], KIND_PLANAR
        jb      .fill
        mov     cx, 0x8000
.fill:  rep stosw
.fonts: xor     ax, ax
        mov     es, ax
        mov     word [es:0x1F * 4], font_8x8 + 128 * 8
        mov     [es:0x1F * 4 + 2], cs
        mov     [es:0x43 * 4 + 2], cs
        mov     ax, font_8x8
        cmp     byte [bHEIGHT], 14
        jb      .vector
        mov     ax, font_8x14
        je      .vector
        mov     ax, font_8x16
.vector:
        mov     [es:0x43 * 4], ax
        cmp     byte [cs:si + mKIND], KIND_TEXT
        jne     .show
        push    cs
        pop     es
        mov     bp, font_8x16
        mov     bh, 16
        xor     bl, bl
        xor     dx, dx
        mov     cx, 256
        call    font_load
.show:  call    attr_reset
        mov     dx, 0x3C0
        mov     al, 0x20                ; screen on
        out     dx, al
        pop     es
        pop     bp
        ret
; CX registers from CS:DI to the indexed port DX, index AL first.
.write: push    ax
        mov     ah, [cs:di]
        inc     di
        out     dx, ax
        pop     ax
        inc     ax
        loop    .write
        ret

; Attribute controller: the next write to 3C0h is an index. Keeps AX.
attr_reset:
        push    ax
        push    dx
        mov     dx, [bCRTC]
        add     dl, 6
        in      al, dx
        pop     dx
        pop     ax
        ret

; AH=0Fh: AH = columns, AL = mode, BH = page.
fn_get_mode:
        mov     al, [bVCTL]
        and     al, 0x80
        or      al, [bVMODE]
        mov     [bp + fAL], al
        mov     al, [bCOLS]
        mov     [bp + fAH], al
        mov     al, [bPAGE]
        mov     [bp + fBH], al
        ret
