use super::*;
use crate::device::DeviceId;
use crate::testing::Bench;

/// CRTC registers of mode 3 as the IBM VGA BIOS sets them.
const TEXT_CRTC: [u8; 25] = [
    0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x28, 0x1F,
    0x96, 0xB9, 0xA3, 0xFF,
];
const MODE_13H_CRTC: [u8; 25] = [
    0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0x41, 0, 0, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x28, 0x40, 0x96,
    0xB9, 0xA3, 0xFF,
];
const MODE_12H_CRTC: [u8; 25] = [
    0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0x00, 0x40, 0, 0, 0, 0, 0, 0, 0xEA, 0x8C, 0xDF, 0x28, 0x00, 0xE7,
    0x04, 0xE3, 0xFF,
];
const MODE_4_CRTC: [u8; 25] = [
    0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0x00, 0xC1, 0, 0, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x14, 0x00, 0x96,
    0xB9, 0xA2, 0xFF,
];

struct Mode {
    misc: u8,
    sequencer: [u8; 5],
    crtc: [u8; 25],
    graphics: [u8; 9],
    attribute_mode: u8,
    panning: u8,
}

const TEXT: Mode = Mode {
    misc: 0x67,
    sequencer: [3, 0, 3, 0, 2],
    crtc: TEXT_CRTC,
    graphics: [0, 0, 0, 0, 0, 0x10, 0x0E, 0, 0xFF],
    attribute_mode: 0x0C,
    panning: 8,
};
const MODE_13H: Mode = Mode {
    misc: 0x63,
    sequencer: [3, 1, 0x0F, 0, 0x0E],
    crtc: MODE_13H_CRTC,
    graphics: [0, 0, 0, 0, 0, 0x40, 0x05, 0x0F, 0xFF],
    attribute_mode: 0x41,
    panning: 0,
};
const MODE_12H: Mode = Mode {
    misc: 0xE3,
    sequencer: [3, 1, 0x0F, 0, 0x06],
    crtc: MODE_12H_CRTC,
    graphics: [0, 0, 0, 0, 0, 0x00, 0x05, 0x0F, 0xFF],
    attribute_mode: 0x01,
    panning: 0,
};
const MODE_4: Mode = Mode {
    misc: 0x63,
    sequencer: [3, 9, 3, 0, 2],
    crtc: MODE_4_CRTC,
    graphics: [0, 0, 0, 0, 0, 0x30, 0x0F, 0, 0xFF],
    attribute_mode: 0x01,
    panning: 0,
};

/// Sets a mode through the ports, with a palette in which entry n is red n (6 bits) and attribute n is entry n.
fn set(mode: &Mode) -> (Bench, Vga) {
    let mut h = Bench::new(DeviceId::Vga, 1_000_000_000);
    let mut vga = Vga::new(VgaConfig { memory: 1 << 20, lfb: Some(DEFAULT_LFB) });
    h.outb(&mut vga, 0x3C2, mode.misc);
    let indexed = |h: &mut Bench, vga: &mut Vga, port: u16, values: &[u8]| {
        for (index, value) in values.iter().enumerate() {
            h.call(|ctx| vga.port_write(ctx, port, 2, u32::from(*value) << 8 | index as u32));
        }
    };
    indexed(&mut h, &mut vga, 0x3C4, &mode.sequencer);
    h.call(|ctx| vga.port_write(ctx, 0x3D4, 2, 0x0011));
    indexed(&mut h, &mut vga, 0x3D4, &mode.crtc);
    indexed(&mut h, &mut vga, 0x3CE, &mode.graphics);
    h.inb(&mut vga, 0x3DA);
    for (index, value) in
        (0..16).map(|n| (n, n)).chain([(0x10, mode.attribute_mode), (0x12, 0x0F), (0x13, mode.panning), (0x14, 0)])
    {
        h.outb(&mut vga, 0x3C0, index);
        h.outb(&mut vga, 0x3C0, value);
    }
    h.outb(&mut vga, 0x3C0, 0x20);
    h.outb(&mut vga, 0x3C8, 0);
    for entry in 0..=255 {
        for part in [entry & 0x3F, 0, 0] {
            h.outb(&mut vga, 0x3C9, part);
        }
    }
    (h, vga)
}

