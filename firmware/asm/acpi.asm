; ACPI tables (ACPI 3.0), in the last 64 KiB of RAM below 4 GiB; the RSDP lies in F0000h-FFFFFh.

ACPI_FACS       equ 0x000
ACPI_RSDT       equ 0x040
ACPI_XSDT       equ 0x080
ACPI_FADT       equ 0x100
ACPI_HPET       equ 0x200
ACPI_MADT       equ 0x280
ACPI_DSDT       equ 0x1000
SCI_IRQ         equ 9

%macro ACPI_HEADER 3                    ; signature, revision, length
        db      %1
        dd      %3
        db      %2, 0
        db      "RVMXEM"
        db      "RVMXEMUP"
        dd      1
        db      "RVMX"
        dd      1
%endmacro
%macro GAS_IO 3                         ; bits, access size, address
        db      1, %1, 0, %2
        dq      %3
%endmacro

acpi_build:
        push    ds
        push    es
        pushf
        cli
        LOADSEG gs, EBDA_SEG
        mov     ebp, [gs:eACPI]
        or      ebp, ebp
        jz      .none
        cmp     byte [gs:eFSEGW], 0
        je      .none
        call    unreal_on
        mov     edi, ebp                ; clear the first 8 KiB
        xor     eax, eax
        mov     ecx, 0x2000 / 4
        a32 rep stosd

        lea     edi, [ebp + ACPI_FACS]
        mov     esi, acpi_facs
        mov     cx, 64
        call    acpi_copy
        lea     edi, [ebp + ACPI_DSDT]
        mov     esi, dsdt
        mov     cx, dsdt.end - dsdt
        call    acpi_copy
        call    acpi_hpet               ; CF = 1: no HPET
        jnc     .hpet
        mov     byte [ebp + ACPI_DSDT + dsdt.hpet_status - dsdt], 0
.hpet:  lea     edi, [ebp + ACPI_DSDT]
        call    acpi_checksum

        lea     edi, [ebp + ACPI_FADT]
        mov     esi, acpi_fadt
        mov     cx, acpi_fadt.end - acpi_fadt
        call    acpi_copy
        lea     edi, [ebp + ACPI_FADT]
        lea     eax, [ebp + ACPI_FACS]
        mov     [edi + 36], eax
        mov     [edi + 132], eax
        lea     eax, [ebp + ACPI_DSDT]
        mov     [edi + 40], eax
        mov     [edi + 140], eax
        call    acpi_checksum

        call    acpi_madt
        call    acpi_hpet               ; CF = 1: no HPET

        lea     edi, [ebp + ACPI_RSDT]
        mov     esi, acpi_rsdt
        mov     cx, 36
        pushf
        call    acpi_copy
        lea     edi, [ebp + ACPI_XSDT]
        mov     esi, acpi_xsdt
        mov     cx, 36
        call    acpi_copy
        lea     ebx, [ebp + ACPI_RSDT]
        lea     edi, [ebp + ACPI_XSDT]
        lea     eax, [ebp + ACPI_FADT]
        mov     [ebx + 36], eax
        mov     [edi + 36], eax
        lea     eax, [ebp + ACPI_MADT]
        mov     [ebx + 40], eax
        mov     [edi + 44], eax
        mov     byte [ebx + 4], 44
        mov     byte [edi + 4], 52
        popf
        jc      .sums
        lea     eax, [ebp + ACPI_HPET]
        mov     [ebx + 44], eax
        mov     [edi + 52], eax
        mov     byte [ebx + 4], 48
        mov     byte [edi + 4], 60
.sums:  call    acpi_checksum
        mov     edi, ebx
        call    acpi_checksum

        mov     edi, ROM_BASE + rsdp
        mov     esi, acpi_rsdp
        mov     cx, 36
        call    acpi_copy
        mov     edi, ROM_BASE + rsdp
        lea     eax, [ebp + ACPI_RSDT]
        mov     [edi + 16], eax
        lea     eax, [ebp + ACPI_XSDT]
        mov     [edi + 24], eax
        ANCHOR  [edi], "RSD "
        mov     ecx, 20
        call    acpi_sum
        mov     [edi + 8], al
        mov     ecx, 36
        call    acpi_sum
        mov     [edi + 32], al
        call    unreal_off
.none:  popf
        pop     es
        pop     ds
        ret

; CX bytes from CS:ESI to EDI.
acpi_copy:
        movzx   ecx, cx
        add     esi, ROM_BASE
        a32 rep movsb
        ret

; EDI = table with its length at +4: sets the checksum at +9. Changes EAX, ECX.
acpi_checksum:
        mov     ecx, [edi + 4]
        call    acpi_sum
        mov     [edi + 9], al
        ret
; AL = value that makes the sum of ECX bytes at EDI zero.
acpi_sum:
        push    edi
        xor     al, al
