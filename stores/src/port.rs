//! What the pipeline asks of its stores.

use async_trait::async_trait;
use bytes::Bytes;
use schemas::Version;
use schemas::partition::{SHARDS, partition_of};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::mpsc;

/// Why a store could not do as asked.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum StoreError {
    /// The store does not answer, or not in time; trying again may help.
    #[error("the {store} is unavailable while trying to {action}: {reason}")]
    Unavailable {
        /// `serving store` or `state store`.
        store: &'static str,
        /// What was tried.
        action: &'static str,
        /// What its client said.
        reason: String,
    },
    /// It answers, but cannot be used as it is.
    #[error("the {store} cannot be used: {reason}")]
    Unusable {
        /// `serving store` or `state store`.
        store: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// The tables of the state store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Key = user key.
    UserHistory,
    /// Key = product id.
    ProductState,
    /// Key = serving-store key: the published values, for when the serving store is late or gone.
    Published,
    /// Key = product id; sharded.
    OpenWindows,
    /// Key = `progress:…`, `intent:…`, `meta`, or another one of which there is one for each generation.
    Progress,
    /// Key = `<topic>:<partition>:<offset>`; sharded.
    DeadLetters,
    /// The same letters by time: key = `<reason>:<place in time>`, newest first; sharded, into fewer shards, because a page of
    /// the list looks into each.
    DeadLettersByTime,
    /// Key = `<stage>:<partition>:<number>` or `<stage>:<partition>:count`: which keys of a partition have rows.
    KnownKeys,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 8] = [
        Self::UserHistory,
        Self::ProductState,
        Self::Published,
        Self::OpenWindows,
        Self::Progress,
        Self::DeadLetters,
        Self::DeadLettersByTime,
        Self::KnownKeys,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserHistory => "user_history",
            Self::ProductState => "product_state",
            Self::Published => "published",
            Self::OpenWindows => "open_windows",
            Self::Progress => "progress",
            Self::DeadLetters => "dead_letters",
            Self::DeadLettersByTime => "dead_letters_by_time",
            Self::KnownKeys => "known_keys",
        }
    }

    /// Into how many shards its rows are divided by their keys; `None` for a table whose rows are found by key only.
    pub const fn shards(self) -> Option<u32> {
        match self {
            Self::OpenWindows | Self::DeadLetters => Some(SHARDS),
            Self::DeadLettersByTime => Some(16),
            Self::UserHistory | Self::ProductState | Self::Published | Self::Progress | Self::KnownKeys => {
                None
            }
        }
    }

    /// Whether [`StateStore::scan_shard`] and [`StateStore::page`] work on it.
    pub const fn is_sharded(self) -> bool {
        self.shards().is_some()
    }

    /// The shard of a key, where the table has shards.
    pub fn shard_of(self, key: &str) -> Option<u32> {
        self.shards().map(|shards| partition_of(key.as_bytes(), shards))
    }

    /// What every adapter answers to a look into a shard of a table that has none.
    pub(crate) fn require_sharded(self) -> Result<(), StoreError> {
        if self.is_sharded() {
            return Ok(());
        }
        Err(StoreError::Unusable {
            store: crate::packed::STATE_STORE,
            reason: format!("the table {} has no shards to scan", self.name()),
        })
    }
}

/// A row of a table in one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its key within table and generation.
    pub key: String,
    /// The record it reflects: a write with a lower version than the stored one has no effect.
    pub version: Version,
    /// Its content.
    pub state: Bytes,
}

/// Rows of a scan in no particular order, through a bounded queue.
pub type RowStream = mpsc::Receiver<Result<Row, StoreError>>;

/// Keeps deterministic state. Versioned rows: the highest version wins, whatever order writes arrive in; with equal
/// versions either may win. Nothing is deleted.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Brings the schema up to date.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn migrate(&self) -> Result<(), StoreError>;

    /// The rows of `keys`, in their order.
    ///
    /// # Errors
    /// When any of them could not be read.
    async fn get_many(
        &self,
        table: Table,
        generation: u16,
        keys: &[String],
    ) -> Result<Vec<Option<Row>>, StoreError>;

    /// Writes rows. When it returns they are durable, and so is all that was written before.
    ///
    /// # Errors
    /// When any may not have been written; writing all again is harmless.
    async fn put_many(&self, table: Table, generation: u16, rows: Vec<Row>) -> Result<(), StoreError>;

    /// Every row of a table in a generation.
    ///
    /// # Errors
    /// When the scan cannot begin; later errors come through the stream.
    async fn scan(&self, table: Table, generation: u16) -> Result<RowStream, StoreError>;

    /// Every row of one shard of a sharded table.
    ///
    /// # Errors
    /// As [`StateStore::scan`].
    async fn scan_shard(&self, table: Table, generation: u16, shard: u32) -> Result<RowStream, StoreError>;

    /// The first `limit` rows of one shard of a sharded table whose keys are within `keys`, in the order of the bytes of their
    /// keys. Its work follows `limit`, not the size of the table.
    ///
    /// # Errors
    /// When they could not be read.
    async fn page(
        &self,
        table: Table,
        generation: u16,
        shard: u32,
        keys: KeyRange<'_>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;
}

/// The keys between two others, which are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRange<'a> {
    /// Below all of them.
    pub above: &'a str,
    /// Above all of them.
    pub below: &'a str,
}

/// Keeps published values (see [`schemas::published`]): each starts with a format byte and a version, and a value with a
/// lower version than the stored one is dropped. Anything in it can be made again from the state store.
#[async_trait]
pub trait ServingStore: Send + Sync {
    /// The values of `keys`, in their order, in one round trip.
    ///
    /// # Errors
    /// When any could not be read.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// Writes values whose version is at least that of the stored one; the others are dropped silently.
    ///
    /// # Errors
    /// When any may not have been written; writing all again is harmless.
    async fn put_many(&self, values: Vec<(String, Bytes)>) -> Result<(), StoreError>;

    /// Writes a marker to every primary, so that one that lost its data is noticed.
    ///
    /// # Errors
    /// When any primary did not take it.
    async fn put_marker(&self, key: &str, value: Bytes) -> Result<(), StoreError>;

    /// Markers in the order of `keys`: `None` where any primary lacks it, else the one with the lowest version.
    ///
    /// # Errors
    /// When any primary does not answer.
    async fn get_markers(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// Whether it answers at all, and warnings about settings that weaken the promises (eviction).
    ///
    /// # Errors
    /// When it does not answer.
    async fn check(&self) -> Result<Vec<String>, StoreError>;

    /// A reader that tells `changes` when a value that it gave may have changed, for callers that keep values. `None` when this
    /// store cannot tell. Needs a tokio runtime.
    fn watch(&self, changes: Arc<dyn Changes>) -> Option<Arc<dyn WatchingReader>> {
        drop(changes);
        None
    }
}

/// Reads values whose changes are told.
#[async_trait]
pub trait WatchingReader: Send + Sync {
    /// Whether changes can be told at the moment. While they cannot, reads fail.
    fn is_following(&self) -> bool;

    /// The values of `keys`, in their order, in one round trip. From when they were read, the next change of each of these keys
    /// is told, also of those that have no value; it may be told before this returns.
    ///
    /// # Errors
    /// When any could not be read, or changes cannot be told at the moment.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError>;
}

/// Told when values change that a [`WatchingReader`] gave. Called from where answers are received: must not block.
pub trait Changes: Send + Sync {
    /// The value of this key is another one now, or may be.
    fn changed(&self, key: &str);

    /// Changes may have been missed: nothing that was read until now counts.
    fn all_changed(&self);
}
