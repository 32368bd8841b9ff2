//! What the two stages have in common: a deterministic fold over a partition's records, with rows kept in the state store.

use crate::progress::{Checkpoint, StageName};
use bytes::Bytes;
use event_log::Record;
use schemas::DecodeError;
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
    /// Names the rows of a flush, to mark them stored.
    type FlushKeys: Send + 'static;

    /// Which stage it is.
    const NAME: StageName;
    /// Where its rows are.
    const TABLE: Table;

    /// Decodes records. Never fails: what cannot be decoded is part of the result.
    fn prepare(&self, batch: Vec<Record>) -> Vec<Self::Prepared>;

    /// Keys of the rows that the records touch and that are not in memory.
    fn missing(&mut self, batch: &[Self::Prepared]) -> Vec<String>;

    /// Takes a row as the store holds it (`None` = it holds none).
    fn admit(&mut self, key: &str, row: Option<Row>) -> Result<(), Unreadable>;

    /// Applies the records in order. All rows they touch have been admitted.
    fn fold(&mut self, batch: Vec<Self::Prepared>) -> Self::Output;

    /// How far it has come.
    fn checkpoint(&self) -> Checkpoint;

    /// A row in memory, packed as the store holds it.
    fn encoded(&self, key: &str) -> Option<Bytes>;

    /// The progress row's content.
    fn encoded_progress(&self) -> Bytes;

    /// Rows changed since the last snapshot.
    fn changed_rows(&self) -> usize;

    /// Copies everything that a flush up to the current checkpoint writes.
    fn snapshot(&mut self) -> Snapshot<Self::FlushKeys>;

    /// A snapshot is stored.
    fn stored(&mut self, keys: Self::FlushKeys);

    /// Drops clean rows when there are too many. Between batches only.
    fn make_room(&mut self);

    /// Rows in memory.
    fn cached_rows(&self) -> usize;
}

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