fn poke(h: &mut Bench, vga: &mut Vga, address: u64, bytes: &[u8]) {
    for (i, byte) in bytes.iter().enumerate() {
        h.call(|ctx| vga.mmio_write(ctx, address + i as u64, 1, u64::from(*byte)));
    }
}

fn peek(h: &mut Bench, vga: &mut Vga, address: u64) -> u8 {
    h.call(|ctx| vga.mmio_read(ctx, address, 1)) as u8
}

fn graphics(h: &mut Bench, vga: &mut Vga, index: u8, value: u8) {
    h.call(|ctx| vga.port_write(ctx, 0x3CE, 2, u32::from(value) << 8 | u32::from(index)));
}

fn picture(vga: &Vga) -> Frame {
    let mut frame = Frame::default();
    vga.render(&mut frame, 0, 1_000_000_000);
    frame
}

/// The red part that entry n of the test palette gives.
fn red(entry: u32) -> u32 {
    (entry << 2 | entry >> 4) << 16
}

#[test]
fn text_screen_shows_the_cells_at_b8000_and_the_cursor() {
    let (mut h, mut vga) = set(&TEXT);
    poke(&mut h, &mut vga, 0xB_8000, b"H\x07i\x0F");
    h.call(|ctx| vga.mmio_write(ctx, 0xB_8000 + 160, 8, 0x0741_0742_0743_07DB));
    h.call(|ctx| vga.port_write(ctx, 0x3D4, 2, 0x020F));
    let screen = vga.text_screen().unwrap();
    assert_eq!((screen.columns, screen.rows), (80, 25));
    assert_eq!(screen.cells[1], Cell { code: b'i', attribute: 0x0F });
    assert_eq!(screen.lines()[..3], ["Hi", "█CBA", ""]);
    assert_eq!(screen.cursor, Some(Cursor { column: 2, row: 0, start: 13, end: 14 }));
    assert_eq!(peek(&mut h, &mut vga, 0xB_8002), b'i');
    assert_eq!(peek(&mut h, &mut vga, 0xA_0000), 0xFF);
}

#[test]
fn text_screen_respects_start_address_and_line_compare() {
    let (mut h, mut vga) = set(&TEXT);
    poke(&mut h, &mut vga, 0xB_8000, b"0");
    poke(&mut h, &mut vga, 0xB_8000 + 160, b"1");
    h.call(|ctx| vga.port_write(ctx, 0x3D4, 2, 80 << 8 | 0x0D));
    assert_eq!(vga.text_screen().unwrap().line(0), "1");
    // Split behind scan line 15: row 1 comes from address 0.
    for (index, value) in [(0x11, 0), (0x07, 0x0F), (0x09, 0x0F), (0x18, 15)] {
        h.call(|ctx| vga.port_write(ctx, 0x3D4, 2, value << 8 | index));
    }
    assert_eq!(vga.text_screen().unwrap().lines()[..2], ["1", "0"]);
}

