//! What the two stages have in common: a deterministic fold over a partition's records, with rows kept in the state store.

use crate::cache::RowCache;
use crate::progress::{Checkpoint, StageName};
use bytes::Bytes;
use event_log::Record;
use schemas::DecodeError;
use std::hash::Hash;
use stores::{Row, Table};

/// A stored row or progress that cannot be read: a newer version wrote it, or it is damaged.
#[derive(Debug, thiserror::Error)]
#[error("the stored {what} {key:?} cannot be read: {reason}")]
pub(crate) struct Unreadable {
    pub(crate) what: &'static str,
    pub(crate) key: String,
    pub(crate) reason: DecodeError,
}

/// A stage's part in one partition. Pure: the partition task does all I/O around it.
pub(crate) trait Stage: Send + 'static {
    /// A record, decoded.
    type Prepared: Send;
    /// What a fold hands on besides changed rows.
    type Output: Send;
    /// A row's key in memory.
    type Key: Hash + Eq + Clone + Send + 'static;
    /// A row in memory.
    type Cached;

    /// Which stage it is.
    const NAME: StageName;
    /// Where its rows are.
    const TABLE: Table;
    /// Its rows are written every so many flush intervals.
    const FLUSH_INTERVALS: u32;

    /// Decodes records. Never fails: what cannot be decoded is part of the result.
    fn prepare(&self, batch: Vec<Record>) -> Vec<Self::Prepared>;

    /// Keys of the rows that the records touch and that are not in memory.
    fn missing(&mut self, batch: &[Self::Prepared]) -> Vec<String>;

    /// When ingest received the oldest event behind a record, milliseconds since 1970 UTC; where that is not known, when
    /// the log took the record.
    fn received_ms(record: &Self::Prepared) -> i64;

    /// The user or product of each update, so that hot ones are noticed.
    fn subjects(batch: &[Self::Prepared]) -> impl Iterator<Item = &str>;

    /// Takes a row as the store holds it (`None` = it holds none).
    fn admit(&mut self, key: &str, row: Option<Row>) -> Result<(), Unreadable>;

    /// Applies the records in order. All rows they touch have been admitted.
    fn fold(&mut self, batch: Vec<Self::Prepared>) -> Self::Output;

    /// How far it has come.
    fn checkpoint(&self) -> Checkpoint;

    /// The progress row's content.
    fn encoded_progress(&self) -> Bytes;

    /// Copies everything that a flush up to the current checkpoint writes.
    fn snapshot(&mut self) -> Snapshot<FlushKeys<Self>>;

    /// The rows in memory.
    fn rows(&self) -> &RowCache<Self::Key, Self::Cached>;

    /// The rows in memory, to change.
    fn rows_mut(&mut self) -> &mut RowCache<Self::Key, Self::Cached>;

    /// The key in memory of a stored row; `None` where it is certain that the row is not in memory.
    fn key_of(&self, stored: &str) -> Option<Self::Key>;

    /// A row in memory as the store holds it.
    fn packed(&self, key: &Self::Key) -> Option<Row>;

    /// Rows changed since the last snapshot.
    fn changed_rows(&self) -> usize {
        self.rows().changed_len()
    }

    /// Copies the rows changed since the last snapshot; part of [`Self::snapshot`].
    fn copy_changed(&mut self) -> (FlushKeys<Self>, Vec<Row>) {
        let (epoch, keys) = self.rows_mut().begin_flush();
        let packed = keys.iter().map(|key| self.packed(key).expect("changed rows stay in memory"));
        let rows: Vec<Row> = packed.collect();
        if let Some(known) = self.rows_mut().known() {
            rows.iter().for_each(|row| known.add(&row.key));
        }
        ((epoch, keys), rows)
    }

    /// What has to be stored of the known keys before a progress of this place is; part of [`Self::snapshot`], after
    /// [`Self::copy_changed`].
    fn copy_known(&mut self, partition: u32, generation: u16) -> Vec<(Table, Vec<Row>)> {
        let version = self.checkpoint().version(generation);
        let grown = self.rows_mut().known().map(|known| known.take_grown(Self::NAME, partition, version));
        grown.into_iter().flatten().collect()
    }

    /// Of keys whose rows are not in memory, those for which the store has to be asked; of the others there are new rows now.
    fn to_be_read(&mut self, mut keys: Vec<String>) -> Vec<String> {
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| {
            let is_new = self.rows().is_new(key);
            if is_new {
                self.admit(key, None).expect("a new row cannot be unreadable");
            }
            !is_new
        });
        keys
    }

    /// A snapshot is stored.
    fn stored(&mut self, (epoch, keys): FlushKeys<Self>) {
        self.rows_mut().stored(epoch, &keys);
    }

    /// Drops clean rows when there are too many. Between batches only.
    fn make_room(&mut self) {
        self.rows_mut().make_room();
    }

    /// Rows in memory.
    fn cached_rows(&self) -> usize {
        self.rows().len()
    }
}

/// Names the rows of a flush, to mark them stored: the epoch that it ended, and the keys that changed in it.
pub(crate) type FlushKeys<S> = (u64, Vec<<S as Stage>::Key>);

/// Copies of what a flush writes, as of one checkpoint.
pub(crate) struct Snapshot<K> {
    pub(crate) at: Checkpoint,
    /// Rows by table; all are written before the progress row.
    pub(crate) rows: Vec<(Table, Vec<Row>)>,
    /// The progress row's content.
    pub(crate) progress: Bytes,
    pub(crate) keys: K,
}

#[cfg(test)]
mod tests;
