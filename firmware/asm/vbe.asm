; AH=4Fh: VBE 2.0 on the Bochs display interface (ports 1CEh, 1CFh). Without it no modes are listed.

DISPI_INDEX     equ 0x1CE
DISPI_ID        equ 0
DISPI_XRES      equ 1
DISPI_YRES      equ 2
DISPI_BPP       equ 3
DISPI_ENABLE    equ 4
DISPI_BANK      equ 5
DISPI_VIRT_W    equ 6
DISPI_VIRT_H    equ 7
DISPI_X         equ 8
DISPI_Y         equ 9
DISPI_MEMORY    equ 10                  ; video memory in 64 KiB
LFB_DEFAULT     equ 0xE0000000

; AL = register -> AX. AL = register, BX = value.
dispi_read:
        push    dx
        xor     ah, ah
        mov     dx, DISPI_INDEX
        out     dx, ax
        inc     dx
        in      ax, dx
        pop     dx
        ret
dispi_write:
        push    dx
        push    ax
        xor     ah, ah
        mov     dx, DISPI_INDEX
        out     dx, ax
        inc     dx
        mov     ax, bx
        out     dx, ax
        pop     ax
        pop     dx
        ret

; CF = 0 when the interface is there: ids B0C0h-B0CFh.
dispi_present:
        push    ax
        mov     al, DISPI_ID
        call    dispi_read
        and     al, 0xF0
        cmp     ax, 0xB0C0
        pop     ax
        je      .yes
        stc
.yes:   ret

vbe_disable:
        call    dispi_present
        jc      .done
        push    ax
        push    bx
        mov     al, DISPI_ENABLE
        xor     bx, bx
        call    dispi_write
        pop     bx
        pop     ax
.done:  ret

%macro VBEMODE 4
        dw      %1, %2, %3
        db      %4, 0
%endmacro
vbe_modes:
        VBEMODE 0x100,  640,  400,  8
        VBEMODE 0x101,  640,  480,  8
        VBEMODE 0x103,  800,  600,  8
        VBEMODE 0x105, 1024,  768,  8
        VBEMODE 0x107, 1280, 1024,  8
        VBEMODE 0x10D,  320,  200, 15
        VBEMODE 0x10E,  320,  200, 16
        VBEMODE 0x10F,  320,  200, 24
        VBEMODE 0x110,  640,  480, 15
        VBEMODE 0x111,  640,  480, 16
        VBEMODE 0x112,  640,  480, 24
        VBEMODE 0x113,  800,  600, 15
        VBEMODE 0x114,  800,  600, 16
        VBEMODE 0x115,  800,  600, 24
        VBEMODE 0x116, 1024,  768, 15
        VBEMODE 0x117, 1024,  768, 16
        VBEMODE 0x118, 1024,  768, 24
        VBEMODE 0x119, 1280, 1024, 15
        VBEMODE 0x11A, 1280, 1024, 16
        VBEMODE 0x11B, 1280, 1024, 24
        VBEMODE 0x140,  320,  200, 32
        VBEMODE 0x141,  640,  400, 32
        VBEMODE 0x142,  640,  480, 32
        VBEMODE 0x143,  800,  600, 32
        VBEMODE 0x144, 1024,  768, 32
        VBEMODE 0x145, 1280, 1024, 32
        dw      0xFFFF

; BX = mode -> SI = entry; CF = 1: not there, or too large for the memory.
vbe_find:
        call    dispi_present
        jc      .done
        mov     si, vbe_modes
        and     bx, 0x1FF
.next:  cmp     word [cs:si], 0xFFFF
        je      .none
        cmp     [cs:si], bx
        je      .found
        add     si, 8
        jmp     .next
.none:  stc
.done:  ret
.found: push    eax
        push    edx
        call    vbe_pitch
        mul     word [cs:si + 4]
        shl     edx, 16
        mov     dx, ax
        push    edx
        mov     al, DISPI_MEMORY
        call    dispi_read
        movzx   eax, ax
        or      ax, ax
        jnz     .size
        mov     ax, 0x40                ; old interfaces: 4 MiB
.size:  shl     eax, 16
        pop     edx
        cmp     eax, edx                ; CF = 1 when it does not fit
        pop     edx
        pop     eax
        ret

