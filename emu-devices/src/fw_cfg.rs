//! QEMU's firmware configuration device: named items that firmware reads through ports 510h, 511h and 514h.

use crate::device::{Claims, Ctx, Device, split_read};
use crate::state::{StateError, Stateful, check};
use serde::{Deserialize, Serialize};

/// Longest name of a file, without the zero behind it.
pub const MAX_NAME: usize = 55;
/// Most bytes of all items.
pub const MAX_BYTES: usize = 64 << 20;

/// The selector: 16 bits, written alone.
const SELECTOR: u16 = 0x510;
/// The selected item's next byte.
const DATA: u16 = 0x511;
/// The address of a DMA command, big-endian; its lower half starts it.
const DMA_HIGH: u16 = 0x514;
const DMA_LOW: u16 = 0x518;

const KEY_SIGNATURE: u16 = 0x00;
const KEY_ID: u16 = 0x01;
const KEY_RAM_SIZE: u16 = 0x03;
const KEY_PROCESSORS: u16 = 0x05;
const KEY_MAX_PROCESSORS: u16 = 0x0F;
const KEY_DIRECTORY: u16 = 0x19;
const KEY_FIRST_FILE: u16 = 0x20;

/// Bits of a DMA command.
const DMA_ERROR: u32 = 1;
const DMA_READ: u32 = 2;
const DMA_SKIP: u32 = 4;
const DMA_SELECT: u32 = 8;
const DMA_WRITE: u32 = 16;

/// A named item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FwCfgFile {
    /// Its name, such as `opt/org.example/setting`.
    pub name: String,
    /// What it holds.
    pub data: Vec<u8>,
}

/// What the firmware is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FwCfgConfig {
    /// Logical processors.
    pub processors: u16,
    /// RAM, bytes.
    pub memory: u64,
    /// Files; sorted by name here, whatever their order.
    pub files: Vec<FwCfgFile>,
}

/// Guest-visible state: the items never change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwCfgState {
    selected: u16,
    offset: u32,
    dma_high: u32,
    /// A hash of the items, by which a machine knows its own.
    items: u64,
}

/// The device.
#[derive(Debug)]
pub struct FwCfg {
    items: Vec<(u16, Vec<u8>)>,
    state: FwCfgState,
}

impl FwCfg {
    /// The device with these items.
    pub fn new(config: FwCfgConfig) -> Self {
        let mut files = config.files;
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let mut directory = (files.len() as u32).to_be_bytes().to_vec();
        for (file, key) in files.iter().zip(KEY_FIRST_FILE..) {
            directory.extend((file.data.len() as u32).to_be_bytes());
            directory.extend(key.to_be_bytes());
            directory.extend([0; 2]);
            let end = directory.len() + MAX_NAME + 1;
            directory.extend(file.name.bytes().take(MAX_NAME));
            directory.resize(end, 0);
        }
        let mut items = vec![
            (KEY_SIGNATURE, b"QEMU".to_vec()),
            // Both interfaces, ports and DMA.
            (KEY_ID, 3u32.to_le_bytes().to_vec()),
            (KEY_RAM_SIZE, config.memory.to_le_bytes().to_vec()),
            (KEY_PROCESSORS, config.processors.to_le_bytes().to_vec()),
            (KEY_MAX_PROCESSORS, config.processors.to_le_bytes().to_vec()),
            (KEY_DIRECTORY, directory),
        ];
        items.extend((KEY_FIRST_FILE..).zip(files).map(|(key, file)| (key, file.data)));
        let mut hash = emu_core::hash::StableHash::new();
        for (key, data) in &items {
            hash.number(u64::from(*key));
            hash.number(data.len() as u64);
            hash.bytes(data);
        }
        Self { items, state: FwCfgState { items: hash.get(), ..FwCfgState::default() } }
    }

    fn item(&self) -> &[u8] {
        let found = self.items.iter().find(|(key, _)| *key == self.state.selected);
        found.map_or(&[], |(_, data)| data.as_slice())
    }

