//! Decisions taken from an input; behind its end they come from a generator that the input seeds, so that every input
//! is a whole case.

use emu_core::hash::StableHash;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Where a target takes its decisions from.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    input: &'a [u8],
    behind: SplitMix64,
}

impl<'a> Source<'a> {
    /// Decisions from a fuzzer's input.
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, behind: SplitMix64::seed_from_u64(StableHash::of(input)) }
    }

    /// Decisions from a seed alone.
    pub fn seeded(seed: u64) -> Self {
        Self { input: &[], behind: SplitMix64::seed_from_u64(seed) }
    }

    /// Up to 64 bits of input, or of the generator behind its end.
    pub fn bits(&mut self, bytes: usize) -> u64 {
        let bytes = bytes.min(8);
        if self.input.len() >= bytes {
            let (head, rest) = self.input.split_at(bytes);
            self.input = rest;
            return head.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        }
        self.input = &[];
        self.behind.next_u64() & (u64::MAX >> (64 - 8 * bytes.max(1)))
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.bits(1) as u8
    }

    /// A number below `limit`; 0 when `limit` is.
    pub fn below(&mut self, limit: u64) -> u64 {
        let bytes = if limit <= 0x100 { 1 } else { 4 + 4 * usize::from(limit >> 32 != 0) };
        self.bits(bytes) % limit.max(1)
    }

    /// True in about `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of a list that is not empty.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// A number, often one at which arithmetic turns.
    pub fn value(&mut self) -> u64 {
        let kind = self.byte();
        let shift = u32::from(self.byte()) % 64;
        match kind % 8 {
            0 => u64::from(kind >> 3),
            1 => 0u64.wrapping_sub(u64::from(kind >> 3)),
            2 => (1u64 << shift).wrapping_add(u64::from(kind >> 3)).wrapping_sub(16),
            3 => 0u64.wrapping_sub(1 << shift).wrapping_add(u64::from(kind >> 3)).wrapping_sub(16),
            4 => self.bits(8) >> shift,
            // Low addresses, where the tables, the code and the data are.
            5 | 6 => self.bits(3) & 0x7_FFFF,
            _ => self.bits(8),
        }
    }

    /// `len` random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let chunk = self.bits(8).to_le_bytes();
            let room = (len - bytes.len()).min(8);
            bytes.extend_from_slice(&chunk[..room]);
        }
        bytes
    }
}
