//! A run ends as halted when nothing that is to come can make a processor execute, and not before: interrupts that are
//! off hold back neither NMI nor INIT (SDM Vol. 2A, "HLT—Halt"; Vol. 3A, "Nonmaskable Interrupt (NMI)").

use emu_core::bus::Bus;
use emu_core::lapic::Lvt;
use emu_devices::board::IO_APIC_BASE;
use emu_devices::hpet;
use emu_devices::input::{InputEvent, Register, RegisterWrite};
use emu_devices::pc::{Pc, PcExit};

const CODE: u64 = 0x1000;
const HANDLER: u64 = 0x2000;
const COUNTER: u64 = 0x500;
const SECOND: u64 = 1_000_000;

/// `cli; hlt`, with an NMI handler that counts and halts, and an 8254 that goes on.
fn machine() -> Pc {
    let mut pc = Pc::builder().hz(SECOND).memory(2 << 20).build().expect("a machine");
    pc.ram.dma_write(CODE, &[0xFA, 0xF4, 0xEB, 0xFD]); // cli; hlt; jmp $-1
    pc.ram.dma_write(HANDLER, &[0x2E, 0xFE, 0x06, 0x00, 0x05, 0xF4]); // inc byte cs:[500h]; hlt
    pc.ram.dma_write(4 * 2, &(HANDLER as u32).to_le_bytes());
    let cpu = &mut pc.cpus[0];
    cpu.load_real_segment(emu_vmx::arch::segment::SegmentRegister::Cs, 0);
    cpu.set_rip(CODE);
    cpu.refresh();
    for (port, value) in [(0x43, 0x34), (0x40, 0), (0x40, 0x10)] {
        pc.board.port_write(&mut pc.ram, 0, port, 1, value);
    }
    pc
}

/// Redirection entry of an I/O APIC input.
fn redirect(pc: &mut Pc, pin: u64, entry: u64) {
    for (register, value) in [(0x11 + 2 * pin, entry >> 32), (0x10 + 2 * pin, entry & 0xFFFF_FFFF)] {
        pc.board.mmio_write(&mut pc.ram, 0, IO_APIC_BASE, 4, register);
        pc.board.mmio_write(&mut pc.ram, 0, IO_APIC_BASE + 0x10, 4, value);
    }
}

/// How a run of a second ends, and how many NMIs it has handled.
fn outcome(prepare: impl FnOnce(&mut Pc)) -> (PcExit, u8) {
    let mut pc = machine();
    prepare(&mut pc);
    let exit = pc.run_until(SECOND);
    let mut count = [0];
    pc.ram.dma_read(COUNTER, &mut count);
    (exit, count[0])
}

#[test]
fn halted_with_interrupts_off_is_dead_while_timers_only_interrupt() {
    assert_eq!(outcome(|_| ()), (PcExit::Halted, 0));
    // Input 2 is the 8254's: a vector, or a masked NMI.
    assert_eq!(outcome(|pc| redirect(pc, 2, 0x30)), (PcExit::Halted, 0));
    assert_eq!(outcome(|pc| redirect(pc, 2, 0x1_0400)), (PcExit::Halted, 0));
}

/// The handler halts with NMIs blocked: then nothing is left that could wake it.
#[test]
fn halted_with_interrupts_off_is_woken_by_an_nmi_of_a_device() {
    assert_eq!(outcome(|pc| redirect(pc, 2, 0x0400)), (PcExit::Halted, 1));
    let lint0 = |pc: &mut Pc| {
        pc.cpus[0].lapic.svr |= 0x100;
        pc.cpus[0].lapic.lvt[Lvt::Lint0 as usize] = 0x400;
        for (port, value) in [(0x20, 0x11), (0x21, 8), (0x21, 4), (0x21, 1), (0x21, 0xFE)] {
            pc.board.port_write(&mut pc.ram, 0, port, 1, value);
        }
    };
    assert_eq!(outcome(lint0), (PcExit::Halted, 1));
    let hpet = |pc: &mut Pc| {
        // FSB route, comparator, one-shot with interrupt by message; then the counter runs.
        for (offset, value) in [(0x110, 0xFEE0_0000_0000_0400), (0x108, 1000), (0x100, 0x4004), (0x10, 1)] {
            pc.board.mmio_write(&mut pc.ram, 0, hpet::BASE + offset, 8, value);
        }
    };
    assert_eq!(outcome(hpet), (PcExit::Halted, 1));
}

#[test]
fn halted_with_interrupts_off_waits_for_input_that_wakes() {
    let inject = |event: InputEvent| outcome(|pc| assert!(pc.inject(SECOND / 2, event).is_ok()));
    assert_eq!(inject(InputEvent::Nmi), (PcExit::Halted, 1));
    assert_eq!(inject(InputEvent::Serial(vec![1])), (PcExit::Halted, 0));
    // After the reset the firmware runs.
    assert_eq!(inject(InputEvent::Reset).0, PcExit::Limit);
    // Interrupts on: the second ends before it is dead.
    let write = RegisterWrite { processor: 0, register: Register::Rflags, value: 0x202 };
    assert_eq!(inject(InputEvent::WriteRegister(write)).0, PcExit::Limit);
}

#[test]
fn halted_with_interrupts_off_is_dead_while_the_pic_asks_for_one() {
    let pending = |pc: &mut Pc| {
        for (port, value) in [(0x20, 0x11), (0x21, 8), (0x21, 4), (0x21, 1), (0x21, 0xFE)] {
            pc.board.port_write(&mut pc.ram, 0, port, 1, value);
        }
        // 8000h NOPs take longer than the 8254's period.
        pc.ram.dma_write(CODE, &[0x90; 0x8000]);
        pc.ram.dma_write(CODE + 0x8000, &[0xFA, 0xF4]);
    };
    assert_eq!(outcome(pending), (PcExit::Halted, 0));
}

#[test]
fn halted_with_nmis_blocked_is_dead_whatever_nmi_comes() {
    let blocked = |pc: &mut Pc| {
        redirect(pc, 2, 0x0400);
        pc.cpus[0].sys.nmi_blocked = true;
    };
    assert_eq!(outcome(blocked), (PcExit::Halted, 0));
}