    /// The next byte; what is behind the end reads as zeros.
    fn next_byte(&mut self) -> u8 {
        let byte = self.item().get(self.state.offset as usize).copied().unwrap_or(0);
        self.state.offset = self.state.offset.saturating_add(1);
        byte
    }

    fn select(&mut self, key: u16) {
        (self.state.selected, self.state.offset) = (key, 0);
    }

    /// Carries out the command at `address`: control, length, address, all big-endian. Its control is 0 afterwards, or 1
    /// after an error.
    fn command(&mut self, ctx: &mut Ctx, address: u64) {
        let mut command = [0; 16];
        ctx.memory.dma_read(address, &mut command);
        let [a, b, c, d, e, f, g, h, target @ ..] = command;
        let (control, length) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        if control & DMA_SELECT != 0 {
            self.select((control >> 16) as u16);
        }
        let mut result = 0;
        if control & DMA_READ != 0 {
            self.read_to(ctx, u64::from_be_bytes(target), length);
        } else if control & DMA_WRITE != 0 {
            result = DMA_ERROR;
        } else if control & DMA_SKIP != 0 {
            self.state.offset = self.state.offset.saturating_add(length);
        }
        ctx.memory.dma_write(address, &result.to_be_bytes());
    }

    fn read_to(&mut self, ctx: &mut Ctx, target: u64, length: u32) {
        // A length beyond the item is what a guest asks for, not what the host does.
        let item = self.item();
        let from = (self.state.offset as usize).min(item.len());
        let present = (item.len() - from).min(length as usize);
        let data = item.get(from..from + present).unwrap_or_default();
        ctx.memory.dma_write(target, data);
        let (mut at, mut left) = (target.wrapping_add(present as u64), (length as usize - present).min(MAX_BYTES));
        while left > 0 {
            let piece = left.min(4096);
            ctx.memory.dma_write(at, &[0; 4096][..piece]);
            (at, left) = (at.wrapping_add(piece as u64), left - piece);
        }
        self.state.offset = self.state.offset.saturating_add(length);
    }
}

impl Stateful for FwCfg {
    type Saved = FwCfgState;
    const NAME: &'static str = "firmware configuration device";

    fn save(&self) -> FwCfgState {
        // The items are the configuration's.
        let Self { items: _, state } = self;
        state.clone()
    }

    fn restore(&mut self, saved: FwCfgState) -> Result<(), StateError> {
        check(saved.items == self.state.items, "firmware configuration", "it has other items")?;
        self.state = saved;
        Ok(())
    }
}

impl Device for FwCfg {
    fn claims(&self) -> Claims {
        Claims { ports: vec![0x510..0x512, 0x514..0x51C], mmio: Vec::new() }
    }

    fn reset(&mut self, _ctx: &mut Ctx) {
        self.select(KEY_SIGNATURE);
        self.state.dma_high = 0;
    }

    fn port_read(&mut self, _ctx: &mut Ctx, port: u16, size: u8) -> u32 {
        match port {
            SELECTOR | DATA => split_read(port, size, |at| if at == DATA { self.next_byte() } else { 0xFF }),
            // The signature says that there is DMA.
            _ => split_read(port, size, |at| {
                b"QEMU CFG".get(usize::from(at.wrapping_sub(DMA_HIGH))).copied().unwrap_or(0xFF)
            }),
        }
    }

