; PCI configuration (mechanism 1), resource assignment on bus 0, and the PCI BIOS of INT 1Ah B1xxh.

PCI_MEM_FIRST   equ 0xF0000000          ; assigned upwards to FEBFFFFFh
PCI_MEM_LAST    equ 0xFEC00000
PCI_IO_FIRST    equ 0xC000
PM_IO_BASE      equ 0xB000
SMB_IO_BASE     equ 0xB100

; EAX = configuration address -> EAX = dword. Changes DX.
pci_cfg_dword:
        mov     dx, 0xCF8
        and     al, 0xFC
        out     dx, eax
        mov     dx, 0xCFC
        in      eax, dx
        ret

; EAX = configuration address, ECX = dword. Changes DX.
pci_cfg_write:
        mov     dx, 0xCF8
        and     al, 0xFC
        out     dx, eax
        mov     dx, 0xCFC
        xchg    eax, ecx
        out     dx, eax
        xchg    eax, ecx
        ret

; EAX = configuration address, CL = byte. Changes DX.
pci_cfg_write_byte:
        push    ax
        mov     dl, al
        and     dx, 3
        or      dx, 0xCFC
        push    dx
        mov     dx, 0xCF8
        and     al, 0xFC
        out     dx, eax
        pop     dx
        mov     al, cl
        out     dx, al
        pop     ax
        ret

; Runs the routine in SI for each function of bus 0: EBX = configuration address, register 0; EAX = vendor and
; device. The routine keeps EBX and SI; CF = 1 ends the scan.
pci_each:
        mov     ebx, 0x80000000
.next:  mov     eax, ebx
        call    pci_cfg_dword
        cmp     ax, 0xFFFF
        je      .absent
        or      ax, ax
        je      .absent
        call    si
        jc      .done
        test    bh, 7
        jnz     .step
        mov     eax, ebx                ; function 0: header type bit 7 = more functions
        mov     al, 0x0C
        call    pci_cfg_dword
        test    eax, 0x00800000
        jnz     .step
.skip:  add     bh, 7
        jmp     .step
.absent:
        test    bh, 7
        jz      .skip
.step:  add     bh, 1
        jnc     .next
        clc
.done:  ret

; Interrupt routing of the PIIX3: INTx of slot s goes to PIRQ (s - 1 + x) mod 4.
pirq_table:
        db      10, 10, 11, 11

pci_init:
        push    ds
        LOADSEG ds, EBDA_SEG
        mov     dword [eMEMBAR], PCI_MEM_FIRST
        mov     word [eIOBAR], PCI_IO_FIRST
        mov     si, pci_setup_function
        call    pci_each
        mov     dx, 0x4D0               ; ELCR: 9, 10, 11 are level triggered
        xor     al, al
        out     dx, al
        inc     dx
        mov     al, 0x0E
        out     dx, al
        pop     ds
        ret

pci_setup_function:
        push    si
        cmp     eax, 0x70008086
        je      .piix3
        cmp     eax, 0x71108086
        je      .piix3
        cmp     eax, 0x71138086
        je      .pm
        mov     eax, ebx
        mov     al, 0x0C
        call    pci_cfg_dword
        test    eax, 0x007F0000         ; header type 0 only
        jnz     .done
        mov     eax, ebx
        mov     al, 0x08
        call    pci_cfg_dword
        shr     eax, 16
        mov     bp, ax                  ; class code
        cmp     ax, 0x0600
        je      .done
        mov     di, 6                   ; BARs
        xor     si, si                  ; command register bits
        mov     bl, 0x10
        call    pci_setup_bar
        cmp     bp, 0x0101
        jne     .command
        mov     eax, ebx                ; IDE: decode both channels
        mov     al, 0x40
        mov     ecx, 0x80008000
        call    pci_cfg_write
        or      si, 5
.command:
        cmp     bp, 0x0300
        jne     .set
        or      si, 3
