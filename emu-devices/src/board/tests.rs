use super::*;
use crate::ata::AtaDrive;
use crate::debug_ports::DebugExit;
use crate::disk::{DrivePlace, MediumId};
use crate::flash::FlashConfig;
use crate::fw_cfg::FwCfgConfig;
use crate::keyboard::Key;
use crate::rtc::CmosConfig;
use crate::state::StateError;
use crate::testing::Random;
use emu_core::bus::DeliveryMode;

const HZ: u64 = 10_000_000;

fn image(name: &str, byte: u8, size: usize) -> DiskImage {
    DiskImage::from_bytes(name, vec![byte; size]).unwrap()
}

fn config() -> BoardConfig {
    BoardConfig {
        flash: Some(FlashConfig { address: 0xFFC0_0000, contents: vec![0xFF; 8192] }),
        fw_cfg: Some(FwCfgConfig { processors: 1, memory: 1 << 20, files: Vec::new() }),
        hz: HZ,
        rtc: RtcConfig { start: 1_767_225_600, cmos: CmosConfig::default() },
        ata: [
            [Some(AtaDrive::HardDisk { image: image("disk", 1, 300 * 512), geometry: None, serial: "1".into() }), None],
            [Some(AtaDrive::Cdrom { image: Some(image("disc", 2, 9 * 2048)) }), None],
        ],
        floppies: [Some(FloppyDrive::with_disk(None, image("floppy", 3, 1_474_560)).unwrap()), None],
        debug: DebugPortsConfig { port_402: true, debug_exit: Some(DebugExit { port: 0x501, size: 4 }) },
        test_devices: true,
        video_memory: 0x4_0000,
        vga_rom: vec![0x55; 3000],
    }
}

/// A board with its memory and clock.
struct Machine {
    board: Board,
    ram: Ram,
    now: u64,
}

impl Machine {
    fn new() -> Self {
        let mut ram = Ram::new(1 << 20).unwrap();
        Self { board: Board::new(config(), &mut ram), ram, now: 0 }
    }

    /// A fresh one that has taken over everything by way of its encoding.
    fn restored(&self) -> Self {
        let mut other = Self::new();
        let bytes = postcard::to_allocvec(&self.board.save().unwrap()).unwrap();
        other.board.restore(postcard::from_bytes(&bytes).unwrap()).unwrap();
        for (number, page) in self.ram.ram().chunks(4096).enumerate() {
            other.ram.store_bytes(4096 * number, page);
        }
        other.ram.set_a20(self.ram.a20());
        other.now = self.now;
        other
    }

    /// A random access to `id`, or something from outside; what came back.
    fn step(&mut self, id: DeviceId, random: &mut Random) -> u64 {
        let magnitude = random.below(18);
        self.now += random.below(1 << magnitude);
        let mut none = NoDma;
        let Some(Lent { device, .. }) = self.board.lend(id, &mut none) else { return 0 };
        let claims = device.claims();
        let (pick, value) = (random.next(), random.next() >> random.below(64));
        let size = 1u8 << random.below(3);
        let write = pick >> 40 & 1 == 0;
        let (ram, now) = (&mut self.ram, self.now);
        let place = (pick % (claims.ports.len() + claims.mmio.len()).max(1) as u64) as usize;
        let answer = if let Some(range) = claims.ports.get(place) {
            let port = (range.start + (pick >> 8) as u32 % (range.end - range.start)) as u16;
            if write {
                self.board.port_write(ram, now, port, size, value as u32);
                0
            } else {
                self.board.port_read(ram, now, port, size).into()
            }
        } else if let Some(range) = claims.mmio.get(place - claims.ports.len()) {
            let address = (range.start + (pick >> 8) % (range.end - range.start)) & !3;
            if write {
                self.board.mmio_write(ram, now, address, 4, value);
                0
            } else {
                self.board.mmio_read(ram, now, address, 4)
            }
        } else {
            0
        };
        let event = match random.below(40) {
            0 => InputEvent::Key { key: Key::all().nth(random.below(90) as usize).unwrap(), pressed: value & 1 == 0 },
            1 => InputEvent::Mouse { dx: value as i32, dy: 3, dz: 1, buttons: pick as u8 },
            2 => InputEvent::Serial(value.to_le_bytes().to_vec()),
            3 => InputEvent::PowerButton,
            4 => InputEvent::Eject { drive: DrivePlace::Floppy { drive: 0 } },
            5 => return answer | u64::from(self.board.interrupt_acknowledge(now)) << 32,
            _ => return answer,
        };
        self.board.inject(now + random.below(1000), event).unwrap();
        answer
    }
}

