; Shadow RAM (82441FX PAM registers 59h-5Fh) and 4 GiB data segments in real mode.

        align   8
post_gdt:
        dq      0
        dq      0x00CF93000000FFFF      ; 08h: data, base 0, 4 GiB
        dq      0x000093000000FFFF      ; 10h: data, base 0, 64 KiB
        dq      0x00009B0F0000FFFF      ; 18h: 16-bit code, base F0000h
        dq      0x00CF9B000000FFFF      ; 20h: 32-bit code, base 0
.end:
post_gdt_ptr:
        dw      post_gdt.end - post_gdt - 1
        dd      ROM_BASE + post_gdt

; DS and ES = 0 with a limit of 4 GiB, for addresses above 1 MiB. Interrupts must be off.
; The limits stay when real mode loads the registers again (SDM Vol. 3A, "Switching Back to Real-Address Mode").
unreal_on:
        push    eax
        push    bx
        mov     bx, 0x08
        jmp     unreal_load
; DS and ES = 0 with the 64 KiB limits of real mode.
unreal_off:
        push    eax
        push    bx
        mov     bx, 0x10
unreal_load:
        pushf
        cli
        o32 lgdt [cs:post_gdt_ptr]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     $ + 2
        mov     ds, bx
        mov     es, bx
        and     al, 0xFE
        mov     cr0, eax
        jmp     $ + 2
        xor     bx, bx
        mov     ds, bx
        mov     es, bx
        popf
        pop     bx
        pop     eax
        ret

; Makes F0000h-FFFFFh RAM with the ROM's contents. While the switch happens the segment has no valid
; contents, so the copying code runs from low memory; not from 7C00h, where breakpoints wait for a boot
; sector. BL = 1 when it was done, 0 without a 440FX.
shadow_enable:
        call    unreal_on
        mov     bl, 0
        mov     eax, 0x80000000
        call    pci_cfg_dword
        cmp     eax, 0x12378086
        jne     .done
        xor     ecx, ecx                ; C0000h-EFFFFh show their ROMs, not what an earlier boot left in RAM
        mov     eax, 0x8000005C
        call    pci_cfg_write
        mov     eax, 0x80000058
        call    pci_cfg_dword
        movzx   ecx, ax                 ; 58h and 59h stay
        mov     eax, 0x80000058
        call    pci_cfg_write
        mov     si, shadow_stub
        mov     di, SHADOW_STUB
        mov     cx, shadow_stub_end - shadow_stub
        rep cs movsb
        call    0x0000:SHADOW_STUB
        mov     bl, 1
.done:  ret

shadow_stub:
        mov     eax, 0x80000058
        mov     dx, 0xCF8
        out     dx, eax
        mov     dx, 0xCFD               ; register 59h: reads and writes of F0000h-FFFFFh go to RAM
        in      al, dx
        or      al, 0x30
        out     dx, al
        mov     esi, ROM_ALIAS
        mov     edi, ROM_BASE
        mov     ecx, 0x10000 / 4
        a32 rep movsd
        retf
shadow_stub_end:

; End of POST: the tables are built, F0000h-FFFFFh becomes read-only.
shadow_protect:
        push    es
        LOADSEG es, EBDA_SEG
        cmp     byte [es:eFSEGW], 0
        je      .done
        mov     byte [es:eFSEGW], 0
        mov     eax, 0x80000058
        mov     dx, 0xCF8
        out     dx, eax
        mov     dx, 0xCFD
        in      al, dx
        and     al, 0x0F
        or      al, 0x10
        out     dx, al
.done:  pop     es
        ret
