; CD-ROM drives (ATAPI packets by programmed I/O) and the El Torito boot: no emulation (drive E0h), floppy (drive 0)
; and hard disk emulation (drive 80h; the real disks move up by one). Only the first CD-ROM drive serves.

CD_DRIVE        equ 0xE0
; Fields of eCDEMU
cACTIVE         equ eCDEMU + 0          ; 1 = an image is emulated
cDRIVE          equ eCDEMU + 1          ; emulated drive number
cMEDIA          equ eCDEMU + 2          ; El Torito media type
cFIRST          equ eCDEMU + 3          ; 512-byte blocks to skip in the sector
cBLOCKS         equ eCDEMU + 4          ; blocks to take
cBASE           equ eCDEMU + 8          ; dword: first 2048-byte sector of the image
cSPT            equ eCDEMU + 12
cHEADS          equ eCDEMU + 14
cCYLS           equ eCDEMU + 16
cSEGMENT        equ eCDEMU + 18
cCOUNT          equ eCDEMU + 20         ; sectors of 512 bytes that the boot loads
cBOOTDRIVE      equ eCDEMU + 22         ; number passed in DL

; BP = frame of INT 13h or 40h. CF = 1: served here. A real disk's number is lowered by one behind an emulated disk.
cdrom_claims:
        push    ds
        push    word EBDA_SEG
        pop     ds
        cmp     byte [bp + fDL], CD_DRIVE
        je      .cd
        cmp     byte [cACTIVE], 0
        je      .no
        mov     al, [bp + fDL]
        cmp     al, [cDRIVE]
        je      .emulated
        cmp     byte [cDRIVE], 0x80
        jne     .no
        cmp     al, 0x80
        jb      .no
        cmp     byte [bp + fAH], 0x08
        je      .no
        dec     byte [bp + fDL]             ; the disk services see the real number
        push    bp
        call    disk_service
        pop     bp
        inc     byte [bp + fDL]
        jmp     .served
.cd:    cmp     byte [eCDREC], 0xFF
        je      .no
        call    cdrom_service
        jmp     .served
.emulated:
        cmp     byte [bp + fAH], 0x4B
        je      .cd
        call    cdrom_emulated
.served:
        pop     ds
        stc
        ret
.no:    pop     ds
        clc
        ret

; SI = record of the CD-ROM drive. DS = EBDA.
cdrom_record:
        movzx   si, byte [eCDREC]
        imul    si, si, ATA_REC
        add     si, eATA
        ret

; Services of drive E0h: sectors of 2048 bytes.
cdrom_service:
        mov     al, [bp + fAH]
        cmp     al, 0x41
        je      .extensions
        cmp     al, 0x42
        je      .read
        cmp     al, 0x48
        je      .parameters
        cmp     al, 0x4B
        je      .emulation
        mov     ah, 0
        or      al, al
        je      .status
        cmp     al, 0x01
        je      .status
        cmp     al, 0x0D
        je      .status
        cmp     al, 0x15
        je      .type
        mov     ah, 1
.status:
        jmp     disk_status
.type:  mov     word [bp + fDX], 0
        mov     word [bp + fCX], 0
        mov     ah, 0
        call    disk_status
        mov     byte [bp + fAH], 2          ; removable with change line
        ret
.extensions:
        mov     ah, 1
        cmp     word [bp + fBX], 0x55AA
        jne     .status
        mov     word [bp + fBX], 0xAA55
        mov     word [bp + fCX], 0x0005
        mov     ah, 0
        call    disk_status
        mov     byte [bp + fAH], 0x30
        ret
.read:  push    es
        mov     es, [bp + fDS]
        mov     di, [bp + fSI]
        mov     cx, [es:di + 2]
        mov     eax, [es:di + 8]
        mov     edx, [es:di + 12]
        les     di, [es:di + 4]
        or      edx, edx
        mov     ah, 4
        jnz     .read_done
        mov     es, [bp + fDS]
        mov     di, [bp + fSI]
        mov     eax, [es:di + 8]
        les     di, [es:di + 4]
        call    cdrom_read
        mov     ah, 0x20
        jc      .read_done
        mov     ah, 0
.read_done:
        pop     es
        jmp     .status