; AX = bytes a line of the mode at SI.
vbe_pitch:
        movzx   ax, byte [cs:si + 6]
        add     ax, 7
        shr     ax, 3
        push    dx
        mul     word [cs:si + 2]
        pop     dx
        ret

vbe_service:
        movzx   si, byte [bp + fAL]
        cmp     si, 9
        ja      .unsupported
        shl     si, 1
        mov     byte [bp + fAL], 0x4F
        mov     byte [bp + fAH], 0
        call    [cs:.table + si]
        jnc     .done
        mov     byte [bp + fAH], 1
.done:  ret
.unsupported:
        mov     word [bp + fAX], 0x0100
        ret
.table: dw      vbe_info, vbe_mode_info, vbe_set_mode, vbe_get_mode, vbe_fail
        dw      vbe_window, vbe_line, vbe_start, vbe_dac_width, vbe_palette
vbe_fail:
        stc
        ret

; 4F00h: 256 bytes (512 after "VBE2") at ES:DI. The mode list stands in the block itself.
vbe_info:
        mov     es, [bp + fES]
        mov     di, [bp + fDI]
        push    di
        xor     ax, ax
        mov     cx, 128
        cmp     dword [es:di], 0x32454256
        jne     .clear
        mov     cx, 256
.clear: rep stosw
        pop     di
        mov     dword [es:di], 0x41534556
        mov     word [es:di + 4], 0x0200
        mov     word [es:di + 6], .oem
        mov     [es:di + 8], cs
        mov     byte [es:di + 10], 1    ; the DAC can have 8 bits
        mov     ax, di
        add     ax, 0x22
        mov     [es:di + 14], ax
        mov     [es:di + 16], es
        mov     al, DISPI_MEMORY
        call    dispi_read
        call    dispi_present
        jnc     .memory
        mov     ax, 4                   ; plain VGA: 256 KiB
.memory:
        mov     [es:di + 18], ax
        mov     word [es:di + 20], 0x0001
        mov     word [es:di + 22], .oem
        mov     [es:di + 24], cs
        mov     word [es:di + 26], .oem
        mov     [es:di + 28], cs
        mov     word [es:di + 30], .revision
        mov     [es:di + 32], cs
        add     di, 0x22
        mov     si, vbe_modes
.mode:  mov     bx, [cs:si]
        cmp     bx, 0xFFFF
        je      .end
        push    si
        call    vbe_find
        pop     si
        jc      .next
        mov     ax, bx
        stosw
.next:  add     si, 8
        jmp     .mode
.end:   mov     ax, 0xFFFF
        stosw
        clc
        ret
.oem:   db      "rvmx-emu VGA", 0
.revision:
        db      "0.1.0", 0

; 4F01h: mode CX, 256 bytes at ES:DI.
vbe_mode_info:
        mov     bx, [bp + fCX]
        call    vbe_find
        jc      .done
        mov     es, [bp + fES]
        mov     di, [bp + fDI]
        push    di
        xor     ax, ax
        mov     cx, 128
        rep stosw
        pop     di
        mov     word [es:di], 0x009B    ; supported, extended information, colour, graphics, linear frame buffer
        mov     byte [es:di + 2], 7     ; window A: relocatable, readable, writable
        mov     word [es:di + 4], 64
        mov     word [es:di + 6], 64
        mov     word [es:di + 8], 0xA000
        mov     word [es:di + 12], vbe_window_far
        mov     [es:di + 14], cs
        call    vbe_pitch
        mov     [es:di + 16], ax
        mov     ax, [cs:si + 2]
        mov     [es:di + 18], ax
        mov     ax, [cs:si + 4]
        mov     [es:di + 20], ax
        mov     byte [es:di + 22], 8
        mov     byte [es:di + 23], 16
        mov     byte [es:di + 24], 1
        mov     al, [cs:si + 6]
        mov     [es:di + 25], al
        mov     byte [es:di + 26], 1
        mov     byte [es:di + 30], 1
        mov     byte [es:di + 27], 4    ; packed pixels
        cmp     al, 8
        je      .lfb
        mov     byte [es:di + 27], 6    ; direct colour
        mov     bx, .masks
