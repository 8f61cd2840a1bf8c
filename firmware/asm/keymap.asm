; Scan codes of set 1 to the words that INT 16h returns (scan code in the high byte, character in the low byte).
; KEY normal, shifted, with Ctrl, with Alt, flags. Flags: 1 = Caps Lock shifts it, 2 = Num Lock shifts it.
; -1 = nothing is stored.

KEYMAP_LAST     equ 0x58

%macro KEY 5
        dw      %1, %2, %3, %4
        db      %5
%endmacro

keymap:                                 ; scan code 01h first
        KEY     0x011B, 0x011B, 0x011B, 0x0100, 0        ; 01 Esc
        KEY     0x0231, 0x0221,     -1, 0x7800, 0        ; 02 1
        KEY     0x0332, 0x0340, 0x0300, 0x7900, 0        ; 03 2
        KEY     0x0433, 0x0423,     -1, 0x7A00, 0        ; 04 3
        KEY     0x0534, 0x0524,     -1, 0x7B00, 0        ; 05 4
        KEY     0x0635, 0x0625,     -1, 0x7C00, 0        ; 06 5
        KEY     0x0736, 0x075E, 0x071E, 0x7D00, 0        ; 07 6
        KEY     0x0837, 0x0826,     -1, 0x7E00, 0        ; 08 7
        KEY     0x0938, 0x092A,     -1, 0x7F00, 0        ; 09 8
        KEY     0x0A39, 0x0A28,     -1, 0x8000, 0        ; 0A 9
        KEY     0x0B30, 0x0B29,     -1, 0x8100, 0        ; 0B 0
        KEY     0x0C2D, 0x0C5F, 0x0C1F, 0x8200, 0        ; 0C -
        KEY     0x0D3D, 0x0D2B,     -1, 0x8300, 0        ; 0D =
        KEY     0x0E08, 0x0E08, 0x0E7F, 0x0E00, 0        ; 0E Backspace
        KEY     0x0F09, 0x0F00, 0x9400, 0xA500, 0        ; 0F Tab
        KEY     0x1071, 0x1051, 0x1011, 0x1000, 1        ; 10 q
        KEY     0x1177, 0x1157, 0x1117, 0x1100, 1        ; 11 w
        KEY     0x1265, 0x1245, 0x1205, 0x1200, 1        ; 12 e
        KEY     0x1372, 0x1352, 0x1312, 0x1300, 1        ; 13 r
        KEY     0x1474, 0x1454, 0x1414, 0x1400, 1        ; 14 t
        KEY     0x1579, 0x1559, 0x1519, 0x1500, 1        ; 15 y
        KEY     0x1675, 0x1655, 0x1615, 0x1600, 1        ; 16 u
        KEY     0x1769, 0x1749, 0x1709, 0x1700, 1        ; 17 i
        KEY     0x186F, 0x184F, 0x180F, 0x1800, 1        ; 18 o
        KEY     0x1970, 0x1950, 0x1910, 0x1900, 1        ; 19 p
        KEY     0x1A5B, 0x1A7B, 0x1A1B, 0x1A00, 0        ; 1A [
        KEY     0x1B5D, 0x1B7D, 0x1B1D, 0x1B00, 0        ; 1B ]
        KEY     0x1C0D, 0x1C0D, 0x1C0A, 0x1C00, 0        ; 1C Enter
        KEY         -1,     -1,     -1,     -1, 0        ; 1D Ctrl
        KEY     0x1E61, 0x1E41, 0x1E01, 0x1E00, 1        ; 1E a
        KEY     0x1F73, 0x1F53, 0x1F13, 0x1F00, 1        ; 1F s
        KEY     0x2064, 0x2044, 0x2004, 0x2000, 1        ; 20 d
        KEY     0x2166, 0x2146, 0x2106, 0x2100, 1        ; 21 f
        KEY     0x2267, 0x2247, 0x2207, 0x2200, 1        ; 22 g
        KEY     0x2368, 0x2348, 0x2308, 0x2300, 1        ; 23 h
        KEY     0x246A, 0x244A, 0x240A, 0x2400, 1        ; 24 j
        KEY     0x256B, 0x254B, 0x250B, 0x2500, 1        ; 25 k
        KEY     0x266C, 0x264C, 0x260C, 0x2600, 1        ; 26 l
        KEY     0x273B, 0x273A,     -1, 0x2700, 0        ; 27 ;
        KEY     0x2827, 0x2822,     -1, 0x2800, 0        ; 28 '
        KEY     0x2960, 0x297E,     -1, 0x2900, 0        ; 29 `
        KEY         -1,     -1,     -1,     -1, 0        ; 2A left Shift
        KEY     0x2B5C, 0x2B7C, 0x2B1C, 0x2B00, 0        ; 2B backslash
        KEY     0x2C7A, 0x2C5A, 0x2C1A, 0x2C00, 1        ; 2C z
        KEY     0x2D78, 0x2D58, 0x2D18, 0x2D00, 1        ; 2D x
        KEY     0x2E63, 0x2E43, 0x2E03, 0x2E00, 1        ; 2E c
        KEY     0x2F76, 0x2F56, 0x2F16, 0x2F00, 1        ; 2F v
        KEY     0x3062, 0x3042, 0x3002, 0x3000, 1        ; 30 b
        KEY     0x316E, 0x314E, 0x310E, 0x3100, 1        ; 31 n
        KEY     0x326D, 0x324D, 0x320D, 0x3200, 1        ; 32 m
        KEY     0x332C, 0x333C,     -1, 0x3300, 0        ; 33 ,
        KEY     0x342E, 0x343E,     -1, 0x3400, 0        ; 34 .
        KEY     0x352F, 0x353F,     -1, 0x3500, 0        ; 35 /
        KEY         -1,     -1,     -1,     -1, 0        ; 36 right Shift
        KEY     0x372A, 0x372A, 0x9600, 0x3700, 0        ; 37 keypad *
        KEY         -1,     -1,     -1,     -1, 0        ; 38 Alt
        KEY     0x3920, 0x3920, 0x3920, 0x3920, 0        ; 39 Space
        KEY         -1,     -1,     -1,     -1, 0        ; 3A Caps Lock
        KEY     0x3B00, 0x5400, 0x5E00, 0x6800, 0        ; 3B F1
        KEY     0x3C00, 0x5500, 0x5F00, 0x6900, 0        ; 3C F2
        KEY     0x3D00, 0x5600, 0x6000, 0x6A00, 0        ; 3D F3
        KEY     0x3E00, 0x5700, 0x6100, 0x6B00, 0        ; 3E F4
        KEY     0x3F00, 0x5800, 0x6200, 0x6C00, 0        ; 3F F5
        KEY     0x4000, 0x5900, 0x6300, 0x6D00, 0        ; 40 F6
        KEY     0x4100, 0x5A00, 0x6400, 0x6E00, 0        ; 41 F7
        KEY     0x4200, 0x5B00, 0x6500, 0x6F00, 0        ; 42 F8
        KEY     0x4300, 0x5C00, 0x6600, 0x7000, 0        ; 43 F9
        KEY     0x4400, 0x5D00, 0x6700, 0x7100, 0        ; 44 F10
        KEY         -1,     -1,     -1,     -1, 0        ; 45 Num Lock
        KEY         -1,     -1,     -1,     -1, 0        ; 46 Scroll Lock
        KEY     0x4700, 0x4737, 0x7700,     -1, 2        ; 47 keypad 7
        KEY     0x4800, 0x4838, 0x8D00,     -1, 2        ; 48 keypad 8
        KEY     0x4900, 0x4939, 0x8400,     -1, 2        ; 49 keypad 9
        KEY     0x4A2D, 0x4A2D, 0x8E00, 0x4A00, 0        ; 4A keypad -
        KEY     0x4B00, 0x4B34, 0x7300,     -1, 2        ; 4B keypad 4
        KEY     0x4C00, 0x4C35, 0x8F00,     -1, 2        ; 4C keypad 5
        KEY     0x4D00, 0x4D36, 0x7400,     -1, 2        ; 4D keypad 6
        KEY     0x4E2B, 0x4E2B, 0x9000, 0x4E00, 0        ; 4E keypad +
        KEY     0x4F00, 0x4F31, 0x7500,     -1, 2        ; 4F keypad 1
        KEY     0x5000, 0x5032, 0x9100,     -1, 2        ; 50 keypad 2
        KEY     0x5100, 0x5133, 0x7600,     -1, 2        ; 51 keypad 3
        KEY     0x5200, 0x5230, 0x9200,     -1, 2        ; 52 keypad 0
        KEY     0x5300, 0x532E, 0x9300,     -1, 2        ; 53 keypad .
        KEY         -1,     -1,     -1,     -1, 0        ; 54 SysRq
        KEY         -1,     -1,     -1,     -1, 0        ; 55 ÿ
        KEY     0x565C, 0x567C,     -1,     -1, 0        ; 56 102nd key
        KEY     0x8500, 0x8700, 0x8900, 0x8B00, 0        ; 57 F11
        KEY     0x8600, 0x8800, 0x8A00, 0x8C00, 0        ; 58 F12

; Keys with the prefix E0h: make code, normal, with Ctrl, with Alt. 0 ends.
%macro EXTKEY 4
        db      %1
        dw      %2, %3, %4
%endmacro
keymap_extended:
        EXTKEY  0x1C, 0xE00D, 0xE00A, 0xA600     ; keypad Enter
        EXTKEY  0x35, 0xE02F, 0x9500, 0xA400     ; keypad /
        EXTKEY  0x37, 0x7200, 0x7200,     -1     ; Print Screen
        EXTKEY  0x47, 0x47E0, 0x77E0, 0x9700     ; Home
        EXTKEY  0x48, 0x48E0, 0x8DE0, 0x9800     ; Up
        EXTKEY  0x49, 0x49E0, 0x84E0, 0x9900     ; PgUp
        EXTKEY  0x4B, 0x4BE0, 0x73E0, 0x9B00     ; Left
        EXTKEY  0x4D, 0x4DE0, 0x74E0, 0x9D00     ; Right
        EXTKEY  0x4F, 0x4FE0, 0x75E0, 0x9F00     ; End
        EXTKEY  0x50, 0x50E0, 0x91E0, 0xA000     ; Down
        EXTKEY  0x51, 0x51E0, 0x76E0, 0xA100     ; PgDn
        EXTKEY  0x52, 0x52E0, 0x92E0, 0xA200     ; Ins
        EXTKEY  0x53, 0x53E0, 0x93E0, 0xA300     ; Del
        db      0
%if keymap_extended - keymap != KEYMAP_LAST * 9
%error "a row of the key map is missing"
%endif
