//! Deadlines: the only way in which time reaches a device.

use crate::device::DeviceId;
use serde::{Deserialize, Serialize};

/// One deadline of a device, told apart from its others by `tag`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Deadline {
    /// When, in cycles.
    pub at: u64,
    /// Order of scheduling: the tie-break that keeps runs equal.
    pub sequence: u64,
    /// Whose.
    pub device: DeviceId,
    /// Which of the device's deadlines.
    pub tag: u32,
}

/// All deadlines. A device has at most one per tag; scheduling it again moves it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Deadlines {
    /// Sorted, nearest last. A PC has some ten deadlines, so a sorted vector beats a heap and can cancel.
    queue: Vec<Deadline>,
    sequence: u64,
}

impl Deadlines {
    /// Schedules `device`'s deadline `tag` at `at` cycles, in place of an earlier one with that tag.
    pub fn schedule(&mut self, device: DeviceId, tag: u32, at: u64) {
        self.cancel(device, tag);
        self.sequence += 1;
        let deadline = Deadline { at, sequence: self.sequence, device, tag };
        let place = self.queue.partition_point(|other| *other > deadline);
        self.queue.insert(place, deadline);
    }

    /// Drops `device`'s deadline `tag`, if there is one.
    pub fn cancel(&mut self, device: DeviceId, tag: u32) {
        self.queue.retain(|other| other.device != device || other.tag != tag);
    }

    /// When `device`'s deadline `tag` is, in cycles, if there is one.
    pub fn of(&self, device: DeviceId, tag: u32) -> Option<u64> {
        self.queue.iter().find(|other| other.device == device && other.tag == tag).map(|deadline| deadline.at)
    }

    /// The time of the nearest deadline, in cycles; `u64::MAX` without one.
    pub fn next(&self) -> u64 {
        self.queue.last().map_or(u64::MAX, |deadline| deadline.at)
    }

    /// Whether the deadlines are few enough, and scheduled by what has counted them.
    pub(crate) fn is_sound(&self) -> bool {
        self.queue.len() <= 256 && self.queue.iter().all(|deadline| deadline.sequence <= self.sequence)
    }

    /// Brings the deadlines into their order.
    pub(crate) fn sort(&mut self) {
        self.queue.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Takes the nearest deadline that is due at `now`.
    pub fn pop_due(&mut self, now: u64) -> Option<Deadline> {
        if self.next() <= now { self.queue.pop() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_at_the_same_cycle_come_in_the_order_of_scheduling() {
        let mut deadlines = Deadlines::default();
        deadlines.schedule(DeviceId::Pit, 1, 10);
        deadlines.schedule(DeviceId::Rtc, 0, 10);
        deadlines.schedule(DeviceId::Pit, 2, 5);
        deadlines.schedule(DeviceId::Pit, 1, 10);
        let order: Vec<_> = std::iter::from_fn(|| deadlines.pop_due(10)).map(|d| (d.device, d.tag)).collect();
        assert_eq!(order, [(DeviceId::Pit, 2), (DeviceId::Rtc, 0), (DeviceId::Pit, 1)]);
    }
}