.parameters:
        push    es
        mov     es, [bp + fDS]
        mov     di, [bp + fSI]
        mov     ah, 1
        cmp     word [es:di], 0x1A
        jb      .read_done
        mov     word [es:di], 0x1A
        mov     word [es:di + 2], 0x0074        ; removable, lockable, change line, no geometry
        mov     dword [es:di + 4], 0xFFFFFFFF
        mov     dword [es:di + 8], 0xFFFFFFFF
        mov     dword [es:di + 12], 0xFFFFFFFF
        mov     dword [es:di + 16], 0xFFFFFFFF
        mov     dword [es:di + 20], 0xFFFFFFFF
        mov     word [es:di + 24], 2048
        mov     ah, 0
        jmp     .read_done
; AX=4B00h ends the emulation, 4B01h reports it: specification packet of 13h bytes at DS:SI.
.emulation:
        mov     ah, 1
        cmp     byte [bp + fAL], 1
        ja      .status
        push    es
        mov     es, [bp + fDS]
        mov     di, [bp + fSI]
        mov     byte [es:di], 0x13
        mov     al, [cMEDIA]
        mov     [es:di + 1], al
        mov     al, [cBOOTDRIVE]
        mov     [es:di + 2], al
        mov     byte [es:di + 3], 0
        mov     eax, [cBASE]
        mov     [es:di + 4], eax
        mov     word [es:di + 8], 0
        mov     word [es:di + 10], 0
        mov     ax, [cSEGMENT]
        mov     [es:di + 12], ax
        mov     ax, [cCOUNT]
        mov     [es:di + 14], ax
        mov     word [es:di + 16], 0
        mov     byte [es:di + 18], 0
        cmp     byte [bp + fAL], 0
        jne     .emulation_done
        mov     byte [cACTIVE], 0
.emulation_done:
        mov     ah, 0
        jmp     .read_done

; Services of the emulated drive: read-only.
cdrom_emulated:
        mov     al, [bp + fAH]
        mov     ah, 0
        or      al, al
        jz      .status
        cmp     al, 0x02
        je      .read
        cmp     al, 0x04
        je      .status
        cmp     al, 0x08
        je      .parameters
        cmp     al, 0x15
        je      .type
        mov     ah, 0x03                ; write protected
        cmp     al, 0x03
        je      .status
        cmp     al, 0x05
        je      .status
        mov     ah, 0
        cmp     al, 0x01
        je      .status
        cmp     al, 0x09
        je      .status
        cmp     al, 0x10
        je      .status
        cmp     al, 0x11
        je      .status
        cmp     al, 0x0C
        je      .status
        mov     ah, 1
.status:
        jmp     disk_status
.parameters:
        mov     ax, [cCYLS]
        dec     ax
        mov     [bp + fCH], al
        shl     ah, 6
        or      ah, [cSPT]
        mov     [bp + fCL], ah
        mov     al, [cHEADS]
        dec     al
        mov     [bp + fDH], al
        mov     byte [bp + fDL], 1
        mov     ah, 0
        cmp     byte [cDRIVE], 0
        jne     .disk_count
        mov     al, [cMEDIA]            ; 1: 1.2M, 2: 1.44M, 3: 2.88M = drive types 2, 4, 5
        cmp     al, 1
        je      .drive_type
        inc     al
.drive_type:
        inc     al
        mov     [bp + fBL], al
        mov     word [bp + fES], ROM_SEG
        mov     word [bp + fDI], diskette_table
        jmp     .status
.disk_count:
        push    ds
        push    word BDA_SEG
        pop     ds
        mov     al, [bHDCOUNT]
        pop     ds
        inc     al
        mov     [bp + fDL], al
        jmp     .status
.type:  mov     ah, 0
        call    disk_status
        mov     byte [bp + fAH], 1
        cmp     byte [cDRIVE], 0
        je      .type_done
        mov     byte [bp + fAH], 3
        movzx   eax, word [cCYLS]
        movzx   ecx, word [cHEADS]
        mul     ecx
        movzx   ecx, word [cSPT]
        mul     ecx
        mov     [bp + fDX], ax
        shr     eax, 16
        mov     [bp + fCX], ax
.type_done:
        ret
