; Local APIC of the bootstrap processor and the count of the others.

LAPIC           equ 0xFEE00000
IOAPIC          equ 0xFEC00000
AP_VECTOR       equ 0xFE                ; start-up IPI vector: code at FE000h = F000:E000 (fixed.asm)

; Virtual wire mode (MultiProcessor Specification 3.6.2.2): LINT0 = ExtINT, LINT1 = NMI; then INIT-SIPI-SIPI to all
; others. Each sets its bit in eCPUMAP and counts itself in eCPUS. The CMOS byte 5Fh says how many to wait for.
smp_init:
        push    ds
        push    es
        LOADSEG gs, EBDA_SEG
        mov     word [gs:eCPUS], 1
        mov     al, 0x60
        call    cmos_read
        mov     [gs:eVMXOPEN], al
        mov     bp, .ready
        jmp     cpu_init
.ready: mov     eax, 1
        cpuid
        test    edx, 1 << 9
        jnz     .apic
        or      byte [gs:eCPUMAP], 1
        jmp     .done
.apic:  pushf
        cli
        call    unreal_on
        mov     edi, LAPIC
        mov     dword [edi + 0x80], 0
        mov     dword [edi + 0xF0], 0x10F
        mov     dword [edi + 0x350], 0x700
        mov     dword [edi + 0x360], 0x400
        mov     ebx, [edi + 0x20]
        shr     ebx, 24
        bts     [gs:eCPUMAP], bx
        mov     al, 0x5F
        call    cmos_read
        movzx   bx, al
        inc     bx
        cmp     bx, 1                   ; one, or not told: whoever answers soon
        jne     .start
        mov     bx, 0xFFFF
.start: mov     dword [edi + 0x300], 0xC4500
        mov     cx, 1000
        call    delay_io
        call    .sipi
        mov     ecx, 0x2000
        call    .wait
        jae     .ioapic
        call    .sipi
        mov     ecx, 0x2000
        cmp     bx, 0xFFFF
        je      .last
        mov     ecx, 0x200000
.last:  call    .wait
.ioapic:
        ; I/O APIC: an id above the processors' when 4 bits suffice (MultiProcessor Specification: ids are unique).
        xor     al, al
        mov     cx, 15
.top:   bt      [gs:eCPUMAP], cx
        jc      .found
        loop    .top
.found: inc     cx
        cmp     word [gs:eCPUS], 15
        jae     .zero
        cmp     cx, 15
        ja      .zero
        mov     al, cl
.zero:  mov     [gs:eAPICID], al
        movzx   eax, al
        shl     eax, 24
        mov     dword [dword IOAPIC], 0
        mov     [dword IOAPIC + 0x10], eax
        call    unreal_off
        popf
.done:  pop     es
        pop     ds
        ret
.sipi:  mov     dword [edi + 0x300], 0xC4600 | AP_VECTOR
        mov     cx, 200
        jmp     delay_io
; Until BX processors have answered or ECX rounds have passed: flags of CMP answered, BX.
.wait:  pause
        cmp     [gs:eCPUS], bx
        jae     .waited
        a32 loop .wait
        cmp     [gs:eCPUS], bx
.waited:
        ret
