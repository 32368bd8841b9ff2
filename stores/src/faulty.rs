//! Stores that can be told to fail, for tests of what others do then. They wrap any store.

mod faults;

pub use faults::Faults;

use crate::packed::{SERVING_STORE, STATE_STORE};
use crate::{Changes, KeyRange, Row, RowStream, ServingStore, StateStore, StoreError, Table, WatchingReader};
use async_trait::async_trait;
use bytes::Bytes;
use faults::Call;
use std::sync::Arc;

/// A [`ServingStore`] with faults.
pub struct FaultyServingStore<S> {
    inner: S,
    faults: Faults,
}

/// A [`StateStore`] with faults.
pub struct FaultyStateStore<S> {
    inner: S,
    faults: Faults,
}

impl<S> FaultyServingStore<S> {
    /// Wraps a store; nothing fails until told.
    pub fn new(inner: S) -> Self {
        Self { inner, faults: Faults::new(SERVING_STORE) }
    }

    /// What makes it fail.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The store inside, without faults.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S> FaultyStateStore<S> {
    /// Wraps a store; nothing fails until told.
    pub fn new(inner: S) -> Self {
        Self { inner, faults: Faults::new(STATE_STORE) }
    }

    /// What makes it fail.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The store inside, without faults.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

#[async_trait]
impl<S: ServingStore> ServingStore for FaultyServingStore<S> {
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.faults.before(Call::Read, "read").await?;
        self.inner.get_many(keys).await
    }

    async fn put_many(&self, values: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        self.faults.before(Call::Write, "write").await?;
        self.inner.put_many(values).await
    }

    async fn put_marker(&self, key: &str, value: Bytes) -> Result<(), StoreError> {
        self.faults.before(Call::Write, "write a marker").await?;
        self.inner.put_marker(key, value).await
    }

    async fn get_markers(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.faults.before(Call::Read, "read markers").await?;
        self.inner.get_markers(keys).await
    }

    async fn check(&self) -> Result<Vec<String>, StoreError> {
        self.faults.before(Call::Read, "check").await?;
        self.inner.check().await
    }

    fn watch(&self, changes: Arc<dyn Changes>) -> Option<Arc<dyn WatchingReader>> {
        let inner = self.inner.watch(changes)?;
        Some(Arc::new(FaultyReader { inner, faults: self.faults.clone() }))
    }
}

struct FaultyReader {
    inner: Arc<dyn WatchingReader>,
    faults: Faults,
}

#[async_trait]
impl WatchingReader for FaultyReader {
    fn is_following(&self) -> bool {
        self.inner.is_following()
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.faults.before(Call::Read, "read").await?;
        self.inner.get_many(keys).await
    }
}

#[async_trait]
impl<S: StateStore> StateStore for FaultyStateStore<S> {
    async fn migrate(&self) -> Result<(), StoreError> {
        self.faults.before(Call::Write, "migrate").await?;
        self.inner.migrate().await
    }

    async fn get_many(
        &self,
        table: Table,
        generation: u16,
        keys: &[String],
    ) -> Result<Vec<Option<Row>>, StoreError> {
        self.faults.before(Call::Read, "read").await?;
        self.inner.get_many(table, generation, keys).await
    }

    async fn put_many(&self, table: Table, generation: u16, rows: Vec<Row>) -> Result<(), StoreError> {
        self.faults.before(Call::Write, "write").await?;
        self.inner.put_many(table, generation, rows).await
    }

    async fn scan(&self, table: Table, generation: u16) -> Result<RowStream, StoreError> {
        self.faults.before(Call::Read, "scan").await?;
        self.inner.scan(table, generation).await
    }

    async fn scan_shard(&self, table: Table, generation: u16, shard: u32) -> Result<RowStream, StoreError> {
        self.faults.before(Call::Read, "scan").await?;
        self.inner.scan_shard(table, generation, shard).await
    }

    async fn page(
        &self,
        table: Table,
        generation: u16,
        shard: u32,
        keys: KeyRange<'_>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.faults.before(Call::Read, "read a page").await?;
        self.inner.page(table, generation, shard, keys, limit).await
    }
}

#[cfg(test)]
mod tests;
