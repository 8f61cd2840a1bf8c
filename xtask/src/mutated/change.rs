//! Mistakes: few of them, so that most files are still what they were.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// Where the mistakes come from.
pub struct Random(SplitMix64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Less than `bound`; 0 of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() >> 16) as usize % bound.max(1)
    }

    /// Once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Copy, const N: usize>(&mut self, from: [T; N]) -> T {
        from[self.below(N)]
    }

    /// One of some files or packets; nothing of none.
    pub fn of<'a, T: AsRef<[u8]>>(&mut self, from: &'a [T]) -> &'a [u8] {
        from.get(self.below(from.len())).map_or(&[], AsRef::as_ref)
    }
}

/// Text whose numbers differ, mostly in a digit; now and then a letter, or a line that is twice there.
pub fn text(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..1 + random.below(2) {
        let letters = random.once_in(16);
        let is_place = |byte: u8| byte.is_ascii_digit() || letters && byte.is_ascii_alphabetic();
        let places: Vec<usize> = (0..data.len()).filter(|&at| is_place(data[at])).collect();
        let Some(&at) = places.get(random.below(places.len())) else { return data };
        match random.below(16) {
            0 => {
                let words: [&[u8]; 6] = [b"4294967296", b"0xffffffffffffffff", b"-1", b"", b"1e9", b"\xC3\x84"];
                drop(data.splice(at..at + 1, random.pick(words).iter().copied()));
            }
            1 | 2 => {
                let start = data[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |before| before + 1);
                let end = data[at..].iter().position(|&byte| byte == b'\n').map_or(data.len(), |after| at + after + 1);
                let line = data[start..end].to_vec();
                drop(data.splice(start..start, line));
            }
            3 => data.insert(at, b'0' + random.below(10) as u8),
            _ if letters => data[at] ^= 1 << random.below(6),
            _ => data[at] = b'0' + random.below(10) as u8,
        }
    }
    data
}

/// Bytes that differ; now and then some are cut out, or the end is.
pub fn bytes(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..1 + random.below(3) {
        if data.is_empty() {
            break;
        }
        // The first bytes say most, and are refused most.
        let near = random.pick([64, 1024, usize::MAX, usize::MAX]).min(data.len());
        let at = random.below(near);
        match random.below(32) {
            0 => {
                let end = (at + random.below(600)).min(data.len());
                drop(data.drain(at..end));
            }
            1 => data.truncate(at.max(1)),
            2..8 => {
                let value = random.pick([u32::MAX, 0, 0x8000_0000, 0x7FFF_FFFF]).to_le_bytes();
                data[at..].iter_mut().zip(value).for_each(|(place, byte)| *place = byte);
            }
            _ => byte(&mut data[at], random),
        }
    }
    data
}

/// A byte that differs.
pub fn byte(place: &mut u8, random: &mut Random) {
    *place = match random.below(4) {
        0 => random.number() as u8,
        1 => place.wrapping_add(1),
        _ => *place ^ 1 << random.below(8),
    };
}

/// A byte of an encoding that says by bit 7 that a number goes on: mostly, that stays.
pub fn encoded(place: &mut u8, random: &mut Random) {
    *place = match random.below(16) {
        0 => random.number() as u8,
        1..4 => *place & 0x80,
        4..6 => *place | 0x7F,
        6..9 => *place & 0x80 | place.wrapping_add(1) & 0x7F,
        _ => *place ^ 1 << random.below(7),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_there_and_are_few() {
        let mut random = Random::new(1);
        let seed = b"cpu: count=4\nmemory: guest=16\nboot: disk\n".as_slice();
        for change in [text, bytes] {
            let changed: Vec<Vec<u8>> = (0..1000).map(|_| change(seed, &mut random)).collect();
            let differ = changed.iter().filter(|data| *data != seed).count();
            let near = changed.iter().filter(|data| data.len().abs_diff(seed.len()) < 20).count();
            assert!(differ > 800 && near > 700, "{differ} differ, {near} are nearly as long");
        }
        assert!(bytes(&[], &mut random).is_empty());
        assert_eq!(text(b"none", &mut Random::new(3)).len(), 4);
    }
}
