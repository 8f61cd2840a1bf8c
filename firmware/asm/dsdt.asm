; DSDT: the PCI root bridge with its interrupt routing, the ISA bridge with the devices behind it, the HPET, soft-off. AML as data (ACPI 3.0 chapter 19).

; Two-byte package length of the bytes from here to label %1.
%macro PKGLEN 1
%%here: db      0x40 | ((%1 - %%here) & 0x0F), (%1 - %%here) >> 4
%endmacro
; QWordless address space descriptor (DWord): type, flags, type flags, first, last.
%macro DWORD_SPACE 5
        db      0x87
        dw      23
        db      %1, %2, %3
        dd      0, %4, %5, 0, (%5) - (%4) + 1
%endmacro
%macro WORD_SPACE 5
        db      0x88
        dw      13
        db      %1, %2, %3
        dw      0, %4, %5, 0, (%5) - (%4) + 1
%endmacro

; A device of the system board: its name, its EISA id as four bytes. Its resources follow, then PNP_END.
%macro PNP_DEVICE 5
%push   pnp
        db      0x5B, 0x82              ; Device
        PKGLEN  %$device_end
        db      %1
        db      0x08, "_HID", 0x0C, %2, %3, %4, %5
        db      0x08, "_CRS", 0x11      ; Buffer
        PKGLEN  %$crs_end
        db      0x0B
        dw      %$crs_end - %$crs
%$crs:
%endmacro
%macro PNP_END 0
        db      0x79, 0
%$crs_end:
%$device_end:
%pop    pnp
%endmacro
; I/O ports: first, count. 16-bit decoding.
%macro CRS_IO 2
        db      0x47, 0x01
        dw      %1, %1
        db      1, %2
%endmacro
; IRQ, edge-triggered, active high.
%macro CRS_IRQ 1
        db      0x22
        dw      1 << %1
%endmacro
; ISA DMA channel: 8 bits, compatible timing.
%macro CRS_DMA 1
        db      0x2A, 1 << %1, 0
%endmacro
; Memory: writable, first, length.
%macro CRS_MEMORY 2
        db      0x86
        dw      9
        db      1
        dd      %1, %2
%endmacro

        align   4
dsdt:
        ACPI_HEADER "DSDT", 1, dsdt.end - dsdt
        db      0x10                    ; Scope (\_SB)
        PKGLEN  .sb_end
        db      "\_SB_"
        db      0x5B, 0x82              ; Device (PCI0)
        PKGLEN  .pci_end
        db      "PCI0"
        db      0x08, "_HID", 0x0C, 0x41, 0xD0, 0x0A, 0x03      ; EISAID ("PNP0A03")
        db      0x08, "_ADR", 0x00
        db      0x08, "_UID", 0x00
        db      0x08, "_CRS", 0x11      ; Buffer
        PKGLEN  .crs_end
        db      0x0B
        dw      .crs_end - .crs
.crs:   WORD_SPACE  2, 0x0C, 0, 0, 0xFF                         ; bus numbers
        db      0x47, 0x01              ; I/O CF8h-CFFh
        dw      0xCF8, 0xCF8
        db      1, 8
        WORD_SPACE  1, 0x0C, 3, 0, 0xCF7
        WORD_SPACE  1, 0x0C, 3, 0xD00, 0xFFFF
        DWORD_SPACE 0, 0x0C, 1, 0xA0000, 0xBFFFF
        DWORD_SPACE 0, 0x0C, 1, 0xE0000000, 0xFEBFFFFF
        db      0x79, 0
.crs_end:
        db      0x08, "_PRT", 0x12      ; Package of 31 slots x 4 pins: { address, pin, 0, interrupt }
        PKGLEN  .prt_end
        db      124
%assign slot 1
%rep 31
%assign pin 0
%rep 4
%assign gsi 10 + (((slot - 1 + pin) & 2) >> 1)
        db      0x12, 12, 4
        db      0x0C
        dw      0xFFFF, slot
        db      0x0A, pin, 0x00
        db      0x0A, gsi
%assign pin pin + 1
%endrep
%assign slot slot + 1
%endrep
.prt_end:
        db      0x5B, 0x82              ; Device (ISA): function 00:01.0
        PKGLEN  .isa_end
        db      "ISA_"
        db      0x08, "_ADR", 0x0C
        dd      0x00010000
        PNP_DEVICE "PIC_", 0x41, 0xD0, 0x00, 0x00       ; PNP0000
        CRS_IO  0x20, 2
        CRS_IO  0xA0, 2
        CRS_IO  0x4D0, 2
        CRS_IRQ 2
        PNP_END
        PNP_DEVICE "TIMR", 0x41, 0xD0, 0x01, 0x00       ; PNP0100
        CRS_IO  0x40, 4
        CRS_IRQ 0
        PNP_END
        PNP_DEVICE "DMAC", 0x41, 0xD0, 0x02, 0x00       ; PNP0200
        CRS_IO  0x00, 0x10
        CRS_IO  0x81, 0x0F
        CRS_IO  0xC0, 0x20
        CRS_DMA 4
        PNP_END
        PNP_DEVICE "KBD_", 0x41, 0xD0, 0x03, 0x03       ; PNP0303
        CRS_IO  0x60, 1
        CRS_IO  0x64, 1
        CRS_IRQ 1
        PNP_END
        PNP_DEVICE "MOU_", 0x41, 0xD0, 0x0F, 0x13       ; PNP0F13
        CRS_IRQ 12
        PNP_END
        PNP_DEVICE "SPKR", 0x41, 0xD0, 0x08, 0x00       ; PNP0800
        CRS_IO  0x61, 1
        PNP_END
        PNP_DEVICE "RTC_", 0x41, 0xD0, 0x0B, 0x00       ; PNP0B00
        CRS_IO  0x70, 2
        CRS_IRQ 8
        PNP_END
        PNP_DEVICE "FPU_", 0x41, 0xD0, 0x0C, 0x04       ; PNP0C04
        CRS_IO  0xF0, 0x10
        CRS_IRQ 13
        PNP_END
        PNP_DEVICE "FDC0", 0x41, 0xD0, 0x07, 0x00       ; PNP0700
        CRS_IO  0x3F2, 4
        CRS_IO  0x3F7, 1
        CRS_IRQ 6
        CRS_DMA 2
        PNP_END
        PNP_DEVICE "COM1", 0x41, 0xD0, 0x05, 0x01       ; PNP0501
        CRS_IO  0x3F8, 8
        CRS_IRQ 4
        PNP_END
        PNP_DEVICE "MBRD", 0x41, 0xD0, 0x0C, 0x02       ; PNP0C02: what belongs to no other device
        CRS_IO  0x80, 1
        CRS_IO  0x92, 1
        CRS_IO  0xB2, 2
        CRS_IO  PM_IO_BASE, 0x40
        CRS_IO  SMB_IO_BASE, 0x10
        CRS_MEMORY LAPIC, 0x1000
        CRS_MEMORY IOAPIC, 0x1000
        PNP_END
.isa_end:
.pci_end:
        PNP_DEVICE "HPET", 0x41, 0xD0, 0x01, 0x03       ; PNP0103
        CRS_MEMORY 0xFED00000, 0x400
        db      0x79, 0
%$crs_end:
        db      0x08, "_STA", 0x0A
.hpet_status:
        db      0x0F
%$device_end:
%pop    pnp
.sb_end:
        db      0x08, "_S5_", 0x12, 0x06, 0x04, 0x00, 0x00, 0x00, 0x00  ; SLP_TYP 0
.end:
