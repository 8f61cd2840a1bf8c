; CD-ROM drives (ATAPI) and the El Torito boot.

; CF = 0: the request in the frame is not for an emulated drive or a CD-ROM.
cdrom_claims:
        clc
        ret
cdrom_boot:
        ret
