//! Physical memory: RAM and ROM in one allocation, the map that finds them, and which bytes hold decoded code.

mod saved;

pub use saved::RamState;

use super::image::MemoryImage;
use crate::cycles::cache::Cache;
use memmap2::MmapMut;
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes in a page.
pub const PAGE: u64 = 4096;
/// Where RAM ends below 4 GiB at most; what lies above is moved to 4 GiB.
pub const LOW_RAM_LIMIT: u64 = 0xC000_0000;
/// Longest ROM at the top of 4 GiB, bytes.
pub const MAX_ROM: usize = 0x40_0000;

const LEGACY_START: u64 = 0xA_0000;
const LEGACY_END: u64 = 0x10_0000;
const LEGACY_PAGES: usize = ((LEGACY_END - LEGACY_START) / PAGE) as usize;
const FOUR_GIB: u64 = 1 << 32;

/// What answers at a physical address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Host offset into the allocation.
    Memory(usize),
    /// A device, or nothing.
    Bus,
    /// Writes vanish.
    Ignored,
}

/// What answers in a 4 KiB page between A0000h and FFFFFh, for one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Legacy {
    /// The RAM beneath.
    Ram,
    /// Shadowed ROM (a write to it vanishes).
    Rom,
    /// A device, or nothing.
    Bus,
}

/// Why a ROM image is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RomError {
    /// Longer than [`MAX_ROM`] or empty.
    #[error("a ROM must have 1 to {MAX_ROM} bytes; this one has {0}")]
    Size(usize),
    /// An option ROM that does not fit between C0000h and FFFFFh.
    #[error("a ROM of {size} bytes at {address:#x} does not fit between 0xc0000 and 0xfffff or at the top of 4 GiB")]
    Place {
        /// Bytes.
        size: usize,
        /// Physical address.
        address: u64,
    },
}

/// The host has no such amount of memory.
#[derive(Debug, thiserror::Error)]
#[error("the host does not give {bytes} bytes for guest memory: {reason}")]
pub struct MemoryError {
    /// Bytes asked for.
    pub bytes: u64,
    /// What the host says.
    #[source]
    pub reason: std::io::Error,
}

/// Writes beside a page's code, once a part of it was dropped, until all of it is.
const PATIENCE: u8 = 4;
/// The same once one has come as near as the same 64 bytes and dropped nothing.
const PATIENCE_BESIDE: u8 = 64;

/// Which of a page's 64-byte pieces the `len` bytes at `offset` lie in, up to its end: bit *n* is piece *n*. No byte counts as
/// one.
pub fn pieces_of(offset: usize, len: usize) -> u64 {
    let last = ((offset + len.max(1) - 1) / 64).min(63);
    (u64::MAX >> (63 - last)) & (u64::MAX << (offset / 64))
}

/// Guest RAM and ROM.
pub struct Ram {
    /// RAM, then the 384 KiB of legacy ROM, then the ROM at the top of 4 GiB.
    bytes: MmapMut,
    ram_size: usize,
    low_end: u64,
    rom_offset: usize,
    rom_start: u64,
    legacy_rom_offset: usize,
    legacy: [(Legacy, Legacy); LEGACY_PAGES],
    /// For each page of `bytes`: which of its 64-byte pieces hold decoded code.
    code: Box<[u64]>,
    /// For each page of `bytes`: whether a processor may have a fast write entry for it.
    fast_writes: Box<[bool]>,
    /// For each page of `bytes`: whether it may have been written since `image` was taken.
    changed: Box<[bool]>,
    /// The RAM when it was last saved or restored.
    image: MemoryImage,
    /// The cache that processors share, where the clock models caches.
    shared_cache: Option<Cache>,
    /// Counts pages with fast write entries that came to hold code; processors then drop those entries.
    code_epoch: u64,
    /// For each page of `bytes`: it was written where its code is, or near it, and nothing was decoded there since; so many
    /// writes beside its code until all that is left of it is dropped, too. 0: that is not so.
    patience: Box<[u8]>,
    /// Pages with code that were written since [`Ram::take_stale_pages`], and their bytes from the first one written to the
    /// last.
    stale: BTreeMap<u32, Range<usize>>,
    /// Counts changes of the map; a processor whose TLB was filled under an older one flushes it.
    map_epoch: u64,
    a20: bool,
    /// VMX operation holds the gate open for the processor that runs.
    a20m_blocked: bool,
}

