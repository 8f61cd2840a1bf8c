; A 1.44M floppy image that tries the BIOS services and writes one line a check to ports E9h and 402h:
; "ok NAME" or "FAIL NAME AX=....". The last line is "done: N failed"; then it powers off through APM.
; Sectors from 32 on hold a pattern: dword i of sector n = n << 16 | i.

        cpu     686
        bits    16
        org     0x7C00

%macro CHECK 2                          ; condition that is good, name
        j%1     %%good
        call    fail
        db      %2, 0
        jmp     %%next
%%good: call    pass
        db      %2, 0
%%next:
%endmacro

start:  xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7C00
        mov     [drive], dl
        mov     ax, 0x0200 + 30         ; the rest of the program
        mov     bx, 0x7E00
        mov     cx, 2
        mov     dh, 0
        mov     dl, 0
        int     0x13
        jnc     main
        mov     al, '!'
        out     0xE9, al
        cli
        hlt
drive:  db      0
        times 510 - ($ - $$) db 0
        dw      0xAA55

program_table:
        db      0xAF, 2, 0x25, 3, 18, 0x1B, 0xFF, 0x6C, 0xF6, 15, 8

; The name follows the call. Keeps all registers; flags are lost.
pass:   pusha
        mov     si, text_ok
        call    puts
        jmp     name
fail:   pusha
        inc     word [failed]
        mov     si, text_fail
        call    puts
name:   mov     bp, sp
        mov     si, [bp + 16]
        call    puts
        mov     [bp + 16], si
        mov     al, ' '
        call    putc
        mov     ax, [bp + 14]
        call    hex
        mov     al, 10
        call    putc
        popa
        ret
putc:   push    dx
        out     0xE9, al
        mov     dx, 0x402
        out     dx, al
        pop     dx
        ret
puts:   cs lodsb
        or      al, al
        jz      .done
        call    putc
        jmp     puts
.done:  ret
hex:    mov     cx, 4
.next:  rol     ax, 4
        push    ax
        and     al, 15
        cmp     al, 10
        sbb     al, 0x69
        das
        call    putc
        pop     ax
        loop    .next
        ret
text_ok:
        db      "ok ", 0
text_fail:
        db      "FAIL ", 0
failed: dw      0

; ES:DI = CX sectors that must hold the pattern from sector BX on. ZF = 1 when they do.
pattern:
        pusha
        push    es
.sector:
        xor     dx, dx
.word:  cmp     [es:di], dx
        jne     .done
        cmp     [es:di + 2], bx
        jne     .done
        add     di, 4
        jnc     .same
        mov     ax, es
        add     ax, 0x1000
        mov     es, ax
.same:  inc     dx
        cmp     dx, 128
        jb      .word
        inc     bx
        loop    .sector
        xor     ax, ax
.done:  pop     es
        popa
        ret

; LBA AX -> CX, DH for a 1.44M disk.
chs:    mov     bl, 36
        div     bl
        mov     ch, al
        mov     al, ah
        xor     ah, ah
        mov     bl, 18
        div     bl
        mov     dh, al
        mov     cl, ah
        inc     cl
        mov     dl, 0
        ret