#[test]
fn each_device_restored_after_random_accesses_answers_like_the_one_that_went_on() {
    for id in DeviceId::ALL {
        for seed in 1..=4 {
            let (mut machine, mut random) = (Machine::new(), Random::new(seed));
            for _ in 0..600 {
                machine.step(id, &mut random);
            }
            let mut restored = machine.restored();
            let mut same = random.clone();
            for step in 0..600 {
                let (one, other) = (machine.step(id, &mut random), restored.step(id, &mut same));
                assert_eq!(one, other, "{id:?}, seed {seed}, step {step}");
            }
            let (one, other) = (&machine.board, &restored.board);
            assert_eq!(one.encode_state().unwrap(), other.encode_state().unwrap(), "{id:?}, seed {seed}");
            let whole = |board: &Board| postcard::to_allocvec(&board.save().unwrap()).unwrap();
            assert_eq!(whole(one), whole(other), "{id:?}, seed {seed}");
        }
    }
}

#[test]
fn state_of_another_machine_is_refused_by_what_differs() {
    let saved = Machine::new().board.save().unwrap();
    let refused = |change: fn(&mut BoardConfig)| {
        let mut config = config();
        change(&mut config);
        let mut ram = Ram::new(1 << 20).unwrap();
        Board::new(config, &mut ram).restore(saved.clone()).unwrap_err().to_string()
    };
    assert!(refused(|config| config.hz = 1_000_000).contains("10000000 cycles a second"));
    assert!(refused(|config| config.floppies[1] = config.floppies[0].take()).contains("floppy drive"));
    assert!(refused(|config| config.test_devices = false).contains("has other functions"));
    assert!(refused(|config| config.video_memory = 16 << 20).contains("VGA"));
    let other = |config: &mut BoardConfig| {
        config.floppies[0] = Some(FloppyDrive::with_disk(None, image("other", 9, 1_474_560)).unwrap());
    };
    let text = refused(other);
    assert!(text.contains("\"floppy\" (1474560 bytes, fingerprint") && text.contains("floppy drive A:"), "{text}");
}

/// Some medium's identity, for a state that wants another.
fn insert(machine: &mut Machine, drive: DrivePlace, medium: MediumId) {
    machine.board.inject(0, InputEvent::Insert { drive, medium }).unwrap();
    machine.board.advance(&mut machine.ram, machine.now);
}

/// A cycle that is wider than what answers is run as narrower ones, the lowest port first (82371SB 3.2, "ISA interface").
#[test]
fn port_access_that_covers_two_devices_reaches_both() {
    let owners = Machine::new();
    let mut meeting_places = 0;
    for (port, size) in (0..0xFFFC).flat_map(|port| [(port, 2u8), (port, 4)]) {
        let mut there: Vec<_> = (0..size.into()).filter_map(|n| owners.board.port_device(port + n)).collect();
        there.dedup();
        // QEMU's test device does not answer a wide access as it answers bytes.
        if there.len() < 2 || there.contains(&DeviceId::PcTestdev) {
            continue;
        }
        meeting_places += 1;
        let (mut whole, mut parts) = (Machine::new(), Machine::new());
        let bytes = || (0..size).map(|n| (port + u16::from(n), 8 * n));
        let read = bytes().map(|(at, shift)| parts.board.port_read(&mut parts.ram, 0, at, 1) << shift).sum::<u32>();
        assert_eq!(whole.board.port_read(&mut whole.ram, 0, port, size), read, "{size} bytes at {port:x} of {there:?}");
        let value = 0x5A3C_0F01;
        whole.board.port_write(&mut whole.ram, 0, port, size, value);
        for (at, shift) in bytes() {
            parts.board.port_write(&mut parts.ram, 0, at, 1, value >> shift & 0xFF);
        }
        let (one, other) = (whole.board.encode_state().unwrap(), parts.board.encode_state().unwrap());
        assert_eq!(one, other, "{size} bytes at {port:x} of {there:?}");
    }
    assert!(meeting_places > 10, "{meeting_places}");
}