impl Ram {
    /// `size` bytes of RAM, rounded down to 4 KiB and at least 1 MiB, all zero.
    pub fn new(size: u64) -> Result<Self, MemoryError> {
        let ram_size = (size & !(PAGE - 1)).max(LEGACY_END) as usize;
        let legacy_rom_offset = ram_size;
        let rom_offset = legacy_rom_offset + (LEGACY_END - LEGACY_START) as usize;
        let total = rom_offset + MAX_ROM;
        let mut bytes = zeroed(total).map_err(|reason| MemoryError { bytes: total as u64, reason })?;
        bytes[legacy_rom_offset..].fill(0xFF);
        Ok(Self {
            bytes,
            ram_size,
            low_end: (ram_size as u64).min(LOW_RAM_LIMIT),
            rom_offset,
            rom_start: FOUR_GIB,
            legacy_rom_offset,
            legacy: [(Legacy::Bus, Legacy::Bus); LEGACY_PAGES],
            code: vec![0; total / PAGE as usize].into_boxed_slice(),
            fast_writes: vec![false; total / PAGE as usize].into_boxed_slice(),
            changed: vec![false; total / PAGE as usize].into_boxed_slice(),
            image: MemoryImage::zero(ram_size as u64),
            shared_cache: None,
            code_epoch: 0,
            patience: vec![0; total / PAGE as usize].into_boxed_slice(),
            stale: BTreeMap::new(),
            map_epoch: 1,
            a20: true,
            a20m_blocked: false,
        })
    }

    /// RAM in bytes.
    pub fn size(&self) -> u64 {
        self.ram_size as u64
    }

    /// End of the RAM below 4 GiB.
    pub fn low_end(&self) -> u64 {
        self.low_end
    }

    /// Puts a system ROM so that it ends at 4 GiB; its last 128 KiB also appear below 1 MiB.
    pub fn load_system_rom(&mut self, rom: &[u8]) -> Result<(), RomError> {
        if rom.is_empty() || rom.len() > MAX_ROM {
            return Err(RomError::Size(rom.len()));
        }
        let padded = rom.len().next_multiple_of(PAGE as usize);
        self.rom_start = FOUR_GIB - padded as u64;
        let end = self.rom_offset + padded;
        self.bytes[end - rom.len()..end].copy_from_slice(rom);
        let low = rom.len().min(0x2_0000);
        self.load_legacy_rom(LEGACY_END - low as u64, &rom[rom.len() - low..])
    }

    /// Puts a ROM between C0000h and FFFFFh, read where [`Ram::set_legacy`] says ROM.
    pub fn load_legacy_rom(&mut self, address: u64, rom: &[u8]) -> Result<(), RomError> {
        let end = address.saturating_add(rom.len() as u64);
        if address < 0xC_0000 || end > LEGACY_END || rom.is_empty() {
            return Err(RomError::Place { size: rom.len(), address });
        }
        let at = self.legacy_rom_offset + (address - LEGACY_START) as usize;
        self.bytes[at..at + rom.len()].copy_from_slice(rom);
        for page in address / PAGE..end.div_ceil(PAGE) {
            self.legacy[(page - LEGACY_START / PAGE) as usize] = (Legacy::Rom, Legacy::Rom);
        }
        self.map_epoch += 1;
        Ok(())
    }

    /// Says what answers reads and writes in the pages of `start..end` (between A0000h and 100000h).
    pub fn set_legacy(&mut self, start: u64, end: u64, read: Legacy, write: Legacy) {
        for page in start.max(LEGACY_START) / PAGE..end.min(LEGACY_END).div_ceil(PAGE) {
            let entry = &mut self.legacy[(page - LEGACY_START / PAGE) as usize];
            if *entry != (read, write) {
                *entry = (read, write);
                self.map_epoch += 1;
            }
        }
    }

    /// Opens or closes the A20 gate.
    pub fn set_a20(&mut self, open: bool) {
        if self.a20 != open {
            self.a20 = open;
            self.map_epoch += 1;
        }
    }

    /// Says whether the processor that runs next blocks A20M: its addresses pass a closed gate.
    pub fn block_a20m(&mut self, blocked: bool) {
        if self.a20m_blocked != blocked {
            self.a20m_blocked = blocked;
            if !self.a20 {
                self.map_epoch += 1;
            }
        }
    }

    /// Whether the A20 gate is open.
    pub fn a20(&self) -> bool {
        self.a20
    }

    /// Changes whenever an address may have come to mean another place.
    pub fn map_epoch(&self) -> u64 {
        self.map_epoch
    }