.set:   mov     eax, ebx
        mov     al, 0x04
        call    pci_cfg_dword
        movzx   ecx, ax                 ; status bits: zeros change nothing
        or      cx, si
        mov     eax, ebx
        mov     al, 0x04
        call    pci_cfg_write
        mov     eax, ebx
        mov     al, 0x3C
        call    pci_cfg_dword
        movzx   si, ah                  ; interrupt pin
        or      si, si
        jz      .done
        movzx   cx, bh
        shr     cx, 3
        add     si, cx
        sub     si, 2
        and     si, 3
        mov     cl, [cs:pirq_table + si]
        mov     eax, ebx
        mov     al, 0x3C
        call    pci_cfg_write_byte
.done:  mov     bl, 0
        pop     si
        clc
        ret
.piix3: mov     eax, ebx
        mov     al, 0x60
        mov     ecx, 0x0B0B0A0A
        call    pci_cfg_write
        jmp     .done
.pm:    mov     ecx, PM_IO_BASE | 1     ; PMBA, PMREGMISC.PMIOSE; SMBus base and host enable
        mov     eax, ebx
        mov     al, 0x40
        call    pci_cfg_write
        mov     cl, 1
        mov     eax, ebx
        mov     al, 0x80
        call    pci_cfg_write_byte
        mov     ecx, SMB_IO_BASE | 1
        mov     eax, ebx
        mov     al, 0x90
        call    pci_cfg_write
        mov     cl, 0x09
        mov     eax, ebx
        mov     al, 0xD2
        call    pci_cfg_write_byte
        mov     cl, 9
        mov     eax, ebx
        mov     al, 0x3C
        call    pci_cfg_write_byte
        mov     cl, 1
        mov     eax, ebx
        mov     al, 0x04
        call    pci_cfg_write_byte
        mov     word [ePMBASE], PM_IO_BASE
        mov     dx, PM_IO_BASE + 4      ; no SMM: the machine is always in ACPI mode (SCI_EN)
        in      ax, dx
        or      ax, 1
        out     dx, ax
        jmp     .done

; EBX = address of BAR register BL, DI = BARs left; sets bits 0 and 1 of SI for the spaces in use.
pci_setup_bar:
        mov     eax, ebx
        call    pci_cfg_dword
        push    eax                     ; old value
        mov     ecx, 0xFFFFFFFF
        mov     eax, ebx
        call    pci_cfg_write
        mov     eax, ebx
        call    pci_cfg_dword
        pop     ecx
        or      eax, eax
        jz      .next
        push    eax
        mov     eax, ebx
        call    pci_cfg_write           ; restore
        pop     eax
        test    al, 1
        jnz     .io
        push    ax
        and     al, 0xF0
        neg     eax                     ; size
        mov     edx, eax
        pop     ax
        test    ecx, 0xFFFFFFF0
        jnz     .mem_used
        push    ax
        mov     ecx, [eMEMBAR]
        dec     edx
        add     ecx, edx
        jc      .no_room
        not     edx
        and     ecx, edx
        not     edx
        inc     edx
        mov     eax, ecx
        add     eax, edx
        jc      .no_room
        cmp     eax, PCI_MEM_LAST
        ja      .no_room
        mov     [eMEMBAR], eax
        mov     eax, ebx
        call    pci_cfg_write
        or      si, 2
.no_room:
        pop     ax
        jmp     .wide
.mem_used:
        or      si, 2
.wide:  and     al, 6
        cmp     al, 4                   ; 64-bit BAR: the next register is its upper half
        jne     .next
        add     bl, 4
        dec     di
        jz      .end
        xor     ecx, ecx
        mov     eax, ebx
        call    pci_cfg_write
        jmp     .next
.io:    and     al, 0xFC
        movzx   eax, ax
        test    ecx, 0xFFFC
        jnz     .io_used
        neg     ax                      ; size
        mov     dx, ax
        mov     cx, [eIOBAR]
        dec     dx
        add     cx, dx
        not     dx
        and     cx, dx
        neg     dx
        add     dx, cx
        jc      .next
        mov     [eIOBAR], dx
        movzx   ecx, cx
        mov     eax, ebx
        call    pci_cfg_write
