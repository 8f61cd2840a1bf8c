//! How decoded blocks are found.

use crate::state::derived::{Mode, Size};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// What the meaning of decoded bytes depends on: where they lie in guest memory, and the mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64);

/// Bits of [`Mode::key`].
const MODE_BITS: u32 = 8;

impl Key {
    /// No place in memory: a block that is not kept.
    pub const NONE: Self = Self(u64::MAX);

    /// The key of the bytes at `offset` in guest memory.
    pub fn new(offset: usize, mode: Mode) -> Self {
        Self((offset as u64) << MODE_BITS | u64::from(mode.key()))
    }

    /// Offset of the first byte in guest memory.
    pub fn offset(self) -> usize {
        (self.0 >> MODE_BITS) as usize
    }

    /// Offset of the first byte in its page of guest memory.
    pub fn place(self) -> u16 {
        (self.0 >> MODE_BITS) as u16 & 0xFFF
    }

    /// Whether it is code of 64-bit mode.
    pub fn is_64bit(self) -> bool {
        self.0 as u8 & 3 == Size::Bits64 as u8
    }

    /// Whether it is code of 16 bits.
    pub fn is_16bit(self) -> bool {
        self.0 as u8 & 3 == Size::Bits16 as u8
    }

    /// Whether CET works in it.
    pub fn enforces(self) -> bool {
        self.0 as u8 >> 5 != 0
    }

    /// Whether the code at `other` is in the same page and `delta` bytes further on.
    pub fn leads_to(self, other: Self, delta: u64) -> bool {
        let (from, to) = (self.0 >> MODE_BITS, other.0 >> MODE_BITS);
        from >> 12 == to >> 12 && (from & 0xFFF).wrapping_add(delta) == to & 0xFFF
    }
}

/// A hasher for keys that are numbers with little structure in their low bits.
#[derive(Default)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0 ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 29;
    }
}

/// A map with such keys.
pub type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;
