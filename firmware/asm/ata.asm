; ATA drives by programmed I/O (ATA/ATAPI-6): detection, IDENTIFY, sector transfers.

ATA_BSY         equ 0x80
ATA_DRDY        equ 0x40
ATA_DF          equ 0x20
ATA_DRQ         equ 0x08
ATA_ERR         equ 0x01

; The BIOS polls: interrupts of the channel are off (nIEN) while a command runs and on again afterwards.
; DS = EBDA, SI = drive record in all routines.

ata_init:
        push    ds
        push    es
        LOADSEG ds, EBDA_SEG
        mov     es, ax
        mov     dword [eHDMAP], 0xFFFFFFFF
        mov     byte [eCDREC], 0xFF
        mov     si, eATA
        xor     bx, bx
.fill:  mov     ax, [cs:.ports + bx]
        mov     [si + aCMD], ax
        mov     ax, [cs:.ports + bx + 2]
        mov     [si + aCTL], ax
        mov     al, [cs:.ports + bx + 4]
        mov     [si + aSEL], al
        add     si, ATA_REC
        add     bx, 6
        cmp     bx, 24
        jb      .fill
        mov     si, eATA
.drive: call    ata_detect
        add     si, ATA_REC
        cmp     si, eATA + 4 * ATA_REC
        jb      .drive
        LOADSEG es, BDA_SEG
        xor     bx, bx                  ; number the disks
        xor     cx, cx
        mov     si, eATA
.number:
        cmp     byte [si + aTYPE], 1
        jne     .not_disk
        mov     [eHDMAP + bx], cl
        inc     bx
        jmp     .next
.not_disk:
        cmp     byte [si + aTYPE], 2
        jne     .next
        inc     byte [eCDCOUNT]
        cmp     byte [eCDREC], 0xFF
        jne     .next
        mov     [eCDREC], cl
.next:  add     si, ATA_REC
        inc     cx
        cmp     cx, 4
        jb      .number
        mov     [es:bHDCOUNT], bl
        LOADSEG es, EBDA_SEG
        mov     di, eFDPT
        xor     bx, bx
.fdpt:  movzx   ax, byte [eHDMAP + bx]
        cmp     al, 0xFF
        je      .fdpt_next
        imul    si, ax, ATA_REC
        add     si, eATA
        mov     ax, [si + aLCYL]
        mov     [di], ax
        mov     al, [si + aLHEAD]
        mov     [di + 2], al
        mov     byte [di + 8], 0xC0
        cmp     al, 8
        jbe     .heads
        or      byte [di + 8], 8
.heads: mov     ax, [si + aLCYL]
        mov     [di + 12], ax           ; landing zone
        mov     al, [si + aLSPT]
        mov     [di + 14], al
.fdpt_next:
        add     di, 16
        inc     bx
        cmp     bx, 2
        jb      .fdpt
        pop     es
        pop     ds
        ret
.ports: dw      0x1F0, 0x3F6, 0x00
        dw      0x1F0, 0x3F6, 0x10
        dw      0x170, 0x376, 0x00
        dw      0x170, 0x376, 0x10

; Fills the record: presence by the registers' memory, kind by IDENTIFY or the ATAPI signature.
ata_detect:
        mov     dx, [si + aCMD]
        add     dx, 7
        in      al, dx
        cmp     al, 0x7F                ; empty: floating lines, DD7 pulled down
        je      .none
        call    ata_select
        jc      .none
        mov     dx, [si + aCMD]
        add     dx, 2
        mov     al, 0x55
        out     dx, al
        inc     dx
        mov     al, 0xAA
        out     dx, al
        dec     dx
        in      al, dx
        cmp     al, 0x55
        jne     .none
        inc     dx
        in      al, dx
        cmp     al, 0xAA
        jne     .none
        mov     byte [si + aTYPE], 1
        mov     al, 0xEC                ; IDENTIFY DEVICE
        call    ata_identify
        jnc     .disk
        mov     dx, [si + aCMD]         ; an ATAPI device aborts and shows EB14h
        add     dx, 4
        in      al, dx
        mov     ah, al
        inc     dx
        in      al, dx
        cmp     ax, 0x14EB
        jne     .none
        mov     al, 0xA1                ; IDENTIFY PACKET DEVICE
        call    ata_identify
        jc      .none
        mov     byte [si + aTYPE], 2
        mov     byte [.type_char], 'C'
        jmp     ata_announce
