//! Neighbour lists of hot products kept in this process, right to the last change.
//!
//! The store tells when a key that was read has changed ([`Changes`]); until then the decoded list is used without asking.
//! A change may be told while the read that it outdates is still on its way to whoever asked: every read in flight is
//! therefore on record, and one that was outdated meanwhile is neither kept nor used, but repeated. The same record lets
//! only one of many callers read a key: a hot product's change makes no stampede.

mod lists;

use crate::metrics;
use crate::reader::decoded;
use lists::{Claim, Lists};
use recommender::VotingList;
use schemas::published::NeighbourList;
use std::sync::Arc;
use stores::{ServingStore, StoreError, WatchingReader};

/// A list as it was published; `None` where there is none.
pub(crate) type Published = Option<Arc<VotingList>>;

/// What was read, ready to be ranked with; nothing where it cannot be read.
pub(crate) fn published(value: &[u8]) -> Published {
    decoded(NeighbourList::decode(value)).map(|list| Arc::new(VotingList::of(list)))
}

/// Reads of one key that are outdated on their way before it is read past the cache: it changes faster than it can be read.
const ATTEMPTS: usize = 4;
/// Room for a name in a key, which grows for longer ones.
const TYPICAL_NAME: usize = 32;

/// The cache, over a reader that follows changes.
pub(crate) struct NearCache {
    lists: Arc<Lists>,
    reader: Arc<dyn WatchingReader>,
}

/// What is known of the lists asked for; the others have to be read.
pub(crate) struct Found(Vec<Option<Published>>);

impl Found {
    /// The lists, when all of them were kept.
    pub(crate) fn complete(self) -> Result<Vec<Published>, Self> {
        if self.0.iter().all(Option::is_some) {
            Ok(self.0.into_iter().flatten().collect())
        } else {
            Err(self)
        }
    }
}

impl NearCache {
    /// Keeps lists of about `capacity` bytes together. `None` when the store cannot tell changes, or for 0 bytes.
    pub(crate) fn new(store: &dyn ServingStore, capacity: u64) -> Option<Self> {
        if capacity == 0 {
            return None;
        }
        let lists = Arc::new(Lists::new(capacity));
        let reader = store.watch(Arc::clone(&lists) as _)?;
        Some(Self { lists, reader })
    }

    /// Whether the store tells changes at the moment; while it does not, nothing is kept and [`Self::read`] fails.
    pub(crate) fn is_following(&self) -> bool {
        self.reader.is_following()
    }

    /// What is kept of the keys that begin with `prefix` and end with one of `names`, in the order of these: each as it was at
    /// the last change that this process has been told of.
    pub(crate) fn held(&self, prefix: &str, names: &[&str]) -> Found {
        // An answer looks for dozens, nearly all of which are kept: no key of its own for each of them.
        let mut key = String::with_capacity(prefix.len() + TYPICAL_NAME);
        let look = |name: &&str| {
            key.clear();
            key.push_str(prefix);
            key.push_str(name);
            self.lists.held(&key)
        };
        let found: Vec<Option<Published>> = names.iter().map(look).collect();
        let misses = found.iter().filter(|list| list.is_none()).count();
        metrics::cache("neighbours", "fresh", names.len() - misses);
        metrics::cache("neighbours", "miss", misses);
        Found(found)
    }

    /// Reads what is missing of `keys`.
    ///
    /// # Errors
    /// When any cannot be read.
    pub(crate) async fn read(&self, keys: &[String], found: Found) -> Result<Vec<Published>, StoreError> {
        let mut found = found.0;
        let mut open: Vec<usize> = (0..keys.len()).filter(|&index| found[index].is_none()).collect();
        self.read_open(keys, &mut open, &mut found).await?;
        Ok(found.into_iter().map(|list| list.expect("every key was read")).collect())
    }

    async fn read_open(
        &self,
        keys: &[String],
        open: &mut Vec<usize>,
        found: &mut [Option<Published>],
    ) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let (mut mine, mut others) = (Vec::new(), Vec::new());
            for index in open.drain(..) {
                match self.lists.claim(&keys[index]) {
                    Claim::Held(list) => found[index] = Some(list),
                    Claim::Mine(loading) => mine.push((index, loading)),
                    Claim::Others(loaded) => others.push((index, loaded)),
                }
            }
            // Own reads first, so that two callers never wait for one another.
            if !mine.is_empty() {
                let wanted: Vec<String> = mine.iter().map(|(index, _)| keys[*index].clone()).collect();
                let values = self.reader.get_many(&wanted).await?;
                for ((index, loading), value) in mine.into_iter().zip(values) {
                    let list = value.and_then(|value| published(&value));
                    match loading.finish(list) {
                        Some(list) => found[index] = Some(list),
                        None => open.push(index),
                    }
                }
            }
            for (index, loaded) in others {
                match loaded.wait().await {
                    Some(list) => found[index] = Some(list),
                    None => open.push(index),
                }
            }
            if open.is_empty() {
                return Ok(());
            }
        }
        let wanted: Vec<String> = open.iter().map(|&index| keys[index].clone()).collect();
        for (index, value) in open.drain(..).zip(self.reader.get_many(&wanted).await?) {
            found[index] = Some(value.and_then(|value| published(&value)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
