//! The functions on bus 0, as data: identity, defaults and writable bits of each register.

use super::config_space::{ConfigSpace, offset};

/// One register: offset, size in bytes, value at reset, writable bits.
type Register = (u8, u8, u32, u32);

/// Error bits of the status register, cleared by writing 1.
const STATUS_ERRORS: u16 = 0xF900;

fn function(vendor: u16, device: u16, class_revision: u32, command: u16, registers: &[Register]) -> ConfigSpace {
    let mut space = ConfigSpace::new(vendor, device, class_revision, command);
    for &(register, size, default, writable) in registers {
        space.define(register, size, default, writable);
    }
    space.define_clearable(offset::STATUS, STATUS_ERRORS);
    space
}

/// 82441FX (440FX) host bridge.
pub(super) fn host_bridge() -> ConfigSpace {
    function(
        0x8086,
        0x1237,
        0x0600_0002,
        0,
        &[
            (offset::COMMAND, 2, 0x0006, 0x0140),
            (offset::STATUS, 2, 0x0280, 0),
            (0x0D, 1, 0x00, 0xF8),
            // PMCCFG, DETURBO, DBC, AXC, DRT, DRAMC, DRAMT.
            (0x50, 2, 0x0000, 0xFFFF),
            (0x52, 1, 0x00, 0xFF),
            (0x53, 1, 0x80, 0xFF),
            (0x54, 1, 0x00, 0xFF),
            (0x55, 2, 0x0000, 0xFFFF),
            (0x57, 1, 0x01, 0xFF),
            (0x58, 1, 0x10, 0xFF),
            // PAM0 to PAM6: the reserved bits of each nibble read 0.
            (0x59, 1, 0x00, 0x30),
            (0x5A, 4, 0, 0x3333_3333),
            (0x5E, 2, 0, 0x3333),
            // DRB0 to DRB7, FDHC, MTT, CLT, SMRAM.
            (0x60, 4, 0x0101_0101, 0xFFFF_FFFF),
            (0x64, 4, 0x0101_0101, 0xFFFF_FFFF),
            (0x68, 1, 0x00, 0xC0),
            (0x70, 1, 0x00, 0xF8),
            (0x71, 1, 0x10, 0xFF),
            (SMRAM, 1, 0x02, 0x78),
            // ERRCMD, ERRSTS, TRC.
            (0x90, 1, 0x80, 0xFF),
            (0x93, 1, 0x00, 0x0F),
        ],
    )
}

/// SMRAM control of the host bridge: bit 6 D_OPEN, 5 D_CLS, 4 D_LCK, 3 G_SMRAME.
pub(super) const SMRAM: u8 = 0x72;

/// 82371SB (PIIX3) ISA bridge, function 0 of a multi-function device.
pub(super) fn isa_bridge() -> ConfigSpace {
    function(
        0x8086,
        0x7000,
        0x0601_0000,
        0,
        &[
            (offset::COMMAND, 2, 0x0007, 0x0008),
            (offset::STATUS, 2, 0x0200, 0),
            (offset::HEADER_TYPE, 1, 0x80, 0),
            // IORT, XBCS.
            (0x4C, 1, 0x4D, 0xFF),
            (0x4E, 2, 0x0003, 0x01FF),
            // PIRQRC[A:D].
            (0x60, 4, 0x8080_8080, 0x8F8F_8F8F),
            // TOM, MISC, MBIRQ0/1, MBDMA0/1, PCSC, APICBASE, DLC.
            (0x69, 1, 0x02, 0xFE),
            (0x6A, 2, 0x0000, 0x8017),
            (0x70, 2, 0x8080, 0xEFEF),
            (0x76, 2, 0x0C0C, 0x8F8F),
            (0x78, 2, 0x0002, 0xFFFF),
            (0x80, 1, 0x00, 0x7F),
            (0x82, 1, 0x00, 0x0F),
            // SMICNTL, SMIEN, SEE, FTMR, SMIREQ, CTLTMR, CTHTMR.
            (0xA0, 1, 0x08, 0x1F),
            (0xA2, 2, 0x0000, 0x01FF),
            (0xA4, 4, 0x0000_0000, 0xF000_FFFF),
            (0xA8, 1, 0x0F, 0xFF),
            (0xAC, 1, 0x00, 0xFF),
            (0xAE, 1, 0x00, 0xFF),
        ],
    )
}

