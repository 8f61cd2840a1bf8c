//! Caches as they are modelled: which lines are in them, in sets with the least recently used line to go, and no data.

use super::parts::{Caches, Level, Size};
use serde::{Deserialize, Serialize};

/// No line.
const EMPTY: u32 = u32::MAX;

/// One cache. A line is known by its number, which is its offset in guest memory by the bytes of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// Set by set, each from the most recently used line on.
    lines: Box<[u32]>,
    ways: u32,
}

impl Cache {
    /// An empty cache of a size that [`Caches::check`] has accepted.
    pub fn new(size: Size, line: u32) -> Self {
        let lines = u64::from(size.kib) * 1024 / u64::from(line);
        Self { lines: vec![EMPTY; lines as usize].into(), ways: size.ways }
    }

    /// The third level of `caches`, which is shared.
    pub fn shared(caches: &Caches) -> Self {
        Self::of_level(caches.l3, caches.line)
    }

    fn of_level(level: Level, line: u32) -> Self {
        Self::new(Size { kib: level.kib, ways: level.ways }, line)
    }

    #[inline(always)]
    fn set_of(&mut self, line: u32) -> &mut [u32] {
        let ways = self.ways as usize;
        let sets = self.lines.len() / ways;
        let start = (line as usize & (sets - 1)) * ways;
        &mut self.lines[start..start + ways]
    }

    /// Whether the line is there; if it is, it is now the one that was used last.
    #[inline(always)]
    pub fn find(&mut self, line: u32) -> bool {
        let set = self.set_of(line);
        if set[0] == line {
            return true;
        }
        match set.iter().position(|other| *other == line) {
            Some(place) => {
                set[..=place].rotate_right(1);
                true
            }
            None => false,
        }
    }

    /// [`Cache::find`], and a line that is not there takes the place of the one that was used least recently.
    #[inline(always)]
    pub fn access(&mut self, line: u32) -> bool {
        let hit = self.find(line);
        if !hit {
            let set = self.set_of(line);
            set.rotate_right(1);
            set[0] = line;
        }
        hit
    }

    /// Drops a line.
    pub fn remove(&mut self, line: u32) {
        let set = self.set_of(line);
        if let Some(place) = set.iter().position(|other| *other == line) {
            set[place..].rotate_left(1);
            set[set.len() - 1] = EMPTY;
        }
    }

    /// Drops all lines.
    pub fn clear(&mut self) {
        self.lines.fill(EMPTY);
    }

    /// Whether `other` is of the same size.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.ways, self.lines.len()) == (other.ways, other.lines.len())
    }
}

/// Where an access has found its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// In the first level.
    L1,
    /// In the second.
    L2,
    /// In the third.
    L3,
    /// In memory.
    Memory,
}

/// The caches that a processor has for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateCaches {
    /// First level, instructions.
    pub l1i: Cache,
    /// First level, data.
    pub l1d: Cache,
    /// Second level.
    pub l2: Cache,
    /// Log2 of the bytes of a line.
    line_bits: u8,
    /// Lines of the first and of the last byte of the instruction that was fetched last.
    pub fetched: (u32, u32),
}

impl PrivateCaches {
    /// Empty ones.
    pub fn new(caches: &Caches) -> Self {
        Self {
            l1i: Cache::new(caches.l1i, caches.line),
            l1d: Cache::new(caches.l1d, caches.line),
            l2: Cache::of_level(caches.l2, caches.line),
            line_bits: caches.line.trailing_zeros() as u8,
            fetched: (EMPTY, EMPTY),
        }
    }

    /// The number of the line of an offset into guest memory.
    #[inline(always)]
    pub fn line_of(&self, offset: usize) -> u32 {
        (offset >> (self.line_bits & 63)) as u32
    }

    /// An access to a line, of instructions or of data. Where it was not it is now, unless `fills` is false.
    #[inline]
    pub fn access(&mut self, shared: &mut Cache, line: u32, code: bool, fills: bool) -> Found {
        let first = if code { &mut self.l1i } else { &mut self.l1d };
        let look = |cache: &mut Cache| if fills { cache.access(line) } else { cache.find(line) };
        if look(first) {
            Found::L1
        } else if look(&mut self.l2) {
            Found::L2
        } else if look(shared) {
            Found::L3
        } else {
            Found::Memory
        }
    }