#[test]
fn media_changed_since_the_snapshot_are_where_they_were_after_it_is_restored() {
    let mut machine = Machine::new();
    let drive = DrivePlace::Floppy { drive: 0 };
    let first = machine.board.medium(drive).unwrap().id().unwrap();
    let second = machine.board.add_medium(image("second", 4, 737_280)).unwrap();
    let before = machine.board.save().unwrap();
    insert(&mut machine, drive, second);
    assert_eq!(machine.board.medium(drive).unwrap().id().unwrap(), second);
    let after = machine.board.save().unwrap();
    machine.board.restore(before).unwrap();
    assert_eq!(machine.board.medium(drive).unwrap().id().unwrap(), first);
    machine.board.restore(after.clone()).unwrap();
    assert_eq!(machine.board.medium(drive).unwrap().id().unwrap(), second);
    // A machine that has not that medium at hand says so, and stays as it was.
    let mut other = Machine::new();
    let error = other.board.restore(after).unwrap_err();
    assert!(matches!(error, StateError::OtherMedium { removable: true, .. }), "{error}");
    assert_eq!(other.board.medium(drive).unwrap().id().unwrap(), first);
}

#[test]
fn medium_put_into_the_drive_that_it_is_in_is_a_change_that_the_guest_sees() {
    let mut machine = Machine::new();
    let drive = DrivePlace::Floppy { drive: 0 };
    let there = machine.board.medium(drive).unwrap().id().unwrap();
    let changed = |machine: &mut Machine| machine.board.port_read(&mut machine.ram, machine.now, 0x3F7, 1) & 0x80 != 0;
    // Motor A: on; a seek to track 1 with the disk in the drive takes the line back.
    for (port, value) in [(0x3F2, 0x1C), (0x3F5, 0x0F), (0x3F5, 0), (0x3F5, 1)] {
        machine.now += HZ;
        machine.board.port_write(&mut machine.ram, machine.now, port, 1, value);
    }
    machine.now += HZ;
    machine.board.advance(&mut machine.ram, machine.now);
    assert!(!changed(&mut machine));
    insert(&mut machine, drive, there);
    assert!(changed(&mut machine));
    assert_eq!(machine.board.medium(drive).unwrap().id().unwrap(), there);
    assert_eq!(machine.board.media().count(), Machine::new().board.media().count());
}

#[test]
fn debug_exit_over_another_devices_port_is_found_with_that_device() {
    let found = |port: u16| {
        let (mut config, mut ram) = (config(), Ram::new(1 << 20).unwrap());
        config.debug.debug_exit = Some(DebugExit { port, size: 4 });
        Board::new(config, &mut ram).before_debug_exit()
    };
    assert_eq!((found(0xF4), found(0x501), found(0xFFFE)), (None, None, None));
    for (port, expected, device) in [
        (0x64, 0x64, DeviceId::Keyboard),
        (0x61, 0x61, DeviceId::Pit),
        (0xE7, 0xE9, DeviceId::Debug),
        (0xCF5, 0xCF8, DeviceId::Pci),
        (0x3F8, 0x3F8, DeviceId::Serial),
    ] {
        assert_eq!(found(port), Some((expected, device)), "{port:#x}");
        assert!(!device.words().is_empty() && !device.words().ends_with('.'));
    }
}

#[test]
fn input_event_happens_at_its_cycle_behind_the_deadlines_of_that_cycle() {
    // The same serial byte, injected early or in time: the receiver sees it at the same cycle.
    let state = |early: bool| {
        let mut machine = Machine::new();
        let event = InputEvent::Serial(vec![7]);
        if early {
            machine.board.inject(5000, event.clone()).unwrap();
        }
        machine.board.advance(&mut machine.ram, 5000 - u64::from(early));
        if !early {
            assert_eq!(machine.board.inject(0, event).unwrap(), 5000);
        }
        machine.board.advance(&mut machine.ram, 9000);
        machine.board.encode_state().unwrap()
    };
    assert_eq!(state(true), state(false));
}