#[test]
fn text_picture_uses_the_font_in_plane_2_with_nine_dots() {
    let (mut h, mut vga) = set(&TEXT);
    // Font access: map mask 4, sequential memory, A0000h.
    for (port, value) in [(0x3C4, 0x0402), (0x3C4, 0x0704), (0x3CE, 0x0005), (0x3CE, 0x0406)] {
        h.call(|ctx| vga.port_write(ctx, port, 2, value));
    }
    poke(&mut h, &mut vga, 0xA_0000 + 0xC4 * 32, &[0b1000_0001]);
    poke(&mut h, &mut vga, 0xA_0000 + 0x41 * 32, &[0b1000_0001]);
    for (port, value) in [(0x3C4, 0x0302), (0x3C4, 0x0304), (0x3CE, 0x1005), (0x3CE, 0x0E06), (0x3D4, 0x200A)] {
        h.call(|ctx| vga.port_write(ctx, port, 2, value));
    }
    poke(&mut h, &mut vga, 0xB_8000, &[0xC4, 0x12, 0x41, 0x12]);
    let frame = picture(&vga);
    assert_eq!((frame.width, frame.height), (720, 400));
    let (on, off) = (red(2), red(1));
    assert_eq!(frame.pixels[..9], [on, off, off, off, off, off, off, on, on]);
    assert_eq!(frame.pixels[9..18], [on, off, off, off, off, off, off, on, off]);
    assert_eq!(frame.rgb_bytes()[..3], [(red(2) >> 16) as u8, 0, 0]);
}

#[test]
fn cursor_and_blinking_characters_blink_by_frames() {
    let (mut h, mut vga) = set(&TEXT);
    poke(&mut h, &mut vga, 0xB_8000, &[0x20, 0x07]);
    let at = |vga: &Vga, frame: u64| {
        let mut picture = Frame::default();
        vga.render(&mut picture, frame * 14_268_000 + 1_000_000, 1_000_000_000);
        picture.pixels[13 * 720]
    };
    assert_eq!((at(&vga, 0), at(&vga, 16)), (red(7), red(0)));
    assert_ne!(vga.blink_phase(0, 1_000_000_000), vga.blink_phase(16 * 14_300_000, 1_000_000_000));
}

#[test]
fn mode_13h_shows_bytes_at_a0000_as_pixels() {
    let (mut h, mut vga) = set(&MODE_13H);
    poke(&mut h, &mut vga, 0xA_0000, &[1, 2, 3, 4, 5]);
    poke(&mut h, &mut vga, 0xA_0000 + 320 * 199 + 319, &[9]);
    assert!(vga.text_screen().is_none());
    let frame = picture(&vga);
    assert_eq!((frame.width, frame.height), (320, 200));
    assert_eq!(frame.pixels[..5], [1, 2, 3, 4, 5].map(red));
    assert_eq!(frame.pixels[320 * 200 - 1], red(9));
    assert_eq!(peek(&mut h, &mut vga, 0xA_0004), 5);
}

#[test]
fn unchained_mode_shows_planes_side_by_side() {
    let (mut h, mut vga) = set(&MODE_13H);
    for (port, value) in [(0x3C4, 0x0604), (0x3D4, 0x0014), (0x3D4, 0xE317), (0x3C4, 0x0402)] {
        h.call(|ctx| vga.port_write(ctx, port, 2, value));
    }
    poke(&mut h, &mut vga, 0xA_0001, &[7]);
    assert_eq!(picture(&vga).pixels[4..8], [0, 0, 7, 0].map(red));
}

#[test]
fn planar_mode_12h_writes_through_set_reset_and_bit_mask() {
    let (mut h, mut vga) = set(&MODE_12H);
    graphics(&mut h, &mut vga, 0, 0x0A);
    graphics(&mut h, &mut vga, 1, 0x0F);
    graphics(&mut h, &mut vga, 8, 0x40);
    peek(&mut h, &mut vga, 0xA_0000);
    poke(&mut h, &mut vga, 0xA_0000, &[0xFF]);
    let frame = picture(&vga);
    assert_eq!((frame.width, frame.height), (640, 480));
    assert_eq!(frame.pixels[..3], [0, 10, 0].map(red));
}

