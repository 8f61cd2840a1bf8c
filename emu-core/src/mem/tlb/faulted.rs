//! What an access that faults makes the TLB forget.

use super::{ENTRIES, FETCH_ENTRIES, Tlb, data_slot, fetch_slot, slow_slot};
use emu_vmx::tags::Invalidation;

impl Tlb {
    /// [`Tlb::invalidate`] for an access that faulted, with no consequence but a look at a few slots if there is nothing to
    /// forget, as there mostly is. `shift` is log2 of the page that the paging structures have at the address, 12 if they
    /// have none. True if something may have been forgotten.
    pub fn forget_faulted(&mut self, scope: &Invalidation, shift: u8) -> bool {
        let held = scope.linear_address().is_some_and(|address| self.holds_part(address, shift));
        if held {
            self.invalidate(scope);
        }
        held
    }

    /// Whether an entry of any space has a page that `address` is in, as far as entries lie within the page of `shift`. Those
    /// of spaces that have lost their number are as good as gone, as they are in a snapshot.
    fn holds_part(&self, address: u64, shift: u8) -> bool {
        let covers = |key: u64, shift: u8| (key ^ address) >> shift == 0 && self.lives(key);
        let pages = 1u64.checked_shl(u32::from(shift) - 12).unwrap_or(u64::MAX);
        let parts =
            |slots: usize| (0..pages.min(slots as u64)).map(|n| (address >> shift << shift).wrapping_add(n << 12));
        parts(ENTRIES).map(data_slot).any(|slot| covers(self.entries[slot].key, self.details[slot].extent.shift))
            || parts(FETCH_ENTRIES).map(fetch_slot).any(|n| covers(self.fetch[n].key, self.fetch[n].extent.shift))
            || if shift == 12 {
                let entry = self.slow[slow_slot(address)];
                covers(entry.read, shift) || covers(entry.write, shift)
            } else {
                self.slow.iter().any(|entry| covers(entry.read, shift) || covers(entry.write, shift))
            }
    }
}