/// PIIX3 IDE, function 1: bus-master registers at BAR4.
pub(super) fn ide() -> ConfigSpace {
    let mut space = function(
        0x8086,
        0x7010,
        0x0101_8000,
        0x0005,
        &[
            (offset::STATUS, 2, 0x0280, 0),
            // IDETIM primary and secondary, SIDETIM.
            (0x40, 4, 0, 0xFFFF_FFFF),
            (0x44, 1, 0, 0xFF),
        ],
    );
    space.define_io_bar(4, 16);
    space
}

/// Base of the PM registers, and the register with its enable bit.
pub(super) const PMBA: u8 = 0x40;
pub(super) const PMREGMISC: u8 = 0x80;
/// Bits 31:24 of DEVACTB: bit 1 lets a write to port B2h cause an SMI.
pub(super) const DEVACTB_HIGH: u8 = 0x5B;
pub(super) const APMC_EN: u8 = 0x02;

/// 82371AB (PIIX4) power management, function 3. `smm_ready` presets APMC_EN: firmware takes it as a sign that SMM
/// was set up already, and leaves it alone.
pub(super) fn power_management(smm_ready: bool) -> ConfigSpace {
    function(
        0x8086,
        0x7113,
        0x0680_0003,
        0x0001,
        &[
            (offset::STATUS, 2, 0x0280, 0),
            (offset::INTERRUPT_PIN, 1, 0x01, 0),
            (PMBA, 4, 0x0000_0001, 0x0000_FFC0),
            // CNTA, CNTB, GPICTL, DEVRESD, DEVACTA, DEVACTB, DEVRESA to DEVRESJ.
            (0x44, 4, 0, 0xFFFF_FFFF),
            (0x48, 4, 0, 0xFFFF_FFFF),
            (0x4C, 4, 0, 0xFFFF_FFFF),
            (0x50, 4, 0, 0xFFFF_FFFF),
            (0x54, 4, 0, 0xFFFF_FFFF),
            (0x58, 4, if smm_ready { 0x0200_0000 } else { 0 }, 0x0300_00FF),
            (0x5C, 4, 0x1000_0000, 0xFFFF_FFFF),
            (0x60, 4, 0x6000_0000, 0xFFFF_FFFF),
            (0x64, 4, 0, 0xFFFF_FFFF),
            (0x68, 4, 0, 0xFFFF_FFFF),
            (0x6C, 4, 0, 0xFFFF_FFFF),
            (0x70, 4, 0, 0xFFFF_FFFF),
            (0x74, 4, 0, 0xFFFF_FFFF),
            (0x78, 4, 0, 0xFFFF_FFFF),
            (0x7C, 4, 0, 0xFFFF_FFFF),
            (PMREGMISC, 1, 0, 0x01),
            // SMBBA, SMBHSTCFG, SMBSLVC.
            (0x90, 4, 0x0000_0001, 0x0000_FFF0),
            (0xD2, 2, 0, 0x00FF),
            (0xD4, 2, 0, 0xFFFF),
        ],
    )
}

/// The VGA as QEMU and Bochs present it: 1234:1111, linear frame buffer of `lfb_size` bytes at BAR0, and an expansion ROM
/// unless `rom_size` is 0.
pub(super) fn vga(lfb_size: u32, rom_size: u32) -> ConfigSpace {
    let mut space = function(0x1234, 0x1111, 0x0300_0002, 0x0003, &[(offset::SUBSYSTEM, 4, 0x1100_1AF4, 0)]);
    space.define_memory_bar(0, lfb_size, true);
    if rom_size != 0 {
        space.define_rom(rom_size);
    }
    space
}

/// QEMU's pci-testdev: memory at BAR0, ports at BAR1.
pub(super) fn testdev() -> ConfigSpace {
    let mut space = function(0x1B36, 0x0005, 0x00FF_0000, 0x0003, &[(offset::SUBSYSTEM, 4, 0x1100_1AF4, 0)]);
    space.define_memory_bar(0, 0x1000, false);
    space.define_io_bar(1, 0x100);
    space
}