#[test]
fn write_modes_and_functions_combine_latches_host_and_registers() {
    let (mut h, mut vga) = set(&MODE_12H);
    let planes = |vga: &Vga, offset: usize| vga.state().planes_at(offset).to_le_bytes();
    poke(&mut h, &mut vga, 0xA_0000, &[0xF0]);
    peek(&mut h, &mut vga, 0xA_0000);
    // Mode 1 copies the latches.
    graphics(&mut h, &mut vga, 5, 1);
    poke(&mut h, &mut vga, 0xA_0001, &[0]);
    assert_eq!(planes(&vga, 1), [0xF0; 4]);
    // Mode 2 makes a colour of the low bits under the bit mask.
    graphics(&mut h, &mut vga, 5, 2);
    graphics(&mut h, &mut vga, 8, 0x3C);
    poke(&mut h, &mut vga, 0xA_0002, &[0x05]);
    assert_eq!(planes(&vga, 2), [0xFC, 0xC0, 0xFC, 0xC0]);
    // Mode 3: rotated host byte and bit mask choose where set/reset goes.
    graphics(&mut h, &mut vga, 5, 3);
    graphics(&mut h, &mut vga, 0, 0x02);
    graphics(&mut h, &mut vga, 8, 0xFF);
    graphics(&mut h, &mut vga, 3, 4);
    poke(&mut h, &mut vga, 0xA_0003, &[0xF0]);
    assert_eq!(planes(&vga, 3), [0xF0, 0xFF, 0xF0, 0xF0]);
    // Mode 0 with rotation by 4 and each function on latches F0h.
    graphics(&mut h, &mut vga, 5, 0);
    graphics(&mut h, &mut vga, 0, 0);
    for (function, expected) in [(0x0C, 0x30), (0x14, 0xF3), (0x1C, 0xC3)] {
        graphics(&mut h, &mut vga, 3, function);
        poke(&mut h, &mut vga, 0xA_0004, &[0x33]);
        assert_eq!(planes(&vga, 4), [expected; 4], "function {function:02X}");
    }
    // The map mask limits all of them.
    graphics(&mut h, &mut vga, 3, 0);
    h.call(|ctx| vga.port_write(ctx, 0x3C4, 2, 0x0202));
    poke(&mut h, &mut vga, 0xA_0005, &[0x81]);
    assert_eq!(planes(&vga, 5), [0, 0x81, 0, 0]);
}

#[test]
fn read_mode_1_compares_colours_and_mode_0_reads_the_selected_plane() {
    let (mut h, mut vga) = set(&MODE_12H);
    for (mask, byte) in [(1, 0xF0), (2, 0xCC), (4, 0x00), (8, 0xAA)] {
        h.call(|ctx| vga.port_write(ctx, 0x3C4, 2, mask << 8 | 2));
        poke(&mut h, &mut vga, 0xA_0000, &[byte]);
    }
    graphics(&mut h, &mut vga, 4, 3);
    assert_eq!(peek(&mut h, &mut vga, 0xA_0000), 0xAA);
    graphics(&mut h, &mut vga, 5, 0x08);
    graphics(&mut h, &mut vga, 2, 0x03);
    assert_eq!(peek(&mut h, &mut vga, 0xA_0000), 0xC0 & !0xAA);
    graphics(&mut h, &mut vga, 7, 0x03);
    assert_eq!(peek(&mut h, &mut vga, 0xA_0000), 0xC0);
}

#[test]
fn cga_mode_4_interleaves_lines_and_packs_two_bits() {
    let (mut h, mut vga) = set(&MODE_4);
    poke(&mut h, &mut vga, 0xB_8000, &[0b00_01_10_11, 0b11_00_00_00]);
    poke(&mut h, &mut vga, 0xB_A000, &[0b10_00_00_00]);
    let frame = picture(&vga);
    assert_eq!((frame.width, frame.height), (320, 200));
    assert_eq!(frame.pixels[..5], [0, 1, 2, 3, 3].map(red));
    assert_eq!(frame.pixels[320], red(2));
}