.none:  mov     byte [si + aTYPE], 0
        ret
.type_char equ eRQPKT

.disk:  mov     ax, [eBOUNCE + 1 * 2]
        mov     [si + aPCYL], ax
        mov     ax, [eBOUNCE + 3 * 2]
        mov     [si + aPHEAD], ax
        mov     ax, [eBOUNCE + 6 * 2]
        mov     [si + aPSPT], ax
        test    byte [eBOUNCE + 49 * 2 + 1], 0x02
        jz      .chs
        or      byte [si + aLBA], 1
        mov     eax, [eBOUNCE + 60 * 2]
        xor     edx, edx
        test    byte [eBOUNCE + 83 * 2 + 1], 0x04
        jz      .total
        mov     ecx, [eBOUNCE + 100 * 2]
        mov     edx, [eBOUNCE + 102 * 2]
        mov     ebx, ecx
        or      ebx, edx
        jz      .total                  ; word 83 set but no 48-bit size
        or      byte [si + aLBA], 2
        mov     eax, ecx
        jmp     .total
.chs:   movzx   eax, word [si + aPCYL]
        movzx   ecx, word [si + aPHEAD]
        mul     ecx
        movzx   ecx, word [si + aPSPT]
        mul     ecx
        xor     edx, edx
.total: mov     [si + aTOTAL], eax
        mov     [si + aTOTAL + 4], edx
        call    ata_geometry
        mov     byte [.type_char], 'D'
        jmp     ata_announce

; The geometry that INT 13h shows: the drive's own up to 1024 cylinders, else LBA assist (63 sectors, 16-255 heads).
ata_geometry:
        mov     ax, [si + aPCYL]
        mov     bx, [si + aPHEAD]
        mov     cx, [si + aPSPT]
        or      ax, ax
        jz      .assist
        cmp     bx, 255
        ja      .assist
        or      bx, bx
        jz      .assist
        cmp     cx, 63
        ja      .assist
        jcxz    .assist
        cmp     ax, 1024
        jbe     .store
.assist:
        mov     eax, [si + aTOTAL]
        mov     edx, [si + aTOTAL + 4]
        or      edx, edx
        jnz     .huge
        mov     ecx, 63
        div     ecx                     ; tracks
        mov     bx, 16
.heads: movzx   ecx, bx
        shl     ecx, 10
        cmp     eax, ecx
        jbe     .fits
        shl     bx, 1
        cmp     bx, 256
        jb      .heads
        mov     bx, 255
.fits:  xor     edx, edx
        movzx   ecx, bx
        div     ecx
        mov     cx, 63
        cmp     eax, 1024
        jbe     .store
        mov     ax, 1024
        jmp     .store
.huge:  mov     ax, 1024
        mov     bx, 255
        mov     cx, 63
.store: or      ax, ax
        jnz     .keep
        inc     ax
.keep:  mov     [si + aLCYL], ax
        mov     [si + aLHEAD], bx
        mov     [si + aLSPT], cx
        ret

; "ata0 master: disk, 2016 sectors (1 MiB), model"
ata_announce:
        push    ds
        pop     es
        mov     bx, si
        mov     si, .name
        call    print
        mov     si, bx
        mov     al, '0'
        cmp     word [si + aCMD], 0x1F0
        je      .channel
        inc     al
.channel:
        call    putc
        mov     bx, .master
        cmp     byte [si + aSEL], 0
        je      .which
        mov     bx, .slave
.which: push    si
        mov     si, bx
        call    print
        pop     si
        push    si
        mov     di, .cdrom
        cmp     byte [ata_detect.type_char], 'C'
        je      .kind
        mov     eax, [si + aTOTAL]
        mov     edx, [si + aTOTAL + 4]
        shrd    eax, edx, 11
        call    print_dec
        mov     di, .mib
.kind:  mov     si, di
        call    print
        mov     si, eBOUNCE + 27 * 2    ; model: 40 characters, swapped, padded with blanks
        mov     cx, 20
        xor     bx, bx                  ; pending blanks
