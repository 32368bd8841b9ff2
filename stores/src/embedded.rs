//! The state store on the local disk, in the same fjall database as the embedded log, so that both share one journal.

mod durability;
mod layout;

use crate::packed::STATE_STORE;
use crate::{KeyRange, Row, RowStream, StateStore, StoreError, Table};
use async_trait::async_trait;
use durability::GroupSync;
use fjall::config::{PartitioningPolicy, PinningPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable};
use schemas::Version;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Bytes of a table's rows kept in memory before they are written out as a file. There are seven tables: smaller than
/// fjall's default, since the rows are also in the processor's caches.
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;

/// Rows that a scan reads ahead of who takes them.
const SCAN_AHEAD: usize = 256;

/// A [`StateStore`] in a fjall database. All disk work is done on tokio's blocking threads. Clones share everything.
#[derive(Clone)]
pub struct EmbeddedStateStore {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    /// In the order of [`Table::ALL`].
    tables: Vec<TableFiles>,
    sync: GroupSync,
}

struct TableFiles {
    rows: Keyspace,
    /// Held from the look at the stored versions to the write, so that no higher version slips in between.
    writer: Mutex<()>,
}

impl EmbeddedStateStore {
    /// Opens the tables in `database`, making those that are missing. Blocks for a moment on the disk.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn open(database: Database) -> Result<Self, StoreError> {
        // In memory whole: a row that is looked up would else have the filter of a file with hundreds of thousands of rows read
        // first.
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES)
                .filter_block_partitioning_policy(PartitioningPolicy::all(false))
                .filter_block_pinning_policy(PinningPolicy::all(true))
                .index_block_partitioning_policy(PartitioningPolicy::all(false))
                .index_block_pinning_policy(PinningPolicy::all(true))
        };
        let tables = Table::ALL
            .into_iter()
            .map(|table| {
                let rows =
                    database.keyspace(&layout::keyspace_name(table), options).map_err(failed("open"))?;
                Ok(TableFiles { rows, writer: Mutex::new(()) })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(Self { inner: Arc::new(Inner { database, tables, sync: GroupSync::default() }) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .unwrap_or_else(|ended| Err(unavailable(action, &ended)))
    }

    /// Streams the rows whose stored key starts with `prefix`, as of now.
    fn scan_prefix(&self, table: Table, prefix: Vec<u8>) -> RowStream {
        let (sender, receiver) = mpsc::channel(SCAN_AHEAD);
        let snapshot = self.inner.database.snapshot();
        let inner = Arc::clone(&self.inner);
        // Not awaited: it ends with the last row, or as soon as the receiver is dropped.
        tokio::task::spawn_blocking(move || {
            for entry in snapshot.prefix(&inner.table(table).rows, prefix) {
                let row = entry
                    .into_inner()
                    .map_err(failed("scan"))
                    .and_then(|(key, value)| layout::row(&key[layout::key_start(table)..], &value));
                let failed = row.is_err();
                if sender.blocking_send(row).is_err() || failed {
                    return;
                }
            }
        });
        receiver
    }
}

impl Inner {
    fn table(&self, table: Table) -> &TableFiles {
        let index = Table::ALL.iter().position(|other| *other == table);
        &self.tables[index.expect("every table is in Table::ALL")]
    }

    fn get_many(
        &self,
        table: Table,
        generation: u16,
        keys: &[String],
    ) -> Result<Vec<Option<Row>>, StoreError> {
        let rows = &self.table(table).rows;
        keys.iter()
            .map(|key| {
                let value = rows.get(layout::stored_key(table, generation, key)).map_err(failed("read"))?;
                value.map(|value| layout::row(key.as_bytes(), &value)).transpose()
            })
            .collect()
    }

    fn page(
        &self,
        table: Table,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let entries = self.table(table).rows.range(keys).take(limit);
        entries
            .map(|entry| {
                let (key, value) = entry.into_inner().map_err(failed("read a page"))?;
                layout::row(&key[layout::key_start(table)..], &value)
            })
            .collect()
    }

    fn put_many(&self, table: Table, generation: u16, rows: Vec<Row>) -> Result<(), StoreError> {
        let files = self.table(table);
        // The lock guards no data: a writer that panicked leaves nothing half done behind.
        let writer = files.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = highest_per_key(table, generation, rows);
        let batch = OwnedWriteBatch::with_capacity(self.database.clone(), rows.len());
        let mut batch = batch.durability(Some(PersistMode::Buffer));
        // The database copies it: one piece of memory does for all.
        let mut value = Vec::new();
        for (key, row) in rows {
            let stored = files.rows.get(&key).map_err(failed("compare"))?;
            let stored = stored.map(|value| layout::version(&value)).transpose()?.unwrap_or(Version::NONE);
            if stored <= row.version {
                layout::pack(&row, &mut value);
                batch.insert(&files.rows, key, value.as_slice());
            }
        }
        batch.commit().map_err(failed("write"))?;
        drop(writer);
        // Also when every row was dropped: the higher version may have been written a moment ago by someone whose sync
        // has not come yet.
        self.sync.sync(&self.database).map_err(failed("sync"))
    }
}

/// One row per key, since a batch has no order among writes to the same key: by stored key, in the order in which they lie in
/// the database, where neighbours are found faster than keys here and there.
fn highest_per_key(table: Table, generation: u16, rows: Vec<Row>) -> Vec<(Vec<u8>, Row)> {
    let keyed = rows.into_iter().map(|row| (layout::stored_key(table, generation, &row.key), row));
    let mut keyed: Vec<(Vec<u8>, Row)> = keyed.collect();
    // Stable, and the last of equal ones stays, as if they were written one after the other.
    keyed.sort_by(|(a, row), (b, other)| a.cmp(b).then(row.version.cmp(&other.version)));
    keyed.reverse();
    keyed.dedup_by(|(a, _), (b, _)| a == b);
    keyed
}

#[async_trait]
impl StateStore for EmbeddedStateStore {
    /// Nothing to do: the tables were made when the store was opened.
    async fn migrate(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn get_many(
        &self,
        table: Table,
        generation: u16,
        keys: &[String],
    ) -> Result<Vec<Option<Row>>, StoreError> {
        let keys = keys.to_vec();
        self.blocking("read", move |inner| inner.get_many(table, generation, &keys)).await
    }

    async fn put_many(&self, table: Table, generation: u16, rows: Vec<Row>) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.blocking("write", move |inner| inner.put_many(table, generation, rows)).await
    }

    async fn scan(&self, table: Table, generation: u16) -> Result<RowStream, StoreError> {
        Ok(self.scan_prefix(table, layout::generation_prefix(generation)))
    }

    async fn scan_shard(&self, table: Table, generation: u16, shard: u32) -> Result<RowStream, StoreError> {
        table.require_sharded()?;
        Ok(self.scan_prefix(table, layout::shard_prefix(generation, shard)))
    }

    async fn page(
        &self,
        table: Table,
        generation: u16,
        shard: u32,
        keys: KeyRange<'_>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        table.require_sharded()?;
        if keys.above >= keys.below {
            return Ok(Vec::new());
        }
        let within = |key: &str| [&layout::shard_prefix(generation, shard), key.as_bytes()].concat();
        let keys = (Bound::Excluded(within(keys.above)), Bound::Excluded(within(keys.below)));
        self.blocking("read a page", move |inner| inner.page(table, keys, limit)).await
    }
}

fn unavailable(action: &'static str, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable { store: STATE_STORE, action, reason: reason.to_string() }
}

/// Turns an error of the database into ours.
fn failed(action: &'static str) -> impl Fn(fjall::Error) -> StoreError {
    move |error| match error {
        // After a failed write or sync nobody knows what is on the disk; only reading it again tells.
        fjall::Error::Poisoned => StoreError::Unusable {
            store: STATE_STORE,
            reason: "a write to the disk failed before; look at the disk and start again".to_owned(),
        },
        error => unavailable(action, &error),
    }
}
