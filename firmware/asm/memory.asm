; Memory size from CMOS, and the address map of INT 15h E820h.

; CMOS 34h/35h: RAM above 16 MiB in 64 KiB; 30h/31h: above 1 MiB in KiB; 5Bh-5Dh: above 4 GiB in 64 KiB.
memory_size:
        push    ds
        LOADSEG ds, EBDA_SEG
        mov     al, 0x34
        call    cmos_read_word
        movzx   ebx, ax
        or      ebx, ebx
        jz      .small
        shl     ebx, 16
        add     ebx, 0x1000000
        jmp     .low
.small: mov     al, 0x30
        call    cmos_read_word
        movzx   ebx, ax
        shl     ebx, 10
        add     ebx, 0x100000
.low:   mov     [eLOWTOP], ebx
        mov     al, 0x5D
        call    cmos_read
        movzx   ebx, al
        shl     ebx, 16
        mov     al, 0x5B
        call    cmos_read_word
        mov     bx, ax
        mov     [eHIGH64K], ebx
        ; The ACPI tables take the last 64 KiB when there is room for them.
        mov     eax, [eLOWTOP]
        cmp     eax, 0x200000
        jb      .done
        sub     eax, 0x10000
        mov     [eACPI], eax
.done:  pop     ds
        ret

; Entries of 20 bytes in the EBDA: base, length, type (1 RAM, 2 reserved, 3 ACPI data).
e820_build:
        push    ds
        push    es
        LOADSEG ds, EBDA_SEG
        mov     es, ax
        mov     di, eE820
        mov     byte [eE820N], 0
        xor     eax, eax
        mov     ebx, EBDA_SEG * 16
        mov     cl, 1
        call    .add
        mov     ebx, 0xA0000
        mov     cl, 2
        call    .add
        mov     eax, ROM_BASE
        mov     ebx, 0x100000
        call    .add
        mov     ebx, [eACPI]
        or      ebx, ebx
        jnz     .ext
        mov     ebx, [eLOWTOP]
.ext:   mov     cl, 1
        call    .add
        mov     ebx, [eLOWTOP]
        mov     cl, 3
        call    .add
        mov     eax, 0xFEC00000         ; I/O APIC, HPET, local APIC
        mov     ebx, 0xFEF00000
        mov     cl, 2
        call    .add
        mov     eax, 0xFFFC0000
        xor     ebx, ebx                ; to 4 GiB
        call    .add
        mov     eax, [eHIGH64K]
        or      eax, eax
        jz      .done
        mov     edx, eax
        shl     eax, 16
        shr     edx, 16
        mov     dword [di], 0
        mov     dword [di + 4], 1
        mov     [di + 8], eax
        mov     [di + 12], edx
        mov     dword [di + 16], 1
        inc     byte [eE820N]
.done:  pop     es
        pop     ds
        ret
; EAX = base, EBX = end, CL = type; nothing when empty. Returns EAX = EBX.
.add:   mov     edx, ebx
        sub     edx, eax
        jz      .same
        mov     [di], eax
        mov     dword [di + 4], 0
        mov     [di + 8], edx
        mov     dword [di + 12], 0
        movzx   edx, cl
        mov     [di + 16], edx
        add     di, 20
        inc     byte [eE820N]
.same:  mov     eax, ebx
        ret
