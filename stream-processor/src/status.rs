//! Where each partition stands: written by its task, read by markers, metrics and the admin endpoints.

mod hot_keys;
mod registry;
mod timeline;

pub use hot_keys::Hottest;
pub(crate) use registry::is_live;
pub use registry::{PartitionReport, Registry};
pub(crate) use timeline::Batch;

use crate::metrics;
use crate::outcome::OutcomeCounts;
use crate::progress::StageName;
use crate::publish::Covers;
use bytes::Bytes;
use hot_keys::HotKeys;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;
use timeline::Timeline;

/// Without a record for so long a partition counts as idle.
const IDLE_AFTER_MS: i64 = 60_000;
/// A freshness that was measured longer ago says nothing of now.
const FRESHNESS_KEPT_MS: i64 = 10_000;

/// Live figures of one partition of one stage. All times are milliseconds since 1970 UTC.
#[derive(Debug)]
pub struct PartitionStatus {
    stage: StageName,
    /// When the partition was assigned.
    assigned_at_ms: i64,
    /// Next offset to be folded.
    pub processed: AtomicU64,
    /// Next offset whose effects are in the serving store, but for small changes of neighbour lists.
    pub visible: AtomicU64,
    /// Next offset whose effects are in the serving store, small changes of neighbour lists included.
    pub complete: AtomicU64,
    /// Next offset whose effects are in the state store.
    pub stored: AtomicU64,
    /// Next offset to be written to the log, as last seen.
    pub log_end: AtomicU64,
    /// When that was seen; 0 = never.
    end_seen_at_ms: AtomicI64,
    /// Records folded since the partition was assigned.
    pub records: AtomicU64,
    /// Highest event time so far, or `i64::MIN`.
    pub stream_time_ms: AtomicI64,
    /// Append time of the last folded record.
    pub last_append_ms: AtomicI64,
    /// When the last record was folded, by this process's clock; 0 = never.
    pub folded_at_ms: AtomicI64,
    /// When it was last seen that nothing waits to be folded; 0 = never.
    nothing_waited_at_ms: AtomicI64,
    /// Rows in memory.
    pub cached_rows: AtomicU64,
    /// Rows in memory that wait to be stored.
    pub changed_rows: AtomicU64,
    /// Values on their way to the serving store.
    pub publishing: AtomicU64,
    /// How often the task started anew after a failure.
    pub restarts: AtomicU64,
    /// How often the serving store lost data of this partition.
    losses: AtomicU64,
    /// How many of these losses have been made good: what is lost during a fill is not in it.
    filled: AtomicU64,
    /// The offset from which on small changes are missing in the serving store; `u64::MAX` = none, or more is missing.
    behind_at: AtomicU64,
    /// The partition's witness in the serving store before this owner published anything; none where there was none, or none could
    /// be read.
    pub(crate) first_witness: OnceLock<Option<Bytes>>,
    /// A flush is wanted at once.
    pub flush_now: AtomicBool,
    /// Trending lists and repeat tables are to be published again even where they have not changed.
    pub republish: AtomicBool,
    /// Whether the task has read its progress and runs.
    pub running: AtomicBool,
    /// Records wait and none was folded for too long, as [`crate::watchdog`] judged last.
    pub stalled: AtomicBool,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    outcomes: OutcomeCounts,
    timeline: Timeline,
    hot_keys: HotKeys,
    /// The last (freshness in ms, when it was measured).
    freshness: Option<(u64, i64)>,
}

impl PartitionStatus {
    /// A partition that was assigned at `now_ms` and of which nothing is known yet.
    pub(crate) fn new(stage: StageName, now_ms: i64) -> Self {
        Self {
            stage,
            assigned_at_ms: now_ms,
            processed: AtomicU64::new(0),
            visible: AtomicU64::new(0),
            complete: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            log_end: AtomicU64::new(0),
            end_seen_at_ms: AtomicI64::new(0),
            records: AtomicU64::new(0),
            stream_time_ms: AtomicI64::new(i64::MIN),
            last_append_ms: AtomicI64::new(0),
            folded_at_ms: AtomicI64::new(0),
            nothing_waited_at_ms: AtomicI64::new(0),
            cached_rows: AtomicU64::new(0),
            changed_rows: AtomicU64::new(0),
            publishing: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            filled: AtomicU64::new(0),
            behind_at: AtomicU64::new(u64::MAX),
            first_witness: OnceLock::new(),
            flush_now: AtomicBool::new(false),
            republish: AtomicBool::new(false),
            running: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            shared: Mutex::default(),
        }
    }