.mask:  cmp     al, [cs:bx]
        je      .copy
        add     bx, 9
        jmp     .mask
.copy:  push    di
        push    si
        lea     si, [bx + 1]
        add     di, 31
        mov     cx, 8
        rep cs movsb
        pop     si
        pop     di
.lfb:   call    vbe_lfb
        mov     [es:di + 40], eax
        clc
.done:  ret
; Sizes and positions of red, green, blue, reserved.
.masks: db      15, 5, 10, 5, 5, 5, 0, 1, 15
        db      16, 5, 11, 6, 5, 5, 0, 0, 0
        db      24, 8, 16, 8, 8, 8, 0, 0, 0
        db      32, 8, 16, 8, 8, 8, 0, 8, 24

; EAX = frame buffer: BAR 0 of the display adapter on bus 0. Changes DX.
vbe_lfb:
        push    ebx
        mov     ebx, 0x80000000
.device:
        lea     eax, [ebx + 8]
        mov     dx, 0xCF8
        out     dx, eax
        mov     dx, 0xCFC
        in      eax, dx
        shr     eax, 16
        cmp     ax, 0x0300
        je      .found
        add     ebx, 0x800
        cmp     ebx, 0x80010000
        jb      .device
.none:  mov     eax, LFB_DEFAULT
        pop     ebx
        ret
.found: lea     eax, [ebx + 0x10]
        mov     dx, 0xCF8
        out     dx, eax
        mov     dx, 0xCFC
        in      eax, dx
        test    al, 1
        jnz     .none
        and     al, 0xF0
        jz      .check
.check: or      eax, eax
        jz      .none
        pop     ebx
        ret

; 4F02h: BX = mode, bit 14 linear frame buffer, bit 15 keep the memory.
vbe_set_mode:
        mov     bx, [bp + fBX]
        test    bx, 0x3F00
        jnz     .vbe
        mov     al, bl                  ; a standard mode
        and     al, 0x7F
        call    mode_find
        jc      .done
        call    vbe_disable
        mov     al, [bp + fBL]
        and     al, 0x7F
        test    byte [bp + fBH], 0x80
        jz      .standard
        or      al, 0x80
.standard:
        call    mode_set
        clc
.done:  ret
.vbe:   call    vbe_find
        jc      .done
        push    si
        call    vbe_disable
        mov     al, 0x13                ; linear 256-colour registers and palette below
        call    mode_find
        mov     al, 0x93
        call    mode_set
        pop     si
        and     byte [bVCTL], 0x7F
        mov     bx, [cs:si + 2]
        mov     al, DISPI_XRES
        call    dispi_write
        mov     bx, [cs:si + 4]
        mov     al, DISPI_YRES
        call    dispi_write
        movzx   bx, byte [cs:si + 6]
        mov     al, DISPI_BPP
        call    dispi_write
        xor     bx, bx
        mov     al, DISPI_BANK
        call    dispi_write
        mov     bx, 1
        test    byte [bp + fBH], 0x40
        jz      .banked
        or      bl, 0x40
.banked:
        test    byte [bp + fBH], 0x80
        jz      .clear
        or      bl, 0x80
.clear: mov     al, DISPI_ENABLE
        call    dispi_write
        mov     ax, [bp + fBX]
        and     ax, 0x41FF
        mov     [bVBEMODE], ax
        mov     ax, [cs:si + 2]         ; columns and rows in 8x16 cells
        shr     ax, 3
        mov     [bCOLS], ax
        mov     ax, [cs:si + 4]
        shr     ax, 4
        dec     al
        mov     [bROWS], al
        clc
        ret

vbe_get_mode:
        mov     ax, [bVBEMODE]
        or      ax, ax
        jnz     .vbe
        mov     al, [bVMODE]
.vbe:   mov     [bp + fBX], ax
        clc
        ret

; 4F05h: BH = 0 set, 1 get; BL = window A only; DX = bank of 64 KiB.
vbe_window:
        cmp     byte [bp + fBL], 0
        jne     vbe_fail
        cmp     byte [bp + fBH], 1
        ja      vbe_fail
        mov     al, DISPI_BANK
        je      .get
        mov     bx, [bp + fDX]
        call    dispi_write
        clc
        ret
