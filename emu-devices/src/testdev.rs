//! The test devices that kvm-unit-tests expects of QEMU: pc-testdev (ports E0h to EBh, 2000h to 2017h, 64 KiB at
//! FF000000h) and pci-testdev (1B36:0005), as they show themselves to a guest there.

use crate::device::{Claims, Ctx, Device, all_ones};
use crate::line::Line;
use crate::pci::PciMap;
use crate::state::{SparseBytes, StateError, Stateful};
use serde::{Deserialize, Serialize};

/// The four bytes read back as written; they show twice.
const ECHO: u16 = 0xE0;
/// A page address to flush from the emulator's own mappings: nothing a guest could see.
const FLUSH: u16 = 0xE4;
const ECHO_BYTES: u16 = 0xE8;
/// One port an interrupt line.
const IRQ: u16 = 0x2000;
const MEMORY: u64 = 0xFF00_0000;
const MEMORY_SIZE: usize = 0x1_0000;

/// Guest-visible state of pc-testdev.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcTestdevState {
    echo: [u8; 4],
    memory: SparseBytes,
}

/// pc-testdev.
#[derive(Debug)]
pub struct PcTestdev {
    lines: Vec<Line>,
    echo: [u8; 4],
    memory: Vec<u8>,
}

impl PcTestdev {
    /// The device; port `2000h + n` drives `lines[n]` (I/O APIC input n), at most 24.
    pub fn new(mut lines: Vec<Line>) -> Self {
        lines.truncate(24);
        Self { lines, echo: [0; 4], memory: vec![0; MEMORY_SIZE] }
    }

    fn echo_range(port: u16, size: u8) -> Option<std::ops::Range<usize>> {
        let start = match port {
            ECHO..FLUSH => port - ECHO,
            ECHO_BYTES..0xEC => port - ECHO_BYTES,
            _ => return None,
        };
        Some(usize::from(start)..usize::from(start + u16::from(size)).min(4))
    }
}

impl Stateful for PcTestdev {
    type Saved = PcTestdevState;

    fn save(&self) -> PcTestdevState {
        let Self { lines: _, echo, memory } = self;
        PcTestdevState { echo: *echo, memory: SparseBytes::of(memory) }
    }

    fn restore(&mut self, saved: PcTestdevState) -> Result<(), StateError> {
        let damaged = StateError::Damaged { device: "pc-testdev", what: "its memory has another size" };
        self.memory = saved.memory.bytes(MEMORY_SIZE).ok_or(damaged)?;
        self.echo = saved.echo;
        Ok(())
    }
}

impl Device for PcTestdev {
    fn claims(&self) -> Claims {
        let irq = u32::from(IRQ);
        Claims {
            ports: vec![u32::from(ECHO)..0xEC, irq..irq + self.lines.len() as u32],
            mmio: vec![MEMORY..MEMORY + MEMORY_SIZE as u64],
        }
    }

    fn reset(&mut self, ctx: &mut Ctx) {
        for line in &self.lines {
            ctx.lines.set(*line, false);
        }
        self.echo = [0; 4];
        self.memory.fill(0);
    }

    fn port_read(&mut self, _ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        match Self::echo_range(port, size) {
            Some(range) => self.echo[range].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)),
            None => 0,
        }
    }

    fn port_write(&mut self, ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        if let Some(range) = Self::echo_range(port, size) {
            let length = range.len();
            self.echo[range].copy_from_slice(&value.to_le_bytes()[..length]);
        } else if let Some(line) = port.checked_sub(IRQ).and_then(|index| self.lines.get(usize::from(index))) {
            ctx.lines.set(*line, value & all_ones(size) != 0);
        }
    }

    fn mmio_read(&mut self, _ctx: &mut Ctx, address: u64, size: u8) -> u64 {
        let start = address.wrapping_sub(MEMORY) as usize;
        (0..usize::from(size)).rev().fold(0, |value, i| {
            value << 8 | self.memory.get(start.wrapping_add(i)).map_or(0xFF, |byte| u64::from(*byte))
        })
    }

    fn mmio_write(&mut self, _ctx: &mut Ctx, address: u64, size: u8, value: u64) {
        let start = address.wrapping_sub(MEMORY) as usize;
        for (i, byte) in value.to_le_bytes().into_iter().enumerate().take(usize::from(size)) {
            if let Some(place) = self.memory.get_mut(start.wrapping_add(i)) {
                *place = byte;
            }
        }
    }
}

/// Who counts the writes of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counting {
    /// The device.
    Device,
    /// Somebody outside of the guest takes every write to the place.
    TakenAll,
    /// Somebody outside takes the byte writes of the right value.
    TakenMatching,
}

