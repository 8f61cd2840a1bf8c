; A kernel in the form of a Linux bzImage, for --kernel: looks at what the loader and the firmware have left, tells it on
; port E9h, and switches the machine off. Every difference is a line that begins with FAIL.
; (The Linux/x86 Boot Protocol; ACPI specification 5.2, "ACPI System Description Tables".)

        cpu     686
        bits    16

KERNEL          equ 0x100000
PARAMETERS      equ 0x1000              ; where our real-mode code puts boot parameters, in its own segment
KERNEL_SIZE     equ 1024
INIT_SIZE       equ 0x10000
HEADER          equ 0x1F1
SETUP_END       equ 1024

; Fields of the boot parameters.
pRSDP           equ 0x070
pENTRIES        equ 0x1E8
pVIDEO          equ 0x1FA
pINITRD         equ 0x218
pINITRDSIZE     equ 0x21C
pLINE           equ 0x228
pMAP            equ 0x2D0

        section .text start=0 vstart=0
        times HEADER - ($ - $$) db 0
        db      SETUP_END / 512 - 1     ; setup_sects
        dw      0
        dd      KERNEL_SIZE / 16        ; syssize
        dw      0, 0, 0, 0xAA55
        jmp     short start
        db      "HdrS"
        dw      0x020F
        dd      0
        dw      0, 0
        db      0, 1                    ; loadflags: loaded high
        dw      0
        dd      KERNEL, 0, 0, 0
        dw      0, 0
        dd      0
        dd      0x7FFFFFFF              ; initrd_addr_max
        dd      0x1000                  ; kernel_alignment
        db      1, 0                    ; relocatable
        dw      0
        dd      255                     ; cmdline_size
        dd      0
        dq      0
        dd      0, 0
        dq      0
        dq      KERNEL                  ; pref_address
        dd      INIT_SIZE
        dd      0, 0
%if $ - $$ != 0x26C
%error "setup header"
%endif

; Real mode: DS = the segment of the file's first byte, CS 20h higher. As Linux, asks the BIOS for the memory map.
start:  push    ds
        push    word real
        retf
real:   cld
        mov     ax, ds
        mov     es, ax
        mov     di, PARAMETERS
        xor     ax, ax
        mov     cx, 2048
        rep stosw
        mov     si, HEADER
        mov     di, PARAMETERS + HEADER
        mov     cx, start - HEADER
        rep movsb
        mov     di, PARAMETERS + pMAP
        xor     ebx, ebx
.next:  mov     eax, 0xE820
        mov     edx, 0x534D4150
        mov     ecx, 20
        int     0x15
        jc      .done
        inc     byte [PARAMETERS + pENTRIES]
        add     di, 20
        or      ebx, ebx
        jnz     .next
.done:  cli
        xor     esi, esi
        mov     si, ds
        shl     esi, 4
        lea     eax, [esi + gdt]
        mov     [gdt_pointer + 2], eax
        add     esi, PARAMETERS
        lgdt    [gdt_pointer]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        mov     ax, 0x18
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        jmp     dword 0x10:KERNEL
        align   8
gdt:    dq      0, 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
gdt_pointer:
        dw      $ - gdt - 1
        dd      0
        times SETUP_END - ($ - $$) db 0

        section .kernel follows=.text vstart=KERNEL align=512
        bits    32
%macro SAY 1
        call    %%over
        db      %1, 0
%%over: pop     eax
        call    say
%endmacro

; A text, then EAX in hexadecimal and a new line.
%macro SAY_HEX 1
        push    eax
        SAY     %1
        pop     eax
        call    say_hex
%endmacro

kernel: mov     esp, KERNEL + INIT_SIZE
        mov     ebp, esi                ; the parameters
        SAY     "command line: "
        mov     eax, [ebp + pLINE]
        call    say
        SAY     10
        movzx   eax, word [ebp + pVIDEO]
        SAY_HEX "vid_mode: "
        mov     eax, [ebp + pRSDP]
        SAY_HEX "acpi_rsdp_addr: "
        call    initrd
        call    acpi
        SAY     {"end", 10}
        mov     dx, 0xB004              ; PM1 control: SLP_EN, type 0
        mov     ax, 0x2000
        out     dx, ax
.stop:  hlt
        jmp     .stop

