//! Guest time beside the host's.

use std::time::{Duration, Instant};

/// Keeps guest time from running ahead of the host's. It decides when a slice runs, and nothing about what is in it.
#[derive(Debug)]
pub(super) struct Pacer {
    started: Instant,
    cycle: u64,
}

impl Pacer {
    /// Begins at the guest's clock `cycle`.
    pub fn new(cycle: u64) -> Self {
        Self { started: Instant::now(), cycle }
    }

    /// Sleeps off what the guest is ahead. A guest that is far behind is not made to catch up.
    pub fn pace(&mut self, now: u64, hz: u64) {
        let guest = Duration::from_secs_f64(now.saturating_sub(self.cycle) as f64 / hz as f64);
        let host = self.started.elapsed();
        if let Some(ahead) = guest.checked_sub(host) {
            // Bounded, so that an idle guest that skips to a far deadline stays responsive.
            std::thread::sleep(ahead.min(Duration::from_millis(100)));
        }
        let drift = host.abs_diff(guest);
        if drift > Duration::from_millis(250) {
            *self = Self::new(now);
        }
    }
}