/// One test that pci-testdev offers.
struct Test {
    name: &'static [u8],
    data: u32,
    counting: Counting,
}

const TESTS: [Test; 6] = [
    Test { name: b"mmio-no-eventfd", data: 0xFA, counting: Counting::Device },
    Test { name: b"mmio-wildcard-eventfd", data: 0xCE, counting: Counting::TakenAll },
    Test { name: b"mmio-datamatch-eventfd", data: 0xFA, counting: Counting::TakenMatching },
    Test { name: b"portio-no-eventfd", data: 0xFA, counting: Counting::Device },
    Test { name: b"portio-wildcard-eventfd", data: 0xCE, counting: Counting::TakenAll },
    Test { name: b"portio-datamatch-eventfd", data: 0xFA, counting: Counting::TakenMatching },
];

/// Tests 0 to 2 are of the memory BAR, 3 to 5 of the I/O BAR.
const TESTS_PER_BAR: usize = 3;

/// The BAR through which an access came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Space {
    Memory,
    Io,
}

/// Guest-visible state of pci-testdev.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciTestdevState {
    /// Index into the list of tests; both BARs show the header of the one chosen last.
    selected: Option<u8>,
    count: u32,
    memory: Option<u64>,
    ports: Option<u16>,
}

/// pci-testdev. Its configuration space is the PCI bus's.
#[derive(Debug, Default)]
pub struct PciTestdev {
    state: PciTestdevState,
}

impl PciTestdev {
    /// The device, not decoded yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn test(&self) -> Option<(usize, &'static Test)> {
        let index = usize::from(self.state.selected?);
        Some((index, TESTS.get(index)?))
    }

    /// Where in its BAR a test's writes go.
    fn place(index: usize) -> u32 {
        index as u32 + if index < TESTS_PER_BAR { 0x800 } else { 0x80 }
    }

    /// A byte of the header: test, width, two of padding, offset, data, count, name.
    fn header(&self, offset: u32) -> u8 {
        let Some((index, test)) = self.test() else { return 0 };
        let field = |value: u32| value.to_le_bytes()[(offset & 3) as usize];
        match offset {
            0 => index as u8,
            1 => 1,
            2 | 3 => 0,
            4..8 => field(Self::place(index)),
            8..12 => field(test.data),
            12..16 => field(self.state.count),
            _ => test.name.get(offset as usize - 16).copied().unwrap_or(0),
        }
    }

    fn write(&mut self, space: Space, offset: u32, size: u8, value: u32) {
        if offset == 0 {
            let base = if space == Space::Memory { 0 } else { TESTS_PER_BAR };
            let chosen = usize::from(value as u8);
            self.state.selected = (chosen < TESTS_PER_BAR).then_some((base + chosen) as u8);
            self.state.count = 0;
            return;
        }
        let Some((index, test)) = self.test() else { return };
        let here = (index < TESTS_PER_BAR) == (space == Space::Memory) && offset == Self::place(index);
        let matches = value & all_ones(size) == test.data;
        let taken = match test.counting {
            Counting::Device => false,
            Counting::TakenAll => true,
            Counting::TakenMatching => matches && size == 1,
        };
        if here && matches && !taken {
            self.state.count = self.state.count.wrapping_add(1);
        }
    }

    fn read(&self, offset: u32, size: u8) -> u64 {
        (0..u32::from(size)).rev().fold(0, |value, i| value << 8 | u64::from(self.header(offset.wrapping_add(i))))
    }
}

impl Stateful for PciTestdev {
    type Saved = PciTestdevState;

    fn save(&self) -> PciTestdevState {
        let Self { state } = self;
        state.clone()
    }

    fn restore(&mut self, state: PciTestdevState) -> Result<(), StateError> {
        self.state = state;
        Ok(())
    }
}

impl Device for PciTestdev {
    fn claims(&self) -> Claims {
        Claims {
            ports: self.state.ports.iter().map(|start| u32::from(*start)..u32::from(*start) + 0x100).collect(),
            mmio: self.state.memory.iter().map(|start| *start..start.saturating_add(0x1000)).collect(),
        }
    }

    fn reset(&mut self, _ctx: &mut Ctx) {
        self.state.selected = None;
        self.state.count = 0;
    }

    fn pci_moved(&mut self, map: &PciMap) {
        (self.state.memory, self.state.ports) = map.testdev;
    }

    fn port_read(&mut self, _ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        self.read(u32::from(port.wrapping_sub(self.state.ports.unwrap_or(0))), size) as u32
    }

