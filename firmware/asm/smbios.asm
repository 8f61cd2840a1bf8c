; SMBIOS 2.8 tables (DMTF DSP0134), in F0000h-FFFFFh: what dmidecode and operating systems call the machine.

%define SMBIOS_DATE "11/22/2026"
SMBIOS_LAST_CPU equ smbios_area.end - 0x200     ; processors' structures end below: room for those that follow

; Structures as they are; the strings behind each end with an empty one.
smbios_first:
        db      0, 24                   ; type 0: BIOS
        dw      0x0000
        db      1, 2                    ; vendor, version
        dw      ROM_SEG
        db      3, 0                    ; date; 64 KiB
        dq      0x0000000000099090      ; ISA, PCI, shadowing, CD boot, selectable boot, EDD
        db      0x01, 0x10              ; ACPI; the tables describe a virtual machine
        db      0, 1, 0xFF, 0xFF        ; BIOS release 0.1; no embedded controller
        db      "rvmx-emu", 0, BIOS_VERSION, 0, SMBIOS_DATE, 0, 0
        db      1, 27                   ; type 1: system
        dw      0x0100
        db      1, 2, 3, 0              ; manufacturer, product, version; no serial number
        times 16 db 0                   ; no UUID
        db      6, 0, 4                 ; power switch; no SKU; family
        db      "rvmx-emu", 0, "PC (i440FX, PIIX3)", 0, BIOS_VERSION, 0, "Virtual Machine", 0, 0
        db      3, 22                   ; type 3: chassis
        dw      0x0300
        db      1, 1, 2, 0, 0           ; manufacturer; other; version
        db      3, 3, 3, 3              ; safe, safe, safe, no security
        dd      0
        db      0, 0, 0, 0
        db      0                       ; no SKU
        db      "rvmx-emu", 0, BIOS_VERSION, 0, 0
.end:
smbios_cpu:
        db      4, 42                   ; type 4: processor
        dw      0x0400
        db      1, 3, 1, 2              ; socket; central processor; family: other; manufacturer
.id:    dq      0
        db      3, 0                    ; version
        dw      0, 0, 0
        db      0x41, 0x01              ; populated and enabled; upgrade: other
        dw      0xFFFF, 0xFFFF, 0xFFFF  ; no caches
        db      0, 0, 0
.cores: db      0, 0, 0                 ; cores, enabled cores, threads
        dw      0x0004                  ; 64-bit
        dw      1
        db      "CPU", 0
.end:
smbios_memory:
        db      16, 23                  ; type 16: physical memory array
        dw      0x1000
        db      1, 3, 3                 ; other place; system memory; no error correction
.limit: dd      0
        dw      0xFFFE, 1               ; no error information; one device
        dq      0
        db      0, 0
        db      17, 40                  ; type 17: memory device
        dw      0x1100
        dw      0x1000, 0xFFFE, 64, 64  ; its array; no error information; widths
.size:  dw      0
        db      9, 0, 1, 0              ; DIMM; no set; locator
        db      7                       ; RAM
        dw      0x0004, 0               ; details and speed: unknown
        db      2, 0, 0, 0, 0           ; manufacturer
.more:  dd      0
        dw      0, 0, 0, 0
        db      "DIMM 0", 0, "rvmx-emu", 0, 0
.end:
smbios_range:
        db      19, 31                  ; type 19: mapped address of the array
        dw      0x1300
.from:  dd      0
.to:    dd      0
        dw      0x1000
        db      1
        dq      0, 0
        db      0, 0
.end:
smbios_last:
        db      32, 11                  ; type 32: boot status
        dw      0x2000
        times 6 db 0
        db      0                       ; no errors
        db      0, 0
        db      127, 4                  ; type 127: end of the table
        dw      0x7F00
        db      0, 0
.end:

%macro SMBIOS_COPY 1
        mov     si, %1
        mov     cx, %1.end - %1
        rep movsb
%endmacro

; ES:DI (ES = CS, writable during POST) receives the structures; the anchor comes last.
smbios_build:
        push    ds
        push    es
        LOADSEG gs, EBDA_SEG
        cmp     byte [gs:eFSEGW], 0
        je      .none
        push    cs
        pop     ds
        push    cs
        pop     es
        mov     di, smbios_area
        mov     word [smbios_entry + 28], 3     ; structures
        SMBIOS_COPY smbios_first
        call    smbios_processors
        mov     bx, di
        SMBIOS_COPY smbios_memory
        add     word [smbios_entry + 28], 4     ; with those at the end
        mov     eax, [gs:eLOWTOP]       ; KiB in all
        shr     eax, 10
        mov     edx, [gs:eHIGH64K]
        shl     edx, 6
        add     eax, edx
        mov     [bx + smbios_memory.limit - smbios_memory], eax
        shr     eax, 10                 ; MiB
        cmp     eax, 0x7FFF
        jb      .small
        mov     [bx + smbios_memory.more - smbios_memory], eax
        mov     ax, 0x7FFF              ; the size is in the other field
