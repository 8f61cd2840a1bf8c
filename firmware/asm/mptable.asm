; MultiProcessor Specification 1.4 tables and the PCI IRQ routing table ($PIR), in F0000h-FFFFFh.

; ES:DI (ES = CS, writable during POST) receives the tables.
mp_build:
        push    ds
        push    es
        LOADSEG gs, EBDA_SEG
        cmp     byte [gs:eFSEGW], 0
        je      .none
        push    cs
        pop     ds
        push    cs
        pop     es
        mov     si, mp_head
        mov     di, mp_config
        mov     cx, 44
        rep movsb
        xor     si, si                  ; entries
        xor     bx, bx                  ; APIC id
        mov     eax, 1                  ; which id is ours
        push    bx
        cpuid
        mov     ecx, ebx
        pop     bx
        shr     ecx, 24
        mov     [cs:mp_scratch], cl
        mov     [cs:mp_scratch + 4], eax
        mov     [cs:mp_scratch + 8], edx
.cpu:   bt      [gs:eCPUMAP], bx
        jnc     .skip
        mov     al, 0                   ; processor entry
        stosb
        mov     al, bl
        stosb
        mov     al, 0x14                ; local APIC version
        stosb
        mov     al, 1
        cmp     bl, [mp_scratch]
        jne     .flags
        or      al, 2                   ; bootstrap processor
.flags: stosb
        mov     eax, [mp_scratch + 4]
        stosd
        mov     eax, [mp_scratch + 8]
        stosd
        xor     eax, eax
        stosd
        stosd
        inc     si
.skip:  inc     bl
        jnz     .cpu
        push    si
        mov     si, mp_bus              ; buses and the I/O APIC
        mov     cx, 24
        rep movsb
        pop     si
        mov     al, [gs:eAPICID]
        mov     [di - 7], al
        add     si, 3
        xor     dx, dx                  ; ISA interrupts: pin n = IRQ n, but IRQ 0 on pin 2
.isa:   cmp     dl, 2
        je      .isa_next
        mov     ax, 0x0003
        stosw
        xor     ax, ax                  ; conforms to the bus
        cmp     dl, 9
        jb      .edge
        cmp     dl, 11
        ja      .edge
        mov     ax, 0x000D              ; level, active high
.edge:  stosw
        mov     al, 1                   ; source bus: ISA
        stosb
        mov     al, dl
        stosb
        mov     al, [gs:eAPICID]
        stosb
        mov     al, dl
        or      al, al
        jnz     .pin
        mov     al, 2
.pin:   stosb
        inc     si
.isa_next:
        inc     dl
        cmp     dl, 16
        jb      .isa
        mov     [mp_scratch], si
        mov     si, .pci
        call    pci_each
        mov     si, [mp_scratch]
        push    si
        mov     si, mp_local
        mov     cx, 16
        rep movsb
        pop     si
        add     si, 2
        mov     [mp_config + 34], si
        mov     ax, di
        sub     ax, mp_config
        mov     [mp_config + 4], ax
        mov     cx, ax
        mov     di, mp_config
        call    sum_cs
        mov     [mp_config + 7], al
        mov     si, mp_pointer
        mov     di, mp_floating
        mov     cx, 16
        rep movsb
        ANCHOR  [mp_floating], "_MP_"
        mov     di, mp_floating
        mov     cx, 16
        call    sum_cs
        mov     [mp_floating + 10], al
        mov     dword [mp_scratch], 0
        mov     dword [mp_scratch + 4], 0
        mov     dword [mp_scratch + 8], 0
.none:  pop     es
        pop     ds
        ret
; A function with an interrupt pin: source bus 0, IRQ = slot << 2 | pin.
.pci:   mov     eax, ebx
        mov     al, 0x3C
        call    pci_cfg_dword
        or      ah, ah
        jz      .next
        cmp     al, 16
        jae     .next
        mov     dl, al
        mov     dh, ah
        mov     ax, 0x0003
        stosw
        mov     ax, 0x000D
        stosw
        mov     al, 0
        stosb
        mov     al, bh
        shr     al, 1
        and     al, 0xFC
        dec     dh
        or      al, dh
        stosb
        mov     al, [gs:eAPICID]
        stosb
        mov     al, dl
        stosb
        inc     word [mp_scratch]
.next:  clc
        ret

; AL = value that makes the sum of CX bytes at CS:DI zero.
sum_cs: xor     al, al
.next:  sub     al, [cs:di]
        inc     di
        loop    .next
        ret

mp_head:
        db      "PCMP"
        dw      0
        db      4, 0
        db      "RVMXEMU "
        db      "PC          "
        dd      0
        dw      0, 0
        dd      LAPIC
        dw      0
        db      0, 0
mp_bus: db      1, 0, "PCI   "
        db      1, 1, "ISA   "
        db      2, 0, 0x11, 1
        dd      IOAPIC
mp_local:
        db      4, 3                    ; ExtINT on LINT0, NMI on LINT1 of all local APICs
        dw      0
        db      1, 0, 0xFF, 0
        db      4, 1
        dw      0
        db      1, 0, 0xFF, 1
mp_pointer:
        dd      0                       ; its anchor
        dd      ROM_BASE + mp_config
        db      1, 4, 0, 0, 0, 0, 0, 0

; $PIR: slots 1-31, PIRQ link values 60h-63h.
pir_build:
        push    ds
        push    es
        LOADSEG gs, EBDA_SEG
        cmp     byte [gs:eFSEGW], 0
        je      .none
        push    cs
        pop     ds
        push    cs
        pop     es
        mov     si, pir_head
        mov     di, pir_table
        mov     cx, 32
        rep movsb
        mov     bl, 1                   ; slot
.slot:  mov     al, 0
        stosb
        mov     al, bl
        shl     al, 3
        stosb
        xor     cx, cx
.pin:   mov     al, bl
        dec     al
        add     al, cl
        and     al, 3
        or      al, 0x60
        stosb
        mov     ax, 0x0C00              ; IRQ 10, 11
        stosw
        inc     cx
        cmp     cx, 4
        jb      .pin
        mov     al, bl
        stosb
        mov     al, 0
        stosb
        inc     bl
        cmp     bl, 32
        jb      .slot
        ANCHOR  [pir_table], "$PIR"
        mov     di, pir_table
        mov     cx, 32 + 31 * 16
        call    sum_cs
        mov     [pir_table + 31], al
.none:  pop     es
        pop     ds
        ret
pir_head:
        dd      0                       ; its anchor
        dw      0x0100, 32 + 31 * 16
        db      0, 0x08                 ; router 00:01.0
        dw      0x0C00                  ; IRQs used by PCI only
        dd      0x70008086
        dd      0
        times 12 db 0
