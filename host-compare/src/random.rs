//! Random numbers, the same on every host.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// A generator.
#[derive(Debug, Clone)]
pub struct Random(SplitMix64);

impl Random {
    /// A generator from a seed.
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `n`, which is not 0.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }

    /// True in `percent` of 100 cases.
    #[inline]
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of a list that is not empty.
    #[inline]
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// An operand: often one of the values at which arithmetic turns.
    pub fn value(&mut self) -> u64 {
        match self.below(10) {
            0..=2 => {
                let edge = match self.below(5) {
                    0 => 0,
                    1 => u64::MAX,
                    2 => 1 << self.below(64),
                    3 => (1 << self.below(64)) - 1,
                    _ => 0u64.wrapping_sub(1 << self.below(64)),
                };
                edge.wrapping_add(self.below(3)).wrapping_sub(1)
            }
            3 => self.below(256),
            4 => self.bits() >> self.below(64),
            5 => 0u64.wrapping_sub(self.bits() >> self.below(64)),
            _ => self.bits(),
        }
    }
}