main:   sti
        ; ---- Floppy
        mov     ax, 0x2000
        mov     es, ax
        mov     ax, 40                  ; 64 sectors over heads, cylinders and a 64 KiB boundary
        call    chs
        mov     bx, 0x8000
        mov     ax, 0x0240
        int     0x13
        CHECK   nc, "floppy read 64"
        cmp     ax, 0x0040
        CHECK   e, "floppy read 64 count"
        mov     di, 0x8000
        mov     bx, 40
        mov     cx, 64
        call    pattern
        CHECK   e, "floppy read 64 data"
        mov     ax, 0x3FF1              ; an odd buffer: a sector straddles 40000h
        mov     es, ax
        mov     ax, 70
        call    chs
        mov     bx, 0x0001
        mov     ax, 0x0209
        int     0x13
        CHECK   nc, "floppy straddling read"
        mov     di, 1
        mov     bx, 70
        mov     cx, 9
        call    pattern
        CHECK   e, "floppy straddling data"
        mov     ax, 2000                ; write and read back far out
        call    chs
        mov     bx, 1
        mov     ax, 0x0303
        int     0x13
        CHECK   nc, "floppy write"
        mov     ax, 2000
        call    chs
        mov     ax, 0x0403
        int     0x13
        CHECK   nc, "floppy verify"
        mov     ax, 0x4000
        mov     es, ax
        mov     ax, 2000
        call    chs
        xor     bx, bx
        mov     ax, 0x0203
        int     0x13
        CHECK   nc, "floppy read back"
        xor     di, di
        mov     bx, 70
        mov     cx, 3
        call    pattern
        CHECK   e, "floppy read back data"
        mov     ax, 0x0201
        mov     cx, 0x0013              ; sector 19
        mov     dx, 0
        xor     bx, bx
        int     0x13
        CHECK   c, "floppy sector 19 fails"
        cmp     ah, 4
        CHECK   e, "floppy sector 19 status"
        mov     eax, [0x1E * 4]         ; a program's own table
        push    eax
        mov     dword [0x1E * 4], program_table
        mov     byte [program_table + 3], 3
        mov     ax, 0x0201
        mov     cx, 1
        mov     dx, 0
        int     0x13
        cmp     ah, 4
        CHECK   e, "INT 1Eh, no sector of 1024 bytes"
        mov     byte [program_table + 3], 2
        mov     byte [program_table + 4], 4
        mov     ax, 0x0202
        mov     cx, 4
        int     0x13
        cmp     ah, 4
        CHECK   e, "INT 1Eh, no sector behind the last"
        mov     ax, 0x0201
        mov     cx, 5
        int     0x13
        cmp     ah, 4
        CHECK   e, "INT 1Eh, not even alone"
        mov     ax, 0x0203
        mov     cx, 2
        int     0x13
        CHECK   nc, "INT 1Eh, up to the last sector"
        mov     byte [program_table + 4], 18
        mov     ax, 0x0218
        mov     cx, 18
        int     0x13
        CHECK   nc, "INT 1Eh, over the end of a track"
        pop     eax
        mov     [0x1E * 4], eax
        mov     ax, 0x2000              ; a write to a disk whose format has yet to be found
        mov     es, ax
        mov     byte [0x490], 0
        mov     ax, 0x0301
        mov     bx, 0x8000
        mov     cx, 0x4F01
        int     0x13
        CHECK   nc, "floppy write, format unknown"
        mov     byte [es:0x8000], 0
        mov     ax, 0x0201
        int     0x13
        mov     di, bx
        mov     bx, 40
        mov     cx, 1
        call    pattern
        CHECK   e, "floppy written, format unknown"
        mov     ah, 0x08
        mov     dl, 0
        int     0x13
        CHECK   nc, "floppy parameters"
        cmp     cx, 0x4F12
        CHECK   e, "floppy parameters CX"
        cmp     bl, 4
        CHECK   e, "floppy parameters BL"
        mov     ah, 0x15
        mov     dl, 0
        int     0x13
        cmp     ah, 2
        CHECK   e, "floppy type"
        mov     ah, 0x16
        mov     dl, 0
        int     0x13
        CHECK   nc, "floppy change line"
        mov     ax, 0x0201
        mov     dl, 1
        mov     cx, 1
        int     0x13
        CHECK   c, "floppy B absent"
        mov     ah, 0
        mov     dl, 0
        int     0x13
        CHECK   nc, "floppy reset"

        ; ---- Disk (2/16/63 or larger, pattern written here)
        mov     ah, 0x08
        mov     dl, 0x80
        int     0x13
        CHECK   nc, "disk parameters"
        cmp     dl, 1
        CHECK   ae, "disk count"
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ax, 0x2000              ; the floppy's sectors 40-103 are still at 2000:8000
        mov     es, ax
        mov     ax, 0x0340
        mov     bx, 0x8000
        mov     cx, 0x0005
        mov     dx, 0x0380
        int     0x13
        CHECK   nc, "disk write 64"
        mov     ax, 0x4000
        mov     es, ax
        mov     si, packet
        mov     ah, 0x42
        mov     dl, 0x80
        int     0x13
        CHECK   nc, "disk packet read 64"
        mov     ax, 0x4FFF
        mov     es, ax
        mov     di, 0x0F
        mov     bx, 40
        mov     cx, 64
        call    pattern
        CHECK   e, "disk packet data"
        mov     ax, 0x5000
        mov     es, ax
        mov     ax, 0x0211
        mov     cx, 0x003D              ; sector 61: over the track's end
        mov     dx, 0x0280
        xor     bx, bx
        int     0x13
        CHECK   nc, "disk read over a track's end"
        mov     ax, 0x0404
        mov     cx, 0x0005
        mov     dx, 0x0380
        int     0x13
        CHECK   nc, "disk verify"
        mov     ax, 0x0201
        mov     cx, 0xFFFF
        mov     dx, 0xFE80
        int     0x13
        CHECK   c, "disk read beyond the end"
        mov     ah, 0x41
        mov     bx, 0x55AA
        mov     dl, 0x80
        int     0x13
        CHECK   nc, "disk extensions"
        cmp     bx, 0xAA55
        CHECK   e, "disk extensions BX"
        mov     ah, 0x48
        mov     dl, 0x80
        mov     si, 0x600
        mov     word [si], 0x1E
        int     0x13
        CHECK   nc, "disk extended parameters"
        cmp     word [0x600 + 24], 512
        CHECK   e, "disk sector size"
        mov     ah, 0x15
        mov     dl, 0x80
        int     0x13
        cmp     ah, 3
        CHECK   e, "disk type"
        mov     ah, 0x02
        mov     dl, 0x87
        int     0x13
        CHECK   c, "disk 87h absent"

        ; ---- INT 15h
        xor     ax, ax
        mov     es, ax
        xor     ebx, ebx
        xor     si, si
