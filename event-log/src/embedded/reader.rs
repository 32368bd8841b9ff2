//! Reading and following a partition. A reader that has caught up sleeps until the writer wakes it.

use super::partition::Partition;
use crate::{LogError, Record, RecordStream};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Records in a batch at most: what is done once for each user or product of a batch is done less often for larger ones.
const BATCH_RECORDS: usize = 2_000;
/// A batch takes no further chunk beyond so many bytes: what is made of it should stay in the processor's caches.
pub(super) const BATCH_BYTES: usize = 256 << 10;
/// Batches that wait for a slow reader at most.
const STREAM_BATCHES: usize = 4;

/// Records from `from` up to (not including) `end`, at most `max`.
pub(super) async fn read(
    partition: &Arc<Partition>,
    from: u64,
    end: u64,
    max: usize,
) -> Result<Vec<Record>, LogError> {
    if from >= end || max == 0 {
        return Ok(Vec::new());
    }
    if let Some(records) = partition.read_tail(from, max) {
        let mut records = records?;
        records.truncate(records.partition_point(|record| record.offset < end));
        return Ok(records);
    }
    let partition = Arc::clone(partition);
    tokio::task::spawn_blocking(move || partition.read_disk(from, end, max))
        .await
        .unwrap_or_else(|_| Err(LogError::Unusable("reading the data directory failed".to_owned())))
}

/// Follows a partition from `from` on, until the stream is dropped or `stop` is cancelled.
pub(super) fn follow(partition: Arc<Partition>, from: u64, stop: CancellationToken) -> RecordStream {
    let (batches, stream) = RecordStream::bounded(STREAM_BATCHES);
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = batches.closed() => {}
            () = feed(&partition, from, &batches) => {}
        }
    });
    stream
}

/// Sends batches until the receiver is gone or reading fails.
async fn feed(partition: &Arc<Partition>, from: u64, batches: &mpsc::Sender<Result<Vec<Record>, LogError>>) {
    let mut durable = partition.watch_end();
    let mut next = from;
    if let Err(error) = partition.check(from) {
        let _ = batches.send(Err(error)).await;
        return;
    }
    // Room first, then read: a slow reader never has more in memory than its queue.
    while let Ok(room) = batches.reserve().await {
        let records = loop {
            let Ok(end) = durable.wait_for(|end| *end > next).await.map(|end| *end) else { return };
            match read(partition, next, end, BATCH_RECORDS).await {
                Ok(records) if records.is_empty() => next = end, // all of them were compacted away
                outcome => break outcome,
            }
        };
        match records {
            Ok(records) => {
                next = records.last().map_or(next, |record| record.offset + 1);
                room.send(Ok(records));
            }
            Err(error) => {
                room.send(Err(error));
                return;
            }
        }
    }
}