    /// Takes note of the log's end.
    pub fn saw_end(&self, end: u64, now_ms: i64) {
        self.shared().timeline.saw_end(end, now_ms);
        self.log_end.store(end, Ordering::Relaxed);
        self.end_seen_at_ms.store(now_ms, Ordering::Relaxed);
        if self.processed.load(Ordering::Relaxed) >= end {
            self.nothing_waited_at_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Whether the log's end was never seen: then the append time of the record at `visible` is worth a look.
    pub(crate) fn is_new(&self) -> bool {
        self.shared().timeline.is_new()
    }

    /// The record at `visible` was appended then.
    pub(crate) fn backlog_since(&self, append_ms: i64) {
        self.shared().timeline.backlog_since(append_ms);
    }

    /// The task begins (again) with the record at `offset`.
    pub(crate) fn begins(&self, offset: u64) {
        self.shared().timeline.begins();
        self.processed.store(offset, Ordering::Relaxed);
        self.stored.store(offset, Ordering::Relaxed);
    }

    /// Takes note of a batch that was folded, and of the user or product of each of its updates.
    pub(crate) fn folded<'a>(&self, batch: Batch, keys: impl Iterator<Item = &'a str>, now_ms: i64) {
        let mut shared = self.shared();
        shared.timeline.processed(batch);
        keys.for_each(|key| shared.hot_keys.observe(key));
        drop(shared);
        self.processed.store(batch.next_offset, Ordering::Relaxed);
        self.last_append_ms.store(batch.last_append_ms, Ordering::Relaxed);
        self.records.fetch_add(batch.records as u64, Ordering::Relaxed);
        self.folded_at_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The effects of everything before these offsets are in the serving store.
    pub(crate) fn became_visible(&self, covers: Covers, now_ms: i64) {
        let offset = covers.visible;
        self.visible.store(offset, Ordering::Relaxed);
        self.complete.store(covers.complete, Ordering::Relaxed);
        let mut shared = self.shared();
        let mut newest = None;
        for batch in shared.timeline.visible(offset) {
            let after_ms = now_ms.saturating_sub(batch.received_ms).max(0) as u64;
            metrics::became_visible(self.stage, Duration::from_millis(after_ms), batch.records);
            newest = Some((after_ms, now_ms));
        }
        shared.freshness = newest.or(shared.freshness);
    }

    /// The log's end as far as it is known. It is looked at now and then only; what was processed meanwhile was in it too.
    pub(crate) fn end(&self) -> u64 {
        self.log_end.load(Ordering::Relaxed).max(self.processed.load(Ordering::Relaxed))
    }

    /// Records in the log whose effects are not visible yet.
    pub fn lag_records(&self) -> u64 {
        self.end().saturating_sub(self.visible.load(Ordering::Relaxed))
    }

    /// How long the oldest record has waited whose effects are not visible yet, in ms.
    pub fn lag_ms(&self, now_ms: i64) -> u64 {
        if self.lag_records() == 0 {
            return 0;
        }
        let since = self.shared().timeline.waiting_since(self.visible.load(Ordering::Relaxed));
        since.map_or(0, |since_ms| now_ms.saturating_sub(since_ms).max(0) as u64)
    }

    /// The serving store lost data of this partition: it is to be filled again, also when that is under way already.
    pub fn lost_data(&self) {
        self.behind_at.store(u64::MAX, Ordering::Relaxed);
        self.losses.fetch_add(1, Ordering::Relaxed);
    }

    /// The serving store lost nothing, but an earlier owner ended before it had published small changes of records from
    /// `offset` on: they are to be filled in, and what is there is good enough to answer from meanwhile.
    pub(crate) fn is_behind(&self, offset: u64) {
        self.lost_data();
        self.behind_at.store(offset, Ordering::Relaxed);
    }

    /// Next offset whose effects are in the serving store, and whether nothing before it is missing there.
    pub(crate) fn published(&self) -> (u64, bool) {
        let (complete, behind_at) =
            (self.complete.load(Ordering::Relaxed), self.behind_at.load(Ordering::Relaxed));
        (complete.min(behind_at), behind_at != u64::MAX || !self.needs_refill())
    }

    /// Losses so far; give the number to [`Self::filled_up_to`] when a fill that began now is done.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// The first `losses` losses are made good.
    pub fn filled_up_to(&self, losses: u64) {
        self.filled.fetch_max(losses, Ordering::Relaxed);
        if !self.needs_refill() {
            self.behind_at.store(u64::MAX, Ordering::Relaxed);
        }
    }

    /// Whether the serving store lacks data of this partition.
    pub fn needs_refill(&self) -> bool {
        self.filled.load(Ordering::Relaxed) < self.losses()
    }

    /// How long ago the log last said where the partition ends, in ms.
    pub fn lag_age_ms(&self, now_ms: i64) -> u64 {
        let seen_at_ms = self.end_seen_at_ms.load(Ordering::Relaxed).max(self.assigned_at_ms);
        now_ms.saturating_sub(seen_at_ms).max(0) as u64
    }

    /// How long the effects of the last batch took to become visible, in ms, unless that was a while ago.
    pub(crate) fn freshness_ms(&self, now_ms: i64) -> Option<u64> {
        let (freshness_ms, measured_at_ms) = self.shared().freshness?;
        (now_ms.saturating_sub(measured_at_ms) <= FRESHNESS_KEPT_MS).then_some(freshness_ms)
    }

    /// Whether nothing waits and nothing came for a while.
    pub(crate) fn is_idle(&self, now_ms: i64) -> bool {
        let last_ms = self.folded_at_ms.load(Ordering::Relaxed).max(self.assigned_at_ms);
        self.lag_records() == 0 && now_ms.saturating_sub(last_ms) >= IDLE_AFTER_MS
    }

    /// For how long there has been work that nobody did, in ms; 0 where all is well.
    pub(crate) fn stuck_for_ms(&self, now_ms: i64) -> u64 {
        let running = self.running.load(Ordering::Relaxed);
        let waits = self.log_end.load(Ordering::Relaxed) > self.processed.load(Ordering::Relaxed);
        if running && !waits {
            return 0;
        }
        let last_ms = self.folded_at_ms.load(Ordering::Relaxed);
        let since_ms =
            last_ms.max(self.nothing_waited_at_ms.load(Ordering::Relaxed)).max(self.assigned_at_ms);
        now_ms.saturating_sub(since_ms).max(0) as u64
    }

    /// The most frequent user or product of the last records.
    pub(crate) fn hottest(&self) -> Option<Hottest> {
        self.shared().hot_keys.hottest()
    }

    /// Outcomes counted in this partition (product stage).
    pub fn outcomes(&self) -> OutcomeCounts {
        self.shared().outcomes
    }

    /// Sets the outcomes.
    pub fn set_outcomes(&self, outcomes: OutcomeCounts) {
        self.shared().outcomes = outcomes;
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_that_are_missing_do_not_make_answers_degraded() {
        let status = PartitionStatus::new(StageName::Product, 0);
        status.became_visible(Covers { visible: 70, complete: 60 }, 0);
        assert_eq!(status.published(), (60, true));
        status.is_behind(50);
        assert!(status.needs_refill());
        assert_eq!(status.published(), (50, true), "the next owner is to find it, too");
        status.filled_up_to(status.losses());
        assert_eq!(status.published(), (60, true));
        status.is_behind(50);
        status.lost_data();
        assert_eq!(status.published(), (60, false));
        status.filled_up_to(status.losses());
        assert_eq!(status.published(), (60, true));
    }

    fn batch(next_offset: u64, append_ms: i64) -> Batch {
        Batch {
            next_offset,
            first_append_ms: append_ms,
            last_append_ms: append_ms,
            received_ms: append_ms - 10,
            records: 5,
        }
    }

    #[test]
    fn lag_goes_on_growing_while_the_log_is_silent() {
        let status = PartitionStatus::new(StageName::Shopper, 0);
        status.became_visible(Covers::all_before(10), 900);
        status.saw_end(10, 1_000);
        status.saw_end(15, 2_000);
        assert_eq!((status.lag_records(), status.lag_ms(5_000)), (5, 3_000));
        assert_eq!(status.lag_age_ms(5_000), 3_000);
        status.folded(batch(15, 1_800), std::iter::empty(), 5_100);
        assert_eq!(status.lag_ms(6_000), 4_200, "since the log took it, now that this is known");
        status.became_visible(Covers::all_before(15), 6_100);
        assert_eq!((status.lag_records(), status.lag_ms(9_000)), (0, 0));
        assert_eq!(status.freshness_ms(9_000), Some(4_310));
        assert_eq!(status.freshness_ms(60_000), None, "that was a while ago");
    }

    #[test]
    fn what_was_processed_waits_before_the_logs_end_is_looked_at_again() {
        let status = PartitionStatus::new(StageName::Product, 0);
        status.saw_end(10, 1_000);
        status.became_visible(Covers::all_before(10), 1_000);
        status.folded(batch(15, 1_800), std::iter::empty(), 1_900);
        assert_eq!((status.lag_records(), status.lag_ms(2_000)), (5, 200));
        status.became_visible(Covers::all_before(15), 2_100);
        assert_eq!((status.lag_records(), status.lag_ms(2_200)), (0, 0));
    }

    #[test]
    fn work_that_nobody_does_is_noticed_and_a_quiet_shop_is_not() {
        let status = PartitionStatus::new(StageName::Shopper, 1_000);
        assert_eq!(status.stuck_for_ms(5_000), 4_000, "it does not begin");
        status.running.store(true, Ordering::Relaxed);
        assert_eq!(status.stuck_for_ms(5_000), 0);
        status.saw_end(0, 100_000);
        status.saw_end(3, 101_000);
        assert_eq!(status.stuck_for_ms(104_000), 4_000, "since there was something to do");
        status.folded(batch(2, 100_500), std::iter::empty(), 105_000);
        assert_eq!(status.stuck_for_ms(107_000), 2_000);
        status.folded(batch(3, 100_500), std::iter::empty(), 108_000);
        assert_eq!(status.stuck_for_ms(999_000), 0);
        assert!(!status.is_idle(109_000));
        status.became_visible(Covers::all_before(3), 108_100);
        assert!(status.is_idle(168_000));
    }
}
