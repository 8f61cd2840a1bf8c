; Option ROMs: the VGA BIOS at C0000h, then C8000h-EFFFFh in steps of 2 KiB.

; Runs the VGA BIOS. When nothing is mapped at C0000h, the expansion ROM of the PCI display adapter is copied there.
video_init:
        push    ds
        push    es
        mov     si, .display
        call    pci_each
        jc      .adapter
        xor     ebx, ebx
.adapter:
        LOADSEG es, 0xC000
        cmp     word [es:0], 0xAA55
        je      .run
        or      ebx, ebx
        jz      .none
        mov     esi, ebx
        push    ebx
        call    video_copy_rom
        pop     ebx
        LOADSEG es, 0xC000
        cmp     word [es:0], 0xAA55
        jne     .none
.run:   movzx   ax, bh                  ; bus 0, device and function of the adapter
        call    optrom_call
        mov     ax, 0x0003              ; the mode of the equipment word
        int     0x10
        mov     eax, 0x80000058         ; C0000h-C7FFFh: writable shadow becomes read-only
        mov     dx, 0xCF8
        out     dx, eax
        mov     dx, 0xCFE
        in      al, dx
        and     al, 0xDD
        out     dx, al
.none:  pop     es
        pop     ds
        ret
.display:
        mov     eax, ebx
        mov     al, 0x08
        call    pci_cfg_dword
        shr     eax, 16
        cmp     ax, 0x0300
        je      .is
        clc
        ret
.is:    stc
        ret

; ESI = configuration address of the adapter.
video_copy_rom:
        LOADSEG ds, EBDA_SEG
        mov     eax, esi
        mov     al, 0x30
        mov     ecx, 0xFFFFF800
        call    pci_cfg_write
        mov     eax, esi
        mov     al, 0x30
        call    pci_cfg_dword
        and     eax, 0xFFFFF800
        jz      .none
        mov     edx, eax
        not     eax                     ; size - 1
        mov     edi, [eMEMBAR]          ; only borrowed: the ROM is switched off again
        add     edi, eax
        and     edi, edx
        mov     ecx, edi
        or      cl, 1
        mov     eax, esi
        mov     al, 0x30
        call    pci_cfg_write
        mov     eax, 0x80000058
        mov     dx, 0xCF8
        out     dx, eax
        mov     dx, 0xCFE               ; 5Ah: C0000h-C7FFFh
        mov     al, 0x33
        out     dx, al
        mov     dx, 0xCFF
        in      al, dx                  ; 5Bh: C8000h-CBFFFh, for ROMs above 32 KiB
        or      al, 0x03
        out     dx, al
        push    esi
        call    unreal_on
        cmp     word [edi], 0xAA55
        jne     .off
        movzx   ecx, byte [edi + 2]
        cmp     cl, 0xC000 / 512         ; C0000h-CBFFFh is open
        ja      .off
        shl     ecx, 9 - 2
        mov     esi, edi
        mov     edi, 0xC0000
        a32 rep movsd
.off:   call    unreal_off
        pop     esi
        xor     ecx, ecx
        mov     eax, esi
        mov     al, 0x30
        call    pci_cfg_write
.none:  ret

; ES = segment of a ROM with a valid header: calls offset 3 with AX as given.
optrom_call:
        pushad
        push    ds
        push    es
        push    cs
        push    word .back
        push    es
        push    word 3
        retf
.back:  pop     es
        pop     ds
        popad
        cld
        ret

optrom_scan:
        push    ds
        push    es
        mov     dx, 0xC800
.next:  mov     es, dx
        mov     cx, 0x80                ; 2 KiB in paragraphs
        cmp     word [es:0], 0xAA55
        jne     .step
        movzx   eax, byte [es:2]
        or      ax, ax
        jz      .step
        push    dx
        mov     bx, ax
        mov     ds, dx
        xor     dl, dl
.sum:   xor     si, si                  ; BX blocks of 512 bytes
        mov     cx, 512
.byte:  lodsb
        add     dl, al
        loop    .byte
        mov     ax, ds
        add     ax, 0x20
        mov     ds, ax
        dec     bx
        jnz     .sum
        or      dl, dl
        pop     dx
        mov     cx, 0x80
        jnz     .step
        xor     ax, ax
        call    optrom_call
        movzx   cx, byte [es:2]
        shl     cx, 5
        add     cx, 0x7F
        and     cx, 0xFF80
.step:  add     dx, cx
        cmp     dx, 0xF000
        jb      .next
        pop     es
        pop     ds
        ret
