//! What a table of cycles says of caches and of branch prediction, and which of the two a clock models.

use serde::{Deserialize, Serialize};

/// What the clock of the model counts beside instructions and events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Parts {
    /// Caches: what misses the first level takes longer.
    pub caches: bool,
    /// Branch prediction: a branch that goes another way than was predicted takes longer.
    pub branches: bool,
}

impl Parts {
    /// Neither.
    pub const NONE: Self = Self { caches: false, branches: false };

    /// Whether any of them is modelled.
    pub fn any(self) -> bool {
        self.caches || self.branches
    }

    /// Their names, as `--clock` has them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [(self.caches, "caches"), (self.branches, "branches")].into_iter().filter(|part| part.0).map(|part| part.1)
    }
}

/// A cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// KiB.
    pub kib: u32,
    /// Lines in a set.
    pub ways: u32,
}

/// A cache behind the first level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// KiB.
    pub kib: u32,
    /// Lines in a set.
    pub ways: u32,
    /// Cycles that a load which hits here takes beyond one that hits the first level.
    pub extra: u16,
}

/// The caches of a microarchitecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caches {
    /// Bytes of a line, at all levels.
    pub line: u32,
    /// First level, instructions.
    pub l1i: Size,
    /// First level, data.
    pub l1d: Size,
    /// Second level.
    pub l2: Level,
    /// Third level, which processors share.
    pub l3: Level,
    /// Cycles that a load from memory takes beyond one that hits the first level.
    pub memory: u16,
    /// Per cent of it that a load costs: the rest is hidden by what runs meanwhile.
    pub loads: u16,
    /// The same of a store, which waits in a buffer.
    pub stores: u16,
    /// The same of a fetch.
    pub fetches: u16,
}

/// Branch prediction of a microarchitecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branches {
    /// Cycles that a misprediction costs.
    pub penalty: u16,
    /// The last so many conditional branches take part in the prediction, 0 to 32.
    pub history: u8,
    /// Two-bit counters; a power of two.
    pub counters: u32,
    /// Targets of indirect jumps and calls that are remembered; a power of two.
    pub targets: u32,
    /// Return addresses that are remembered.
    pub returns: u32,
}

/// Most lines of one cache: 64 MiB of 64 bytes.
const MOST_LINES: u64 = 1 << 20;
/// Most entries of a predictor's table.
const MOST_ENTRIES: u32 = 1 << 16;

impl Caches {
    /// `Err` of the field that makes no sense, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if !(16..=256).contains(&self.line) || !self.line.is_power_of_two() {
            return Err(("caches.line", format!("{} bytes; give a power of two from 16 to 256", self.line)));
        }
        let sizes = [
            ("caches.l1i", self.l1i.kib, self.l1i.ways),
            ("caches.l1d", self.l1d.kib, self.l1d.ways),
            ("caches.l2", self.l2.kib, self.l2.ways),
            ("caches.l3", self.l3.kib, self.l3.ways),
        ];
        for (field, kib, ways) in sizes {
            let lines = u64::from(kib) * 1024 / u64::from(self.line);
            let sets = lines.checked_div(ways.into()).unwrap_or(0);
            if lines > MOST_LINES || !sets.is_power_of_two() || sets * u64::from(ways) != lines {
                let what = format!("{kib} KiB in {ways} ways are no power of two of sets; change one of the two");
                return Err((field, what));
            }
        }
        let shares = [("caches.loads", self.loads), ("caches.stores", self.stores), ("caches.fetches", self.fetches)];
        // What a miss takes tells that there was one.
        let least = self.l2.extra.min(self.l3.extra).min(self.memory);
        match shares.into_iter().find(|share| share.1 > 100 || u32::from(share.1) * u32::from(least) < 50) {
            Some((field, share)) => {
                Err((field, format!("{share} per cent; give up to 100, of which no miss takes less than half a cycle")))
            }
            None => Ok(()),
        }
    }
}

impl Branches {
    /// As of [`Caches::check`].
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.history > 32 {
            return Err(("branches.history", format!("{} branches; give 0 to 32", self.history)));
        }
        for (field, entries) in [("branches.counters", self.counters), ("branches.targets", self.targets)] {
            if entries > MOST_ENTRIES || !entries.is_power_of_two() {
                return Err((field, format!("{entries} entries; give a power of two up to {MOST_ENTRIES}")));
            }
        }
        if !(1..=256).contains(&self.returns) {
            return Err(("branches.returns", format!("{} addresses; give 1 to 256", self.returns)));
        }
        Ok(())
    }
}