.map:   mov     eax, 0xE820
        mov     ecx, 20
        mov     edx, 0x534D4150
        mov     di, 0x600
        int     0x15
        jc      .mapped
        inc     si
        or      ebx, ebx
        jnz     .map
.mapped:
        mov     ax, si
        cmp     si, 7
        CHECK   ae, "E820 entries"
        mov     ax, 0xE801
        int     0x15
        CHECK   nc, "E801"
        cmp     ax, 0x3C00
        CHECK   e, "E801 AX"
        mov     ah, 0x88
        int     0x15
        CHECK   nc, "88"
        mov     ax, 0x2402
        int     0x15
        CHECK   nc, "A20 query"
        mov     ax, 0x2400
        int     0x15
        mov     ax, 0x2402
        int     0x15
        cmp     al, 0
        CHECK   e, "A20 off"
        mov     si, move_up
        mov     cx, 0x4000
        mov     ah, 0x87
        int     0x15
        CHECK   nc, "block move up"
        mov     ax, 0x2402
        int     0x15
        cmp     al, 0
        CHECK   e, "A20 still off"
        mov     ax, 0x2401
        int     0x15
        mov     si, move_down
        mov     cx, 0x4000
        mov     ah, 0x87
        int     0x15
        CHECK   nc, "block move down"
        mov     ax, 0x6000
        mov     es, ax
        xor     di, di
        mov     bx, 40
        mov     cx, 64
        call    pattern
        CHECK   e, "block move data"
        xor     ax, ax
        mov     es, ax
        mov     ah, 0xC0
        int     0x15
        cmp     byte [es:bx + 2], 0xFC
        CHECK   e, "configuration table"
        mov     ah, 0xC1
        int     0x15
        mov     ax, es
        cmp     ax, 0x9FC0
        CHECK   e, "EBDA"
        mov     ax, [0x46C]
        push    ax
        mov     ah, 0x86
        mov     cx, 3                   ; 0.2 s: about 4 ticks
        mov     dx, 0x0D40
        int     0x15
        CHECK   nc, "wait"
        pop     ax
        neg     ax
        add     ax, [0x46C]
        cmp     ax, 2
        CHECK   ae, "wait took time"
        mov     ax, 0x5300
        xor     bx, bx
        int     0x15
        cmp     bx, 0x504D
        CHECK   e, "APM"
        mov     ah, 0x77
        int     0x15
        CHECK   c, "unknown function"
        int     0x12
        cmp     ax, 639
        CHECK   e, "INT 12h"
        int     0x11
        test    al, 1
        CHECK   nz, "INT 11h"

        ; ---- INT 16h
        mov     ah, 0x05
        mov     cx, 0x2C7A
        int     0x16
        cmp     al, 0
        CHECK   e, "key stored"
        mov     ah, 0x01
        int     0x16
        CHECK   nz, "key there"
        mov     ah, 0x00
        int     0x16
        cmp     ax, 0x2C7A
        CHECK   e, "key read"
        mov     ah, 0x11
        int     0x16
        CHECK   z, "no key"
        mov     cx, 0x48E0
        mov     ah, 0x05
        int     0x16
        mov     ah, 0x00
        int     0x16
        cmp     ax, 0x4800
        CHECK   e, "grey key, old function"
        mov     ax, 0xC205              ; mouse: packets of 3
        mov     bh, 3
        int     0x15
        CHECK   nc, "mouse"

        ; ---- INT 14h
        mov     ax, 0x00E3              ; 9600 8N1
        mov     dx, 0
        int     0x14
        test    ah, 0x60
        CHECK   nz, "COM1 set up, transmitter empty"
        mov     al, 'S'
        mov     ah, 1
        mov     dx, 0
        int     0x14
        or      ah, ah
        CHECK   ns, "COM1 send"
        mov     ah, 3
        mov     dx, 0
        int     0x14
        test    ah, 0x01
        CHECK   z, "COM1 status, nothing received"

        ; ---- INT 1Ah
        mov     ah, 0
        int     0x1A
        mov     ax, cx
        or      ax, dx
        CHECK   nz, "ticks"
        mov     ah, 2
        int     0x1A
        CHECK   nc, "RTC time"
        mov     ah, 4
        int     0x1A
        cmp     ch, 0x20
        CHECK   e, "RTC century"
        mov     ax, 0xB101
        int     0x1A
        cmp     edx, 0x20494350
        CHECK   e, "PCI BIOS"
        mov     ax, 0xB102
        mov     cx, 0x7000
        mov     dx, 0x8086
        xor     si, si
        int     0x1A
        cmp     bx, 0x0008
        CHECK   e, "PCI find PIIX3"
        mov     ax, 0xB103
        mov     ecx, 0x060000
        xor     si, si
        int     0x1A
        CHECK   nc, "PCI find host bridge"
        mov     ax, 0xB103
        mov     ecx, 0x123456
        int     0x1A
        CHECK   c, "PCI class absent"
        mov     ax, 0xB109
        mov     bx, 0x0008
        mov     di, 2
        int     0x1A
        cmp     cx, 0x7000
        CHECK   e, "PCI read word"
        mov     ax, 0xB10A
        mov     bx, 0x0008
        mov     di, 2
        int     0x1A
        cmp     ah, 0x87
        CHECK   e, "PCI bad register"

        ; ---- Tables
        mov     ax, 0xF000
        mov     es, ax
        mov     bx, 0
