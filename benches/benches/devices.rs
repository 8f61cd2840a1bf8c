//! Deadlines, interrupts of timers, and the picture of a text screen.

mod settings;

use benches::{HZ, pc, time_rounds};
use criterion::Criterion;
use emu_core::state::system::DescriptorTable;
use emu_core::testing::{Bench, PAGE_PRESENT, PAGE_WRITABLE};
use emu_devices::device::DeviceId;
use emu_devices::pc::Pc;
use emu_devices::sched::Deadlines;
use emu_devices::vga::Frame;
use std::time::Instant;

/// A system ROM that programs PIC and PIT (mode 2, count 12) and counts its interrupts in EBX, in HLT between them.
const PIT_ROM: &[u8] = &[
    0x31, 0xC0, 0x8E, 0xD8, 0x8E, 0xD0, 0xBC, 0x00, 0x70, // ds = ss = 0, sp = 7000h
    0xC7, 0x06, 0x20, 0x00, 0x39, 0x00, 0xC7, 0x06, 0x22, 0x00, 0x00, 0xF0, // vector 8: F000:0039
    0xB0, 0x11, 0xE6, 0x20, 0xB0, 0x08, 0xE6, 0x21, 0xB0, 0x04, 0xE6, 0x21, 0xB0, 0x01, 0xE6, 0x21, // PIC
    0xB0, 0xFE, 0xE6, 0x21, // IRQ 0 alone
    0xB0, 0x34, 0xE6, 0x43, 0xB0, 0x0C, 0xE6, 0x40, 0x30, 0xC0, 0xE6, 0x40, // PIT
    0xFB, // sti
    0xF4, 0xEB, 0xFD, // hlt; jmp back
    0x50, 0x66, 0x43, 0xB0, 0x20, 0xE6, 0x20, 0x58, 0xCF, // push ax; inc ebx; EOI; pop ax; iret
];

/// A local APIC timer of period 16 whose interrupts are counted in R14. RBX, the APIC's linear address, comes first.
const APIC_CODE: &[u8] = &[
    0xBB, 0x00, 0x00, 0x00, 0x01, // mov ebx, 1000000h
    0xC7, 0x83, 0xF0, 0x00, 0x00, 0x00, 0xFF, 0x01, 0x00, 0x00, // enable
    0xC7, 0x83, 0xE0, 0x03, 0x00, 0x00, 0x0B, 0x00, 0x00, 0x00, // divide by 1
    0xC7, 0x83, 0x20, 0x03, 0x00, 0x00, 0x50, 0x00, 0x02, 0x00, // periodic, vector 50h
    0xC7, 0x83, 0x80, 0x03, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, // initial count 16
    0xFB, 0xEB, 0xFE, // sti; jmp to itself
];
const APIC_HANDLER: &[u8] = &[
    0x49, 0xFF, 0xC6, // inc r14
    0xC7, 0x83, 0xB0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // EOI
    0x48, 0xCF, // iretq
];

fn pit_pc() -> Pc {
    let mut bios = vec![0; 0x1_0000];
    bios[..PIT_ROM.len()].copy_from_slice(PIT_ROM);
    bios[0xFFF0..0xFFF5].copy_from_slice(&[0xEA, 0, 0, 0, 0xF0]); // jmp F000:0000
    pc(bios, Vec::new())
}

fn apic_bench() -> Bench {
    const GDT: u64 = 0x5000;
    const IDT: u64 = 0x6_0000;
    const HANDLER: u64 = 0x9000;
    let mut bench = Bench::long_mode(APIC_CODE);
    bench.map(0x100_0000, 0xFEE0_0000, PAGE_PRESENT | PAGE_WRITABLE);
    bench.ram.dma_write(GDT + 8, &0x00AF_9B00_0000_FFFF_u64.to_le_bytes()); // code
    bench.ram.dma_write(GDT + 16, &0x00CF_9300_0000_FFFF_u64.to_le_bytes()); // data
    bench.ram.dma_write(HANDLER, APIC_HANDLER);
    let gate = HANDLER | 8 << 16 | 0x8E00 << 32;
    bench.ram.dma_write(IDT + 0x50 * 16, &gate.to_le_bytes());
    bench.cpu.sys.gdtr = DescriptorTable { base: GDT, limit: 23 };
    bench.cpu.sys.idtr = DescriptorTable { base: IDT, limit: 0xFFF };
    bench.cpu.refresh();
    bench
}

fn deadlines(c: &mut Criterion) {
    let mut group = c.benchmark_group("deadlines");
    let mut deadlines = Deadlines::default();
    for tag in 0..10 {
        deadlines.schedule(DeviceId::Hpet, tag, u64::MAX - u64::from(tag));
    }
    let mut now = 0;
    group.bench_function("schedule one before ten others and take it", |b| {
        b.iter(|| {
            now += 100;
            deadlines.schedule(DeviceId::Pit, 0, now);
            deadlines.pop_due(now)
        });
    });
    let mut pc = pit_pc();
    group.bench_function("PIT: deadline, IRQ 0, out of HLT, handler, EOI", |b| {
        b.iter_custom(|interrupts| {
            let first = pc.cpus[0].gpr[3];
            let start = Instant::now();
            let mut calls = 0;
            while pc.cpus[0].gpr[3] - first < interrupts {
                pc.run_until(pc.now() + 5000);
                calls += 1;
                assert!(calls < 1000 + interrupts, "no interrupts come: RIP {:#x}", pc.cpus[0].rip());
            }
            start.elapsed().mul_f64(interrupts as f64 / (pc.cpus[0].gpr[3] - first) as f64)
        });
    });
    let mut bench = apic_bench();
    group.bench_function("local APIC timer: deadline, interrupt, EOI, IRETQ", |b| {
        b.iter_custom(|n| time_rounds(&mut bench, n));
    });
    group.finish();
}

fn screen(c: &mut Criterion) {
    let mut pc = pc(firmware::BIOS.to_vec(), firmware::VGABIOS.to_vec());
    pc.run_until(HZ * 2); // the firmware's messages are on the screen
    let text = pc.board.vga.text_screen().expect("the firmware has set a text mode");
    assert!(text.lines().iter().any(|line| !line.trim().is_empty()), "the firmware has written something");
    let mut frame = Frame::default();
    let now = pc.now();
    let mut group = c.benchmark_group("screen");
    group.bench_function("80 x 25 characters to pixels", |b| b.iter(|| pc.board.vga.render(&mut frame, now, HZ)));
    group.bench_function("80 x 25 characters to text", |b| {
        b.iter(|| pc.board.vga.text_screen().map(|screen| screen.lines()));
    });
    group.finish();
}

fn main() {
    settings::run(&[deadlines, screen]);
}