.get:   call    dispi_read
        mov     [bp + fDX], ax
        clc
        ret
; The same by a far call with BX, DX.
vbe_window_far:
        push    ax
        push    bx
        mov     al, DISPI_BANK
        cmp     bh, 1
        je      .get
        mov     bx, dx
        call    dispi_write
        jmp     .done
.get:   call    dispi_read
        mov     dx, ax
.done:  pop     bx
        pop     ax
        retf

; 4F06h: BL = 0 set CX pixels, 1 get, 2 set CX bytes. Returns BX bytes, CX pixels, DX lines.
vbe_line:
        mov     bx, [bVBEMODE]
        or      bx, bx
        jz      vbe_fail
        call    vbe_find
        jc      .done
        movzx   di, byte [cs:si + 6]
        add     di, 7
        shr     di, 3                   ; bytes a pixel
        mov     al, [bp + fBL]
        cmp     al, 1
        je      .get
        ja      .bytes
        mov     bx, [bp + fCX]
        jmp     .set
.bytes: cmp     al, 2
        jne     vbe_fail
        mov     ax, [bp + fCX]
        xor     dx, dx
        div     di
        mov     bx, ax
.set:   mov     al, DISPI_VIRT_W
        call    dispi_write
.get:   mov     al, DISPI_VIRT_W
        call    dispi_read
        mov     [bp + fCX], ax
        mul     di
        mov     [bp + fBX], ax
        mov     al, DISPI_VIRT_H
        call    dispi_read
        mov     [bp + fDX], ax
        clc
.done:  ret

; 4F07h: BL = 0, 80h set, 1 get: CX, DX = first pixel and line.
vbe_start:
        mov     al, [bp + fBL]
        and     al, 0x7F
        cmp     al, 1
        ja      vbe_fail
        je      .get
        mov     bx, [bp + fCX]
        mov     al, DISPI_X
        call    dispi_write
        mov     bx, [bp + fDX]
        mov     al, DISPI_Y
        call    dispi_write
        clc
        ret
.get:   mov     al, DISPI_X
        call    dispi_read
        mov     [bp + fCX], ax
        mov     al, DISPI_Y
        call    dispi_read
        mov     [bp + fDX], ax
        mov     byte [bp + fBH], 0
        clc
        ret

; 4F08h: BL = 0: BH bits a colour (6 or 8), 1: get.
vbe_dac_width:
        call    dispi_present
        jc      vbe_fail
        mov     al, DISPI_ENABLE
        call    dispi_read
        cmp     byte [bp + fBL], 1
        ja      vbe_fail
        je      .get
        and     al, 0xDF
        cmp     byte [bp + fBH], 8
        jb      .set
        or      al, 0x20
.set:   or      al, 0x80                ; keep the memory
        mov     bx, ax
        mov     al, DISPI_ENABLE
        call    dispi_write
        mov     al, DISPI_ENABLE
        call    dispi_read
.get:   mov     byte [bp + fBH], 6
        test    al, 0x20
        jz      .six
        mov     byte [bp + fBH], 8
.six:   clc
        ret

; 4F09h: BL = 0, 80h set, 1 get: CX entries from DX, ES:DI = blue, green, red, 0.
vbe_palette:
        mov     es, [bp + fES]
        mov     di, [bp + fDI]
        mov     cx, [bp + fCX]
        mov     al, [bp + fBL]
        and     al, 0x7F
        cmp     al, 1
        ja      vbe_fail
        mov     ah, [bp + fDL]
        je      .get
        mov     dx, 0x3C8
        mov     al, ah
        out     dx, al
        inc     dx
        jcxz    .done
.set:   mov     al, [es:di + 2]
        out     dx, al
        mov     al, [es:di + 1]
        out     dx, al
        mov     al, [es:di]
        out     dx, al
        add     di, 4
        loop    .set
        jmp     .done
.get:   mov     dx, 0x3C7
        mov     al, ah
        out     dx, al
        mov     dx, 0x3C9
        jcxz    .done
.read:  in      al, dx
        mov     [es:di + 2], al
        in      al, dx
        mov     [es:di + 1], al
        in      al, dx
        mov     [es:di], al
        mov     byte [es:di + 3], 0
        add     di, 4
        loop    .read
.done:  clc
        ret
