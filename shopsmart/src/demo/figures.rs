use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Measurements kept: the percentiles are over the last ones.
const SAMPLES: usize = 1_000;

/// What the parts of the demo count while they run.
#[derive(Debug)]
pub(super) struct Figures {
    begun: Instant,
    acknowledged: AtomicU64,
    sent_again: AtomicU64,
    rejected: AtomicU64,
    seen_after: Mutex<Samples>,
}

#[derive(Debug, Default)]
struct Samples {
    last: VecDeque<Duration>,
    count: u64,
    missed: u64,
}

/// How long acknowledged events took to show in the shopper's history, as a caller sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freshness {
    /// Half of them were faster.
    pub p50: Duration,
    /// All but one in a hundred were faster.
    pub p99: Duration,
    /// How many were measured.
    pub count: u64,
    /// How many did not show in time.
    pub missed: u64,
}

impl Figures {
    pub fn new(begun: Instant) -> Self {
        Self {
            begun,
            acknowledged: AtomicU64::new(0),
            sent_again: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            seen_after: Mutex::default(),
        }
    }

    pub fn begun(&self) -> Instant {
        self.begun
    }

    pub fn add_acknowledged(&self, events: u64) {
        self.acknowledged.fetch_add(events, Ordering::Relaxed);
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub fn add_sent_again(&self) {
        self.sent_again.fetch_add(1, Ordering::Relaxed);
    }

    pub fn sent_again(&self) -> u64 {
        self.sent_again.load(Ordering::Relaxed)
    }

    pub fn add_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// A probe's event showed after so long; `None` = not at all.
    pub fn seen(&self, after: Option<Duration>) {
        let mut samples = self.seen_after.lock().expect("no holder panics");
        let Some(after) = after else {
            samples.missed += 1;
            return;
        };
        samples.count += 1;
        samples.last.push_back(after);
        if samples.last.len() > SAMPLES {
            samples.last.pop_front();
        }
    }

    pub fn freshness(&self) -> Freshness {
        let samples = self.seen_after.lock().expect("no holder panics");
        let mut sorted: Vec<Duration> = samples.last.iter().copied().collect();
        sorted.sort_unstable();
        // The smallest value that so many of a hundred do not exceed.
        let percentile = |p: usize| {
            let rank = (sorted.len() * p).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().unwrap_or_default()
        };
        Freshness { p50: percentile(50), p99: percentile(99), count: samples.count, missed: samples.missed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let figures = Figures::new(Instant::now());
        assert_eq!(figures.freshness(), Freshness::default());
        (1..=200).rev().for_each(|ms| figures.seen(Some(Duration::from_millis(ms))));
        figures.seen(None);
        let Freshness { p50, p99, count, missed } = figures.freshness();
        assert_eq!((p50.as_millis(), p99.as_millis(), count, missed), (100, 198, 200, 1));
    }

    #[test]
    fn a_single_measurement_is_every_percentile() {
        let figures = Figures::new(Instant::now());
        figures.seen(Some(Duration::from_millis(7)));
        let Freshness { p50, p99, .. } = figures.freshness();
        assert_eq!((p50.as_millis(), p99.as_millis()), (7, 7));
    }
}
