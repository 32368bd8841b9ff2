//! The serving store inside this process, for the embedded parts: gone at the end of the process and filled again from the
//! state store at the start.

use crate::packed::{require_version, version};
use crate::{Changes, ServingStore, StoreError, WatchingReader};
use async_trait::async_trait;
use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use schemas::Version;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, Weak};

/// A [`ServingStore`] in a sharded map. Reads and writes never wait for one another for longer than one entry takes.
#[derive(Debug, Default)]
pub struct MemoryServingStore {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    values: DashMap<String, Bytes, foldhash::fast::RandomState>,
    /// Who wants to be told of every change.
    watchers: RwLock<Vec<Weak<dyn Changes>>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("values", &self.values.len()).finish_non_exhaustive()
    }
}

impl MemoryServingStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many values it holds, markers included.
    pub fn len(&self) -> usize {
        self.shared.values.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.shared.values.is_empty()
    }

    /// Forgets everything, as a Redis that lost its data: for tests of how it is filled again.
    pub fn clear(&self) {
        self.shared.values.clear();
        self.shared.tell(|changes| changes.all_changed());
    }

    fn put(&self, key: String, value: Bytes) -> Result<(), StoreError> {
        let new = require_version(&key, &value)?;
        // Most values replace one: only new ones cost a copy of their key.
        let replaced = match self.shared.values.get_mut(&key) {
            Some(mut stored) => replace(&mut stored, value, new),
            None => match self.shared.values.entry(key.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                    true
                }
                Entry::Occupied(mut entry) => replace(entry.get_mut(), value, new),
            },
        };
        if !replaced {
            return Ok(());
        }
        // After the change: who reads from now on sees it, and who read before is told.
        self.shared.tell(|changes| changes.changed(&key));
        Ok(())
    }
}

/// Whether the value took the place of the stored one, which may be newer.
fn replace(stored: &mut Bytes, value: Bytes, new: Version) -> bool {
    if version(stored).is_some_and(|stored| stored > new) {
        return false;
    }
    *stored = value;
    true
}

impl Shared {
    fn get(&self, key: &str) -> Option<Bytes> {
        self.values.get(key).map(|value| value.clone())
    }

    fn tell(&self, news: impl Fn(&dyn Changes)) {
        let watchers = self.watchers.read().unwrap_or_else(PoisonError::into_inner);
        watchers.iter().filter_map(Weak::upgrade).for_each(|changes| news(&*changes));
    }
}

#[async_trait]
impl ServingStore for MemoryServingStore {
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        Ok(keys.iter().map(|key| self.shared.get(key)).collect())
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

    fn watch(&self, changes: Arc<dyn Changes>) -> Option<Arc<dyn WatchingReader>> {
        let mut watchers = self.shared.watchers.write().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| watcher.strong_count() > 0);
        watchers.push(Arc::downgrade(&changes));
        Some(Arc::new(Reader { shared: Arc::clone(&self.shared), _changes: changes }))
    }
}

/// Every change is told while it lives.
struct Reader {
    shared: Arc<Shared>,
    _changes: Arc<dyn Changes>,
}

#[async_trait]
impl WatchingReader for Reader {
    fn is_following(&self) -> bool {
        true
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        Ok(keys.iter().map(|key| self.shared.get(key)).collect())
    }
}
