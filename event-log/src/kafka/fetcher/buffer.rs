//! Between the fetching thread and one reader: a bounded buffer, and the task that hands it on in batches.

use crate::kafka::signal::Signal;
use crate::{LogError, Record, RecordBatch, RecordStream};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Records in a batch at most: what is done once for each user or product of a batch is done less often for larger ones.
const BATCH_RECORDS: usize = 2_000;
/// Batches that wait for a slow reader at most.
const STREAM_BATCHES: usize = 4;
/// Above this the partition is not fetched any more, until it is below half of it.
const FULL_RECORDS: usize = 10_000;
/// The same in bytes of keys and values.
const FULL_BYTES: usize = 4 << 20;

/// A partition's records on their way to its reader. Not bounded by itself: the fetching thread stops when it is full.
#[derive(Debug)]
pub(in crate::kafka) struct Buffer {
    state: Mutex<State>,
    filled: Notify,
    closed: CancellationToken,
    fetching: Arc<Signal>,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<Record>,
    bytes: usize,
    failed: Option<LogError>,
    full: bool,
}

impl Buffer {
    /// A buffer and the stream at its end, which a task keeps filled. `fetching` is woken when there is room again, and
    /// when the reader is gone.
    pub(super) fn with_stream(fetching: Arc<Signal>) -> (Arc<Self>, RecordStream) {
        let buffer = Arc::new(Self {
            state: Mutex::default(),
            filled: Notify::new(),
            closed: CancellationToken::new(),
            fetching,
        });
        let (batches, stream) = RecordStream::bounded(STREAM_BATCHES);
        let source = Arc::clone(&buffer);
        tokio::spawn(async move {
            tokio::select! {
                () = source.closed.cancelled() => {}
                () = batches.closed() => {}
                () = source.hand_on(&batches) => {}
            }
            source.close();
        });
        (buffer, stream)
    }

    async fn hand_on(&self, batches: &tokio::sync::mpsc::Sender<Result<RecordBatch, LogError>>) {
        while let Ok(room) = batches.reserve().await {
            let batch = loop {
                match self.take() {
                    Some(batch) => break batch,
                    None => self.filled.notified().await,
                }
            };
            let failed = batch.is_err();
            room.send(batch);
            if failed {
                return;
            }
        }
    }

    fn take(&self) -> Option<Result<RecordBatch, LogError>> {
        let mut state = self.lock();
        if state.records.is_empty() {
            return state.failed.take().map(Err);
        }
        let count = state.records.len().min(BATCH_RECORDS);
        let batch: RecordBatch = state.records.drain(..count).collect();
        state.bytes -= batch.iter().map(size).sum::<usize>();
        if state.full && state.records.len() <= FULL_RECORDS / 2 && state.bytes <= FULL_BYTES / 2 {
            state.full = false;
            self.fetching.wake();
        }
        Some(Ok(batch))
    }

    /// Adds records. For the fetching thread.
    pub(super) fn fill(&self, records: impl Iterator<Item = Record>) {
        let mut state = self.lock();
        for record in records {
            state.bytes += size(&record);
            state.records.push_back(record);
        }
        state.full = state.full || state.records.len() >= FULL_RECORDS || state.bytes >= FULL_BYTES;
        drop(state);
        self.filled.notify_one();
    }

    /// Ends the stream with an error, after the records before it.
    pub(super) fn fail(&self, error: LogError) {
        self.lock().failed = Some(error);
        self.filled.notify_one();
    }

    pub(super) fn is_full(&self) -> bool {
        self.lock().full
    }

    /// Ends the stream; the fetching thread forgets the partition.
    pub(in crate::kafka) fn close(&self) {
        self.closed.cancel();
        self.fetching.wake();
    }

    pub(in crate::kafka) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(record: &Record) -> usize {
    record.key.len() + record.value.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn record(offset: u64) -> Record {
        Record { offset, append_time_ms: 0, key: Bytes::new(), value: Bytes::from_static(b"value") }
    }

    #[tokio::test]
    async fn a_buffer_is_full_until_half_of_it_is_read() {
        let (buffer, mut stream) = Buffer::with_stream(Arc::default());
        let in_stream = STREAM_BATCHES * BATCH_RECORDS;
        buffer.fill((0..(FULL_RECORDS + in_stream) as u64).map(record));
        assert!(buffer.is_full());
        let mut read = 0;
        while buffer.is_full() {
            read += stream.next().await.expect("the stream goes on").expect("no error").len();
        }
        assert!(read >= FULL_RECORDS / 2, "{read}");
    }

    #[tokio::test]
    async fn an_error_comes_after_the_records_before_it_and_ends_the_stream() {
        let (buffer, mut stream) = Buffer::with_stream(Arc::default());
        buffer.fill(std::iter::once(record(0)));
        buffer.fail(LogError::NoSuchTopic("t".to_owned()));
        assert_eq!(stream.next().await, Some(Ok(vec![record(0)])));
        assert_eq!(stream.next().await, Some(Err(LogError::NoSuchTopic("t".to_owned()))));
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn a_dropped_stream_closes_its_buffer() {
        let (buffer, stream) = Buffer::with_stream(Arc::default());
        drop(stream);
        buffer.closed.cancelled().await;
    }
}