.next:  sub     al, [edi]
        inc     edi
        a32 loop .next
        pop     edi
        ret

; Multiple APIC description table: a local APIC per processor that answered, the I/O APIC, source overrides.
acpi_madt:
        lea     edi, [ebp + ACPI_MADT]
        mov     esi, acpi_madt_head
        mov     cx, acpi_madt_head.end - acpi_madt_head
        call    acpi_copy
        xor     bx, bx                  ; APIC id
        xor     dl, dl                  ; ACPI processor id
.cpu:   bt      [gs:eCPUMAP], bx
        jnc     .skip
        mov     word [edi], 0x0800
        mov     [edi + 2], dl
        mov     [edi + 3], bl
        mov     dword [edi + 4], 1
        add     edi, 8
        inc     dl
.skip:  inc     bl
        jnz     .cpu
        mov     word [edi], 0x0C01
        mov     al, [gs:eAPICID]
        mov     [edi + 2], al
        mov     dword [edi + 4], IOAPIC
        mov     dword [edi + 8], 0
        add     edi, 12
        mov     esi, acpi_madt_tail
        mov     cx, acpi_madt_tail.end - acpi_madt_tail
        call    acpi_copy
        mov     eax, edi
        lea     edi, [ebp + ACPI_MADT]
        sub     eax, edi
        mov     [edi + 4], eax
        jmp     acpi_checksum

; CF = 1 when nothing answers at FED00000h.
acpi_hpet:
        mov     ebx, [dword 0xFED00000]
        mov     eax, ebx
        shr     eax, 16
        cmp     ax, 0xFFFF
        je      .none
        or      ax, ax
        je      .none
        lea     edi, [ebp + ACPI_HPET]
        mov     esi, acpi_hpet_table
        mov     cx, 56
        call    acpi_copy
        lea     edi, [ebp + ACPI_HPET]
        mov     [edi + 36], ebx
        call    acpi_checksum
        clc
        ret
.none:  stc
        ret

acpi_rsdp:
        dd      0                       ; its anchor
        db      "PTR ", 0, "RVMXEM", 2
        dd      0, 36
        dq      0
        db      0, 0, 0, 0
acpi_rsdt:
        ACPI_HEADER "RSDT", 1, 0
acpi_xsdt:
        ACPI_HEADER "XSDT", 1, 0
acpi_facs:
        db      "FACS"
        dd      64
        times 24 db 0
        db      1                       ; version
        times 31 db 0
acpi_madt_head:
        ACPI_HEADER "APIC", 1, 0
        dd      LAPIC, 1                ; PCAT_COMPAT: there are 8259s
.end:
acpi_madt_tail:
        db      2, 10, 0, 0             ; IRQ 0 -> pin 2
        dd      2
        dw      0
%assign irq 9
%rep 3
        db      2, 10, 0, irq           ; SCI and PCI: level, active high
        dd      irq
        dw      0x000D
%assign irq irq + 1
%endrep
        db      4, 6, 0xFF, 0, 0, 1     ; NMI on LINT1 of every processor
.end:
acpi_hpet_table:
        ACPI_HEADER "HPET", 1, 56
        dd      0
        db      0, 64, 0, 0
        dq      0xFED00000
        db      0
        dw      100                     ; minimum tick
        db      0
; Fixed ACPI description table. SMI_CMD = 0: the hardware is always in ACPI mode.
acpi_fadt:
        ACPI_HEADER "FACP", 3, 244
        dd      0, 0                    ; FACS, DSDT
        db      0, 1                    ; desktop
        dw      SCI_IRQ
        dd      0
        db      0, 0, 0, 0
        dd      PM_IO_BASE, 0           ; PM1 event
        dd      PM_IO_BASE + 4, 0       ; PM1 control
        dd      0
        dd      PM_IO_BASE + 8          ; PM timer, 24 bits
        dd      0, 0
        db      4, 2, 0, 4, 0, 0, 0, 0
        dw      0x0FFF, 0x0FFF          ; no C2, no C3
        dw      0, 0
        db      0, 0, 0, 0, 0x32        ; century byte of the RTC
        dw      0x0003                  ; legacy devices, 8042
        db      0
        dd      0x00000425              ; WBINVD, C1, sleep button is a control method, reset register
        GAS_IO  8, 1, 0xCF9
        db      0x06, 0, 0, 0
        dq      0, 0
        GAS_IO  32, 2, PM_IO_BASE
        times 12 db 0
        GAS_IO  16, 2, PM_IO_BASE + 4
        times 12 db 0
        times 12 db 0
        GAS_IO  32, 3, PM_IO_BASE + 8
        times 24 db 0
.end:
%if acpi_fadt.end - acpi_fadt != 244
%error "FADT length"
%endif
