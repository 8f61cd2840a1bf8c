; The VGA BIOS: an option ROM for C0000h, at most 32 KiB. Offset 0 is C000:0000.
; The last byte makes all bytes sum to zero; ../check-roms sets it.

        cpu     386
        bits    16
        org     0

%include "defs.inc"

; Video part of the BIOS data area (segment 40h)
bCOLS           equ 0x4A
bPAGESIZE       equ 0x4C
bPAGESTART      equ 0x4E
bCURSORS        equ 0x50                ; eight words: row, column
bCURSHAPE       equ 0x60
bPAGE           equ 0x62
bCRTC           equ 0x63
bMODECTL        equ 0x65
bCOLOR          equ 0x66
bROWS           equ 0x84                ; rows - 1
bHEIGHT         equ 0x85
bVCTL           equ 0x87                ; bit 7: last mode set kept the memory
bVSWITCH        equ 0x88
bVMODESET       equ 0x89                ; bits 7, 4: scan lines of text; 3: no default palette; 1: grey summing
bDCC            equ 0x8A
bSAVEPTR        equ 0xA8
bVBEMODE        equ 0xBA                ; word: mode of function 4F02h, 0 = none

        db      0x55, 0xAA, (rom_end - $$) / 512
        jmp     vga_init
        times 0x1E - ($ - $$) db 0
        db      "IBM VGA compatible BIOS. "
        db      "rvmx-emu VGA BIOS", 0

; Called by the system BIOS: takes INT 10h and sets mode 3.
vga_init:
        push    ds
        pusha
        xor     ax, ax
        mov     ds, ax
        mov     ax, [0x10 * 4]          ; the system BIOS's own handler stays as INT 42h
        mov     [0x42 * 4], ax
        mov     ax, [0x10 * 4 + 2]
        mov     [0x42 * 4 + 2], ax
        mov     word [0x10 * 4], int10_entry
        mov     [0x10 * 4 + 2], cs
        mov     word [0x6D * 4], int10_entry
        mov     [0x6D * 4 + 2], cs
        mov     word [0x1D * 4], mode_parameters
        mov     [0x1D * 4 + 2], cs
        mov     word [0x1F * 4], font_8x8 + 128 * 8
        mov     [0x1F * 4 + 2], cs
        mov     word [0x43 * 4], font_8x16
        mov     [0x43 * 4 + 2], cs
        LOADSEG ds, BDA_SEG
        mov     byte [bVCTL], 0x60      ; 256 KiB
        mov     byte [bVSWITCH], 0xF9
        mov     byte [bVMODESET], 0x51  ; 400 lines, VGA active
        mov     byte [bDCC], 0x08
        mov     word [bSAVEPTR], save_pointers
        mov     [bSAVEPTR + 2], cs
        mov     ax, 0x0003
        int     0x10
        popa
        pop     ds
        retf

int10_entry:
        ENTER_SERVICE
        LOADSEG ds, BDA_SEG
        movzx   si, byte [bp + fAH]
        cmp     si, 0x4F
        je      .vbe
        cmp     si, 0x1C
        ja      .done
        shl     si, 1
        call    [cs:.table + si]
.done:  LEAVE_SERVICE
.vbe:   call    vbe_service
        LEAVE_SERVICE
.table: dw      fn_set_mode             ; 00
        dw      fn_cursor_shape         ; 01
        dw      fn_set_cursor           ; 02
        dw      fn_get_cursor           ; 03
        dw      fn_light_pen            ; 04
        dw      fn_set_page             ; 05
        dw      fn_scroll_up            ; 06
        dw      fn_scroll_down          ; 07
        dw      fn_read_char            ; 08
        dw      fn_write_char_attr      ; 09
        dw      fn_write_char           ; 0A
        dw      fn_colour               ; 0B
        dw      fn_write_pixel          ; 0C
        dw      fn_read_pixel           ; 0D
        dw      fn_teletype             ; 0E
        dw      fn_get_mode             ; 0F
        dw      fn_palette              ; 10
        dw      fn_font                 ; 11
        dw      fn_alternate            ; 12
        dw      fn_write_string         ; 13
        times 0x1A - 0x14 dw fn_none
        dw      fn_display              ; 1A
        dw      fn_state_info           ; 1B
        dw      fn_save_restore         ; 1C

fn_none:
        ret
fn_light_pen:
        mov     byte [bp + fAH], 0      ; there is none
        ret

%include "vgamodes.asm"
%include "vgatext.asm"
%include "vgagfx.asm"
%include "vgapalette.asm"
%include "vgafont.asm"
%include "vgastate.asm"
%include "vbe.asm"
%include "font16.asm"
%include "font14.asm"
%include "font8.asm"

        times (512 - ($ - $$) % 512) db 0       ; at least one byte for the checksum
rom_end:
%if ($ - $$) > 0x8000
%error "the VGA BIOS is larger than 32 KiB"
%endif
