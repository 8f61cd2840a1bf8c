//! The machine's own firmware: a PC system BIOS and a VGA BIOS.
//!
//! Both are assembled with NASM from `asm/`; the built ROMs lie in `rom/`, so that the crate needs nothing but Rust.
//! `check-roms` rebuilds and compares them. The machine maps [`BIOS`] so that it ends at the top of 4 GiB and, as a
//! copy, at the top of 1 MiB, and [`VGABIOS`] at [`VGABIOS_BASE`].
//!
//! What the machine must offer the BIOS is in `README.md`.

/// The system BIOS: 64 KiB, for F0000h-FFFFFh and FFFF0000h-FFFFFFFFh.
pub const BIOS: &[u8] = include_bytes!("../rom/bios.bin");

/// The VGA BIOS: an option ROM of at most 32 KiB, for C0000h.
pub const VGABIOS: &[u8] = include_bytes!("../rom/vgabios.bin");

/// Physical address of the system BIOS below 1 MiB.
pub const BIOS_BASE: u32 = 0x000F_0000;

/// Physical address of the VGA BIOS.
pub const VGABIOS_BASE: u32 = 0x000C_0000;

/// Where the VGA BIOS has its font of 8 by 16 pixels.
const FONT_8X16: usize = 7582;

/// The 16 lines of a character of code page 437, from the VGA BIOS's font: the top first, bit 7 is the leftmost pixel.
pub fn glyph(code: u8) -> &'static [u8] {
    let start = FONT_8X16 + usize::from(code) * 16;
    VGABIOS.get(start..start + 16).unwrap_or_default()
}