    /// Drops a line.
    pub fn remove(&mut self, line: u32) {
        [&mut self.l1i, &mut self.l1d, &mut self.l2].into_iter().for_each(|cache| cache.remove(line));
    }

    /// Drops all lines.
    pub fn clear(&mut self) {
        [&mut self.l1i, &mut self.l1d, &mut self.l2].into_iter().for_each(Cache::clear);
        self.fetched = (EMPTY, EMPTY);
    }

    /// Whether `other`'s are of the same sizes.
    pub fn is_like(&self, other: &Self) -> bool {
        self.line_bits == other.line_bits
            && self.l1i.is_like(&other.l1i)
            && self.l1d.is_like(&other.l1d)
            && self.l2.is_like(&other.l2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache as one would write it without a thought of speed: each set a list, the last used line at its end.
    struct Naive(Vec<Vec<u32>>, usize);

    impl Naive {
        fn access(&mut self, line: u32, fills: bool) -> bool {
            let sets = self.0.len() as u32;
            let set = &mut self.0[(line % sets) as usize];
            let hit = set.contains(&line);
            if hit || fills {
                set.retain(|other| *other != line);
                set.push(line);
            }
            if set.len() > self.1 {
                set.remove(0);
            }
            hit
        }

        fn remove(&mut self, line: u32) {
            self.0.iter_mut().for_each(|set| set.retain(|other| *other != line));
        }
    }

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    #[test]
    fn a_cache_hits_and_misses_as_lists_of_last_used_lines_do() {
        for (kib, ways) in [(1, 1), (1, 2), (4, 8), (8, 8), (3, 12), (32, 4)] {
            let mut cache = Cache::new(Size { kib, ways }, 64);
            let sets = kib as usize * 16 / ways as usize;
            let mut naive = Naive(vec![Vec::new(); sets], ways as usize);
            let mut state = u64::from(kib * 100 + ways);
            for n in 0..50_000 {
                // Twice what it holds, some of it again and again.
                let span = if random(&mut state).is_multiple_of(3) { 8 } else { u64::from(kib) * 32 };
                let line = (random(&mut state) % span) as u32;
                match random(&mut state) % 20 {
                    0 => {
                        cache.remove(line);
                        naive.remove(line);
                    }
                    1 => assert_eq!(cache.find(line), naive.access(line, false), "access {n} of {kib} KiB"),
                    _ => assert_eq!(cache.access(line), naive.access(line, true), "access {n} of {kib} KiB"),
                }
            }
            cache.clear();
            assert!(!cache.find(0));
        }
    }

    #[test]
    fn what_misses_a_level_is_found_in_the_next_and_is_in_all_of_them_afterwards() {
        let level = |kib, extra| Level { kib, ways: 2, extra };
        let caches = Caches {
            line: 64,
            l1i: Size { kib: 1, ways: 2 },
            l1d: Size { kib: 1, ways: 2 },
            l2: level(2, 1),
            l3: level(4, 2),
            memory: 3,
            loads: 100,
            stores: 100,
            fetches: 100,
        };
        caches.check().expect("they make sense");
        let (mut own, mut shared) = (PrivateCaches::new(&caches), Cache::shared(&caches));
        assert_eq!(own.access(&mut shared, 5, false, false), Found::Memory);
        assert_eq!(own.access(&mut shared, 5, false, true), Found::Memory);
        assert_eq!(own.access(&mut shared, 5, false, true), Found::L1);
        assert_eq!(own.access(&mut shared, 5, true, true), Found::L2, "code that was data");
        assert_eq!(PrivateCaches::new(&caches).access(&mut shared, 5, false, true), Found::L3, "another processor's");
        // Three lines of one set of the first level, which are not of one set of the second.
        for line in [13, 21] {
            own.access(&mut shared, line, false, true);
        }
        assert_eq!(own.access(&mut shared, 5, false, true), Found::L2);
    }
}
