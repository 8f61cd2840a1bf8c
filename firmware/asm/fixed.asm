; Places that programs know by address (IBM AT), the tables built during POST, and the reset vector.

; ---- Tables written during POST while F0000h-FFFFFh is writable ------------------------------
        AT_OFFSET 0xB000
rsdp:   times 48 db 0                   ; 16-byte aligned: found by scanning
mp_floating:
        times 16 db 0
pir_table:
        times 32 + 31 * 16 db 0
mp_scratch:
        times 16 db 0
mp_config:
        times 0x1700 db 0               ; room for 255 processors
smbios_entry:
        times 32 db 0
smbios_area:
        times 0xE000 - ($ - $$) db 0
.end:
        AT_OFFSET 0xE000

; ---- Start of the application processors: start-up IPI vector FEh ------------------------------
ap_entry:
        cli
        jmp     ROM_SEG:.here           ; from FE00:0000
.here:  LOADSEG gs, EBDA_SEG
        mov     bp, .ready
        jmp     cpu_init
.ready: mov     eax, 1
        cpuid
        shr     ebx, 24                 ; initial APIC id
        LOADSEG ds, EBDA_SEG
        lock bts [eCPUMAP], bx
        jc      .park
        lock inc word [eCPUS]
.park:  cli
        hlt
        jmp     .park

        AT_OFFSET 0xE05B
        jmp     post_entry

        AT_OFFSET 0xE2C3
        jmp     int02_nmi
        AT_OFFSET 0xE3FE
        jmp     int13_entry
        AT_OFFSET 0xE6F2
        jmp     int19_entry

        AT_OFFSET 0xE6F5                ; INT 15h AH=C0h
        dw      8
        db      0xFC, 0x00, 0x01        ; model, submodel, revision
        db      0x74                    ; second 8259, RTC, keyboard intercept, EBDA
        db      0x40                    ; INT 16h AH=09h
        db      0, 0, 0

        AT_OFFSET 0xE739
        jmp     int14_entry
        AT_OFFSET 0xE82E
        jmp     int16_entry
        AT_OFFSET 0xE987
        jmp     irq1_keyboard
        AT_OFFSET 0xEC59
        jmp     int40_entry
        AT_OFFSET 0xEF57
        jmp     irq6_floppy

        AT_OFFSET 0xEFC7
diskette_table:
        db      0xDF, 0x02, FD_MOTOR_TICKS, 0x02, 18, 0x1B, 0xFF, 0x6C, 0xF6, 15, 8

        AT_OFFSET 0xEFD2
        jmp     int17_entry
        AT_OFFSET 0xF065
        iret                            ; INT 10h without a VGA BIOS
        AT_OFFSET 0xF0A4                ; INT 1Dh: 6845 parameters belong to the VGA BIOS
        times 88 db 0
        AT_OFFSET 0xF841
        jmp     int12_memory
        AT_OFFSET 0xF84D
        jmp     int11_equipment
        AT_OFFSET 0xF859
        jmp     int15_entry

; 32-bit PCI BIOS: far call from 32-bit code; only "not supported" so far.
        align   4
bios32_pci:
        bits    32
        mov     ah, 0x81
        stc
        retf
        bits    16

        AT_OFFSET 0xFE6E
        jmp     int1a_entry
        AT_OFFSET 0xFEA5
        jmp     irq0_timer
        AT_OFFSET 0xFF53
dummy_iret:
        iret
        jmp     int05_print_screen

        AT_OFFSET 0xFFF0
        jmp     ROM_SEG:0xE05B
        db      "11/22/26"
        db      0
        db      0xFC                    ; AT
        db      0
