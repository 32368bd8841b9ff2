//! The one thread that writes: it takes all that waits, makes it durable with one fsync, and only then tells anybody.

use super::chunk::{self, Chunk, ChunkBuilder, StoredChunk};
use super::partition::{Cursor, Partition};
use super::queue::{Pending, Queue};
use fjall::{Database, Keyspace, PersistMode};
use schemas::Position;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// A chunk is closed when it holds this many records.
const CHUNK_RECORDS: usize = 500;
/// Or this many bytes.
const CHUNK_BYTES: usize = 256 << 10;
/// Pieces of memory of up to twice that kept from one group to the next.
const SPARE: usize = 16;

/// Milliseconds since 1970 UTC.
pub(super) type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

pub(super) struct Writer {
    pub(super) database: Database,
    pub(super) chunks: Keyspace,
    pub(super) clock: Clock,
    pub(super) queue: Arc<Queue>,
    /// Memory to fill chunks in, at most [`SPARE`] pieces.
    pub(super) spare: Vec<Vec<u8>>,
}

impl Writer {
    /// Writes until the queue is closed and empty, or a write fails. After a failure it is unknown what the disk holds,
    /// so that nothing more is written: the log has to be opened anew.
    pub(super) fn run(mut self) {
        while let Some(group) = self.queue.take() {
            if let Err(error) = self.write(group) {
                tracing::error!(%error, "cannot write to the log: no more events are taken until a restart");
                self.queue.fail(&format!("cannot write to the data directory: {error}"));
            }
        }
    }

    fn write(&mut self, group: Vec<Pending>) -> Result<(), fjall::Error> {
        metrics::histogram!(crate::metrics::GROUP_COMMIT_RECORDS).record(group.len() as f64);
        let now = (self.clock)();
        let mut open: HashMap<chunk::PartitionKey, OpenPartition> = HashMap::new();
        let mut positions = Vec::with_capacity(group.len());
        for record in group {
            let partition = match open.entry(record.partition.key) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let memory = self.spare.pop().unwrap_or_default();
                    entry.insert(OpenPartition::new(&record.partition, now, memory))
                }
            };
            let offset = partition.push(&record);
            positions.push(Position { partition: record.partition.id.partition, offset });
        }
        let mut finished = Vec::with_capacity(open.len());
        for partition in open.into_values() {
            let (partition, memory) = partition.finish();
            finished.push(partition);
            if self.spare.len() < SPARE && memory.capacity() <= 2 * CHUNK_BYTES {
                self.spare.push(memory);
            }
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for Finished { partition, chunks, .. } in &finished {
            for StoredChunk { base, value } in chunks {
                batch.insert(&self.chunks, chunk::key(partition.key, *base), value.clone());
            }
        }
        batch.commit()?;
        for Finished { partition, chunks, cursor } in finished {
            partition.publish(chunks.into_iter().map(Chunk::from), cursor);
        }
        self.queue.written(positions);
        Ok(())
    }
}

/// A partition's share of a group.
struct OpenPartition {
    partition: Arc<Partition>,
    append_time_ms: i64,
    chunk: ChunkBuilder,
    full: Vec<StoredChunk>,
}

/// What a partition's share became.
struct Finished {
    partition: Arc<Partition>,
    chunks: Vec<StoredChunk>,
    cursor: Cursor,
}

impl OpenPartition {
    fn new(partition: &Arc<Partition>, now: i64, memory: Vec<u8>) -> Self {
        let cursor = partition.cursor();
        let append_time_ms = now.max(cursor.append_time_ms); // the clock may have been set back
        let chunk = ChunkBuilder::new(cursor.next_offset, append_time_ms, memory);
        Self { partition: Arc::clone(partition), append_time_ms, chunk, full: Vec::new() }
    }

    fn push(&mut self, record: &Pending) -> u64 {
        let offset = self.chunk.next_offset();
        if self.chunk.records() == CHUNK_RECORDS || self.chunk.size() >= CHUNK_BYTES {
            self.full.push(self.chunk.next(self.append_time_ms));
        }
        self.chunk.push(offset, &record.key, &record.value);
        offset
    }

    /// Gives the memory back, too.
    fn finish(mut self) -> (Finished, Vec<u8>) {
        let cursor = Cursor { next_offset: self.chunk.next_offset(), append_time_ms: self.append_time_ms };
        let (chunk, memory) = self.chunk.finish();
        self.full.push(chunk);
        (Finished { partition: self.partition, chunks: self.full, cursor }, memory)
    }
}