    fn port_write(&mut self, _ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        let offset = port.wrapping_sub(self.state.ports.unwrap_or(0));
        self.write(Space::Io, u32::from(offset), size, value);
    }

    fn mmio_read(&mut self, _ctx: &mut Ctx, address: u64, size: u8) -> u64 {
        self.read(address.wrapping_sub(self.state.memory.unwrap_or(0)) as u32, size)
    }

    fn mmio_write(&mut self, _ctx: &mut Ctx, address: u64, size: u8, value: u64) {
        let offset = address.wrapping_sub(self.state.memory.unwrap_or(0)) as u32;
        self.write(Space::Memory, offset, size, value as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceId;
    use crate::testing::Bench;

    #[test]
    fn pc_testdev_echo_keeps_each_byte_lane() {
        let mut bench = Bench::new(DeviceId::PcTestdev, 1);
        let mut device = PcTestdev::new(vec![]);
        device.port_write(&mut bench.ctx(), 0xE0, 4, 0x1234_5678);
        device.port_write(&mut bench.ctx(), 0xE1, 1, 0xAA);
        device.port_write(&mut bench.ctx(), 0xE2, 2, 0xBBCC);
        assert_eq!(device.port_read(&mut bench.ctx(), 0xE0, 4), 0xBBCC_AA78);
        assert_eq!(device.port_read(&mut bench.ctx(), 0xE8, 2), 0xAA78);
        device.port_write(&mut bench.ctx(), 0xE3, 4, 0x11);
        assert_eq!(device.port_read(&mut bench.ctx(), 0xE3, 4), 0x11);
        assert_eq!(device.port_read(&mut bench.ctx(), 0xE4, 4), 0);
    }

    #[test]
    fn pc_testdev_irq_port_drives_its_line() {
        let mut bench = Bench::new(DeviceId::PcTestdev, 1);
        let mut device = PcTestdev::new((0..24).map(Line).collect());
        bench.outb(&mut device, 0x200E, 1);
        assert!(bench.lines.level(Line(14)));
        bench.outb(&mut device, 0x200E, 0);
        assert!(!bench.lines.level(Line(14)));
    }

    #[test]
    fn pc_testdev_memory_reads_back() {
        let mut bench = Bench::new(DeviceId::PcTestdev, 1);
        let mut device = PcTestdev::new(vec![]);
        device.mmio_write(&mut bench.ctx(), 0xFF00_0008, 8, 0x1122_3344_5566_7788);
        assert_eq!(device.mmio_read(&mut bench.ctx(), 0xFF00_000A, 2), 0x5566);
        device.mmio_write(&mut bench.ctx(), 0xFF00_FFFF, 1, 0x99);
        assert_eq!(device.mmio_read(&mut bench.ctx(), 0xFF00_FFFC, 4), 0x9900_0000);
    }

    #[test]
    fn pci_testdev_counts_writes_of_the_chosen_test() {
        let mut bench = Bench::new(DeviceId::PciTestdev, 1);
        let mut device = PciTestdev::new();
        device.pci_moved(&PciMap { testdev: (Some(0xFEBF_0000), Some(0xC100)), ..PciMap::default() });
        bench.outb(&mut device, 0xC100, 0);
        assert_eq!(device.port_read(&mut bench.ctx(), 0xC100, 4), 0x0103);
        assert_eq!(device.port_read(&mut bench.ctx(), 0xC104, 4), 0x83);
        for value in [0xFA, 0xFB, 0xFA] {
            bench.outb(&mut device, 0xC183, value);
        }
        assert_eq!(device.port_read(&mut bench.ctx(), 0xC10C, 4), 2);
        device.mmio_write(&mut bench.ctx(), 0xFEBF_0000, 1, 0);
        assert_eq!(device.mmio_read(&mut bench.ctx(), 0xFEBF_0004, 4), 0x800);
        device.mmio_write(&mut bench.ctx(), 0xFEBF_0800, 1, 0xFA);
        assert_eq!(device.mmio_read(&mut bench.ctx(), 0xFEBF_000C, 4), 1);
        assert_eq!(device.mmio_read(&mut bench.ctx(), 0xFEBF_0010, 8), u64::from_le_bytes(*b"mmio-no-"));
    }

    #[test]
    fn pci_testdev_test_beyond_the_last_shows_an_empty_header() {
        let mut bench = Bench::new(DeviceId::PciTestdev, 1);
        let mut device = PciTestdev::new();
        device.pci_moved(&PciMap { testdev: (None, Some(0xC100)), ..PciMap::default() });
        bench.outb(&mut device, 0xC100, 3);
        assert_eq!(device.port_read(&mut bench.ctx(), 0xC100, 4), 0);
    }
}