    /// `address` behind the A20 gate.
    #[inline]
    pub fn gate_a20(&self, address: u64) -> u64 {
        if self.a20 || self.a20m_blocked { address } else { address & !(1 << 20) }
    }

    /// What answers a read or write at `address` (already behind the A20 gate).
    pub fn place(&self, address: u64, write: bool) -> Place {
        if address < LEGACY_START {
            return Place::Memory(address as usize);
        }
        if address < LEGACY_END {
            let entry = self.legacy[((address - LEGACY_START) / PAGE) as usize];
            return match (if write { entry.1 } else { entry.0 }, write) {
                (Legacy::Ram, _) => Place::Memory(address as usize),
                (Legacy::Rom, false) => Place::Memory(self.legacy_rom_offset + (address - LEGACY_START) as usize),
                (Legacy::Rom, true) => Place::Ignored,
                (Legacy::Bus, _) => Place::Bus,
            };
        }
        if address < self.low_end {
            return Place::Memory(address as usize);
        }
        if address >= FOUR_GIB {
            let offset = address - FOUR_GIB + self.low_end;
            return if offset < self.ram_size as u64 { Place::Memory(offset as usize) } else { Place::Bus };
        }
        if address >= self.rom_start {
            if write {
                return Place::Ignored;
            }
            return Place::Memory(self.rom_offset + (address - self.rom_start) as usize);
        }
        Place::Bus
    }

    /// An access of this physical address will follow: the host fetches the line meanwhile, if it is one of RAM's. That is
    /// all it does.
    #[inline(always)]
    pub fn expect_access(&self, address: u64) {
        #[cfg(target_arch = "x86_64")]
        if let Some(byte) = self.bytes.get(address as usize) {
            safe_arch::prefetch_t0(byte);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }

    /// The physical address at which [`Ram::place`] finds an offset into the allocation.
    pub fn address_of(&self, offset: usize) -> u64 {
        let at = offset as u64;
        if offset < self.ram_size {
            if at < self.low_end { at } else { at - self.low_end + FOUR_GIB }
        } else if offset < self.rom_offset {
            at - self.legacy_rom_offset as u64 + LEGACY_START
        } else {
            at - self.rom_offset as u64 + self.rom_start
        }
    }

    /// The bytes of the whole allocation; TLB entries hold offsets into it.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The cache that processors share, if caches are modelled.
    #[inline(always)]
    pub fn shared_cache(&mut self) -> Option<&mut Cache> {
        self.shared_cache.as_mut()
    }

    /// Processors share this cache from now on, or none.
    pub(crate) fn set_shared_cache(&mut self, cache: Option<Cache>) {
        self.shared_cache = cache;
    }

    /// The machine is reset: nothing is cached.
    pub fn empty_shared_cache(&mut self) {
        self.shared_cache.iter_mut().for_each(Cache::clear);
    }

    /// Where [`Ram::bytes`] begins, for compiled code, which writes as a caller of [`Ram::allow_fast_writes`] does.
    pub fn base(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    /// The RAM alone, for snapshots and state hashes.
    pub fn ram(&self) -> &[u8] {
        &self.bytes[..self.ram_size]
    }

    /// The ROMs: those below 1 MiB, then the one at the top of 4 GiB, FFh where there is none.
    pub fn rom(&self) -> &[u8] {
        &self.bytes[self.ram_size..]
    }

    /// The quadword at a physical address of RAM between 1 MiB and the hole below 4 GiB, where paging structures mostly
    /// lie: no other of [`Ram::place`]'s ranges has to be told apart.
    #[inline(always)]
    pub fn quad_above_legacy(&self, address: u64) -> Option<u64> {
        if !(LEGACY_END..self.low_end).contains(&address) {
            return None;
        }
        let at = address as usize;
        self.bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes)
    }

    /// Loads up to 8 bytes, little-endian, at an offset from [`Place::Memory`].
    #[inline(always)]
    pub fn load(&self, offset: usize, size: usize) -> u64 {
        // The usual sizes as single loads: a copy of variable length is a call.
        let bytes = &self.bytes[offset..offset + size];
        if let Ok(bytes) = <[u8; 8]>::try_from(bytes) {
            return u64::from_le_bytes(bytes);
        }
        if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
            return u32::from_le_bytes(bytes).into();
        }
        bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
    }

