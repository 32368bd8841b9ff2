//! A partition in memory, and following it.

use crate::{LogError, Record, RecordBatch, RecordStream, TopicPartition};
use bytes::Bytes;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Batches that wait for a slow reader at most.
const STREAM_BATCHES: usize = 4;

#[derive(Debug)]
pub(super) struct Partition {
    id: TopicPartition,
    held: Mutex<Held>,
    end: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Held {
    start: u64,
    end: u64,
    records: Vec<Record>,
}

impl Partition {
    pub(super) fn new(id: TopicPartition) -> Self {
        Self { id, held: Mutex::default(), end: watch::Sender::new(0) }
    }

    pub(super) fn id(&self) -> &TopicPartition {
        &self.id
    }

    pub(super) fn append(&self, now_ms: i64, key: Bytes, value: Bytes) -> u64 {
        let mut held = lock(&self.held);
        let append_time_ms = held.records.last().map_or(now_ms, |newest| newest.append_time_ms.max(now_ms));
        let offset = held.end;
        held.records.push(Record { offset, append_time_ms, key, value });
        held.end += 1;
        self.end.send_replace(held.end);
        offset
    }

    pub(super) fn truncate_before(&self, start: u64) {
        let mut held = lock(&self.held);
        held.records.retain(|record| record.offset >= start);
        held.start = start;
    }

    pub(super) fn bounds(&self) -> Range<u64> {
        let held = lock(&self.held);
        held.start..held.end
    }

    pub(super) fn read(&self, from: u64, max: usize) -> Result<Vec<Record>, LogError> {
        let held = lock(&self.held);
        let (start, end) = (held.start, held.end);
        if !(start..=end).contains(&from) {
            let TopicPartition { topic, partition } = &self.id;
            let (topic, partition) = (topic.to_string(), *partition);
            return Err(LogError::OutOfRange { topic, partition, offset: from, start, end });
        }
        let first = held.records.partition_point(|record| record.offset < from);
        Ok(held.records[first..].iter().take(max).cloned().collect())
    }

    /// Follows from `from` on in batches of at most `batch_records`, until the stream is dropped or `stop` is cancelled.
    pub(super) fn follow(
        self: Arc<Self>,
        from: u64,
        batch_records: usize,
        stop: CancellationToken,
    ) -> RecordStream {
        let (batches, stream) = RecordStream::bounded(STREAM_BATCHES);
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = batches.closed() => {}
                () = self.feed(from, batch_records, &batches) => {}
            }
        });
        stream
    }

    async fn feed(
        &self,
        from: u64,
        batch_records: usize,
        batches: &mpsc::Sender<Result<RecordBatch, LogError>>,
    ) {
        let mut end = self.end.subscribe();
        let mut next = from;
        while let Ok(room) = batches.reserve().await {
            let outcome = loop {
                match self.read(next, batch_records) {
                    Ok(records) if records.is_empty() => {
                        if end.wait_for(|end| *end > next).await.is_err() {
                            return;
                        }
                    }
                    outcome => break outcome,
                }
            };
            let failed = outcome.is_err();
            next = outcome
                .as_ref()
                .ok()
                .and_then(|records| records.last())
                .map_or(next, |newest| newest.offset + 1);
            room.send(outcome);
            if failed {
                return;
            }
        }
    }
}

/// A lock whose holders leave nothing half done: after a panic its content is still good.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
