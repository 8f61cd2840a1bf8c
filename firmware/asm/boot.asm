; INT 18h and INT 19h.

int18_entry:
        sti
        push    cs
        pop     ds
        mov     si, .text
        call    print
.stop:  hlt
        jmp     .stop
.text:  db      13, 10, "No bootable device.", 13, 10, 0

; Boot order: nibbles of CMOS 3Dh (low first, high second) and 38h (high third): 1 floppy, 2 disk, 3 CD-ROM.
int19_entry:
        sti
        cld
        xor     ax, ax
        mov     ss, ax
        mov     sp, 0x7C00
        mov     al, 0x3D
        call    cmos_read
        mov     bl, al
        mov     al, 0x38
        call    cmos_read
        shr     al, 4
        mov     bh, al                  ; BX: up to three nibbles, first lowest
        test    bx, 0x0FFF
        jnz     .next
        mov     bx, 0x0312              ; not set: disk, floppy, CD-ROM
.next:  mov     al, bl
        and     al, 0x0F
        jz      .none
        shr     bx, 4
        push    bx
        cmp     al, 1
        je      .floppy
        cmp     al, 2
        je      .disk
        cmp     al, 3
        je      .cdrom
.failed:
        pop     bx
        jmp     .next
.none:  int     0x18
        jmp     .none

.floppy:
        mov     dl, 0x00
        call    boot_read
        jc      .failed
        ; Old floppies have no signature. As the AT's BIOS: no code where the first byte is below 6 or ten words are the
        ; same, as on a blank disk.
        mov     di, 0x7C00
        mov     ax, [es:di]
        cmp     al, 6
        jb      .failed
        mov     cx, 10
        repe    scasw
        je      .failed
        mov     si, .from_floppy
        jmp     .go
.disk:  mov     dl, 0x80
        call    boot_read
        jc      .failed
        cmp     word [es:0x7DFE], 0xAA55
        jne     .failed
        mov     si, .from_disk
        jmp     .go
.cdrom: call    cdrom_boot              ; returns only when it failed
        jmp     .failed
.go:    call    print
        xor     eax, eax                ; whole registers: what set the machine up has left their upper halves full
        mov     ds, ax
        mov     es, ax
        mov     ebx, eax
        mov     ecx, eax
        mov     esi, eax
        mov     edi, eax
        mov     ebp, eax
        mov     esp, 0x7C00
        movzx   edx, dl
        jmp     0x0000:0x7C00
.from_floppy:
        db      "Booting from floppy", 13, 10, 0
.from_disk:
        db      "Booting from disk", 13, 10, 0

; First sector of drive DL to 0000:7C00, up to three times. CF = 1: not readable. ES = 0.
boot_read:
        mov     di, 3
.again: xor     ax, ax
        mov     es, ax
        mov     ax, 0x0201
        mov     bx, 0x7C00
        mov     cx, 0x0001
        mov     dh, 0
        push    di
        int     0x13
        pop     di
        jnc     .done
        cmp     ah, 0x80                ; no drive, no media
        je      .fail
        cmp     ah, 0x01
        je      .fail
        push    di
        mov     ah, 0
        int     0x13
        pop     di
        dec     di
        jnz     .again
.fail:  stc
.done:  ret