.read:  movzx   ecx, byte [bp + fCL]
        movzx   eax, byte [bp + fCH]
        mov     ah, cl
        shr     ah, 6
        and     cx, 0x3F
        jz      .outside
        cmp     cx, [cSPT]
        ja      .outside
        cmp     ax, [cCYLS]
        jae     .outside
        movzx   ebx, byte [bp + fDH]
        cmp     bx, [cHEADS]
        jae     .outside
        movzx   edx, word [cHEADS]
        mul     edx
        add     eax, ebx
        movzx   edx, word [cSPT]
        mul     edx
        dec     ecx
        add     eax, ecx                ; 512-byte block of the image
        push    es
        mov     es, [bp + fES]
        mov     di, [bp + fBX]
        movzx   cx, byte [bp + fAL]
        mov     byte [bp + fAL], 0
        call    cdrom_record
.block: jcxz    .finished
        mov     dl, al
        and     dl, 3
        mov     [cFIRST], dl
        mov     dh, 4
        sub     dh, dl
        cmp     ch, 0
        jne     .full
        cmp     dh, cl
        jbe     .full
        mov     dh, cl
.full:  mov     [cBLOCKS], dh
        push    eax
        push    cx
        shr     eax, 2
        add     eax, [cBASE]
        call    cdrom_sector
        pop     cx
        pop     eax
        jc      .failed
        movzx   edx, byte [cBLOCKS]
        add     [bp + fAL], dl
        add     eax, edx
        sub     cx, dx
        jmp     .block
.finished:
        pop     es
        mov     ah, 0
        jmp     .status
.failed:
        pop     es
        mov     ah, 0x20
        jmp     .status
.outside:
        mov     ah, 4
        jmp     .status

; CX sectors of 2048 bytes from EAX on to ES:DI. CF = 1: error. DS = EBDA.
cdrom_read:
        call    cdrom_record
        mov     byte [cFIRST], 0
        mov     byte [cBLOCKS], 4
.next:  jcxz    .done
        push    cx
        push    eax
        call    cdrom_sector
        pop     eax
        pop     cx
        jc      .failed
        inc     eax
        dec     cx
        jmp     .next
.done:  clc
.failed:
        ret

; Sector EAX: blocks cFIRST to cFIRST + cBLOCKS - 1 of its four to ES:DI. A new medium's unit attention is retried.
; SI = record.
cdrom_sector:
        push    bx
        mov     bx, 6
.try:   push    eax
        push    di
        push    es
        call    cdrom_packet
        jnc     .good
        pop     es
        pop     di
        pop     eax
        dec     bx
        jnz     .try
        stc
        pop     bx
        ret
.good:  pop     cx                      ; ES and DI have moved on
        pop     cx
        pop     eax
        pop     bx
        clc
        ret
cdrom_packet:
        push    eax
        push    cx
        mov     word [eRQPKT], 0x0028   ; READ (10)
        bswap   eax
        mov     [eRQPKT + 2], eax
        mov     dword [eRQPKT + 6], 0x00010000  ; one sector
        mov     word [eRQPKT + 10], 0
        call    ata_select
        jc      .failed
        call    ata_irq_off
        mov     dx, [si + aCMD]
        inc     dx
        xor     al, al
        out     dx, al
        add     dx, 3
        out     dx, al                  ; up to 2048 bytes a DRQ
        inc     dx
        mov     al, 0x08
        out     dx, al
        add     dx, 2
        mov     al, 0xA0
        out     dx, al
        mov     dx, [si + aCTL]
        in      al, dx
        in      al, dx
        call    ata_wait_data
        jc      .failed
        mov     dx, [si + aCMD]
        push    si
        mov     si, eRQPKT
        mov     cx, 6
        rep outsw
        pop     si
        mov     dx, [si + aCTL]
        in      al, dx
        in      al, dx
        call    ata_wait_data
        jc      .failed
        mov     dx, [si + aCMD]
        add     dx, 4
        in      al, dx
        mov     ah, al
        inc     dx
        in      al, dx
        xchg    al, ah
        cmp     ax, 2048
        jne     .failed
        mov     dx, [si + aCMD]
        mov     ah, 0                   ; block
.block: cmp     ah, [cFIRST]
        jb      .skip
        mov     al, [cFIRST]
        add     al, [cBLOCKS]
        cmp     ah, al
        jae     .skip
        call    normalize_es_di
        mov     cx, 256
        rep insw
        jmp     .next
