; DSDT: the PCI root bridge with its interrupt routing, and soft-off. AML as data (ACPI 3.0 chapter 19).

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
.pci_end:
.sb_end:
        db      0x08, "_S5_", 0x12, 0x06, 0x04, 0x00, 0x00, 0x00, 0x00  ; SLP_TYP 0
.end:
