; Power-on self test: from the reset vector to INT 19h.

; F000:E05B jumps here. Nothing may be assumed but CS; the shutdown byte in CMOS 0Fh tells
; why the processor was reset (IBM AT: 05h, 0Ah jump through 40:67, 09h returns from a block move).
post_entry:
        cli
        cld
        mov     al, 0x8F                ; NMI off, index 0Fh
        out     0x70, al
        in      al, 0x71
        mov     bl, al
        mov     al, 0x8F
        out     0x70, al
        xor     al, al
        out     0x71, al
        mov     al, 0x0D                ; NMI on again
        out     0x70, al
        in      al, 0x71
        cmp     bl, 0x05
        je      resume_eoi
        cmp     bl, 0x0A
        je      resume_jump
        cmp     bl, 0x09
        je      resume_block_move
        jmp     post_cold

resume_eoi:
        in      al, 0x60                ; drop a pending scan code
        mov     al, 0x20
        out     0xA0, al
        out     0x20, al
resume_jump:
        xor     ax, ax
        mov     ds, ax
        jmp     far [0x400 + bRESUME]

; The stack saved at 40:67 holds ES, DS, the eight registers of PUSHA, and an interrupt frame.
resume_block_move:
        xor     ax, ax
        mov     ds, ax
        lss     sp, [0x400 + bRESUME]
        in      al, 0x92
        and     al, 0xFD
        out     0x92, al
        pop     es
        pop     ds
        popa
        iret

post_cold:
        POSTCODE 0x01
        xor     ax, ax
        mov     ss, ax
        mov     sp, POST_STACK
        in      al, 0x92                ; A20 on; bit 0 stays, it tells of a reset through this port
        or      al, 0x02
        out     0x92, al
        mov     al, 0xFF                ; everything masked until the vectors are there
        out     0x21, al
        out     0xA1, al
        call    shadow_enable           ; BL = 1 when F0000h is RAM now

        POSTCODE 0x02
        LOADSEG ds, BDA_SEG
        push    word [bWARM]
        xor     ax, ax                  ; BDA: 40:00-40:FF
        mov     es, ax
        mov     di, 0x400
        mov     cx, 0x80
        rep stosw
        pop     word [bWARM]
        LOADSEG es, EBDA_SEG
        xor     ax, ax
        xor     di, di
        mov     cx, 0x200
        rep stosw
        mov     byte [es:eSIZE], 1
        mov     [es:eFSEGW], bl
        mov     word [bEBDA], EBDA_SEG
        mov     word [bMEMKB], EBDA_SEG / 64
        mov     dword [bLPTTMO], 0x14141414
        mov     dword [bCOMTMO], 0x01010101

        call    vectors_init
        call    pic_init
        POSTCODE 0x03
        call    pit_init
        call    rtc_init
        call    memory_size
        call    dma_init
        call    equipment_init
        POSTCODE 0x04
        call    pci_init
        POSTCODE 0x05
        call    keyboard_init
        call    unreal_off
        POSTCODE 0x06
        call    video_init
        sti
        mov     si, msg_banner
        call    print
        POSTCODE 0x07
        call    serial_init
        call    smp_init                ; needs 4 GiB segments, turns them on and off itself
        POSTCODE 0x08
        call    e820_build
        call    acpi_build
        call    mp_build
        call    pir_build
        call    smbios_build
        call    print_machine
        POSTCODE 0x09
        call    floppy_init
        call    ata_init
        call    mouse_init
        POSTCODE 0x0A
        call    optrom_scan
        call    shadow_protect
        call    ticks_from_rtc
        POSTCODE 0x0B
        mov     al, 13                  ; one blank line, then the boot
        call    putc
        mov     al, 10
        call    putc
        int     0x19
.stop:  hlt
        jmp     .stop

; ---- Interrupt vectors ----------------------------------------------------------
vectors_init:
        push    ds
        xor     ax, ax
        mov     es, ax
        xor     di, di
        mov     cx, 0x78                ; 00h-77h: an IRET that touches nothing
.fill:  mov     ax, dummy_iret
        stosw
        mov     ax, ROM_SEG
        stosw
        loop    .fill
        xor     ax, ax                  ; 78h-FFh: free for programs
        mov     cx, (0x100 - 0x78) * 2
        rep stosw
        push    cs
        pop     ds
        mov     si, vector_table
.next:  lodsb                           ; number, offset; FFh ends
        cmp     al, 0xFF
        je      .done
        movzx   di, al
        shl     di, 2
        movsw
        jmp     .next
.done:  xor     ax, ax
        mov     word [es:0x1F * 4], ax  ; no upper 8x8 font yet
        mov     word [es:0x1F * 4 + 2], ax
        LOADSEG ds, ROM_SEG
        mov     word [es:0x41 * 4 + 2], EBDA_SEG
        mov     word [es:0x46 * 4 + 2], EBDA_SEG
        pop     ds
        ret

%macro VECTOR 2
        db      %1
        dw      %2
