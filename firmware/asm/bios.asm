; The system BIOS: 64 KiB, seen at F0000h-FFFFFh and below 4 GiB.
; One flat binary; offset 0 of the file is F000:0000. Build: see ../check-roms.

        cpu     686
        bits    16
        org     0

%define BIOS_VERSION "0.1.0"

%include "defs.inc"
%include "post.asm"
%include "shadow.asm"
%include "print.asm"
%include "memory.asm"
%include "pci.asm"
%include "optrom.asm"
%include "cpu.asm"
%include "smp.asm"
%include "acpi.asm"
%include "mptable.asm"
%include "smbios.asm"
%include "keyboard.asm"
%include "keymap.asm"
%include "mouse.asm"
%include "timer.asm"
%include "int13.asm"
%include "ata.asm"
%include "disk.asm"
%include "floppy.asm"
%include "floppy13.asm"
%include "cdrom.asm"
%include "int14.asm"
%include "int15.asm"
%include "apm.asm"
%include "int1a.asm"
%include "irq.asm"
%include "boot.asm"
%include "dsdt.asm"
%include "fixed.asm"