.rsdp:  cmp     dword [es:bx], 'RSD '
        je      .is_rsdp
        add     bx, 16
        jnz     .rsdp
.is_rsdp:
        mov     ax, bx
        or      bx, bx
        CHECK   nz, "RSDP"
        mov     cx, 36
        call    sum
        CHECK   z, "RSDP checksum"
        mov     bx, 0
.mp:    cmp     dword [es:bx], '_MP_'
        je      .is_mp
        add     bx, 16
        jnz     .mp
.is_mp: or      bx, bx
        CHECK   nz, "MP"
        mov     bx, [es:bx + 4]
        mov     cx, [es:bx + 4]
        call    sum
        CHECK   z, "MP checksum"
        mov     ax, [es:bx]
        mov     word [es:bx], 0
        cmp     [es:bx], ax
        CHECK   e, "F000 is read-only"

%include "video.inc"

        mov     si, text_done
        call    puts
        mov     ax, [failed]
        call    hex
        mov     si, text_failed
        call    puts
        mov     ax, 0x5301
        xor     bx, bx
        int     0x15
        mov     ax, 0x5307
        mov     bx, 1
        mov     cx, 3
        int     0x15
.stop:  cli
        hlt
        jmp     .stop
text_done:
        db      "done: ", 0
text_failed:
        db      " failed", 10, 0

; ZF = 1 when CX bytes at ES:BX sum to 0.
sum:    push    bx
        xor     al, al
.next:  add     al, [es:bx]
        inc     bx
        loop    .next
        pop     bx
        or      al, al
        ret

packet: db      16, 0
        dw      64, 0x000F, 0x4FFF
        dq      3 * 63 + 4
move_up:
        dq      0, 0
        dw      0xFFFF, 0x8000
        db      0x02, 0x93
        dw      0
        dw      0xFFFF, 0x0000
        db      0x20, 0x93
        dw      0
        dq      0, 0
move_down:
        dq      0, 0
        dw      0xFFFF, 0x0000
        db      0x20, 0x93
        dw      0
        dw      0xFFFF, 0x0000
        db      0x06, 0x93
        dw      0
        dq      0, 0

        times 31 * 512 - ($ - $$) db 0
%assign sector 31
%rep 200
%assign i 0
%rep 128
        dw      i, sector
%assign i i + 1
%endrep
%assign sector sector + 1
%endrep
        times 1474560 - ($ - $$) db 0