.io_used:
        or      si, 1
.next:  add     bl, 4
        dec     di
        jnz     pci_setup_bar
.end:   mov     bl, 0
        ret

; ---- INT 1Ah AH=B1h -----------------------------------------------------------------
; BH = bus, BL = device and function, DI = register -> EAX = configuration address.
pci_bios_address:
        mov     eax, 0x80000000
        mov     ah, [bp + fBL]
        mov     al, [bp + fDI]
        movzx   ecx, byte [bp + fBH]
        shl     ecx, 16
        or      eax, ecx
        ret

int1a_pci:
        mov     al, [bp + fAL]
        cmp     al, 0x01
        je      .present
        cmp     al, 0x02
        je      .find_device
        cmp     al, 0x03
        je      .find_class
        cmp     al, 0x08
        jb      .unsupported
        cmp     al, 0x0D
        ja      .unsupported
        movzx   bx, al
        test    byte [bp + fDI + 1], 0xFF
        jnz     .bad_register
        mov     cl, [cs:.align + bx - 8]
        test    [bp + fDI], cl
        jnz     .bad_register
        call    pci_bios_address
        mov     cl, al
        and     cx, 3
        and     al, 0xFC
        mov     dx, 0xCF8
        out     dx, eax
        mov     dx, 0xCFC
        add     dx, cx
        shl     bx, 1
        call    [cs:.access + bx - 16]
        mov     byte [bp + fAH], 0
        CLR_CF
        ret
.bad_register:
        mov     byte [bp + fAH], 0x87
        SET_CF
        ret
.unsupported:
        mov     byte [bp + fAH], 0x81
        SET_CF
        ret
.align: db      0, 1, 3, 0, 1, 3
.access:
        dw      .rd8, .rd16, .rd32, .wr8, .wr16, .wr32
.rd8:   in      al, dx
        mov     [bp + fCL], al
        ret
.rd16:  in      ax, dx
        mov     [bp + fCX], ax
        ret
.rd32:  in      eax, dx
        mov     [bp + fECX], eax
        ret
.wr8:   mov     al, [bp + fCL]
        out     dx, al
        ret
.wr16:  mov     ax, [bp + fCX]
        out     dx, ax
        ret
.wr32:  mov     eax, [bp + fECX]
        out     dx, eax
        ret
.present:
        mov     word [bp + fAX], 0x0001 ; mechanism 1
        mov     word [bp + fBX], 0x0210
        mov     byte [bp + fCL], 0      ; last bus
        mov     dword [bp + fEDX], 0x20494350
        mov     dword [bp + fEDI], ROM_BASE + bios32_pci
        CLR_CF
        ret
.find_device:
        cmp     word [bp + fDX], 0xFFFF
        je      .bad_vendor
        mov     si, .match_device
        jmp     .find
.find_class:
        mov     si, .match_class
.find:  mov     di, [bp + fSI]          ; index
        call    pci_each
        jnc     .not_found
        shr     ebx, 8
        mov     [bp + fBX], bx
        mov     byte [bp + fAH], 0
        CLR_CF
        ret
.not_found:
        mov     byte [bp + fAH], 0x86
        SET_CF
        ret
.bad_vendor:
        mov     byte [bp + fAH], 0x83
        SET_CF
        ret
.match_device:
        mov     cx, [bp + fCX]
        shl     ecx, 16
        mov     cx, [bp + fDX]
        cmp     eax, ecx
        jne     .no
        jmp     .count
.match_class:
        mov     eax, ebx
        mov     al, 0x08
        call    pci_cfg_dword
        shr     eax, 8
        mov     ecx, [bp + fECX]
        and     ecx, 0xFFFFFF
        cmp     eax, ecx
        jne     .no
.count: sub     di, 1                   ; CF when the index has been reached
        ret
.no:    clc
        ret