    /// Stores the low `size` bytes of `value`, noting it if decoded code is overwritten.
    #[inline(always)]
    pub fn store(&mut self, offset: usize, size: usize, value: u64) -> bool {
        let bytes = &mut self.bytes[offset..offset + size];
        if let Ok(bytes) = <&mut [u8; 8]>::try_from(&mut *bytes) {
            *bytes = value.to_le_bytes();
        } else if let Ok(bytes) = <&mut [u8; 4]>::try_from(&mut *bytes) {
            *bytes = (value as u32).to_le_bytes();
        } else {
            for (n, byte) in bytes.iter_mut().enumerate() {
                *byte = (value >> (8 * n)) as u8;
            }
        }
        self.wrote(offset, size)
    }

    /// Stores bytes within one page, noting it if decoded code is overwritten; whether it was.
    pub fn store_bytes(&mut self, offset: usize, data: &[u8]) -> bool {
        self.bytes[offset..offset + data.len()].copy_from_slice(data);
        self.wrote(offset, data.len())
    }

    /// Bytes at `range`, for writing by a caller to whom [`Ram::allow_fast_writes`] has allowed it for their page.
    #[inline(always)]
    pub(crate) fn page_bytes_mut(&mut self, offset: usize, len: usize) -> &mut [u8] {
        &mut self.bytes[offset..offset + len]
    }

    /// Both a source and a destination range of one copy (they may overlap).
    #[inline(always)]
    pub(crate) fn copy_within(&mut self, from: usize, to: usize, len: usize) {
        self.bytes.copy_within(from..from + len, to);
    }

    fn wrote(&mut self, offset: usize, size: usize) -> bool {
        let page = offset / PAGE as usize;
        self.changed[page] = true;
        let pieces = self.code[page];
        if pieces == 0 {
            return false;
        }
        let start = offset % PAGE as usize;
        if pieces & pieces_of(start, size) != 0 {
            let written = self.stale.entry(page as u32).or_insert(start..start);
            *written = written.start.min(start)..written.end.max(start + size);
            return true;
        }
        let patience = &mut self.patience[page];
        if *patience == 0 {
            return false;
        }
        *patience -= 1;
        if *patience == 0 {
            self.stale.insert(page as u32, 0..PAGE as usize);
        }
        *patience == 0
    }

    /// Marks `len` bytes at `offset` (within one page) as decoded.
    pub fn mark_code(&mut self, offset: usize, len: usize) {
        let page = offset / PAGE as usize;
        if self.code[page] == 0 && std::mem::take(&mut self.fast_writes[page]) {
            self.code_epoch += 1;
        }
        self.code[page] |= pieces_of(offset % PAGE as usize, len);
        self.patience[page] = 0;
    }

    /// Notes that a processor has a fast write entry for the page at `offset`. False if it may not, because of code.
    #[inline]
    pub fn allow_fast_writes(&mut self, offset: usize) -> bool {
        let page = offset / PAGE as usize;
        let allowed = self.code[page] == 0;
        self.fast_writes[page] |= allowed;
        self.changed[page] |= allowed;
        allowed
    }

    /// Notes which pieces of a page still hold code ([`pieces_of`]), after it was written and blocks of it, if one had a
    /// byte of that, were dropped. False if all others are to be dropped as well, and then holds none.
    ///
    /// Who writes a program anew writes all of it, and each of these writes asks whether it meets code. And what a program
    /// writes right beside itself asks each time.
    pub fn keep_code(&mut self, page: u32, pieces: u64, dropped: bool) -> bool {
        let patience = &mut self.patience[page as usize];
        *patience = match *patience {
            _ if pieces == 0 => 0,
            _ if dropped => PATIENCE,
            0 => PATIENCE_BESIDE,
            left => left - 1,
        };
        let keeps = *patience != 0;
        self.code[page as usize] = if keeps { pieces } else { 0 };
        keeps || pieces == 0
    }

    /// Changes whenever fast write entries must go, because a page has come to hold decoded code.
    #[inline(always)]
    pub fn code_epoch(&self) -> u64 {
        self.code_epoch
    }

    /// Whether pages with code have been written.
    #[inline(always)]
    pub fn has_stale_pages(&self) -> bool {
        !self.stale.is_empty()
    }

    /// The pages with code that have been written since the last call, in order, with their bytes from
    /// the first one written to the last.
    pub fn take_stale_pages(&mut self) -> BTreeMap<u32, Range<usize>> {
        std::mem::take(&mut self.stale)
    }

