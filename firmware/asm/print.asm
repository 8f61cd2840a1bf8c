; Text output of POST and the boot: INT 10h teletype and the debug port 402h.

; AL = character.
putc:
        pusha
        mov     dx, 0x402
        out     dx, al
        mov     ah, 0x0E
        mov     bx, 0x0007
        int     0x10
        popa
        ret

; CS:SI = text, ended by 0.
print:
        cs lodsb
        or      al, al
        jz      .done
        call    putc
        jmp     print
.done:  ret

; EAX = number, decimal.
print_dec:
        pushad
        mov     ebx, 10
        xor     cx, cx
.split: xor     edx, edx
        div     ebx
        push    dx
        inc     cx
        or      eax, eax
        jnz     .split
.show:  pop     ax
        add     al, '0'
        call    putc
        loop    .show
        popad
        ret