#[test]
fn input_event_of_the_cycle_of_an_access_happens_behind_it() {
    // Injected as soon as the access has been made it gets this cycle; in a replay it waits from the beginning.
    let seen = |cycle: u64| {
        let mut machine = Machine::new();
        let event = InputEvent::WriteMemory { address: 0x3000, bytes: vec![7] };
        machine.board.inject(5000, event).unwrap();
        machine.board.port_read(&mut machine.ram, cycle, 0x61, 1);
        let seen = machine.ram.load(0x3000, 1);
        machine.board.advance(&mut machine.ram, cycle);
        (seen, machine.ram.load(0x3000, 1))
    };
    assert_eq!((seen(4999), seen(5000), seen(5001)), ((0, 0), (0, 7), (7, 7)));
}

#[test]
fn input_event_for_a_drive_that_is_not_there_is_refused() {
    let mut machine = Machine::new();
    let drive = DrivePlace::Ata { channel: 0, drive: 0 };
    assert_eq!(machine.board.inject(0, InputEvent::Eject { drive }), Err(InjectError::NoDrive(drive)));
}

/// Restores a state in which some bytes are others, and goes on with it if it is taken.
fn restore_damaged(good: &[u8], random: &mut Random) -> bool {
    let mut bytes = good.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] = if random.below(2) == 0 { random.next() as u8 } else { bytes[at] ^ 1 << random.below(8) };
    }
    let Ok(state) = postcard::from_bytes(&bytes) else { return false };
    let mut machine = Machine::new();
    if machine.board.restore(state).is_err() {
        return false;
    }
    machine.now = machine.board.wires.time;
    for _ in 0..60 {
        let id = DeviceId::ALL[random.below(DeviceId::ALL.len() as u64) as usize];
        machine.step(id, random);
    }
    machine.board.vga.render(&mut crate::vga::Frame::default(), machine.now, HZ);
    machine.board.vga.text_screen();
    machine.board.save().is_ok()
}

#[test]
fn damaged_state_is_an_error_or_a_board_that_goes_on() {
    let (mut machine, mut random) = (Machine::new(), Random::new(5));
    for id in DeviceId::ALL {
        for _ in 0..40 {
            machine.step(id, &mut random);
        }
    }
    let good = postcard::to_allocvec(&machine.board.save().unwrap()).unwrap();
    let taken = (0..2000).filter(|_| restore_damaged(&good, &mut random)).count();
    assert!(taken > 0);
}

// MP specification 3.6.2.2 "Virtual Wire Mode": by way of the I/O APIC.
#[test]
fn pic_s_int_reaches_processors_as_ext_int_through_io_apic_input_0() {
    let mut machine = Machine::new();
    let outb = |machine: &mut Machine, port, value| {
        machine.now += 1;
        machine.board.port_write(&mut machine.ram, machine.now, port, 1, value);
    };
    for (port, value) in [(0x20, 0x11), (0x21, 0x30), (0x21, 4), (0x21, 1), (0x21, 0xEF)] {
        outb(&mut machine, port, value);
    }
    machine.board.take_requests();
    let ioapic = |machine: &mut Machine, register: u64, value: u64| {
        machine.now += 1;
        machine.board.mmio_write(&mut machine.ram, machine.now, IO_APIC_BASE, 4, register);
        machine.board.mmio_write(&mut machine.ram, machine.now, IO_APIC_BASE + 0x10, 4, value);
    };
    // ExtINT, edge, not masked, to APIC 1.
    ioapic(&mut machine, 0x11, 1 << 24);
    ioapic(&mut machine, 0x10, 0x700);
    let ext_ints = |machine: &mut Machine| {
        let sent = machine.board.take_requests().apic;
        sent.iter().filter(|m| m.delivery == DeliveryMode::ExtInt && m.destination == 1).count()
    };
    machine.board.drive(lines::SERIAL, true);
    machine.board.update_intr();
    assert_eq!((ext_ints(&mut machine), machine.board.intr()), (1, true));
    assert_eq!(machine.board.interrupt_acknowledge(machine.now), 0x34);
    assert_eq!(ext_ints(&mut machine), 0, "in service");
    machine.board.drive(lines::SERIAL, false);
    machine.board.drive(lines::SERIAL, true);
    outb(&mut machine, 0x20, 0x20);
    assert_eq!(ext_ints(&mut machine), 1, "the next one, after the end of the first");
}