    /// Reads physical memory as a bus master does: what is not memory reads FFh.
    pub fn dma_read(&self, address: u64, buffer: &mut [u8]) {
        self.for_pieces(address, buffer.len(), false, |place, range| match place {
            Place::Memory(offset) => {
                let len = range.len();
                buffer[range].copy_from_slice(&self.bytes[offset..offset + len]);
            }
            _ => buffer[range].fill(0xFF),
        });
    }

    /// Writes physical memory as a bus master does: what is not RAM takes nothing.
    pub fn dma_write(&mut self, address: u64, data: &[u8]) {
        let mut pieces = Vec::new();
        self.for_pieces(address, data.len(), true, |place, range| pieces.push((place, range)));
        for (place, range) in pieces {
            if let Place::Memory(offset) = place {
                self.store_bytes(offset, &data[range]);
            }
        }
    }

    fn for_pieces(&self, address: u64, len: usize, write: bool, mut piece: impl FnMut(Place, std::ops::Range<usize>)) {
        let mut done = 0;
        while done < len {
            let at = self.gate_a20(address.wrapping_add(done as u64));
            let size = ((PAGE - at % PAGE) as usize).min(len - done);
            piece(self.place(at, write), done..done + size);
            done += size;
        }
    }
}

/// Memory that costs nothing until it is touched, and few misses of the host's TLB where the host has large pages.
fn zeroed(len: usize) -> std::io::Result<MmapMut> {
    let bytes = MmapMut::map_anon(len)?;
    // A host without them, or that keeps them to itself, is as right.
    #[cfg(target_os = "linux")]
    let _ = bytes.advise(memmap2::Advice::HugePage);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_beyond_the_pci_hole_appears_at_4_gib() {
        let ram = Ram { low_end: 0x20_0000, ..Ram::new(0x30_0000).expect("memory") };
        assert_eq!(ram.place(0x1F_FFFF, true), Place::Memory(0x1F_FFFF));
        assert_eq!(ram.place(0x20_0000, true), Place::Bus);
        assert_eq!(ram.place(FOUR_GIB, true), Place::Memory(0x20_0000));
        assert_eq!(ram.place(FOUR_GIB + 0x10_0000, true), Place::Bus);
    }

    #[test]
    fn a_write_beside_code_in_its_page_leaves_the_code_alone() {
        let mut ram = Ram::new(1 << 20).expect("memory");
        ram.mark_code(0x1040, 10);
        assert!(!ram.store(0x1038, 8, 1));
        assert!(ram.store(0x1039, 8, 1));
        assert_eq!(ram.take_stale_pages().into_iter().collect::<Vec<_>>(), [(1, 0x39..0x41)]);
    }

    #[test]
    fn a_page_whose_code_is_written_anew_is_stale_as_a_whole_before_long() {
        let mut ram = Ram::new(1 << 20).expect("memory");
        ram.mark_code(0x1000, 0x100);
        assert!((0..100).all(|_| !ram.store(0x1800, 8, 1)), "data beside code");
        assert!(ram.store(0x1040, 8, 1));
        assert_eq!(ram.take_stale_pages().into_iter().collect::<Vec<_>>(), [(1, 0x40..0x48)]);
        assert!(ram.keep_code(1, 0b1101, true));
        let stale = (1..100).find(|_| ram.store(0x1048, 8, 1));
        assert_eq!((stale, ram.take_stale_pages().remove(&1)), (Some(PATIENCE.into()), Some(0..0x1000)));
        assert!(ram.keep_code(1, 0b1101, true));
        ram.mark_code(0x1040, 1);
        assert!((0..100).all(|_| !ram.store(0x1800, 8, 1)), "decoded again");
        let kept = (0..100).take_while(|_| ram.store(0x1048, 8, 1) && ram.keep_code(1, 0b1111, false)).count();
        assert_eq!(kept, usize::from(PATIENCE_BESIDE));
        assert!(!ram.store(0x1048, 8, 1), "all was dropped");
    }

    #[test]
    fn a_rom_longer_than_its_place_is_refused() {
        let mut ram = Ram::new(1 << 20).expect("memory");
        assert!(matches!(ram.load_system_rom(&[]), Err(RomError::Size(0))));
        assert!(ram.load_legacy_rom(0xF_0000, &[0; 0x1_0001]).is_err());
        assert!(ram.load_system_rom(&[0x90; 0x1_0000]).is_ok());
        assert_eq!(ram.place(0xFFFF_FFF0, true), Place::Ignored);
    }
}
