; INT 13h for hard disks (DL >= 80h). BP = frame.

disk_service:
        LOADSEG ds, EBDA_SEG
        mov     al, [bp + fDL]
        call    disk_record
        jc      .no_drive
        movzx   bx, byte [bp + fAH]
        cmp     bl, disk_functions.last
        ja      .bad
        shl     bx, 1
        call    [cs:disk_functions + bx]
        jmp     disk_status
.no_drive:
        cmp     byte [bp + fAH], 0x15
        je      .type0
        cmp     byte [bp + fAH], 0x08
        je      .no_parameters
.bad:   mov     ah, 1
        jmp     disk_status
.no_parameters:
        mov     word [bp + fCX], 0
        mov     word [bp + fDX], 0
        mov     ah, 7
        jmp     disk_status
.type0: mov     byte [bp + fAH], 0
        CLR_CF
        ret

; AH = status: into the frame, CF and 40:74.
disk_status:
        push    ds
        push    word BDA_SEG
        pop     ds
        mov     [bHDSTAT], ah
        pop     ds
        mov     [bp + fAH], ah
        CLR_CF
        or      ah, ah
        jz      .done
        SET_CF
.done:  ret

; AL = BIOS drive number -> SI = record; CF = 1 when there is none.
disk_record:
        sub     al, 0x80
        cmp     al, 4
        jae     .none
        movzx   bx, al
        movzx   si, byte [eHDMAP + bx]
        cmp     si, 0xFF
        je      .none
        imul    si, si, ATA_REC
        add     si, eATA
        clc
        ret
.none:  stc
        ret

disk_functions:
        dw      disk_ok                 ; 00 reset
        dw      disk_last_status        ; 01
        dw      disk_read               ; 02
        dw      disk_write              ; 03
        dw      disk_verify             ; 04
        dw      disk_bad                ; 05 format track
        dw      disk_bad, disk_bad
        dw      disk_parameters         ; 08
        dw      disk_ok                 ; 09 initialize
        dw      disk_bad, disk_bad      ; 0A, 0B long transfers
        dw      disk_ok                 ; 0C seek
        dw      disk_ok                 ; 0D reset
        dw      disk_bad, disk_bad
        dw      disk_ready              ; 10
        dw      disk_ok                 ; 11 recalibrate
        dw      disk_bad, disk_bad
        dw      disk_ok                 ; 14 diagnostic
        dw      disk_type               ; 15
        times 0x41 - 0x16 dw disk_bad
        dw      disk_extensions         ; 41
        dw      disk_ext_read           ; 42
        dw      disk_ext_write          ; 43
        dw      disk_ext_verify         ; 44
        dw      disk_lock               ; 45
        dw      disk_eject              ; 46
        dw      disk_ok                 ; 47 seek
        dw      disk_ext_parameters     ; 48
        dw      disk_ok                 ; 49 change status: not removable, never changed
        times 0x4E - 0x4A dw disk_bad
        dw      disk_hardware           ; 4E
.end:
.last   equ (disk_functions.end - disk_functions) / 2 - 1

disk_ok:
        mov     ah, 0
        ret
disk_bad:
        mov     ah, 1
        ret
disk_last_status:
        push    ds
        LOADSEG ds, BDA_SEG
        mov     ah, [bHDSTAT]
        pop     ds
        ret
disk_ready:
        call    ata_select
        mov     ah, 0xAA
        jc      .done
        test    al, ATA_DRDY
        jz      .done
        mov     ah, 0
.done:  ret

; AH=02h, 03h, 04h: AL sectors at CH, CL, DH; buffer ES:BX. Returns AL = sectors transferred.
disk_read:
        mov     byte [eRQOP], 0
        jmp     disk_chs
disk_write:
        mov     byte [eRQOP], 1
        jmp     disk_chs
disk_verify:
        mov     byte [eRQOP], 2
disk_chs:
        movzx   ax, byte [bp + fAL]
        or      al, al
        jz      disk_bad
        cmp     al, 128
        ja      disk_bad
        mov     [eRQCOUNT], ax
        movzx   ecx, byte [bp + fCL]    ; sector and cylinder bits 9-8
        movzx   eax, byte [bp + fCH]
        mov     ah, cl
        shr     ah, 6
        and     cl, 0x3F
        jz      .outside
        cmp     cx, [si + aLSPT]
        ja      .outside
        movzx   dx, byte [bp + fDH]
        cmp     dx, [si + aLHEAD]
        jae     .outside
        cmp     ax, [si + aLCYL]
        jae     .outside
        movzx   ebx, word [si + aLHEAD]
        push    edx
        mul     ebx
        pop     edx
        movzx   edx, dx
        add     eax, edx
        movzx   ebx, word [si + aLSPT]
        mul     ebx
        dec     ecx
        add     eax, ecx
        mov     [eRQLBA], eax
        mov     dword [eRQLBA + 4], 0
        mov     ax, [bp + fBX]
        mov     [eRQOFF], ax
        mov     ax, [bp + fES]
        mov     [eRQSEG], ax
        call    disk_in_range
        jc      .outside
        call    ata_transfer
        mov     al, [eRQDONE]
        mov     [bp + fAL], al
        ret
.outside:
        mov     byte [bp + fAL], 0
        mov     ah, 4                   ; sector not found
        ret

