; What POST leaves in every processor: the x87 initialised, the MTRRs set, caches on, VMX enabled.

IA32_FEATURE_CONTROL    equ 0x3A
IA32_MTRRCAP            equ 0xFE
IA32_MTRR_PHYSBASE0     equ 0x200
IA32_MTRR_DEF_TYPE      equ 0x2FF
MTRR_UC                 equ 0x00
MTRR_WP                 equ 0x05
MTRR_WB                 equ 0x06
PCI_HOLE                equ 0xC0000000  ; RAM ends there at the latest, unless CMOS says otherwise

; Fixed ranges (SDM Vol. 3A, "Fixed Range MTRRs"): number, type.
mtrr_fixed:
        dw      0x250, MTRR_WB          ; 00000h-7FFFFh
        dw      0x258, MTRR_WB          ; 80000h-9FFFFh
        dw      0x259, MTRR_UC          ; A0000h-BFFFFh: video memory
        dw      0x268, MTRR_WP          ; C0000h-FFFFFh: ROMs and their shadows
        dw      0x269, MTRR_WP
        dw      0x26A, MTRR_WP
        dw      0x26B, MTRR_WP
        dw      0x26C, MTRR_WP
        dw      0x26D, MTRR_WP
        dw      0x26E, MTRR_WP
        dw      0x26F, MTRR_WP
.end:

; GS = EBDA, return address in BP: a processor that has just started has no stack. Changes the other registers.
; After INIT the MSRs are as they were, so whatever is locked is left alone.
cpu_init:
        fninit
        mov     eax, 1
        cpuid
        mov     edi, edx
        test    ecx, 1 << 5             ; VMX
        jz      .mtrr
        test    byte [gs:eVMXOPEN], 1
        jnz     .mtrr
        mov     ecx, IA32_FEATURE_CONTROL
        rdmsr
        test    al, 1
        jnz     .mtrr
        or      al, 5                   ; locked, VMXON outside SMX operation
        wrmsr
.mtrr:  test    di, 1 << 12
        jz      .cache
        mov     ecx, IA32_MTRRCAP
        rdmsr
        mov     di, ax                  ; bits 7:0 variable ranges, bit 8 fixed ranges
        mov     ecx, IA32_MTRR_DEF_TYPE
        xor     eax, eax                ; off while they change
        xor     edx, edx
        wrmsr
        test    di, 1 << 8
        jz      .variable
        mov     si, mtrr_fixed
.fixed: movzx   ecx, word [cs:si]
        movzx   eax, word [cs:si + 2]
        imul    eax, eax, 0x01010101
        mov     edx, eax
        wrmsr
        add     si, 4
        cmp     si, mtrr_fixed.end
        jb      .fixed
.variable:
        and     di, 0xFF
        jz      .default
        mov     ebx, PCI_HOLE
        cmp     [gs:eLOWTOP], ebx
        jbe     .hole
        mov     ebx, 0xE0000000
.hole:  mov     esi, ebx                ; ESI: bits 63:32 of the mask, by the width of physical addresses
        mov     eax, 0x80000000
        cpuid
        mov     ecx, 36
        cmp     eax, 0x80000008
        jb      .width
        mov     eax, 0x80000008
        cpuid
        movzx   ecx, al
.width: mov     ebx, esi
        xor     esi, esi
        bts     esi, ecx                ; modulo 32
        dec     esi
        mov     ecx, IA32_MTRR_PHYSBASE0
        mov     eax, ebx
        xor     edx, edx
        wrmsr
        inc     cx
        lea     eax, [ebx + 0x800]      ; valid; as a mask the start reaches to 4 GiB
        mov     edx, esi
        wrmsr
        xor     eax, eax
        xor     edx, edx
.clear: dec     di
        jz      .default
        add     cx, 2                   ; the next mask: not valid
        wrmsr
        jmp     .clear
.default:
        mov     ecx, IA32_MTRR_DEF_TYPE
        mov     eax, 0xC00 | MTRR_WB    ; on, fixed ranges on
        xor     edx, edx
        wrmsr
.cache: wbinvd
        mov     eax, cr0                ; CD and NW off
        and     eax, 0x9FFFFFFF
        mov     cr0, eax
        jmp     bp
