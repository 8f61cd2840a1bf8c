//! Random accesses to the registers of each device, and random time: whatever a guest does, nothing panics.

use crate::debug_ports::{DebugExit, DebugPorts, DebugPortsConfig};
use crate::device::{Ctx, Device, DeviceId};
use crate::hpet::{Hpet, HpetWiring};
use crate::ioapic::{IoApic, IoApicConfig};
use crate::keyboard::{Key, KeyboardController};
use crate::line::Line;
use crate::pci::{Pci, PciConfig, PciMap};
use crate::pic::Pic;
use crate::pit::Pit;
use crate::power::{Power, PowerConfig};
use crate::rtc::{CmosConfig, Rtc, RtcConfig};
use crate::serial::{COM1, Serial};
use crate::testdev::{PcTestdev, PciTestdev};
use crate::testing::{Bench, Random};

const SEEDS: u64 = 20;
const STEPS: u64 = 2_000;

/// Accesses `device` at random through what it claims, calling `between` now and then.
fn exercise<D: Device>(id: DeviceId, make: impl Fn() -> D, between: impl Fn(&mut D, &mut Ctx, &mut Random)) {
    for seed in 1..=SEEDS {
        let mut random = Random::new(seed);
        let mut device = make();
        let hz = [1_000, 1_000_000, 50_000_000, 3_000_000_000][(seed % 4) as usize];
        let mut bench = Bench::new(id, hz);
        bench.call(|ctx| device.reset(ctx));
        for _ in 0..STEPS {
            // Mostly short steps, at times hours.
            let magnitude = random.below(36);
            bench.now += random.below(1 << magnitude);
            for _ in 0..50 {
                let Some(due) = bench.deadlines.pop_due(bench.now) else { break };
                device.deadline(&mut bench.ctx(), due.tag);
            }
            let size = 1u8 << random.below(3);
            let value = random.next() >> random.below(64);
            let pick = random.next();
            bench.call(|ctx| {
                let claims = device.claims();
                let places = claims.ports.len() + claims.mmio.len();
                let place = (pick % places.max(1) as u64) as usize;
                if let Some(range) = claims.ports.get(place) {
                    let port = (range.start + (pick >> 8) as u32 % (range.end - range.start)) as u16;
                    if pick >> 40 & 1 == 0 {
                        device.port_write(ctx, port, size, value as u32);
                    } else {
                        device.port_read(ctx, port, size);
                    }
                } else if let Some(range) = claims.mmio.get(place - claims.ports.len()) {
                    let address = range.start + (pick >> 8) % (range.end - range.start);
                    let size = if pick >> 41 & 1 == 0 { 8 } else { size };
                    if pick >> 40 & 1 == 0 {
                        device.mmio_write(ctx, address, size, value);
                    } else {
                        device.mmio_read(ctx, address, size);
                    }
                }
            });
            if random.below(8) == 0 {
                bench.call(|ctx| between(&mut device, ctx, &mut random));
            }
            bench.requests.apic.clear();
            bench.lines.take_changes();
        }
    }
}

#[test]
fn pic_random_accesses_do_not_panic() {
    exercise(DeviceId::Pic, Pic::new, |pic, _, random| {
        pic.set_input(random.below(18) as u8, random.below(2) == 0);
        if pic.intr() {
            pic.acknowledge();
        }
    });
}

#[test]
fn pit_random_accesses_do_not_panic() {
    exercise(DeviceId::Pit, || Pit::new(Line(0)), |pit, ctx, _| pit.channel_check(ctx));
}

#[test]
fn keyboard_random_accesses_do_not_panic() {
    let keys: Vec<Key> = Key::all().collect();
    exercise(
        DeviceId::Keyboard,
        || KeyboardController::new(Line(1), Line(12)),
        |controller, ctx, random| {
            let key = keys[random.below(keys.len() as u64) as usize];
            controller.key_event(ctx, key, random.below(2) == 0);
            let mut delta = || random.next() as i32;
            let (dx, dy, dz) = (delta(), delta(), delta());
            controller.mouse_event(ctx, dx, dy, dz, random.next() as u8);
        },
    );
}

#[test]
fn rtc_random_accesses_do_not_panic() {
    for start in [0, 1_795_373_522, i64::MAX, i64::MIN] {
        let config = RtcConfig { start, cmos: CmosConfig::default() };
        exercise(DeviceId::Rtc, || Rtc::new(&config, Line(8)), |_, _, _| {});
    }
}

#[test]
fn io_apic_random_accesses_do_not_panic() {
    exercise(
        DeviceId::IoApic,
        || IoApic::new(IoApicConfig { version: 0x20 }),
        |io_apic, ctx, random| {
            io_apic.set_input(ctx.requests, random.below(30) as u8, random.below(2) == 0);
            io_apic.end_of_interrupt(ctx.requests, random.next() as u8);
        },
    );
}

#[test]
fn hpet_random_accesses_do_not_panic() {
    let wiring =
        HpetWiring { legacy_timer0: Line(2), legacy_timer1: Line(8), routes: vec![(20, Line(20)), (31, Line(21))] };
    exercise(DeviceId::Hpet, || Hpet::new(wiring.clone()), |_, _, _| {});
}

#[test]
fn power_random_accesses_do_not_panic() {
    let make = || {
        let mut power = Power::new(PowerConfig { timer_bits: 32, smi: true }, Line(9));
        power.pci_moved(&PciMap { power_management: Some(0xFFC0), smi_on_apm_control: true, ..PciMap::default() });
        power
    };
    exercise(DeviceId::PowerManagement, make, |power, ctx, _| power.press_power_button(ctx));
}

#[test]
fn pci_random_accesses_do_not_panic() {
    let config = PciConfig { vga_lfb_size: Some(0x100_0000), vga_rom_size: 0x8000, testdev: true, smm_ready: false };
    exercise(
        DeviceId::Pci,
        || Pci::new(config),
        |pci, ctx, random| {
            // Aim at functions that exist.
            let address = 0x8000_0000 | random.below(0x2000) as u32;
            pci.port_write(ctx, 0xCF8, 4, address);
            for segment in 0..14 {
                pci.pam(segment);
            }
            for pirq in 0..5 {
                pci.pirq_irq(pirq);
            }
            pci.take_changes();
            let _ =
                (pci.bus_master_ide_base(), pci.vga_frame_buffer(), pci.testdev_bars(), pci.power_management_base());
        },
    );
}

#[test]
fn serial_random_accesses_do_not_panic() {
    exercise(
        DeviceId::Serial,
        || Serial::new(COM1, Line(4)),
        |uart, ctx, random| {
            uart.push_input(ctx, &random.next().to_le_bytes());
            uart.take_output();
        },
    );
}

#[test]
fn debug_ports_random_accesses_do_not_panic() {
    let config = DebugPortsConfig { port_402: true, debug_exit: Some(DebugExit { port: 0xFFFE, size: 4 }) };
    exercise(DeviceId::Debug, || DebugPorts::new(config.clone()), |ports, _, _| drop(ports.take_output()));
}

#[test]
fn test_devices_random_accesses_do_not_panic() {
    exercise(DeviceId::PcTestdev, || PcTestdev::new((0..40).map(Line).collect()), |_, _, _| {});
    let make = || {
        let mut device = PciTestdev::new();
        device.pci_moved(&PciMap { testdev: (Some(0xFEBF_0000), Some(0xC100)), ..PciMap::default() });
        device
    };
    exercise(DeviceId::PciTestdev, make, |_, _, _| {});
}
