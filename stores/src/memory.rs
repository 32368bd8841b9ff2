//! The serving store inside this process, for the embedded parts: gone at the end of the process and filled again from the
//! state store at the start.

use crate::packed::{require_version, version};
use crate::{ServingStore, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

/// A [`ServingStore`] in a sharded map. Reads and writes never wait for one another for longer than one entry takes.
#[derive(Debug, Default)]
pub struct MemoryServingStore {
    values: DashMap<String, Bytes, foldhash::fast::RandomState>,
}

impl MemoryServingStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many values it holds, markers included.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Forgets everything, as a Redis that lost its data: for tests of how it is filled again.
    pub fn clear(&self) {
        self.values.clear();
    }

    fn put(&self, key: String, value: Bytes) -> Result<(), StoreError> {
        let new = require_version(&key, &value)?;
        match self.values.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
            Entry::Occupied(mut entry) => {
                if version(entry.get()).is_none_or(|stored| stored <= new) {
                    entry.insert(value);
                }
            }
        }
        Ok(())
    }

    fn get(&self, key: &str) -> Option<Bytes> {
        self.values.get(key).map(|value| value.clone())
    }
}

#[async_trait]
impl ServingStore for MemoryServingStore {
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        Ok(keys.iter().map(|key| self.get(key)).collect())
    }

    async fn put_many(&self, values: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        values.into_iter().try_for_each(|(key, value)| self.put(key, value))
    }

    async fn put_marker(&self, key: &str, value: Bytes) -> Result<(), StoreError> {
        self.put(key.to_owned(), value)
    }

    async fn get_markers(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.get_many(keys).await
    }

    async fn check(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}