.model: lodsw
        xchg    al, ah
        call    .char
        mov     al, ah
        call    .char
        loop    .model
        mov     si, msg_crlf
        call    print
        pop     si
        ret
.char:  cmp     al, ' '
        jbe     .blank
.flush: or      bx, bx
        jz      .show
        push    ax
        mov     al, ' '
        call    putc
        pop     ax
        dec     bx
        jmp     .flush
.show:  jmp     putc
.blank: inc     bx
        ret
.name:  db      "ata", 0
.master:
        db      " master: ", 0
.slave: db      " slave:  ", 0
.mib:   db      " MiB disk, ", 0
.cdrom: db      "CD-ROM, ", 0

; Selects the drive and waits until it is not busy. CF = 1: time-out.
ata_select:
        call    ata_wait_ready
        jc      .done
        mov     dx, [si + aCMD]
        add     dx, 6
        mov     al, [si + aSEL]
        or      al, 0xA0
        out     dx, al
        mov     cx, 4                   ; 400 ns
        mov     dx, [si + aCTL]
.settle:
        in      al, dx
        loop    .settle
        call    ata_wait_ready
.done:  ret

; Until BSY = 0 -> AL = status. CF = 1 after a time-out (about a second of port reads).
ata_wait_ready:
        push    ecx
        mov     dx, [si + aCMD]
        add     dx, 7
        mov     ecx, 0x400000
.poll:  in      al, dx
        test    al, ATA_BSY
        jz      .done
        a32 loop .poll
        stc
.done:  pop     ecx
        ret
; Until BSY = 0 and DRQ or ERR or DF; CF = 1 with error: AL = status, or FFh after a time-out. A device that is
; neither busy nor has anything to say (an absent slave) is given up early.
ata_wait_data:
        push    ecx
        push    bx
        xor     bx, bx                  ; 65536 idle polls
        mov     dx, [si + aCMD]
        add     dx, 7
        mov     ecx, 0x2000000
.poll:  in      al, dx
        test    al, ATA_BSY
        jnz     .again
        test    al, ATA_ERR | ATA_DF
        jnz     .fail
        test    al, ATA_DRQ
        jnz     .done
        dec     bx
        jz      .silent
.again: a32 loop .poll
.silent:
        mov     al, 0xFF
.fail:  stc
.done:  pop     bx
        pop     ecx
        ret

ata_irq_off:
        push    ax
        mov     dx, [si + aCTL]
        mov     al, 0x0A
        out     dx, al
        pop     ax
        ret
; Reads the status (clears INTRQ) and allows interrupts again. Keeps flags and AX.
ata_irq_on:
        pushf
        push    ax
        mov     dx, [si + aCMD]
        add     dx, 7
        in      al, dx
        mov     dx, [si + aCTL]
        mov     al, 0x08
        out     dx, al
        pop     ax
        popf
        ret

; AL = IDENTIFY command: 256 words to the bounce buffer. CF = 1: no data.
ata_identify:
        push    ax
        call    ata_select
        call    ata_irq_off
        mov     dx, [si + aCMD]
        add     dx, 7
        pop     ax
        out     dx, al
        in      al, dx
        or      al, al
        jz      .none                   ; no drive
        call    ata_wait_data
        jc      .none
        push    ds
        pop     es
        mov     di, eBOUNCE
        mov     dx, [si + aCMD]
        mov     cx, 256
        rep insw
        call    ata_irq_on
        clc
        ret
.none:  call    ata_irq_on
        stc
        ret

; The request eRQLBA, eRQCOUNT, eRQSEG:eRQOFF, eRQOP. Result: AH = INT 13h status, eRQDONE sectors transferred.
ata_transfer:
        mov     word [eRQDONE], 0
        mov     es, [eRQSEG]
        mov     di, [eRQOFF]
.command:
        mov     ax, [eRQCOUNT]
        or      ax, ax
        jz      .finished
        cmp     ax, 128
        jbe     .size
        mov     ax, 128
.size:  mov     [eRQCHUNK], al
        call    ata_select
        jc      .timeout
        call    ata_irq_off
        call    ata_issue
        mov     cl, [eRQCHUNK]
        cmp     byte [eRQOP], 2
        je      .verify