; CF = 1 when eRQLBA + eRQCOUNT lies beyond the drive's end.
disk_in_range:
        movzx   ecx, word [eRQCOUNT]
        mov     eax, [eRQLBA]
        mov     edx, [eRQLBA + 4]
        add     eax, ecx
        adc     edx, 0
        jc      .done
        mov     ecx, [si + aTOTAL]
        mov     ebx, [si + aTOTAL + 4]
        sub     ecx, eax
        sbb     ebx, edx
.done:  ret

; AH=08h: CX, DH = last cylinder, sector, head; DL = number of drives.
disk_parameters:
        mov     ax, [si + aLCYL]
        dec     ax
        mov     [bp + fCH], al
        shl     ah, 6
        or      ah, [si + aLSPT]
        mov     [bp + fCL], ah
        mov     al, [si + aLHEAD]
        dec     al
        mov     [bp + fDH], al
        push    ds
        LOADSEG ds, BDA_SEG
        mov     al, [bHDCOUNT]
        pop     ds
        mov     [bp + fDL], al
        mov     byte [bp + fAL], 0
        mov     ah, 0
        ret

; AH=15h: AH = 3, CX:DX = sectors.
disk_type:
        movzx   eax, word [si + aLCYL]
        movzx   ecx, word [si + aLHEAD]
        mul     ecx
        movzx   ecx, word [si + aLSPT]
        mul     ecx
        mov     [bp + fDX], ax
        shr     eax, 16
        mov     [bp + fCX], ax
        pop     ax                      ; AH = 3 is no error
        xor     ah, ah
        call    disk_status
        mov     byte [bp + fAH], 3
        ret

; AH=41h: version 3.0; CX: bit 0 packet access, bit 2 enhanced drive support.
disk_extensions:
        cmp     word [bp + fBX], 0x55AA
        jne     disk_bad
        mov     word [bp + fBX], 0xAA55
        mov     word [bp + fCX], 0x0005
        pop     ax
        xor     ah, ah
        call    disk_status
        mov     byte [bp + fAH], 0x30
        ret

; AH=42h, 43h, 44h: packet at DS:SI: size, 0, count, offset, segment, LBA (qword).
disk_ext_read:
        mov     byte [eRQOP], 0
        jmp     disk_packet
disk_ext_write:
        cmp     byte [bp + fAL], 2
        ja      disk_bad
        mov     byte [eRQOP], 1
        jmp     disk_packet
disk_ext_verify:
        mov     byte [eRQOP], 2
disk_packet:
        mov     es, [bp + fDS]
        mov     di, [bp + fSI]
        cmp     byte [es:di], 0x10
        jb      disk_bad
        mov     eax, [es:di + 4]
        cmp     eax, 0xFFFFFFFF         ; flat 64-bit buffers are not offered
        je      disk_bad
        mov     [eRQOFF], eax
        mov     ax, [es:di + 2]
        mov     [eRQCOUNT], ax
        mov     eax, [es:di + 8]
        mov     [eRQLBA], eax
        mov     eax, [es:di + 12]
        mov     [eRQLBA + 4], eax
        call    disk_in_range
        jc      .outside
        push    es
        push    di
        call    ata_transfer
        pop     di
        pop     es
        mov     cx, [eRQDONE]
        mov     [es:di + 2], cx
        ret
.outside:
        mov     word [es:di + 2], 0
        mov     ah, 4
        ret

; AH=45h: locks: the drive is not removable. AH=46h: cannot be ejected.
disk_lock:
        mov     byte [bp + fAL], 0
        cmp     byte [bp + fAL], 2
        mov     ah, 0
        ret
disk_eject:
        mov     ah, 0xB2                ; volume not removable
        ret

; AH=48h: parameters to DS:SI (word size first; 1Ah bytes, or 1Eh with an absent configuration pointer).
disk_ext_parameters:
        mov     es, [bp + fDS]
        mov     di, [bp + fSI]
        mov     ax, [es:di]
        cmp     ax, 0x1A
        jb      disk_bad
        cmp     ax, 0x1E
        mov     ax, 0x1A
        jb      .size
        mov     dword [es:di + 0x1A], 0xFFFFFFFF
        mov     ax, 0x1E
.size:  mov     [es:di], ax
        mov     word [es:di + 2], 0x0001        ; no DMA boundary errors
        mov     eax, [si + aPCYL]
        cmp     dword [si + aTOTAL + 4], 0
        jne     .no_chs
        cmp     dword [si + aTOTAL], 16383 * 16 * 63
        ja      .no_chs
        or      byte [es:di + 2], 2             ; geometry is valid
.no_chs:
        movzx   eax, word [si + aPCYL]
        mov     [es:di + 4], eax
        movzx   eax, word [si + aPHEAD]
        mov     [es:di + 8], eax
        movzx   eax, word [si + aPSPT]
        mov     [es:di + 12], eax
        mov     eax, [si + aTOTAL]
        mov     [es:di + 16], eax
        mov     eax, [si + aTOTAL + 4]
        mov     [es:di + 20], eax
        mov     word [es:di + 24], 512
        mov     ah, 0
        ret

; AH=4Eh: hardware configuration: PIO only, nothing to set.
disk_hardware:
        mov     byte [bp + fAL], 0
        mov     ah, 0
        cmp     byte [bp + fAL], 0
        ret
