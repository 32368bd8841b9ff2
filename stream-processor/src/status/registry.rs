use super::{Hottest, PartitionStatus};
use crate::outcome::OutcomeCounts;
use crate::progress::StageName;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A partition's figures at one moment. All times are milliseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PartitionReport {
    /// `shopper` or `product`.
    pub stage: &'static str,
    /// The partition.
    pub partition: u32,
    /// Records that wait.
    pub lag_records: u64,
    /// How long the oldest of these has waited, in ms.
    pub lag_ms: u64,
    /// How long ago the log last said where the partition ends, in ms.
    pub lag_age_ms: u64,
    /// Next offset to be folded.
    pub processed: u64,
    /// Next offset whose effects are in the serving store.
    pub visible: u64,
    /// Next offset whose effects are in the state store.
    pub stored: u64,
    /// Next offset to be written to the log.
    pub log_end: u64,
    /// Records folded since the partition was assigned.
    pub records: u64,
    /// Highest event time so far.
    pub stream_time_ms: Option<i64>,
    /// When a record was last folded; null before the first since the partition was assigned.
    pub last_progress_ms: Option<i64>,
    /// How long the effects of the last batch took to become visible after its receipt, in ms; null when that was long ago.
    pub freshness_ms: Option<u64>,
    /// Rows in memory.
    pub cached_rows: u64,
    /// Rows in memory that wait to be stored.
    pub changed_rows: u64,
    /// Values on their way to the serving store.
    pub publishing: u64,
    /// How often the task started anew after a failure.
    pub restarts: u64,
    /// The most frequent user or product of the last records.
    pub hottest: Option<Hottest>,
    /// Whether the task runs (else it loads, or waits to try again).
    pub running: bool,
    /// Whether nothing waits and nothing came for a minute.
    pub idle: bool,
    /// Whether records wait and none was folded for too long.
    pub stalled: bool,
    /// Whether the serving store is being filled again.
    pub refilling: bool,
}

/// The partitions that this process owns. One that is taken away leaves at once, and its figures with it.
#[derive(Debug, Default)]
pub struct Registry {
    partitions: Mutex<BTreeMap<(StageName, u32), Arc<PartitionStatus>>>,
}

impl Registry {
    /// Adds a partition with fresh figures, as of `now_ms`.
    pub fn insert(&self, stage: StageName, partition: u32, now_ms: i64) -> Arc<PartitionStatus> {
        let status = Arc::new(PartitionStatus::new(stage, now_ms));
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

    /// Whether a partition is owned still, and was not assigned anew since it had these figures.
    pub fn holds(&self, stage: StageName, partition: u32, status: &Arc<PartitionStatus>) -> bool {
        self.lock().get(&(stage, partition)).is_some_and(|current| Arc::ptr_eq(current, status))
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

    /// The end of the windows: the stream's time, which in live use goes on with the clock while no events come, and in a
    /// replay of old data stands still.
    pub(crate) fn window_now_ms(&self, clock_ms: i64) -> i64 {
        let stream_ms = self.stream_time_ms();
        let last_append_ms = |status: &Arc<PartitionStatus>| status.last_append_ms.load(Ordering::Relaxed);
        let last_append_ms = self.lock().values().map(last_append_ms).max().unwrap_or(0);
        if is_live(last_append_ms, stream_ms) { stream_ms.max(clock_ms) } else { stream_ms }
    }

    /// Figures of every partition.
    pub fn report(&self, now_ms: i64) -> Vec<PartitionReport> {
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        self.all()
            .into_iter()
            .map(|((stage, partition), status)| {
                let stream_time_ms = status.stream_time_ms.load(Ordering::Relaxed);
                let folded_at_ms = status.folded_at_ms.load(Ordering::Relaxed);
                PartitionReport {
                    stage: stage.as_str(),
                    partition,
                    lag_records: status.lag_records(),
                    lag_ms: status.lag_ms(now_ms),
                    lag_age_ms: status.lag_age_ms(now_ms),
                    processed: load(&status.processed),
                    visible: load(&status.visible),
                    stored: load(&status.stored),
                    log_end: status.end(),
                    records: load(&status.records),
                    stream_time_ms: (stream_time_ms != i64::MIN).then_some(stream_time_ms),
                    last_progress_ms: (folded_at_ms > 0).then_some(folded_at_ms),
                    freshness_ms: status.freshness_ms(now_ms),
                    cached_rows: load(&status.cached_rows),
                    changed_rows: load(&status.changed_rows),
                    publishing: load(&status.publishing),
                    restarts: load(&status.restarts),
                    hottest: status.hottest(),
                    running: status.running.load(Ordering::Relaxed),
                    idle: status.is_idle(now_ms),
                    stalled: status.stalled.load(Ordering::Relaxed),
                    refilling: status.needs_refill(),
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

    /// Outcomes of each partition of the product stage.
    pub(crate) fn outcomes_by_partition(&self) -> Vec<(u32, OutcomeCounts)> {
        let partitions = self.lock();
        let product = partitions.iter().filter(|((stage, _), _)| *stage == StageName::Product);
        product.map(|((_, partition), status)| (*partition, status.outcomes())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(StageName, u32), Arc<PartitionStatus>>> {
        self.partitions.lock().expect("no holder panics")
    }
}

/// An event this recent against its append time means live use, not a replay of old data.
const LIVE_WITHIN_MS: i64 = 10 * 60 * 1000;

/// Whether a stream at event time `stream_ms`, of which a record was last appended at `last_append_ms` (0 = none was seen yet,
/// so that nothing is known), is in live use.
pub(crate) fn is_live(last_append_ms: i64, stream_ms: i64) -> bool {
    last_append_ms > 0 && last_append_ms.saturating_sub(stream_ms) < LIVE_WITHIN_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_left_leaves_no_figures() {
        let registry = Registry::default();
        let first = registry.insert(StageName::Shopper, 3, 0);
        let second = registry.insert(StageName::Shopper, 3, 0);
        registry.remove(StageName::Shopper, 3, &first);
        assert_eq!(registry.report(0).len(), 1, "it was assigned anew");
        registry.remove(StageName::Shopper, 3, &second);
        assert!(registry.report(0).is_empty());
    }

    #[test]
    fn only_recent_events_make_a_stream_live() {
        const NOW_MS: i64 = 1_800_000_000_000;
        assert!(is_live(NOW_MS, NOW_MS - 1_000) && is_live(NOW_MS, NOW_MS + 1_000));
        assert!(!is_live(NOW_MS, NOW_MS - LIVE_WITHIN_MS));
        assert!(!is_live(0, NOW_MS), "before its first record a partition takes the time of the others");
    }
}