.sector:
        call    ata_wait_data
        jc      .error
        call    normalize_es_di
        mov     dx, [si + aCMD]
        push    cx
        mov     cx, 256
        cmp     byte [eRQOP], 1
        je      .write
        rep insw
        jmp     .moved
.write: push    si
        mov     si, di
        rep es outsw
        mov     di, si
        pop     si
.moved: pop     cx
        call    .advance
        dec     cl
        jnz     .sector
        call    ata_wait_ready          ; the last sector of a write
        jc      .timeout
        test    al, ATA_ERR | ATA_DF
        jnz     .error
        jmp     .command
.verify:
        call    ata_wait_ready
        jc      .timeout
        test    al, ATA_ERR | ATA_DF
        jnz     .error
.each:  call    .advance
        dec     cl
        jnz     .each
        jmp     .command
.finished:
        mov     ah, 0
        jmp     .leave
.timeout:
        mov     al, 0xFF
.error: mov     ah, 0x80
        cmp     al, 0xFF
        je      .leave
        mov     dx, [si + aCMD]
        inc     dx
        in      al, dx
        mov     ah, 0x10                ; uncorrectable data
        test    al, 0x40
        jnz     .leave
        mov     ah, 0x04                ; sector not found
        test    al, 0x10
        jnz     .leave
        mov     ah, 0x20
.leave: jmp     ata_irq_on
.advance:
        inc     word [eRQDONE]
        dec     word [eRQCOUNT]
        add     dword [eRQLBA], 1
        adc     dword [eRQLBA + 4], 0
        ret

; Writes the task file for eRQCHUNK sectors at eRQLBA: LBA28, LBA48 beyond 2^28, or CHS.
ata_issue:
        movzx   bx, byte [eRQOP]
        test    byte [si + aLBA], 1
        jz      .chs
        movzx   eax, byte [eRQCHUNK]
        add     eax, [eRQLBA]
        jc      .lba48
        cmp     dword [eRQLBA + 4], 0
        jne     .lba48
        cmp     eax, 0x10000000
        ja      .lba48
        mov     eax, [eRQLBA]
        mov     ebx, eax
        shr     ebx, 24
        or      bl, 0xE0
        jmp     .write
.chs:   mov     eax, [eRQLBA]
        xor     edx, edx
        movzx   ecx, word [si + aPSPT]
        div     ecx
        inc     dl
        push    dx                      ; sector
        xor     edx, edx
        movzx   ecx, word [si + aPHEAD]
        div     ecx
        mov     bl, dl
        or      bl, 0xA0
        shl     eax, 8
        pop     dx
        mov     al, dl
.write: or      bl, [si + aSEL]         ; EAX 23-0: LBA registers, BL: device register
        mov     dx, [si + aCMD]
        add     dx, 2
        push    ax
        mov     al, [eRQCHUNK]
        out     dx, al
        pop     ax
        call    .three
        inc     dx
        mov     al, bl
        out     dx, al
        movzx   bx, byte [eRQOP]
        mov     al, [cs:.commands + bx]
        jmp     .go
.lba48: mov     dx, [si + aCMD]
        add     dx, 2
        xor     al, al
        out     dx, al
        movzx   eax, word [eRQLBA + 4]
        shl     eax, 8
        mov     al, [eRQLBA + 3]
        call    .three
        mov     dx, [si + aCMD]
        add     dx, 2
        mov     al, [eRQCHUNK]
        out     dx, al
        mov     eax, [eRQLBA]
        call    .three
        inc     dx
        mov     al, [si + aSEL]
        or      al, 0xE0
        out     dx, al
        mov     al, [cs:.commands48 + bx]
.go:    inc     dx
        out     dx, al
        mov     dx, [si + aCTL]         ; 400 ns before the status is valid
        in      al, dx
        in      al, dx
        in      al, dx
        in      al, dx
        ret
.three: inc     dx
        out     dx, al
        shr     eax, 8
        inc     dx
        out     dx, al
        shr     eax, 8
        inc     dx
        out     dx, al
        ret
.commands:
        db      0x20, 0x30, 0x40
.commands48:
        db      0x24, 0x34, 0x42
