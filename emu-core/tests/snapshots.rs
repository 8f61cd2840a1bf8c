//! Snapshots of processors and memory.

mod common;

use common::*;
use emu_core::mem::image::MemoryImage;
use emu_core::snapshot::CoreState;
use emu_core::state::DamagedState;
use emu_core::testing::Bench;
use std::slice;

fn save(bench: &mut Bench) -> (CoreState, MemoryImage) {
    CoreState::save(slice::from_mut(&mut bench.cpu), &mut bench.ram)
}

fn restore(bench: &mut Bench, snapshot: &(CoreState, MemoryImage)) -> Result<(), DamagedState> {
    let cpus = slice::from_mut(&mut bench.cpu);
    snapshot.0.restore(&snapshot.1, cpus, &mut bench.ram, &mut bench.cache)
}

/// Everything that a guest could notice, as text.
fn state(bench: &Bench) -> String {
    format!(
        "{:?} {}",
        bench.cpu.guest_state(),
        bench.ram.ram().iter().fold(0u64, |sum, &b| sum * 31 % 1_000_003 + u64::from(b))
    )
}

/// l: add [9000h],rcx; imul rcx,rcx,3; inc rcx; mov [rcx&7ff8h + 10000h],rax; rdtsc; add r8,rax; jmp l
const LOOP: &[u8] = &[
    0x48, 0x01, 0x0C, 0x25, 0x00, 0x90, 0x00, 0x00, // add [9000h],rcx
    0x48, 0x6B, 0xC9, 0x03, // imul rcx,rcx,3
    0x48, 0xFF, 0xC1, // inc rcx
    0x48, 0x89, 0xCA, // mov rdx,rcx
    0x81, 0xE2, 0xF8, 0x7F, 0x00, 0x00, // and edx,7ff8h
    0x48, 0x89, 0x8A, 0x00, 0x00, 0x01, 0x00, // mov [rdx+10000h],rcx
    0x0F, 0x31, // rdtsc
    0x49, 0x01, 0xC0, // add r8,rax
    0xEB, 0xDA, // jmp l
];

#[test]
fn restored_run_goes_on_as_the_run_that_was_saved() {
    let mut whole = Bench::long_mode(LOOP);
    for cycles in [1, 77, 1000, 5, 3000] {
        whole.run(cycles);
        let snapshot = save(&mut whole);
        let mut other = Bench::long_mode(&[]);
        restore(&mut other, &snapshot).expect("it is this machine's");
        assert_eq!(state(&other), state(&whole));
        whole.run(2000);
        other.run(2000);
        assert_eq!(state(&other), state(&whole));
    }
}

#[test]
fn restored_processor_holds_the_translations_that_its_guest_never_invalidated() {
    // MOV [9000h], EAX, three times
    let mut bench = Bench::long_mode(&[0x89, 0x04, 0x25, 0x00, 0x90, 0x00, 0x00].repeat(3));
    bench.cpu.gpr[0] = 1;
    assert!(bench.step().is_ok());
    write(&mut bench, 0x30_0000 + 3 * 0x1000 + 9 * 8, 0);
    let snapshot = save(&mut bench);
    let mut other = Bench::long_mode(&[]);
    restore(&mut other, &snapshot).expect("it is this machine's");
    for bench in [&mut bench, &mut other] {
        bench.cpu.gpr[0] = 2;
        assert!(bench.step().is_ok());
        assert_eq!(read(bench, 0x9000, 4), 2);
        bench.cpu.flush_tlb();
        assert!(bench.step().is_err());
    }
}

#[test]
fn snapshots_of_one_run_share_the_pages_that_were_not_written_between_them() {
    let mut bench = Bench::long_mode(&[0x89, 0x04, 0x25, 0x00, 0x90, 0x00, 0x00].repeat(4));
    let pages = |bench: &mut Bench, value| {
        bench.cpu.gpr[0] = value;
        assert!(bench.step().is_ok());
        save(bench)
    };
    let (one, two, three) = (pages(&mut bench, 1), pages(&mut bench, 1), pages(&mut bench, 2));
    let differing = |a: &MemoryImage, b: &MemoryImage| {
        let at = |image: &MemoryImage, n| image.page(n).map(std::ptr::from_ref);
        (0..1024).filter(|&n| at(a, n) != at(b, n)).collect::<Vec<_>>()
    };
    assert!(differing(&one.1, &two.1).is_empty());
    assert_eq!(differing(&two.1, &three.1), [9]);
    for (snapshot, value) in [(&one, 1), (&three, 2), (&two, 1)] {
        restore(&mut bench, snapshot).expect("it is this machine's");
        assert_eq!(read(&bench, 0x9000, 4), value);
        assert_eq!(bench.cpu.gpr[0], value);
    }
}

#[test]
fn code_that_a_restored_memory_has_other_bytes_for_is_decoded_anew() {
    // l: inc eax; jmp l
    let mut bench = Bench::long_mode(&[0xFF, 0xC0, 0xEB, 0xFC]);
    let before = save(&mut bench);
    bench.ram.dma_write(0x7C00, &[0xFF, 0xC8]);
    bench.run(100);
    assert!((bench.cpu.gpr[0] as i32) < 0);
    restore(&mut bench, &before).expect("it is this machine's");
    bench.run(100);
    assert!((bench.cpu.gpr[0] as i32) > 0);
}

#[test]
fn damaged_states_are_refused_or_run_but_never_panic() {
    let mut bench = Bench::long_mode(LOOP);
    bench.run(5000);
    let (state, memory) = save(&mut bench);
    let whole = postcard::to_allocvec(&state).expect("it can be encoded");
    let mut random = 1u64;
    let mut refused = 0;
    for _ in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..2 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (random >> 33) as usize % bytes.len();
            bytes[at] = (random >> 20) as u8;
        }
        let Ok(state) = postcard::from_bytes::<CoreState>(&bytes) else { continue };
        let mut other = Bench::long_mode(&[]);
        match restore(&mut other, &(state, memory.clone())) {
            Ok(()) => drop(other.run(200)),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 10, "{refused} were refused");
    let mut small = Bench::real_mode(&[]);
    let memory = MemoryImage::zero(1 << 20);
    assert!(restore(&mut small, &(state, memory)).is_err());
}