#[test]
fn vbe_mode_is_linear_at_the_frame_buffer_and_banked_at_a0000() {
    let (mut h, mut vga) = set(&TEXT);
    let mut vbe = |h: &mut Bench, index: u32, value: u32| {
        h.call(|ctx| {
            vga.port_write(ctx, 0x1CE, 2, index);
            vga.port_write(ctx, 0x1CF, 2, value);
            vga.port_read(ctx, 0x1CF, 2)
        })
    };
    assert_eq!(vbe(&mut h, 0, 0xB0C5), 0xB0C5);
    for (index, value) in [(1, 320), (2, 200), (3, 32), (4, 0x41), (5, 3)] {
        assert_eq!(vbe(&mut h, index, value), value);
    }
    assert_eq!(vbe(&mut h, 10, 0), 16);
    h.call(|ctx| vga.mmio_write(ctx, DEFAULT_LFB + 4, 4, 0x0012_3456));
    h.call(|ctx| vga.mmio_write(ctx, 0xA_0000, 4, 0x00AB_CDEF));
    let frame = picture(&vga);
    assert_eq!((frame.width, frame.height, frame.pixels[1]), (320, 200, 0x12_3456));
    assert_eq!(frame.pixels[3 * 0x4000], 0xAB_CDEF);
    assert_eq!(h.call(|ctx| vga.mmio_read(ctx, DEFAULT_LFB + 4, 4)), 0x12_3456);
    assert!(vga.text_screen().is_none());
}

#[test]
fn vbe_16_bit_pixels_expand_to_full_white() {
    let (mut h, mut vga) = set(&TEXT);
    for (index, value) in [(1, 320), (2, 200), (3, 16), (4, 0x41)] {
        h.call(|ctx| {
            vga.port_write(ctx, 0x1CE, 2, index);
            vga.port_write(ctx, 0x1CF, 2, value);
        });
    }
    h.call(|ctx| vga.mmio_write(ctx, DEFAULT_LFB, 2, 0xFFFF));
    assert_eq!(picture(&vga).pixels[0], 0xFF_FFFF);
}

#[test]
fn input_status_1_shows_vertical_retrace_once_a_frame_and_resets_the_attribute_flip_flop() {
    let (mut h, mut vga) = set(&TEXT);
    let mut edges = 0;
    let mut last = 0;
    // 70 Hz: a tenth of a second has 7 frames.
    for step in 0..10_000 {
        h.now = step * 10_000;
        let bit = h.inb(&mut vga, 0x3DA) & 8;
        edges += u32::from(bit != 0 && last == 0);
        last = bit;
    }
    assert_eq!(edges, 7);
    h.outb(&mut vga, 0x3C0, 0x11);
    h.inb(&mut vga, 0x3DA);
    h.outb(&mut vga, 0x3C0, 0x12);
    assert_eq!(h.inb(&mut vga, 0x3C1), 0x0F);
}

#[test]
fn crtc_answers_at_the_addresses_that_the_misc_register_selects() {
    let (mut h, mut vga) = set(&TEXT);
    assert_eq!(h.inb(&mut vga, 0x3B4), 0xFF);
    h.outb(&mut vga, 0x3C2, 0x66);
    assert_eq!(h.inb(&mut vga, 0x3D4), 0xFF);
    h.outb(&mut vga, 0x3B4, 0x13);
    assert_eq!(h.inb(&mut vga, 0x3B5), 0x28);
}

#[test]
fn crtc_protection_keeps_registers_0_to_7_but_line_compare() {
    let (mut h, mut vga) = set(&TEXT);
    h.call(|ctx| vga.port_write(ctx, 0x3D4, 2, 0x0000));
    h.call(|ctx| vga.port_write(ctx, 0x3D4, 2, 0x0007));
    assert_eq!((vga.state().crtc.registers[0], vga.state().crtc.registers[7]), (0x5F, 0x0F));
}

