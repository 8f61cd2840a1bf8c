//! Repeated string instructions: slices of time, faults in the middle, overlapping runs, page edges.

mod common;

use emu_core::run::RunExit;
use emu_core::testing::{Bench, PAGE_PRESENT, PAGE_USER, PAGE_WRITABLE};
use emu_vmx::arch::segment::{AccessRights, SegmentRegister};

const RCX: usize = 1;
const RSI: usize = 6;
const RDI: usize = 7;
const HLT: u8 = 0xF4;

fn rep_movsb(from: u64, to: u64, count: u64) -> Bench {
    let mut bench = Bench::long_mode(&[0xF3, 0xA4, HLT]);
    (bench.cpu.gpr[RSI], bench.cpu.gpr[RDI], bench.cpu.gpr[RCX]) = (from, to, count);
    bench
}

#[test]
fn rep_movs_costs_one_cycle_an_iteration_and_counts_once() {
    let mut bench = rep_movsb(0x10_0000, 0x12_0000, 10_000);
    bench.ram.dma_write(0x10_0000 + 9_999, &[0x5A]);
    assert_eq!(bench.run(1_000_000), RunExit::Stopped);
    assert_eq!(bench.ram.load(0x12_0000 + 9_999, 1), 0x5A);
    assert_eq!((bench.cpu.cycles, bench.cpu.instructions), (10_001, 2));
    assert_eq!((bench.cpu.gpr[RSI], bench.cpu.gpr[RDI]), (0x10_0000 + 10_000, 0x12_0000 + 10_000));
}

#[test]
fn rep_movs_stops_within_its_slice_and_goes_on_at_its_own_address() {
    let mut bench = rep_movsb(0x10_0000, 0x12_0000, 10_000);
    assert_eq!(bench.run(100), RunExit::Budget);
    assert!(bench.cpu.cycles <= 101, "{} cycles", bench.cpu.cycles);
    assert_eq!(bench.cpu.rip(), 0x7C00);
    assert_eq!(bench.cpu.gpr[RCX] + bench.cpu.cycles, 10_000);
    // However the run is cut, it comes to the same.
    while bench.run(77) == RunExit::Budget {}
    assert_eq!((bench.cpu.cycles, bench.cpu.instructions, bench.cpu.rip()), (10_001, 2, 0x7C03));
}

#[test]
fn rep_movs_over_an_unmapped_page_faults_with_the_registers_of_the_next_iteration() {
    let mut bench = rep_movsb(0x10_0000, 0x11_FF80, 0x1000);
    bench.map(0x12_0000, 0, 0);
    assert!(bench.step().is_err());
    assert_eq!(
        (bench.cpu.scratch.fault.vector, bench.cpu.scratch.fault.error_code, bench.cpu.sys.cr2),
        (14, Some(2), 0x12_0000)
    );
    let gpr = &bench.cpu.gpr;
    assert_eq!((gpr[RSI], gpr[RDI], gpr[RCX]), (0x10_0080, 0x12_0000, 0xF80));
    assert_eq!(bench.cpu.rip(), 0x7C00);
    bench.map(0x12_0000, 0x12_0000, PAGE_PRESENT | PAGE_WRITABLE | PAGE_USER);
    assert_eq!(bench.run(1_000_000), RunExit::Stopped);
    assert_eq!(bench.cpu.gpr[RCX], 0);
}

#[test]
fn rep_movs_onto_itself_repeats_the_bytes_in_between() {
    for distance in [1u64, 3, 8, 100, 4095] {
        let mut bench = rep_movsb(0x10_0000, 0x10_0000 + distance, 20_000);
        let seed: Vec<u8> = (0..distance).map(|n| (n * 7 + 1) as u8).collect();
        bench.ram.dma_write(0x10_0000, &seed);
        assert_eq!(bench.run(1_000_000), RunExit::Stopped);
        let bytes = &bench.ram.ram()[0x10_0000..0x10_0000 + 20_000 + distance as usize];
        let wrong = (0..bytes.len()).find(|&n| bytes[n] != seed[n % seed.len()]);
        assert_eq!(wrong, None, "distance {distance}");
    }
}

#[test]
fn rep_movs_of_wide_elements_closer_than_their_width_goes_element_by_element() {
    for down in [false, true] {
        for distance in 1..8u64 {
            let code: &[u8] = if down { &[0xFD, 0xF3, 0x48, 0xA5, HLT] } else { &[0xFC, 0xF3, 0x48, 0xA5, HLT] };
            let mut bench = Bench::long_mode(code);
            let start = 0x10_0800u64;
            let mut model: Vec<u8> = (0..0x1000).map(|n: u32| ((n * 31) >> 3) as u8).collect();
            bench.ram.dma_write(0x10_0000, &model);
            let to = if down { start - distance } else { start + distance };
            (bench.cpu.gpr[RSI], bench.cpu.gpr[RDI], bench.cpu.gpr[RCX]) = (start, to, 50);
            for n in 0..50i64 {
                let at = |place: u64| (place as i64 - 0x10_0000 + if down { -8 * n } else { 8 * n }) as usize;
                let element: [u8; 8] = model[at(start)..at(start) + 8].try_into().expect("eight bytes");
                model[at(to)..at(to) + 8].copy_from_slice(&element);
            }
            assert_eq!(bench.run(1_000_000), RunExit::Stopped);
            assert_eq!(&bench.ram.ram()[0x10_0000..0x10_1000], model, "distance {distance}, down {down}");
        }
    }
}

