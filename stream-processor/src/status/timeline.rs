//! How long records have waited, and how soon their effects were visible.

use std::collections::VecDeque;

/// Ends remembered: at two looks a second, ten minutes.
const ENDS_KEPT: usize = 1_200;
/// Batches remembered that are processed and not visible; beyond, the newest ones count as one.
const BATCHES_KEPT: usize = 4_096;

/// Records that were processed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The offset behind the last one.
    pub(crate) next_offset: u64,
    /// When the log took the first one.
    pub(crate) first_append_ms: i64,
    /// When the log took the last one.
    pub(crate) last_append_ms: i64,
    /// When ingest received the oldest event behind them.
    pub(crate) received_ms: i64,
    /// How many there are.
    pub(crate) records: usize,
}

/// What is known of the times of a partition's records. All times are milliseconds since 1970 UTC.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// (log end, when it was first seen), ascending.
    ends: VecDeque<(u64, i64)>,
    /// Processed, and not visible yet.
    processed: VecDeque<Batch>,
    /// The log's end at the first look: when the records before it came is not known from looking.
    backlog_end: Option<u64>,
    /// The record that waits first, if it is one of these, came no earlier than this.
    backlog_since_ms: Option<i64>,
}

impl Timeline {
    /// Whether the log's end was never seen: then the append time of what waits first is worth a look, see
    /// [`Self::backlog_since`].
    pub(crate) fn is_new(&self) -> bool {
        self.backlog_end.is_none()
    }

    /// The first record that waits was appended then.
    pub(crate) fn backlog_since(&mut self, append_ms: i64) {
        self.backlog_since_ms = Some(append_ms);
    }

    /// What was processed and is not visible will be processed again.
    pub(crate) fn begins(&mut self) {
        self.processed.clear();
    }

    /// Takes note of the log's end.
    pub(crate) fn saw_end(&mut self, end: u64, now_ms: i64) {
        self.backlog_end.get_or_insert(end);
        if self.ends.back().is_none_or(|(last, _)| *last < end) {
            self.ends.push_back((end, now_ms));
        }
        if self.ends.len() > ENDS_KEPT {
            self.ends.pop_front();
        }
    }

    /// Takes note of a batch that was processed.
    pub(crate) fn processed(&mut self, batch: Batch) {
        self.backlog_since_ms = Some(batch.last_append_ms);
        let full = self.processed.len() >= BATCHES_KEPT;
        match self.processed.back_mut() {
            Some(last) if full => {
                last.next_offset = batch.next_offset;
                last.last_append_ms = batch.last_append_ms;
                last.records += batch.records;
            }
            _ => self.processed.push_back(batch),
        }
    }

    /// The effects of everything before `offset` are visible: gives the batches that were not before.
    pub(crate) fn visible(&mut self, offset: u64) -> impl Iterator<Item = Batch> {
        let count = self.processed.partition_point(|batch| batch.next_offset <= offset);
        self.processed.drain(..count)
    }

    /// When the record came that has waited longest, with everything before `visible` visible; `None` when none waits.
    pub(crate) fn waiting_since(&mut self, visible: u64) -> Option<i64> {
        if let Some(batch) = self.processed.front() {
            return Some(batch.first_append_ms);
        }
        while self.ends.front().is_some_and(|(end, _)| *end <= visible) {
            self.ends.pop_front();
        }
        let (end, first_seen_ms) = *self.ends.front()?;
        let in_backlog = self.backlog_end.is_some_and(|backlog_end| end <= backlog_end);
        // A backlog came one after the other: what waits first came when the last one processed did, or soon after.
        Some(if in_backlog { self.backlog_since_ms.unwrap_or(first_seen_ms) } else { first_seen_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(next_offset: u64, append_ms: i64) -> Batch {
        Batch {
            next_offset,
            first_append_ms: append_ms,
            last_append_ms: append_ms + 5,
            received_ms: append_ms - 1,
            records: 1,
        }
    }

    #[test]
    fn what_came_while_looking_waits_since_it_was_seen() {
        let mut timeline = Timeline::default();
        timeline.saw_end(10, 1_000);
        timeline.visible(10).for_each(drop);
        assert_eq!(timeline.waiting_since(10), None);
        timeline.saw_end(20, 3_000);
        timeline.saw_end(20, 9_000);
        assert_eq!(timeline.waiting_since(10), Some(3_000));
        timeline.saw_end(30, 9_500);
        assert_eq!(timeline.waiting_since(20), Some(9_500));
        assert_eq!(timeline.waiting_since(30), None);
    }

    #[test]
    fn a_backlog_waits_since_its_append_time() {
        let mut timeline = Timeline::default();
        assert!(timeline.is_new());
        timeline.backlog_since(500);
        timeline.saw_end(100, 30_000);
        assert_eq!(timeline.waiting_since(10), Some(500), "not since somebody looked");
        timeline.processed(batch(20, 700));
        assert_eq!(timeline.waiting_since(10), Some(700), "its effects are not visible yet");
        assert_eq!(timeline.visible(20).map(|batch| batch.received_ms).collect::<Vec<_>>(), [699]);
        assert_eq!(
            timeline.waiting_since(20),
            Some(705),
            "the next one came when the last one did, or later"
        );
        assert_eq!(timeline.waiting_since(100), None);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_is_kept() {
        let mut timeline = Timeline::default();
        for offset in 1..=10_000 {
            timeline.processed(batch(offset, offset as i64));
            timeline.saw_end(offset, offset as i64);
        }
        assert!(timeline.processed.len() <= BATCHES_KEPT && timeline.ends.len() <= ENDS_KEPT);
        assert_eq!(timeline.waiting_since(0), Some(1));
        assert_eq!(timeline.visible(10_000).map(|batch| batch.records).sum::<usize>(), 10_000);
    }
}