#[test]
fn dac_reads_back_and_steps_after_three_components() {
    let (mut h, mut vga) = set(&TEXT);
    h.outb(&mut vga, 0x3C8, 5);
    for value in [1, 2, 3, 4] {
        h.outb(&mut vga, 0x3C9, value);
    }
    assert_eq!(h.inb(&mut vga, 0x3C8), 6);
    h.outb(&mut vga, 0x3C7, 5);
    assert_eq!(h.inb(&mut vga, 0x3C7), 3);
    assert_eq!([0; 4].map(|_| h.inb(&mut vga, 0x3C9)), [1, 2, 3, 6]);
}

#[test]
fn generation_changes_with_memory_and_registers() {
    let (mut h, mut vga) = set(&TEXT);
    let before = vga.generation();
    peek(&mut h, &mut vga, 0xB_8000);
    assert_eq!(vga.generation(), before);
    poke(&mut h, &mut vga, 0xB_8000, &[1]);
    assert_ne!(vga.generation(), before);
}

#[test]
fn random_registers_and_accesses_never_panic() {
    let (mut h, mut vga) = set(&TEXT);
    let mut seed = 1u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let mut frame = Frame::default();
    for round in 0..20_000 {
        let (port, value) = (0x3B0 + (random() % 0x30) as u16, random() as u32);
        h.call(|ctx| match random() % 5 {
            0 => vga.mmio_write(ctx, 0xA_0000 + random() % 0x2_0000, 4, random()),
            1 => drop(vga.mmio_read(ctx, 0xA_0000 + random() % 0x2_0000, 8)),
            2 => vga.port_write(ctx, 0x1CE + (value & 1) as u16, 2, random() as u32 % 0x100),
            3 => drop(vga.port_read(ctx, port, 4)),
            _ => vga.port_write(ctx, port, 2, value),
        });
        if round % 500 == 0 {
            vga.render(&mut frame, random(), 50_000_000);
            vga.text_screen();
        }
    }
}

/// A guest can set any register to any value; somebody makes a picture of it.
#[test]
fn picture_of_any_registers_has_a_size_within_bounds() {
    let mut random = crate::testing::Random::new(12);
    let mut frame = Frame::default();
    for _ in 0..60 {
        let (mut bench, mut vga) =
            (Bench::new(DeviceId::Vga, 1_000_000), Vga::new(VgaConfig { memory: 1 << 20, lfb: None }));
        for _ in 0..300 {
            let port =
                [0x3C0, 0x3C2, 0x3C4, 0x3C5, 0x3CE, 0x3CF, 0x3D4, 0x3D5, 0x1CE, 0x1CF][random.below(10) as usize];
            let value = if port == 0x1CE { random.below(11) } else { random.below(0x1_0000) >> random.below(13) };
            let size = if port < 0x300 { 2 } else { 1 };
            bench.call(|ctx| vga.port_write(ctx, port, size, value as u32));
            vga.render(&mut frame, 0, 1_000_000);
            assert!((1..=4608).contains(&frame.width) && (1..=4096).contains(&frame.height), "{frame:?}");
            assert_eq!(frame.pixels.len(), frame.width * frame.height);
        }
    }
}

#[test]
fn memory_is_clear_after_a_reset_and_when_vbe_clears_it_wherever_it_was_written() {
    let (mut bench, mut vga) =
        (Bench::new(DeviceId::Vga, 1_000_000), Vga::new(VgaConfig { memory: 1 << 20, lfb: Some(DEFAULT_LFB) }));
    for by_reset in [true, false] {
        for offset in [0u64, 1, 0xFFFD, 0x1_0000, 0x7_FFFE, 0xF_FFF8] {
            bench.call(|ctx| vga.mmio_write(ctx, DEFAULT_LFB + offset, 4, u64::MAX));
        }
        assert!(vga.state.memory.iter().any(|byte| *byte != 0));
        if by_reset {
            bench.call(|ctx| vga.reset(ctx));
        } else {
            for (port, value) in [(0x1CE, 4), (0x1CF, 1)] {
                bench.call(|ctx| vga.port_write(ctx, port, 2, value));
            }
        }
        assert!(vga.state.memory.iter().all(|byte| *byte == 0), "{by_reset}");
    }
}