%endmacro
vector_table:
        VECTOR  0x02, int02_nmi
        VECTOR  0x05, int05_print_screen
        VECTOR  0x08, irq0_timer
        VECTOR  0x09, irq1_keyboard
        VECTOR  0x0A, irq_unexpected_master
        VECTOR  0x0B, irq_unexpected_master
        VECTOR  0x0C, irq_unexpected_master
        VECTOR  0x0D, irq_unexpected_master
        VECTOR  0x0E, irq6_floppy
        VECTOR  0x0F, irq7_spurious
        VECTOR  0x10, dummy_iret
        VECTOR  0x11, int11_equipment
        VECTOR  0x12, int12_memory
        VECTOR  0x13, int13_entry
        VECTOR  0x14, int14_entry
        VECTOR  0x15, int15_entry
        VECTOR  0x16, int16_entry
        VECTOR  0x17, int17_entry
        VECTOR  0x18, int18_entry
        VECTOR  0x19, int19_entry
        VECTOR  0x1A, int1a_entry
        VECTOR  0x1D, 0xF0A4
        VECTOR  0x1E, diskette_table
        VECTOR  0x40, int40_entry
        VECTOR  0x41, eFDPT
        VECTOR  0x46, eFDPT + 16
        VECTOR  0x70, irq8_rtc
        VECTOR  0x71, irq9_redirect
        VECTOR  0x72, irq_unexpected_slave
        VECTOR  0x73, irq_unexpected_slave
        VECTOR  0x74, irq12_mouse
        VECTOR  0x75, irq13_fpu
        VECTOR  0x76, irq14_disk
        VECTOR  0x77, irq15_disk
        db      0xFF

; ---- Chips ------------------------------------------------------------------------
; 8259A pair: vectors 08h and 70h, cascade on IRQ 2. Open: IRQ 0, 1, 2, 6; 8, 12, 13, 14, 15.
pic_init:
        mov     al, 0x11
        out     0x20, al
        out     0xA0, al
        mov     al, 0x08
        out     0x21, al
        mov     al, 0x70
        out     0xA1, al
        mov     al, 0x04
        out     0x21, al
        mov     al, 0x02
        out     0xA1, al
        mov     al, 0x01
        out     0x21, al
        out     0xA1, al
        mov     al, 0xB8
        out     0x21, al
        mov     al, 0x0E                ; IRQ 9-11 stay masked
        out     0xA1, al
        ret

; Channel 0: mode 3, count 65536 (18.2 Hz). Channel 1: refresh. Channel 2: about 1 kHz.
pit_init:
        mov     al, 0x36
        out     0x43, al
        xor     al, al
        out     0x40, al
        out     0x40, al
        mov     al, 0x54
        out     0x43, al
        mov     al, 0x12
        out     0x41, al
        mov     al, 0xB6
        out     0x43, al
        mov     al, 0xA9
        out     0x42, al
        mov     al, 0x04
        out     0x42, al
        in      al, 0x61                ; speaker off, NMI sources enabled
        and     al, 0xF0
        out     0x61, al
        ret

; Register A: 32.768 kHz, 1024 Hz; register B: 24 hours, BCD, no interrupts.
rtc_init:
        mov     ax, 0x260A
        call    cmos_write
        mov     ax, 0x020B
        call    cmos_write
        mov     al, 0x0C                ; reading C and D clears what is pending
        call    cmos_read
        mov     al, 0x0D
        jmp     cmos_read

; 8237 pair: master clear, channel 4 (cascade) open.
dma_init:
        xor     al, al
        out     0x0D, al
        out     0xDA, al
        mov     al, 0xC0
        out     0xD6, al
        xor     al, al
        out     0xD4, al
        ret

; Equipment word 40:10: bit 0 floppies, 1 FPU, 2 mouse, 5-4 = 10b 80x25 colour, 7-6 floppies - 1, 11-9 COM ports.
equipment_init:
        mov     bx, 0x0026
        mov     al, 0x10
        call    cmos_read
        mov     ah, al
        mov     cl, 0
        test    al, 0xF0
        jz      .b
        inc     cl
.b:     test    ah, 0x0F
        jz      .count
        inc     cl
.count: LOADSEG es, EBDA_SEG
        mov     [es:eFDCOUNT], cl
        or      cl, cl
        jz      .store
        dec     cl
        shl     cl, 6
        or      bl, cl
        or      bl, 1
.store: mov     [bEQUIP], bx
        mov     word [bKBHEAD], bKBBUF
        mov     word [bKBTAIL], bKBBUF
        mov     word [bKBSTART], bKBBUF
        mov     word [bKBEND], bKBBUF + 32
        mov     byte [bKBF3], 0x10      ; enhanced keyboard
        ret

; AL = index -> AL = value. NMI stays enabled (index bit 7 = 0).
cmos_read:
        out     0x70, al
        jmp     $ + 2
        in      al, 0x71
        ret

; AL = index, AH = value.
cmos_write:
        out     0x70, al
        xchg    al, ah
        out     0x71, al
        xchg    al, ah
        ret

; AL = index of the low byte -> AX = word of two neighbouring bytes.
cmos_read_word:
        mov     ah, al
        inc     al
        call    cmos_read
        xchg    al, ah
        jmp     cmos_read

; About 1 us each on the ISA bus: CX port reads.
delay_io:
        in      al, 0x61
        loop    delay_io
        ret

; ---- Start-up messages --------------------------------------------------------------
msg_banner:
        db      "rvmx-emu BIOS ", BIOS_VERSION, 13, 10, 0
msg_memory:
        db      "Memory ", 0
msg_mib:
        db      " MiB, processors ", 0
msg_crlf:
        db      13, 10, 0

print_machine:
        push    ds
        LOADSEG ds, EBDA_SEG
        mov     si, msg_memory
        call    print
        mov     eax, [eLOWTOP]
        shr     eax, 20
        mov     edx, [eHIGH64K]
        shr     edx, 4
        add     eax, edx
        call    print_dec
        mov     si, msg_mib
        call    print
        movzx   eax, word [eCPUS]
        call    print_dec
        mov     si, msg_crlf
        call    print
        pop     ds
        ret
