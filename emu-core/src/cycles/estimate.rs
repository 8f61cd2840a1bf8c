//! How long a run of instructions takes, as if it were executed again and again: the narrowest of renaming, ports, units
//! that are not pipelined, and the longest chain from one iteration to the next.
//!
//! A run is looked at from its end, instruction by instruction, so that the estimate of every part that ends where the
//! run ends comes with that of the whole. An instruction costs what the estimate grows by when it is put before those
//! that follow it: a function of the bytes from there on alone, however the run was come to and wherever it is cut.

use super::table::{Group, Ports, Table};

/// Registers as the estimate knows them: general, vector, then the rest.
pub const REGISTERS: usize = 56;
/// The first vector register.
pub const VECTORS: usize = 16;
/// CF.
pub const CARRY: usize = 48;
/// The other status flags.
pub const FLAGS: usize = 49;
/// The x87 stack, as if it were one register.
pub const X87: usize = 50;
/// The MMX registers, likewise.
pub const MMX: usize = 51;
/// The opmask registers, likewise.
pub const MASKS: usize = 52;

/// Parts of a cycle that an estimate counts.
pub const UNIT: u32 = 120;

/// Most sets of ports of a table.
pub(super) const MOST_SETS: usize = 48;
/// Most ports of a set.
const MOST_PORTS: usize = Ports::BITS as usize;
/// Most different groups of micro-operations of one instruction, its accesses to memory among them.
const MOST_GROUPS: usize = 8;
/// No way from one register to another.
const NO_WAY: i16 = i16::MIN / 2;
/// The longest way that is told from longer ones, cycles.
const LONGEST: i16 = i16::MAX / 2;

/// What one instruction does, as a pipeline sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    groups: [Option<Group>; MOST_GROUPS],
    /// Micro-operations as renaming counts them.
    pub issued: u16,
    /// Cycles for which it keeps a unit to itself.
    pub busy: u16,
    /// Cycles from a register to the result.
    pub latency: u16,
    /// The same from a register of its address.
    pub from_address: u16,
    /// Registers that it reads, a bit for each.
    pub reads: u64,
    /// Registers of its address.
    pub addresses: u64,
    /// Registers that it writes.
    pub writes: u64,
    /// It is one micro-operation with a conditional branch behind it.
    pub fuses: bool,
    /// It is a conditional branch that others fuse with.
    pub branch: bool,
}

impl Work {
    /// Adds micro-operations.
    pub fn add(&mut self, group: Group) {
        // A row with more groups than there is room for is one that tables do not have.
        if let Some(free) = self.groups.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(group);
        }
    }
}

/// A run of instructions, from its end; empty at first.
pub struct Run {
    issued: u32,
    busy: u32,
    load: [u32; MOST_SETS],
    /// The most of `load`, by how many ports the sets have.
    most: [u32; MOST_PORTS + 1],
    /// Registers that have a row in `ways`.
    touched: u64,
    /// Registers that the run writes.
    written: u64,
    /// Registers whose value where the run begins may matter to it.
    live: u64,
    /// Cycles from what a register holds where the run begins to what another one holds where it ends.
    ways: Box<[[i16; REGISTERS]; REGISTERS]>,
    /// The last instruction that was put before the others was a branch that may fuse.
    before_branch: bool,
}

impl Default for Run {
    fn default() -> Self {
        let ways = Box::new([[NO_WAY; REGISTERS]; REGISTERS]);
        Self {
            issued: 0,
            busy: 0,
            load: [0; MOST_SETS],
            most: [0; MOST_PORTS + 1],
            touched: 0,
            written: 0,
            live: 0,
            ways,
            before_branch: false,
        }
    }
}

impl Run {
    /// Empties it.
    pub fn clear(&mut self) {
        (self.issued, self.busy, self.before_branch) = (0, 0, false);
        (self.touched, self.written, self.live) = (0, 0, 0);
        self.load = [0; MOST_SETS];
        self.most = [0; MOST_PORTS + 1];
    }

    /// What tells this run, of which `cycles` are said, from all others before which the same instructions may do something
    /// else: 128 bits of a hash, never 0.
    pub fn identity(&self, table: &Table, cycles: u32) -> u128 {
        let mut hash = Hash128::default();
        hash.add(cycles.into());
        hash.add(u64::from(self.issued) << 32 | u64::from(self.busy) << 1 | u64::from(self.before_branch));
        self.load[..table.narrow.len()].chunks(2).for_each(|pair| {
            hash.add(pair.iter().fold(0, |all, load| all << 32 | u64::from(*load)));
        });
        [self.touched, self.written, self.live].into_iter().for_each(|set| hash.add(set));
        for from in bits(self.touched) {
            let mut to = bits(self.touched).map(|to| self.ways[from][to] as u16);
            while let Some(first) = to.next() {
                let some = [first, to.next().unwrap_or(0), to.next().unwrap_or(0), to.next().unwrap_or(0)];
                hash.add(some.iter().fold(0, |all, way| all << 16 | u64::from(*way)));
            }
        }
        hash.finish()
    }

    fn touch(&mut self, register: usize) {
        self.touched |= 1 << register;
        self.ways[register] = [NO_WAY; REGISTERS];
        self.ways[register][register] = 0;
    }

    /// Puts an instruction before the run.
    pub fn put_before(&mut self, table: &Table, work: &Work) {
        let fused = work.fuses && self.before_branch;
        self.before_branch = work.branch;
        // What remains of a comparison that has become one with its branch is what it loads.
        self.issued += u32::from(if fused { work.issued - 1 } else { work.issued });
        self.busy += u32::from(work.busy);
        for group in work.groups.iter().skip(usize::from(fused)).flatten() {
            self.use_ports(table, group.ports, group.count.into());
        }
        self.chain(work);
    }

