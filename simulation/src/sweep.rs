//! Many seeds, on all cores.

use crate::{Coverage, Report};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// A seed whose schedule broke a promise.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What was broken, the first thing first.
    pub violations: Vec<String>,
}

/// What came of many schedules.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    /// How many were run.
    pub schedules: u64,
    /// All that they met.
    pub coverage: Coverage,
    /// Of those that met the fewest: how many faults.
    pub least_faults: u64,
    /// Of the shortest: how many records of `events`.
    pub least_events: u64,
    /// Those that failed, by seed.
    pub failures: Vec<Failure>,
}

/// Runs `schedule` for each seed, each on one of as many threads as there are cores; after `most_failures` no new ones.
pub fn sweep(seeds: Range<u64>, most_failures: usize, schedule: impl Fn(u64) -> Report + Sync) -> Sweep {
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Sweep { least_faults: u64::MAX, least_events: u64::MAX, ..Sweep::default() });
    let work = || {
        while total.lock().expect("no holder panics").failures.len() < most_failures {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let report = schedule(seed);
            total.lock().expect("no holder panics").add(seed, report);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut total = total.into_inner().expect("no holder panics");
    total.failures.sort_by_key(|failure| failure.seed);
    total
}

impl Sweep {
    fn add(&mut self, seed: u64, report: Report) {
        self.schedules += 1;
        self.coverage.merge(&report.coverage);
        if report.violations.is_empty() {
            self.least_faults = self.least_faults.min(report.coverage.faults());
            self.least_events = self.least_events.min(report.coverage.count(crate::Seen::Events));
        } else {
            self.failures.push(Failure { seed, violations: report.violations });
        }
    }
}
