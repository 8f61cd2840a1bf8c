//! Branch prediction as it is modelled: two-bit counters chosen by a branch's address and by the branches before it, the
//! last targets of indirect branches, and a stack of return addresses.

use super::parts::Branches;
use serde::{Deserialize, Serialize};

/// What a branch is to the predictor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Branch {
    /// It goes one of two ways.
    Conditional {
        /// To its target.
        taken: bool,
    },
    /// CALL to an address in the instruction.
    Call,
    /// CALL to an address in a register or in memory.
    IndirectCall,
    /// JMP, likewise.
    IndirectJump,
    /// RET.
    Return,
}

/// What is known of earlier branches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predictor {
    /// The last conditional branches, the newest in bit 0: 1 if it was taken.
    history: u64,
    length: u8,
    /// 0 and 1: not taken; 2 and 3: taken.
    counters: Box<[u8]>,
    /// Linear address of an indirect branch, and where it went last.
    targets: Box<[(u64, u64)]>,
    /// Where calls return to, as a ring.
    returns: Box<[u64]>,
    /// The place of the newest of them.
    top: u16,
}

/// A counter at first: not taken, if only just.
const UNDECIDED: u8 = 1;

impl Predictor {
    /// Nothing is known yet. The sizes are those that [`Branches::check`] has accepted.
    pub fn new(branches: &Branches) -> Self {
        Self {
            history: 0,
            length: branches.history,
            counters: vec![UNDECIDED; branches.counters as usize].into(),
            targets: vec![(0, 0); branches.targets as usize].into(),
            returns: vec![0; branches.returns as usize].into(),
            top: 0,
        }
    }

    /// A branch at a linear address has gone to `target`, and would have gone on at `next`; whether that was predicted.
    pub fn see(&mut self, branch: Branch, address: u64, target: u64, next: u64) -> bool {
        match branch {
            Branch::Conditional { taken } => self.see_direction(address, taken),
            Branch::Call => {
                self.push(next);
                true
            }
            Branch::IndirectCall => {
                self.push(next);
                self.see_target(address, target)
            }
            Branch::IndirectJump => self.see_target(address, target),
            Branch::Return => self.pop() == target,
        }
    }

    fn see_direction(&mut self, address: u64, taken: bool) -> bool {
        let slot = (address ^ self.history) as usize & (self.counters.len() - 1);
        let counter = &mut self.counters[slot];
        let predicted = *counter >= 2;
        *counter = if taken { (*counter + 1).min(3) } else { counter.saturating_sub(1) };
        self.history = (self.history << 1 | u64::from(taken)) & ((1 << self.length) - 1);
        predicted == taken
    }

    fn see_target(&mut self, address: u64, target: u64) -> bool {
        let slot = address as usize & (self.targets.len() - 1);
        std::mem::replace(&mut self.targets[slot], (address, target)) == (address, target)
    }

    fn push(&mut self, address: u64) {
        self.top = (self.top + 1) % self.returns.len() as u16;
        self.returns[usize::from(self.top)] = address;
    }

    fn pop(&mut self) -> u64 {
        let address = self.returns[usize::from(self.top)];
        let depth = self.returns.len() as u16;
        self.top = (self.top + depth - 1) % depth;
        address
    }