.small: mov     [bx + smbios_memory.size - smbios_memory], ax
        mov     eax, [gs:eLOWTOP]
        shr     eax, 10
        mov     edx, eax
        xor     eax, eax
        call    smbios_add_range
        mov     edx, [gs:eHIGH64K]
        shl     edx, 6
        jz      .last
        mov     eax, 0x100000000 / 1024
        add     edx, eax
        call    smbios_add_range
        mov     byte [bx + 2], 1        ; its own handle
.last:  SMBIOS_COPY smbios_last

        ; Entry point: "_SM_", its intermediate part "_DMI_" with a checksum of its own.
        mov     ax, di
        sub     ax, smbios_area
        mov     di, smbios_entry
        ANCHOR  [di], "_SM_"
        mov     word [di + 4], 0x1F00   ; checksum, length
        mov     dword [di + 6], 0x00800802      ; version 2.8, longest structure
        ANCHOR  [di + 16], "_DMI"
        mov     byte [di + 20], '_'
        mov     [di + 22], ax
        mov     dword [di + 24], ROM_BASE + smbios_area
        mov     byte [di + 30], 0x28
        mov     di, smbios_entry + 16
        mov     cx, 15
        call    sum_cs
        mov     [smbios_entry + 21], al
        mov     di, smbios_entry
        mov     cx, 31
        call    sum_cs
        mov     [smbios_entry + 4], al
.none:  pop     es
        pop     ds
        ret

; EAX = first KiB, EDX = the one behind the last. BX = the structure.
smbios_add_range:
        mov     bx, di
        SMBIOS_COPY smbios_range
        mov     [bx + smbios_range.from - smbios_range], eax
        dec     edx
        mov     [bx + smbios_range.to - smbios_range], edx
        inc     word [smbios_entry + 28]
        ret

; A structure for each package: processors whose APIC ids agree above the bits of CPUID leaf 0Bh. Packages that find no
; room are left out (there is room for about 40).
smbios_processors:
        mov     word [mp_scratch], 0x0808       ; bits of the id: within a package, within a core
        xor     eax, eax
        cpuid
        cmp     eax, 0x0B
        jb      .count
        xor     esi, esi
.level: mov     eax, 0x0B
        mov     ecx, esi
        cpuid
        or      ch, ch                  ; level type 0: none
        jz      .count
        and     al, 0x1F
        mov     [mp_scratch], al
        or      esi, esi
        jnz     .next
        mov     [mp_scratch + 1], al
.next:  inc     esi
        jmp     .level
.count: xor     bx, bx                  ; APIC id
        xor     dx, dx                  ; DL = cores, DH = threads of the package
        mov     si, -1                  ; the last processor's id
.cpu:   bt      [gs:eCPUMAP], bx
        jnc     .skip
        mov     cl, [mp_scratch]
        mov     ax, bx
        xor     ax, si
        shr     ax, cl
        jz      .same
        call    .add                    ; another package begins
        jmp     .core
.same:  mov     cl, [mp_scratch + 1]
        mov     ax, bx
        xor     ax, si
        shr     ax, cl
        jz      .thread
.core:  inc     dl
.thread:
        inc     dh
        mov     si, bx
.skip:  inc     bl
        jnz     .cpu
        call    .add
        mov     dword [mp_scratch], 0
        ret
; The structure of a package of DL cores and DH threads, if there are any.
.add:   or      dh, dh
        jz      .done
        cmp     di, SMBIOS_LAST_CPU
        jae     .done
        pushad
        mov     bp, di
        SMBIOS_COPY smbios_cpu
        mov     al, [smbios_entry + 28]
        mov     [cs:bp + 2], al         ; its own handle
        mov     [cs:bp + smbios_cpu.cores - smbios_cpu], dl
        mov     [cs:bp + smbios_cpu.cores - smbios_cpu + 1], dl
        mov     [cs:bp + smbios_cpu.cores - smbios_cpu + 2], dh
        mov     eax, 1
        cpuid
        mov     [cs:bp + smbios_cpu.id - smbios_cpu], eax
        mov     [cs:bp + smbios_cpu.id - smbios_cpu + 4], edx
        xor     eax, eax
        cpuid
        xchg    eax, ebx                ; manufacturer: EBX, EDX, ECX
        stosd
        xchg    eax, edx
        stosd
        xchg    eax, ecx
        stosd
        mov     al, 0
        stosb
        mov     eax, 0x80000000
        cpuid
        mov     esi, 0x80000002         ; version: the brand string of three leaves
        cmp     eax, 0x80000004
        jb      .nameless
.brand: mov     eax, esi
        cpuid
        stosd
        xchg    eax, ebx
        stosd
        xchg    eax, ecx
        stosd
        xchg    eax, edx
        stosd
        inc     si
        cmp     si, 4
        jbe     .brand
.trim:  dec     di                      ; without the zeros and spaces at its end
        cmp     byte [di], ' '
        jbe     .trim
        inc     di
        mov     al, 0
        stosb
        jmp     .end
.nameless:
        mov     byte [cs:bp + 16], 0
.end:   mov     al, 0
        stosb
        mov     [smbios_entry + 22], di
        inc     word [smbios_entry + 28]
        popad
        mov     di, [smbios_entry + 22]
.done:  xor     dx, dx
        ret
