//! Where each partition stands: written by its task, read by markers, metrics and the admin endpoints.

use crate::outcome::OutcomeCounts;
use crate::progress::StageName;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Live figures of one partition of one stage.
#[derive(Debug)]
pub struct PartitionStatus {
    /// Next offset to be folded.
    pub processed: AtomicU64,
    /// Next offset whose effects are in the serving store.
    pub visible: AtomicU64,
    /// Next offset whose effects are in the state store.
    pub stored: AtomicU64,
    /// Next offset to be written to the log, as last seen.
    pub log_end: AtomicU64,
    /// How long the oldest waiting record has waited, in ms.
    pub lag_ms: AtomicU64,
    /// Highest event time so far, or `i64::MIN`.
    pub stream_time_ms: AtomicI64,
    /// Append time of the last folded record.
    pub last_append_ms: AtomicI64,
    /// When the last record was folded, by this process's clock.
    pub folded_at_ms: AtomicI64,
    /// Rows in memory.
    pub cached_rows: AtomicU64,
    /// How often the task started anew after a failure.
    pub restarts: AtomicU64,
    /// The serving store lacks data of this partition and is to be filled again.
    pub needs_refill: AtomicBool,
    /// A flush is wanted at once.
    pub flush_now: AtomicBool,
    /// Trending lists and repeat tables are to be published again even where they have not changed.
    pub republish: AtomicBool,
    /// Whether the task has read its progress and runs.
    pub running: AtomicBool,
    outcomes: Mutex<OutcomeCounts>,
    /// (log end, when it was first seen), ascending: tells how long records have waited.
    ends: Mutex<VecDeque<(u64, i64)>>,
}

impl Default for PartitionStatus {
    fn default() -> Self {
        Self {
            processed: AtomicU64::new(0),
            visible: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            log_end: AtomicU64::new(0),
            lag_ms: AtomicU64::new(0),
            stream_time_ms: AtomicI64::new(i64::MIN),
            last_append_ms: AtomicI64::new(0),
            folded_at_ms: AtomicI64::new(0),
            cached_rows: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            needs_refill: AtomicBool::new(false),
            flush_now: AtomicBool::new(false),
            republish: AtomicBool::new(false),
            running: AtomicBool::new(false),
            outcomes: Mutex::default(),
            ends: Mutex::default(),
        }
    }
}

/// Ends remembered per partition: at two looks a second, ten minutes.
const ENDS_KEPT: usize = 1200;

impl PartitionStatus {
    /// Takes note of the log's end and works out how long the oldest waiting record has waited.
    pub fn saw_end(&self, end: u64, now_ms: i64) {
        self.log_end.store(end, Ordering::Relaxed);
        let visible = self.visible.load(Ordering::Relaxed);
        let mut ends = self.ends.lock().expect("no holder panics");
        if ends.back().is_none_or(|(last, _)| *last < end) {
            ends.push_back((end, now_ms));
        }
        if ends.len() > ENDS_KEPT {
            ends.pop_front();
        }
        while ends.front().is_some_and(|(end, _)| *end <= visible) {
            ends.pop_front();
        }
        let lag_ms = match ends.front() {
            Some((_, since_ms)) if visible < end => now_ms.saturating_sub(*since_ms).max(0) as u64,
            _ => 0,
        };
        self.lag_ms.store(lag_ms, Ordering::Relaxed);
    }

    /// Records in the log whose effects are not visible yet.
    pub fn lag_records(&self) -> u64 {
        self.log_end.load(Ordering::Relaxed).saturating_sub(self.visible.load(Ordering::Relaxed))
    }

    /// Outcomes counted in this partition (product stage).
    pub fn outcomes(&self) -> OutcomeCounts {
        *self.outcomes.lock().expect("no holder panics")
    }

    /// Sets the outcomes.
    pub fn set_outcomes(&self, outcomes: OutcomeCounts) {
        *self.outcomes.lock().expect("no holder panics") = outcomes;
    }
}