; The initrd lies in usable memory, is clear of everything else, and has its bytes.
initrd: mov     esi, [ebp + pINITRD]
        mov     edi, [ebp + pINITRDSIZE]
        or      edi, edi
        jz      .none
        mov     ecx, edi
        add     edi, esi                ; ESI to EDI
        xor     eax, eax
        xor     ebx, ebx
.sum:   mov     bl, [esi]
        rol     eax, 1
        add     eax, ebx
        inc     esi
        loop    .sum
        SAY_HEX "initrd sum: "
        mov     esi, [ebp + pINITRD]
        mov     eax, esi
        mov     ebx, edi
        mov     dl, 1
        call    inside
        jc      .bad
        ret
.bad:   mov     eax, esi
        SAY_HEX "FAIL the initrd is not in usable memory: "
        ret
.none:  SAY     {"no initrd", 10}
        ret

; CF = 0 when EAX to EBX lies in one entry of type DL, and no entry of another type has a part of it.
inside: push    esi
        push    edi
        movzx   ecx, byte [ebp + pENTRIES]
        lea     edi, [ebp + pMAP]
        mov     dh, 0
.entry: cmp     dword [edi + 4], 0      ; above 4 GiB
        jne     .next
        mov     esi, [edi]
        cmp     esi, ebx
        jae     .next
        add     esi, [edi + 8]          ; its end; 0 is 4 GiB
        jz      .reaches
        cmp     esi, eax
        jbe     .next
.reaches:
        cmp     [edi + 16], dl
        jne     .out
        cmp     [edi], eax
        ja      .out
        or      esi, esi
        jz      .in
        cmp     esi, ebx
        jb      .out
.in:    mov     dh, 1
.next:  add     edi, 20
        loop    .entry
        cmp     dh, 1                   ; CF = 1: none
        jmp     .done
.out:   stc
.done:  pop     edi
        pop     esi
        ret

; Every table that the RSDT points to is whole, and lies in ACPI memory.
acpi:   mov     esi, 0xE0000
.find:  cmp     dword [esi], "RSD "
        jne     .other
        cmp     dword [esi + 4], "PTR "
        je      .found
.other: add     esi, 16
        cmp     esi, 0x100000
        jb      .find
        SAY     {"no RSDP", 10}
        ret
.found: mov     ecx, 20
        call    sum
        jnz     .bad
        cmp     dword [ebp + pRSDP], 0
        je      .same
        cmp     esi, [ebp + pRSDP]
        jne     .bad
.same:  mov     esi, [esi + 16]
        call    table
        jc      .bad
        mov     edi, [esi + 4]
        add     edi, esi                ; its end
        add     esi, 36
.next:  cmp     esi, edi
        jae     .whole
        push    esi
        mov     esi, [esi]
        call    table
        pop     eax
        jc      .bad
        mov     esi, eax
        add     esi, 4
        jmp     .next
.whole: SAY     {"ACPI tables are whole", 10}
        ret
.bad:   mov     eax, esi
        SAY_HEX "FAIL ACPI table at "
        ret

; CF = 0 when a whole table is at ESI.
table:  mov     eax, esi
        mov     ebx, [esi + 4]
        cmp     ebx, 0x10000
        cmc
        jc      .done
        add     ebx, esi
        mov     dl, 3
        call    inside
        jc      .done
        mov     ecx, [esi + 4]
        call    sum
        jz      .done
        stc
.done:  ret

; ZF = 1 when ECX bytes at ESI sum to zero; CF = 0 then.
sum:    push    esi
        xor     al, al
.next:  add     al, [esi]
        inc     esi
        loop    .next
        pop     esi
        or      al, al
        ret

; The string at EAX.
say:    push    esi
        mov     esi, eax
.next:  lodsb
        or      al, al
        jz      .done
        out     0xE9, al
        jmp     .next
.done:  pop     esi
        ret
; EAX in hexadecimal, a new line.
say_hex:
        mov     ebx, eax
        mov     ecx, 8
.next:  rol     ebx, 4
        mov     al, bl
        and     al, 15
        add     al, '0'
        cmp     al, '9'
        jbe     .digit
        add     al, 'a' - '0' - 10
.digit: out     0xE9, al
        loop    .next
        mov     al, 10
        out     0xE9, al
        ret
        times KERNEL_SIZE - ($ - $$) db 0