    fn use_ports(&mut self, table: &Table, ports: Ports, count: u32) {
        for set in bits(table.around(ports)) {
            self.load[set] += count;
            let most = &mut self.most[usize::from(table.narrow[set].size)];
            *most = (*most).max(self.load[set]);
        }
    }

    fn chain(&mut self, work: &Work) {
        let used = work.reads | work.addresses;
        for register in bits((work.writes | used) & !self.touched) {
            self.touch(register);
        }
        self.written |= work.writes;
        self.live = self.live & !work.writes | used;
        let mut beyond = [NO_WAY; REGISTERS];
        for register in bits(work.writes) {
            longest(&mut beyond, &self.ways[register], 0);
            self.ways[register] = [NO_WAY; REGISTERS];
        }
        if work.writes == 0 {
            return;
        }
        for register in bits(work.reads) {
            longest(&mut self.ways[register], &beyond, work.latency);
        }
        for register in bits(work.addresses) {
            longest(&mut self.ways[register], &beyond, work.from_address);
        }
    }

    /// How long an iteration of the run takes, in parts of a cycle ([`UNIT`]).
    pub fn estimate(&self, table: &Table) -> u32 {
        let renaming = self.issued * UNIT / u32::from(table.width);
        let ports = (1..=MOST_PORTS).map(|size| self.most[size] * UNIT / size as u32).max().unwrap_or(0);
        renaming.max(ports).max(self.busy * UNIT).max(self.recurrence() * UNIT / 2)
    }

    /// Twice the cycles by which the longest chain grows with each iteration.
    fn recurrence(&self) -> u32 {
        // What is not written ends as it began, and nothing else comes to it; from what is written first nothing goes on.
        let both = self.written & self.live;
        let mut longest = 0;
        for a in bits(both) {
            longest = longest.max(2 * self.ways[a][a]);
            for b in bits(both & (u64::MAX << a << 1)) {
                longest = longest.max(self.ways[a][b] + self.ways[b][a]);
            }
        }
        longest.max(0) as u32
    }
}

/// Two hashes side by side.
struct Hash128 {
    a: u64,
    b: u64,
}

impl Default for Hash128 {
    fn default() -> Self {
        Self { a: 0x243F_6A88_85A3_08D3, b: 0x1319_8A2E_0370_7344 }
    }
}

impl Hash128 {
    fn add(&mut self, word: u64) {
        let fold = |x: u64, factor: u64| {
            let product = u128::from(x) * u128::from(factor);
            (product >> 64) as u64 ^ product as u64
        };
        // With what a product of 0 would lose.
        self.a = fold(self.a ^ word, 0x9E37_79B9_7F4A_7C15).wrapping_add(word);
        self.b = fold(self.b.rotate_left(29) ^ word, 0xD1B5_4A32_D192_ED03).wrapping_add(self.a);
    }

    fn finish(self) -> u128 {
        (u128::from(self.a) << 64 | u128::from(self.b)).max(1)
    }
}

/// `to` = the longer of each way and of the one through `from`.
#[inline]
fn longest(to: &mut [i16; REGISTERS], from: &[i16; REGISTERS], latency: u16) {
    let latency = latency.min(LONGEST as u16) as i16;
    for (to, from) in to.iter_mut().zip(from) {
        let way = if *from < 0 { NO_WAY } else { (*from + latency).min(LONGEST) };
        *to = (*to).max(way);
    }
}

#[inline]
fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = set.trailing_zeros() as usize;
        set &= set.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}

/// Cycles that an iteration of these instructions takes, in parts of a cycle ([`UNIT`]).
pub fn estimate(table: &Table, works: &[Work]) -> u32 {
    let mut run = Run::default();
    works.iter().rev().for_each(|work| run.put_before(table, work));
    run.estimate(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a search through all registers and all sets of ports finds.
    fn everything(table: &Table, run: &Run, groups: &[Group]) -> (u32, u32) {
        let mut chain = 0;
        for a in bits(run.touched) {
            for b in bits(run.touched) {
                chain = chain.max(if a == b { 2 * run.ways[a][a] } else { run.ways[a][b] + run.ways[b][a] });
            }
        }
        let inside = |set: Ports| groups.iter().filter(move |group| group.ports & !set == 0);
        let load = |set: Ports| inside(set).map(|group| u32::from(group.count)).sum::<u32>();
        let ports = table.narrow.iter().map(|set| load(set.ports) * UNIT / u32::from(set.size)).max();
        (chain as u32, ports.unwrap_or(0))
    }

    #[test]
    fn what_an_estimate_leaves_out_of_its_search_decides_nothing() {
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        for name in Table::names() {
            let table = Table::named(name).expect("it is built in");
            for _ in 0..300 {
                let mut run = Run::default();
                let mut groups = Vec::new();
                for _ in 0..1 + next(12) {
                    // Few registers, so that they meet.
                    let mut some = || if next(3) == 0 { 0 } else { 1 << next(6) | 1 << (CARRY as u64 + next(2)) };
                    let mut work =
                        Work { writes: some(), reads: some(), addresses: some(), issued: 1, ..Work::default() };
                    (work.latency, work.from_address) = (next(9) as u16, next(9) as u16);
                    let ports = table.narrow[next(table.narrow.len() as u64) as usize].ports;
                    let group = Group { ports, count: 1 + next(3) as u8 };
                    work.add(group);
                    groups.push(group);
                    run.put_before(&table, &work);
                    let (chain, ports) = everything(&table, &run, &groups);
                    assert_eq!(run.recurrence(), chain, "{name}");
                    let width = run.issued * UNIT / u32::from(table.width);
                    assert_eq!(run.estimate(&table), width.max(ports).max(chain * UNIT / 2), "{name}");
                }
            }
        }
    }
}