.skip:  mov     cx, 256
.drop:  push    ax
        in      ax, dx
        pop     ax
        loop    .drop
.next:  inc     ah
        cmp     ah, 4
        jb      .block
        call    ata_wait_ready
        jc      .failed
        test    al, ATA_ERR
        jnz     .failed
        call    ata_irq_on
        pop     cx
        pop     eax
        clc
        ret
.failed:
        call    ata_irq_on
        pop     cx
        pop     eax
        stc
        ret

; INT 19h: El Torito. Returns only when the CD does not boot.
cdrom_boot:
        push    ds
        push    es
        LOADSEG ds, EBDA_SEG
        cmp     byte [eCDREC], 0xFF
        je      .failed
        mov     eax, 17                 ; boot record volume descriptor
        call    .read_8000
        jc      .failed
        cmp     dword [es:0], 0x30444300        ; 00 "CD001"
        jne     .failed
        cmp     dword [es:7], 0x54204C45        ; "EL T"
        jne     .failed
        mov     eax, [es:0x47]
        call    .read_8000              ; boot catalog
        jc      .failed
        cmp     byte [es:0], 1
        jne     .failed
        cmp     word [es:0x1E], 0xAA55
        jne     .failed
        cmp     byte [es:0x20], 0x88
        jne     .failed
        mov     al, [es:0x21]
        and     al, 0x0F
        cmp     al, 4
        ja      .failed
        mov     [cMEDIA], al
        mov     ax, [es:0x22]
        or      ax, ax
        jnz     .segment
        mov     ax, 0x07C0
.segment:
        mov     [cSEGMENT], ax
        mov     ax, [es:0x26]
        or      ax, ax
        jnz     .count
        inc     ax
.count: mov     [cCOUNT], ax
        mov     eax, [es:0x28]
        mov     [cBASE], eax
        mov     bl, CD_DRIVE
        mov     al, [cMEDIA]
        or      al, al
        jz      .load
        xor     bl, bl
        mov     word [cHEADS], 2
        mov     word [cCYLS], 80
        mov     word [cSPT], 15
        cmp     al, 1
        je      .emulate
        mov     word [cSPT], 18
        cmp     al, 2
        je      .emulate
        mov     word [cSPT], 36
        cmp     al, 3
        je      .emulate
        ; Hard disk: the geometry is the end of the first partition
        mov     eax, [cBASE]
        call    .read_8000
        jc      .failed
        mov     al, [es:0x1BE + 5]
        xor     ah, ah
        inc     ax
        mov     [cHEADS], ax
        mov     al, [es:0x1BE + 6]
        and     ax, 0x3F
        jz      .failed
        mov     [cSPT], ax
        mov     al, [es:0x1BE + 7]
        mov     ah, [es:0x1BE + 6]
        shr     ah, 6
        inc     ax
        mov     [cCYLS], ax
        mov     bl, 0x80
.emulate:
        mov     byte [cACTIVE], 1
.load:  mov     [cDRIVE], bl
        mov     [cBOOTDRIVE], bl
        mov     cx, [cCOUNT]
        add     cx, 3
        shr     cx, 2
        mov     es, [cSEGMENT]
        xor     di, di
        mov     eax, [cBASE]
        call    cdrom_read
        jc      .undo
        mov     si, .text
        call    print
        mov     dl, [cBOOTDRIVE]
        mov     ax, [cSEGMENT]
        xor     bx, bx
        cmp     ax, 0x07C0              ; 0000:7C00 is what boot sectors expect
        jne     .jump
        xor     ax, ax
        mov     bx, 0x7C00
.jump:  xor     cx, cx
        mov     ds, cx
        mov     es, cx
        mov     ss, cx
        mov     sp, 0x7C00
        push    ax
        push    bx
        xor     ax, ax
        xor     bx, bx
        retf
.undo:  mov     byte [cACTIVE], 0
.failed:
        pop     es
        pop     ds
        ret
; Sector EAX to 0800:0000; ES = 0800h.
.read_8000:
        push    word 0x0800
        pop     es
        xor     di, di
        mov     cx, 1
        call    cdrom_read
        push    word 0x0800
        pop     es
        ret
.text:  db      "Booting from CD-ROM", 13, 10, 0