#[test]
fn rep_stos_over_the_next_instruction_takes_effect_at_once() {
    // rep stosb over the two bytes behind it: two HLTs become NOPs, the third stays.
    let mut bench = Bench::long_mode(&[0xF3, 0xAA, HLT, HLT, HLT]);
    bench.cpu.gpr[0] = 0x90;
    (bench.cpu.gpr[RDI], bench.cpu.gpr[RCX]) = (0x7C02, 2);
    assert_eq!(bench.run(1_000), RunExit::Stopped);
    assert_eq!(bench.cpu.rip(), 0x7C05);
}

#[test]
fn repe_cmpsb_stops_behind_the_first_difference() {
    let mut bench = Bench::long_mode(&[0xF3, 0xA6, HLT]);
    bench.ram.dma_write(0x10_0FF0, &[7; 64]);
    bench.ram.dma_write(0x11_0FF0, &[7; 64]);
    bench.ram.dma_write(0x11_0FF0 + 30, &[9]);
    (bench.cpu.gpr[RSI], bench.cpu.gpr[RDI], bench.cpu.gpr[RCX]) = (0x10_0FF0, 0x11_0FF0, 64);
    assert_eq!(bench.run(1_000), RunExit::Stopped);
    assert_eq!((bench.cpu.gpr[RCX], bench.cpu.gpr[RSI]), (64 - 31, 0x10_0FF0 + 31));
    assert!(bench.cpu.flags.cf() && !bench.cpu.flags.zf());
}

#[test]
fn rep_movsb_in_real_mode_wraps_its_16_bit_registers() {
    // cld; rep movsb; hlt
    let mut bench = Bench::real_mode(&[0xFC, 0xF3, 0xA4, HLT]);
    bench.ram.dma_write(0xFFF8, &[1, 2, 3, 4, 5, 6, 7, 8]);
    bench.ram.dma_write(0, &[9, 10]);
    bench.cpu.gpr[RSI] = 0xAAAA_FFF8;
    bench.cpu.gpr[RDI] = 0x2000;
    bench.cpu.gpr[RCX] = 10;
    assert_eq!(bench.run(1_000), RunExit::Stopped);
    assert_eq!(&bench.ram.ram()[0x2000..0x200A], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(bench.cpu.gpr[RSI], 0xAAAA_0002);
}

#[test]
fn rep_insb_gives_every_iteration_to_the_device() {
    let mut bench = Bench::long_mode(&[0xF3, 0x6C, HLT]);
    bench.bus.port_value = 0xC3;
    (bench.cpu.gpr[RDI], bench.cpu.gpr[RCX]) = (0x10_0FFE, 5);
    assert_eq!(bench.run(1_000), RunExit::Stopped);
    assert_eq!(&bench.ram.ram()[0x10_0FFE..0x10_1004], [0xC3, 0xC3, 0xC3, 0xC3, 0xC3, 0]);
}

/// SDM Vol. 3A 5.3 "Limit Checking": offsets of an expand-down segment end above its limit, in the midst of a page or not.
#[test]
fn repeated_store_downward_in_an_expand_down_segment_ends_at_its_limit() {
    // std; rep stosb / rep stosd / rep movsb / rep movsw
    let codes: [(&[u8], u64); 4] =
        [(&[0xFD, 0xF3, 0xAA], 1), (&[0xFD, 0xF3, 0xAB], 4), (&[0xFD, 0xF3, 0xA4], 1), (&[0xFD, 0x66, 0xF3, 0xA5], 2)];
    for (code, size) in codes {
        for limit in [0xBFFF, 0xC002, 0xC007] {
            let mut bench = common::protected(code, 0);
            let es = &mut bench.cpu.sys.segments[SegmentRegister::Es as usize];
            (es.limit, es.access_rights) = (limit, AccessRights::from_bits_retain(0xC097));
            bench.cpu.refresh();
            bench.ram.dma_write(0xBFE0, &[0x11; 0x80]);
            bench.ram.dma_write(0xA000, &[0x22; 0x80]);
            let start = 0xC010;
            (bench.cpu.gpr[0], bench.cpu.gpr[1]) = (0x2222_2222, 0x100);
            (bench.cpu.gpr[6], bench.cpu.gpr[7]) = (0xA040, start);
            bench.run(200);
            assert_eq!(common::handled(&bench), Some(13), "{code:x?} down to {limit:#x}");
            // As many elements as lie above the limit.
            let done = (start - u64::from(limit) - 1) / size + 1;
            assert_eq!((bench.cpu.gpr[1], bench.cpu.gpr[7]), (0x100 - done, start - done * size), "{code:x?}");
            let lowest = start - (done - 1) * size;
            assert_eq!(bench.ram.load(lowest as usize - 1, 2), 0x2211, "{code:x?} down to {limit:#x}");
        }
    }
}
