//! One partition: how far it is durable, its newest chunks in memory, and where the writer stands.

use super::chunk::{self, Chunk, PartitionKey};
use super::reader::BATCH_BYTES;
use crate::{LogError, Record, TopicPartition};
use bytes::Bytes;
use fjall::Keyspace;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Packed bytes of the newest chunks kept in memory for readers that are nearly caught up, per partition.
const TAIL_BYTES: usize = 1 << 20;

/// Room is made for so many records at once at most: few batches hold more.
const RECORDS_EXPECTED: usize = 2_000;

/// Where the next record of a partition goes. Only the writer moves it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    pub(super) next_offset: u64,
    pub(super) append_time_ms: i64,
}

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) id: TopicPartition,
    pub(super) key: PartitionKey,
    chunks: ChunkStore,
    start: u64,
    /// The next offset to be written, of what is durable: readers never go beyond it, and wait for it to move.
    end: watch::Sender<u64>,
    tail: Mutex<Tail>,
    cursor: Mutex<Cursor>,
}

impl Partition {
    /// Finds out from the stored chunks where the partition starts and ends. A compacted partition starts at 0 even when
    /// its first records are gone, as it does in Kafka.
    pub(super) fn open(
        id: TopicPartition,
        key: PartitionKey,
        chunks: Keyspace,
        compacted: bool,
    ) -> Result<Self, LogError> {
        let chunks = ChunkStore(chunks);
        let mut cursor = Cursor { next_offset: 0, append_time_ms: i64::MIN };
        if let Some(last) = chunks.last(key)? {
            let mut records = Vec::new();
            last.unpack(0, usize::MAX, &mut records)?;
            let newest =
                records.last().ok_or_else(|| LogError::Unusable(format!("{id:?} has an empty chunk")))?;
            cursor = Cursor { next_offset: newest.offset + 1, append_time_ms: newest.append_time_ms };
        }
        let start = if compacted { 0 } else { chunks.first_base(key)?.unwrap_or(0) };
        Ok(Self {
            id,
            key,
            chunks,
            start,
            end: watch::Sender::new(cursor.next_offset),
            tail: Mutex::default(),
            cursor: Mutex::new(cursor),
        })
    }

    pub(super) fn bounds(&self) -> Range<u64> {
        self.start..*self.end.borrow()
    }

    /// [`LogError::OutOfRange`] unless `offset` can be read from (the end itself can).
    pub(super) fn check(&self, offset: u64) -> Result<(), LogError> {
        let Range { start, end } = self.bounds();
        if (start..=end).contains(&offset) {
            return Ok(());
        }
        let TopicPartition { topic, partition } = &self.id;
        Err(LogError::OutOfRange { topic: topic.to_string(), partition: *partition, offset, start, end })
    }

    /// Changes when more records are durable.
    pub(super) fn watch_end(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    pub(super) fn cursor(&self) -> Cursor {
        *lock(&self.cursor)
    }

    /// Makes durable chunks visible to readers and wakes them. For the writer.
    pub(super) fn publish(&self, chunks: impl IntoIterator<Item = Chunk>, cursor: Cursor) {
        *lock(&self.cursor) = cursor;
        {
            let mut tail = lock(&self.tail);
            chunks.into_iter().for_each(|chunk| tail.push(chunk));
        }
        self.end.send_replace(cursor.next_offset);
    }

    /// Records from `from` on, at most `max` and some [`BATCH_BYTES`], if the newest chunks in memory reach back that far.
    pub(super) fn read_tail(&self, from: u64, max: usize) -> Option<Result<Vec<Record>, LogError>> {
        let chunks = lock(&self.tail).from(from, max)?;
        let mut records = Vec::new();
        Some(chunks.iter().try_for_each(|chunk| chunk.unpack(from, max, &mut records)).map(|()| records))
    }

    /// Records from `from` up to (not including) `end`, at most `max` and some [`BATCH_BYTES`], from disk: blocks.
    pub(super) fn read_disk(&self, from: u64, end: u64, max: usize) -> Result<Vec<Record>, LogError> {
        self.chunks.read(self.key, from, end, max)
    }
}

/// The newest chunks, without a gap between them.
#[derive(Debug, Default)]
struct Tail {
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

impl Tail {
    fn push(&mut self, chunk: Chunk) {
        self.bytes += chunk.bytes.len();
        self.chunks.push_back(chunk);
        while self.bytes > TAIL_BYTES && self.chunks.len() > 1 {
            self.bytes -= self.chunks.pop_front().map_or(0, |oldest| oldest.bytes.len());
        }
    }

    /// Chunks that hold `max` records from `from` on, or some [`BATCH_BYTES`], or all there are; `None` when they do not reach back to it.
    fn from(&self, from: u64, max: usize) -> Option<Vec<Chunk>> {
        let first = self.chunks.partition_point(|chunk| chunk.base <= from).checked_sub(1)?;
        let until = from.saturating_add(max as u64);
        let mut bytes = 0;
        let is_wanted = |chunk: &&Chunk| {
            let is_wanted = chunk.base < until && bytes < BATCH_BYTES;
            // The first one may end before `from`, where records were compacted away: it does not count.
            bytes += if chunk.base >= from { chunk.bytes.len() } else { 0 };
            is_wanted
        };
        Some(self.chunks.range(first..).take_while(is_wanted).cloned().collect())
    }
}

/// The keyspace with every partition's chunks.
struct ChunkStore(Keyspace);

impl std::fmt::Debug for ChunkStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkStore")
    }
}

impl ChunkStore {
    fn first_base(&self, partition: PartitionKey) -> Result<Option<u64>, LogError> {
        let Some(guard) = self.0.prefix(partition).next() else { return Ok(None) };
        chunk::base_of(&guard.key().map_err(unreadable)?).map(Some)
    }

    fn last(&self, partition: PartitionKey) -> Result<Option<Chunk>, LogError> {
        self.0.prefix(partition).next_back().map(unpack_guard).transpose()
    }

    fn read(
        &self,
        partition: PartitionKey,
        from: u64,
        end: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        let lowest = chunk::key(partition, 0);
        let holder = self.0.range(lowest..=chunk::key(partition, from)).next_back();
        let first = match holder {
            Some(guard) => chunk::base_of(&guard.key().map_err(unreadable)?)?,
            None => from,
        };
        let within = end.saturating_sub(from).min(max as u64) as usize;
        let (mut records, mut bytes) = (Vec::with_capacity(within.min(RECORDS_EXPECTED)), 0);
        for guard in self.0.range(chunk::key(partition, first)..chunk::key(partition, end)) {
            let chunk = unpack_guard(guard)?;
            chunk.unpack(from, max, &mut records)?;
            bytes += chunk.bytes.len();
            if records.len() >= max || (bytes >= BATCH_BYTES && !records.is_empty()) {
                break;
            }
        }
        Ok(records)
    }
}

fn unpack_guard(guard: fjall::Guard) -> Result<Chunk, LogError> {
    let (key, value) = guard.into_inner().map_err(unreadable)?;
    Ok(Chunk { base: chunk::base_of(&key)?, bytes: Bytes::from_owner(value) })
}

pub(super) fn unreadable(error: fjall::Error) -> LogError {
    LogError::Unusable(format!("the data directory cannot be read: {error}"))
}

/// A lock whose holders leave nothing half done: after a panic its content is still good.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