/// A partition's figures at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionReport {
    /// `shopper` or `product`.
    pub stage: &'static str,
    /// The partition.
    pub partition: u32,
    /// Records that wait.
    pub lag_records: u64,
    /// How long the oldest of these has waited, in ms.
    pub lag_ms: u64,
    /// Next offset to be folded.
    pub processed: u64,
    /// Next offset whose effects are in the serving store.
    pub visible: u64,
    /// Next offset whose effects are in the state store.
    pub stored: u64,
    /// Next offset to be written to the log.
    pub log_end: u64,
    /// Highest event time so far, milliseconds since 1970 UTC.
    pub stream_time_ms: Option<i64>,
    /// Rows in memory.
    pub cached_rows: u64,
    /// How often the task started anew after a failure.
    pub restarts: u64,
    /// Whether the task runs (else it loads, or waits to try again).
    pub running: bool,
}

/// The partitions that this process owns. One that is taken away leaves at once, and its figures with it.
#[derive(Debug, Default)]
pub struct Registry {
    partitions: Mutex<BTreeMap<(StageName, u32), Arc<PartitionStatus>>>,
}

impl Registry {
    /// Adds a partition with fresh figures.
    pub fn insert(&self, stage: StageName, partition: u32) -> Arc<PartitionStatus> {
        let status = Arc::new(PartitionStatus::default());
        self.lock().insert((stage, partition), Arc::clone(&status));
        status
    }

    /// Removes a partition, unless it was assigned anew meanwhile.
    pub fn remove(&self, stage: StageName, partition: u32, status: &Arc<PartitionStatus>) {
        let mut partitions = self.lock();
        if partitions.get(&(stage, partition)).is_some_and(|current| Arc::ptr_eq(current, status)) {
            partitions.remove(&(stage, partition));
        }
    }

    /// All partitions owned now.
    pub fn all(&self) -> Vec<((StageName, u32), Arc<PartitionStatus>)> {
        self.lock().iter().map(|(key, status)| (*key, Arc::clone(status))).collect()
    }

    /// The highest event time over all partitions owned, or `i64::MIN`.
    pub fn stream_time_ms(&self) -> i64 {
        let times = self.lock();
        times.values().map(|status| status.stream_time_ms.load(Ordering::Relaxed)).max().unwrap_or(i64::MIN)
    }

    /// Figures of every partition.
    pub fn report(&self) -> Vec<PartitionReport> {
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        self.all()
            .into_iter()
            .map(|((stage, partition), status)| {
                let stream_time_ms = status.stream_time_ms.load(Ordering::Relaxed);
                PartitionReport {
                    stage: stage.as_str(),
                    partition,
                    lag_records: status.lag_records(),
                    lag_ms: load(&status.lag_ms),
                    processed: load(&status.processed),
                    visible: load(&status.visible),
                    stored: load(&status.stored),
                    log_end: load(&status.log_end),
                    stream_time_ms: (stream_time_ms != i64::MIN).then_some(stream_time_ms),
                    cached_rows: load(&status.cached_rows),
                    restarts: load(&status.restarts),
                    running: status.running.load(Ordering::Relaxed),
                }
            })
            .collect()
    }

    /// Outcomes over all partitions owned.
    pub fn outcomes(&self) -> OutcomeCounts {
        let mut sum = OutcomeCounts::default();
        self.lock().values().for_each(|status| sum.merge(&status.outcomes()));
        sum
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(StageName, u32), Arc<PartitionStatus>>> {
        self.partitions.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_in_time_is_that_of_the_oldest_waiting_record() {
        let status = PartitionStatus::default();
        status.saw_end(10, 1_000);
        status.saw_end(20, 3_000);
        status.saw_end(20, 9_000);
        assert_eq!(status.lag_ms.load(Ordering::Relaxed), 8_000);
        status.visible.store(15, Ordering::Relaxed);
        status.saw_end(20, 10_000);
        assert_eq!(status.lag_ms.load(Ordering::Relaxed), 7_000, "the rest came at 3,000");
        status.visible.store(20, Ordering::Relaxed);
        status.saw_end(20, 11_000);
        assert_eq!((status.lag_ms.load(Ordering::Relaxed), status.lag_records()), (0, 0));
    }

    #[test]
    fn a_partition_that_left_leaves_no_figures() {
        let registry = Registry::default();
        let first = registry.insert(StageName::Shopper, 3);
        let second = registry.insert(StageName::Shopper, 3);
        registry.remove(StageName::Shopper, 3, &first);
        assert_eq!(registry.report().len(), 1, "it was assigned anew");
        registry.remove(StageName::Shopper, 3, &second);
        assert!(registry.report().is_empty());
    }
}
