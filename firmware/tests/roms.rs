//! The built ROMs have the shape that the machine and PC software rely on.

use firmware::{BIOS, VGABIOS};

/// Little-endian word of the system BIOS at a segment offset of F000h.
fn word(offset: usize) -> u16 {
    u16::from_le_bytes([BIOS[offset], BIOS[offset + 1]])
}

/// Target of the near jump at an offset, if there is one.
fn jump_target(offset: usize) -> Option<usize> {
    match BIOS[offset] {
        0xE9 => Some((offset + 3).wrapping_add(word(offset + 1) as i16 as usize) & 0xFFFF),
        0xEB => Some((offset + 2).wrapping_add(BIOS[offset + 1] as i8 as usize) & 0xFFFF),
        _ => None,
    }
}

#[test]
fn bios_size_is_64_kib() {
    assert_eq!(BIOS.len(), 0x10000);
}

#[test]
fn bios_reset_vector_jumps_far_to_f000_e05b() {
    assert_eq!(BIOS[0xFFF0], 0xEA);
    assert_eq!(word(0xFFF1), 0xE05B);
    assert_eq!(word(0xFFF3), 0xF000);
}

#[test]
fn bios_at_compatible_entries_jumps_into_its_code() {
    for entry in [
        0xE05B, 0xE2C3, 0xE3FE, 0xE6F2, 0xE739, 0xE82E, 0xE987, 0xEC59, 0xEF57, 0xEFD2, 0xF841, 0xF84D, 0xF859, 0xFE6E,
        0xFEA5,
    ] {
        let target = jump_target(entry).unwrap_or_else(|| panic!("no jump at F000:{entry:04X}"));
        assert!(target < 0xB000, "F000:{entry:04X} jumps to {target:04X}");
    }
}

#[test]
fn bios_model_byte_says_at() {
    assert_eq!(BIOS[0xFFFE], 0xFC);
    assert_eq!(&BIOS[0xFFF7..0xFFF8], b"/", "date at FFF5");
}

#[test]
fn bios_configuration_table_has_its_length_and_model() {
    assert_eq!(word(0xE6F5), 8);
    assert_eq!(BIOS[0xE6F7], 0xFC);
}

#[test]
fn bios_diskette_table_describes_512_byte_sectors() {
    assert_eq!(BIOS[0xEFC7 + 3], 2);
    assert_eq!(BIOS[0xEFC7 + 4], 18);
}

#[test]
fn bios_table_area_is_blank_in_the_image() {
    // The RSDP, the MP floating pointer, $PIR and the SMBIOS entry point appear when POST has built them, never in the
    // image, of which there is a copy below 4 GiB.
    assert!(BIOS[0xB000..0xE000].iter().all(|&b| b == 0));
    for anchor in [&b"RSD PTR "[..], b"_MP_", b"$PIR", b"_SM_", b"_DMI_"] {
        assert!(!BIOS.windows(anchor.len()).any(|window| window == anchor), "{anchor:?}");
    }
}

#[test]
fn bios_application_processor_entry_starts_a_page() {
    // cli at F000:E000, the page that the start-up IPI names.
    assert_eq!(BIOS[0xE000], 0xFA);
}

#[test]
fn bios_dsdt_length_matches_its_header() {
    let dsdt = BIOS.windows(4).position(|w| w == b"DSDT").expect("a DSDT");
    let length = u32::from_le_bytes([BIOS[dsdt + 4], BIOS[dsdt + 5], BIOS[dsdt + 6], BIOS[dsdt + 7]]) as usize;
    // The last object is Name (_S5, Package (4) {0, 0, 0, 0}).
    let end = dsdt + length;
    assert_eq!(&BIOS[end - 11..end], b"_S5_\x12\x06\x04\0\0\0\0");
}

#[test]
fn vgabios_header_is_an_option_rom() {
    assert_eq!(&VGABIOS[..2], &[0x55, 0xAA]);
    assert_eq!(usize::from(VGABIOS[2]) * 512, VGABIOS.len());
    assert!(VGABIOS.len() <= 0x8000);
}

#[test]
fn vgabios_bytes_sum_to_zero() {
    assert_eq!(VGABIOS.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)), 0);
}

#[test]
fn vgabios_entry_is_a_jump() {
    assert!(matches!(VGABIOS[3], 0xE9 | 0xEB));
}

#[test]
fn glyphs_of_the_vga_bios_are_those_of_the_fonts_source() {
    let lines = include_str!("../asm/font16.asm").lines().filter_map(|line| line.trim().strip_prefix("db "));
    for (code, line) in (0..=255).zip(lines) {
        let bytes = line.split(';').next().into_iter().flat_map(|line| line.split(','));
        let bytes = bytes.map(|byte| u8::from_str_radix(byte.trim().trim_start_matches("0x"), 16));
        assert_eq!(Ok(firmware::glyph(code).to_vec()), bytes.collect(), "{code:#x}");
    }
    assert_eq!(include_str!("../asm/font16.asm").matches("db ").count(), 256);
}