    fn port_write(&mut self, ctx: &mut Ctx, port: u16, size: u8, value: u32) {
        match (port, size) {
            (SELECTOR, 2) => self.select(value as u16),
            (DMA_HIGH, 4) => self.state.dma_high = value.swap_bytes(),
            (DMA_LOW, 4) => {
                let high = std::mem::take(&mut self.state.dma_high);
                self.command(ctx, u64::from(high) << 32 | u64::from(value.swap_bytes()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceId;
    use crate::testing::Bench;

    fn device() -> (FwCfg, Bench) {
        let file = |name: &str, data: &[u8]| FwCfgFile { name: name.to_owned(), data: data.to_vec() };
        let files = vec![file("opt/b", b"world"), file("opt/a", b"hello")];
        let config = FwCfgConfig { processors: 3, memory: 1 << 30, files };
        (FwCfg::new(config), Bench::new(DeviceId::FwCfg, 1_000_000))
    }

    fn select(device: &mut FwCfg, bench: &mut Bench, key: u16) {
        bench.call(|ctx| device.port_write(ctx, SELECTOR, 2, key.into()));
    }

    fn read(device: &mut FwCfg, bench: &mut Bench, count: usize) -> Vec<u8> {
        (0..count).map(|_| bench.inb(device, DATA)).collect()
    }

    #[test]
    fn items_are_read_byte_by_byte_and_are_zero_behind_their_end() {
        let (mut device, mut bench) = device();
        select(&mut device, &mut bench, KEY_SIGNATURE);
        assert_eq!(read(&mut device, &mut bench, 6), b"QEMU\0\0");
        select(&mut device, &mut bench, KEY_PROCESSORS);
        assert_eq!(read(&mut device, &mut bench, 2), [3, 0]);
        select(&mut device, &mut bench, 0x7777);
        assert_eq!(read(&mut device, &mut bench, 2), [0, 0]);
    }

    #[test]
    fn directory_names_the_files_in_order_with_size_and_key() {
        let (mut device, mut bench) = device();
        select(&mut device, &mut bench, KEY_DIRECTORY);
        let directory = read(&mut device, &mut bench, 4 + 2 * 64);
        assert_eq!(directory[..4], [0, 0, 0, 2]);
        assert_eq!((&directory[4..12], &directory[12..18]), (&[0, 0, 0, 5, 0, 0x20, 0, 0][..], &b"opt/a\0"[..]));
        assert_eq!((&directory[72..74], &directory[76..81]), (&[0, 0x21][..], &b"opt/b"[..]));
        select(&mut device, &mut bench, 0x21);
        assert_eq!(read(&mut device, &mut bench, 5), b"world");
    }

    #[test]
    fn dma_selects_skips_and_reads_and_refuses_to_write() {
        let (mut device, mut bench) = device();
        let mut command = |control: u32, length: u32, target: u64| {
            let words = [control.to_be_bytes(), length.to_be_bytes()].concat();
            bench.memory.0[0x1000..0x1008].copy_from_slice(&words);
            bench.memory.0[0x1008..0x1010].copy_from_slice(&target.to_be_bytes());
            bench.call(|ctx| device.port_write(ctx, DMA_HIGH, 4, 0));
            bench.call(|ctx| device.port_write(ctx, DMA_LOW, 4, 0x1000u32.swap_bytes()));
            (bench.memory.0[0x1003], bench.memory.0[0x2000..0x2008].to_vec())
        };
        command(DMA_READ, 8, 0x2000);
        assert_eq!(command(0x0020_0000 | DMA_SELECT | DMA_SKIP, 2, 0).0, 0);
        assert_eq!(command(DMA_READ, 6, 0x2000), (0, b"llo\0\0\0\0\0".to_vec()));
        assert_eq!(command(0x0020_0000 | DMA_SELECT | DMA_WRITE, 2, 0x2000).0, 1);
        // A length that no item has costs no more than the largest.
        assert_eq!(command(0x0020_0000 | DMA_SELECT | DMA_READ, u32::MAX, 0x1F_FFFC).0, 0);
        assert_eq!(bench.memory.0[0x1F_FFFC..], *b"hell");
    }

    #[test]
    fn presence_of_dma_is_told_at_its_own_port() {
        let (mut device, mut bench) = device();
        assert_eq!(bench.call(|ctx| device.port_read(ctx, DMA_HIGH, 4)), u32::from_le_bytes(*b"QEMU"));
        assert_eq!(bench.call(|ctx| device.port_read(ctx, DMA_LOW, 4)), u32::from_le_bytes(*b" CFG"));
    }
}
