; INT 15h: system services.

int15_entry:
        cmp     ah, 0x4F                ; intercepts and hooks keep everything: fast path
        je      .intercept
        cmp     ah, 0x80
        jb      .service
        cmp     ah, 0x82
        jbe     .hook
        cmp     ah, 0x85
        je      .hook
        cmp     ah, 0x90
        jb      .service
        cmp     ah, 0x91
        ja      .service
.hook:  mov     ah, 0
        push    bp
        mov     bp, sp
        and     byte [bp + 6], 0xFE
        pop     bp
        iret
.intercept:
        push    bp
        mov     bp, sp
        or      byte [bp + 6], 1        ; CF = 1: use the scan code
        pop     bp
        iret
.service:
        ENTER_SERVICE
        mov     si, .table
.find:  mov     al, [cs:si]
        cmp     al, 0xFF
        je      .unknown
        cmp     al, [bp + fAH]
        je      .found
        add     si, 3
        jmp     .find
.found: call    [cs:si + 1]
        jmp     .leave
.unknown:
        call    int15_unsupported
.leave: LEAVE_SERVICE
%macro SERVICE 2
        db      %1
        dw      %2
%endmacro
.table: SERVICE 0x24, int15_a20
        SERVICE 0x53, int15_apm
        SERVICE 0x83, int15_event_wait
        SERVICE 0x84, int15_joystick
        SERVICE 0x86, int15_wait
        SERVICE 0x87, int15_block_move
        SERVICE 0x88, int15_extended_size
        SERVICE 0x89, int15_protected_mode
        SERVICE 0xC0, int15_configuration
        SERVICE 0xC1, int15_ebda
        SERVICE 0xC2, int15_mouse
        SERVICE 0xE8, int15_e8
        db      0xFF

int15_unsupported:
        mov     byte [bp + fAH], 0x86
        SET_CF
        ret
int15_joystick:
        jmp     int15_unsupported

; AX=2400h-2403h: gate A20 through port 92h.
int15_a20:
        mov     al, [bp + fAL]
        cmp     al, 3
        ja      int15_unsupported
        je      .support
        cmp     al, 2
        je      .query
        mov     ah, al
        in      al, 0x92
        and     al, 0xFC
        shl     ah, 1
        or      al, ah
        out     0x92, al
        jmp     .ok
.query: in      al, 0x92
        shr     al, 1
        and     al, 1
        mov     [bp + fAL], al
        jmp     .ok
.support:
        mov     word [bp + fBX], 0x0003 ; 8042 and port 92h
.ok:    mov     byte [bp + fAH], 0
        CLR_CF
        ret

; AH=87h: moves CX words. ES:SI = descriptor table: null, itself, source, destination, our code, our stack.
int15_block_move:
        cli
        mov     es, [bp + fES]
        mov     si, [bp + fSI]
        movzx   eax, word [bp + fES]
        shl     eax, 4
        movzx   edx, si
        add     eax, edx
        mov     word [es:si + 0x08], 0x2F
        mov     [es:si + 0x0A], eax
        mov     byte [es:si + 0x0D], 0x93
        mov     word [es:si + 0x20], 0xFFFF
        mov     dword [es:si + 0x22], 0x9B0F0000
        mov     word [es:si + 0x26], 0
        mov     word [es:si + 0x28], 0xFFFF
        mov     ax, ss
        movzx   eax, ax
        shl     eax, 4
        mov     [es:si + 0x2A], eax
        mov     byte [es:si + 0x2D], 0x93
        mov     word [es:si + 0x2E], 0
        mov     cx, [bp + fCX]
        mov     ah, 0x01
        cmp     cx, 0x8000
        ja      .done
        mov     bx, ss
        in      al, 0x92                ; A20 on for the move
        push    ax
        or      al, 2
        and     al, 0xFE
        out     0x92, al
        o16 lgdt [es:si + 0x08]         ; 24-bit base: byte 0Dh holds the access rights
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     0x20:.protected
.protected:
        mov     ax, 0x28
        mov     ss, ax
        mov     ax, 0x10
        mov     ds, ax
        mov     ax, 0x18
        mov     es, ax
        xor     si, si
        xor     di, di
        shr     cx, 1
        jnc     .dwords
        movsw
.dwords:
        rep movsd
        mov     ax, 0x28                ; 64 KiB limits for real mode
        mov     ds, ax
        mov     es, ax
        mov     eax, cr0
        and     al, 0xFE
        mov     cr0, eax
        jmp     ROM_SEG:.real
.real:  mov     ss, bx
        pop     ax
        out     0x92, al
        mov     ah, 0
.done:  sti
        mov     [bp + fAH], ah
        CLR_CF
        CLR_ZF
        or      ah, ah
        jnz     .failed
        SET_ZF
        ret
.failed:
        SET_CF
        ret

; AH=88h: KiB above 1 MiB, at most 63 MiB.
int15_extended_size:
        LOADSEG ds, EBDA_SEG
        mov     eax, [eLOWTOP]
        sub     eax, 0x100000
        shr     eax, 10
        cmp     eax, 0xFC00
        jbe     .fits
        mov     ax, 0xFC00
.fits:  mov     [bp + fAX], ax
        CLR_CF
        ret

; AH=89h: switch to protected mode. Nobody uses it with 386 and later; not offered.
int15_protected_mode:
        mov     byte [bp + fAH], 0x86
        SET_CF
        ret

; AH=C0h: ES:BX = configuration table.
int15_configuration:
        mov     word [bp + fES], ROM_SEG
        mov     word [bp + fBX], 0xE6F5
        mov     byte [bp + fAH], 0
        CLR_CF
        ret
int15_ebda:
        mov     word [bp + fES], EBDA_SEG
        CLR_CF
        ret

int15_e8:
        mov     al, [bp + fAL]
        cmp     al, 0x20
        je      int15_e820
        cmp     al, 0x01
        jne     int15_unsupported
; AX=E801h: KiB between 1 and 16 MiB, 64 KiB blocks above.
        LOADSEG ds, EBDA_SEG
        mov     eax, [eLOWTOP]
        cmp     dword [eACPI], 0
        je      .top
        mov     eax, [eACPI]
.top:   mov     edx, eax
        sub     eax, 0x100000
        shr     eax, 10
        cmp     eax, 0x3C00
        jbe     .low
        mov     ax, 0x3C00
.low:   sub     edx, 0x1000000
        jae     .high
        xor     edx, edx
.high:  shr     edx, 16
        mov     [bp + fAX], ax
        mov     [bp + fCX], ax
        mov     [bp + fBX], dx
        mov     [bp + fDX], dx
        CLR_CF
        ret

; AX=E820h: EDX = 'SMAP', EBX = continuation, ECX >= 20, ES:DI = buffer.
int15_e820:
        cmp     dword [bp + fEDX], 0x534D4150
        jne     int15_unsupported
        cmp     dword [bp + fECX], 20
        jb      int15_unsupported
        LOADSEG ds, EBDA_SEG
        mov     eax, [bp + fEBX]
        movzx   ecx, byte [eE820N]
        cmp     eax, ecx
        jae     int15_unsupported
        imul    si, ax, 20
        add     si, eE820
        inc     eax
        cmp     eax, ecx
        jb      .more
        xor     eax, eax
.more:  mov     [bp + fEBX], eax
        mov     es, [bp + fES]
        mov     di, [bp + fDI]
        mov     cx, 10
        rep movsw
        mov     dword [bp + fEAX], 0x534D4150
        mov     dword [bp + fECX], 20
        CLR_CF
        ret