    /// Whether `other` is of the same sizes, and holds what a predictor can hold.
    pub fn is_like(&self, other: &Self) -> bool {
        let sizes = |this: &Self| (this.length, this.counters.len(), this.targets.len(), this.returns.len());
        sizes(self) == sizes(other)
            && usize::from(other.top) < other.returns.len()
            && other.counters.iter().all(|counter| *counter <= 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const SMALL: Branches = Branches { penalty: 16, history: 8, counters: 1024, targets: 64, returns: 16 };

    /// The same from maps and lists that never forget but where the tables are too small.
    #[derive(Default)]
    struct Naive {
        past: Vec<bool>,
        counters: HashMap<u64, i32>,
        targets: HashMap<u64, (u64, u64)>,
        calls: Vec<u64>,
    }

    impl Naive {
        fn see(&mut self, branch: Branch, address: u64, target: u64, next: u64) -> bool {
            if matches!(branch, Branch::Call | Branch::IndirectCall) {
                self.calls.push(next);
                if self.calls.len() > 16 {
                    self.calls.remove(0);
                }
            }
            match branch {
                Branch::Conditional { taken } => {
                    let recent = self.past.iter().rev().take(8);
                    let number = recent.enumerate().fold(0, |all, (n, taken)| all | u64::from(*taken) << n);
                    let counter = self.counters.entry((address ^ number) % 1024).or_insert(1);
                    let predicted = *counter > 1;
                    *counter = (*counter + if taken { 1 } else { -1 }).clamp(0, 3);
                    self.past.push(taken);
                    predicted == taken
                }
                Branch::Call => true,
                Branch::IndirectCall | Branch::IndirectJump => {
                    self.targets.insert(address % 64, (address, target)) == Some((address, target))
                }
                Branch::Return => self.calls.pop() == Some(target),
            }
        }
    }

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    #[test]
    fn predictions_are_those_of_maps_and_lists() {
        SMALL.check().expect("it makes sense");
        let (mut predictor, mut naive, mut state) = (Predictor::new(&SMALL), Naive::default(), 7);
        let mut depth = 0;
        for n in 0..200_000 {
            let address = 0x40_0000 + random(&mut state) % 300 * 5;
            let target = 0x50_0000 + random(&mut state) % 3;
            let branch = match random(&mut state) % 8 {
                0..4 => Branch::Conditional { taken: random(&mut state) % 4 != address % 4 },
                4 => Branch::Call,
                5 => Branch::IndirectCall,
                6 => Branch::IndirectJump,
                // A stack that runs empty is the one thing that a ring does otherwise.
                _ if depth > 0 => Branch::Return,
                _ => Branch::Call,
            };
            depth = match branch {
                Branch::Call | Branch::IndirectCall => 16.min(depth + 1),
                Branch::Return => depth - 1,
                _ => depth,
            };
            let newest = predictor.returns[usize::from(predictor.top)];
            let target = if branch == Branch::Return && n % 3 != 0 { newest } else { target };
            let next = address + 5;
            let here = predictor.see(branch, address, target, next);
            assert_eq!(here, naive.see(branch, address, target, next), "branch {n}: {branch:?}");
        }
    }

    /// Mispredictions of the last half of a conditional branch's outcomes.
    fn missed(outcomes: impl Iterator<Item = bool>) -> usize {
        let outcomes: Vec<bool> = outcomes.collect();
        let mut predictor = Predictor::new(&SMALL);
        let seen = outcomes.iter().map(|&taken| predictor.see(Branch::Conditional { taken }, 0x1234, 1, 2));
        seen.collect::<Vec<_>>()[outcomes.len() / 2..].iter().filter(|predicted| !**predicted).count()
    }

    #[test]
    fn short_patterns_are_learned_and_chance_is_not() {
        assert_eq!(missed((0..2000).map(|n| n % 2 == 0)), 0);
        assert_eq!(missed((0..2000).map(|n| n % 7 == 0)), 0);
        let mut state = 1;
        let chance = missed((0..20_000).map(|_| random(&mut state).is_multiple_of(2)));
        assert!((4500..5500).contains(&chance), "{chance} of 10,000");
    }

    #[test]
    fn returns_are_predicted_as_deep_as_the_stack_is() {
        let mut predictor = Predictor::new(&SMALL);
        for depth in [16, 20] {
            (0..depth).for_each(|n| _ = predictor.see(Branch::Call, 0x1000, 0x2000, n));
            let missed = (0..depth).rev().filter(|n| !predictor.see(Branch::Return, 0x2010, *n, 0)).count();
            assert_eq!(missed, (depth - 16) as usize);
        }
    }
}
