//! What is kept, and what is being read.

use super::Published;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::RandomState;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use schemas::published::{Neighbour, NeighbourList};
use smol_str::SmolStr;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stores::Changes;
use tokio::sync::watch;

/// Decoded lists, and the reads in flight.
pub(super) struct Lists {
    kept: Cache<String, Published, Bytes>,
    /// An entry is only looked at, changed or removed with its shard locked: whether a read was outdated, and whether its list
    /// is kept, are decided one after the other.
    loading: DashMap<String, Arc<Load>, RandomState>,
}

/// A read in flight.
struct Load {
    outdated: AtomicBool,
    /// Tells those who wait; `None` = to be read again.
    outcome: watch::Sender<Option<Published>>,
}

/// What a caller has to do about a key.
pub(super) enum Claim<'a> {
    /// Nothing: here it is.
    Held(Published),
    /// Read it.
    Mine(Loading<'a>),
    /// Wait for somebody else's read.
    Others(Loaded),
}

/// A read that this caller does. Dropped unfinished, it sends those who wait to read for themselves.
pub(super) struct Loading<'a> {
    lists: &'a Lists,
    key: String,
    load: Arc<Load>,
}

/// Somebody else's read.
pub(super) struct Loaded(watch::Receiver<Option<Published>>);

impl Lists {
    pub(super) fn new(capacity: u64) -> Self {
        // The estimate only sizes tables.
        let lists = (capacity / TYPICAL_BYTES).max(16) as usize;
        let kept = Cache::with_weighter(lists, capacity, Bytes);
        Self { kept, loading: DashMap::default() }
    }

    /// The list, when it is kept.
    pub(super) fn held(&self, key: &str) -> Option<Published> {
        self.kept.get(key)
    }

    /// Finds out who reads a key.
    pub(super) fn claim(&self, key: &str) -> Claim<'_> {
        match self.loading.entry(key.to_owned()) {
            Entry::Occupied(entry) => Claim::Others(Loaded(entry.get().outcome.subscribe())),
            Entry::Vacant(entry) => {
                // Somebody may have finished since the caller looked.
                if let Some(list) = self.kept.get(key) {
                    return Claim::Held(list);
                }
                let load =
                    Arc::new(Load { outdated: AtomicBool::new(false), outcome: watch::Sender::new(None) });
                entry.insert(Arc::clone(&load));
                Claim::Mine(Loading { lists: self, key: key.to_owned(), load })
            }
        }
    }
}

impl Changes for Lists {
    fn changed(&self, key: &str) {
        if let Some(load) = self.loading.get_mut(key) {
            load.outdated.store(true, Ordering::Relaxed);
        }
        self.kept.remove(key);
    }

    fn all_changed(&self) {
        self.loading.iter_mut().for_each(|load| load.outdated.store(true, Ordering::Relaxed));
        self.kept.clear();
    }
}

impl Loading<'_> {
    /// Keeps what was read and tells it to those who wait. `None` when it was outdated on the way: it has to be read again.
    pub(super) fn finish(self, list: Published) -> Option<Published> {
        let mut good = false;
        self.lists.loading.remove_if(&self.key, |_, current| {
            good = Arc::ptr_eq(current, &self.load) && !current.outdated.load(Ordering::Relaxed);
            if good {
                self.lists.kept.insert(self.key.clone(), list.clone());
            }
            Arc::ptr_eq(current, &self.load)
        });
        if !good {
            return None;
        }
        self.load.outcome.send_replace(Some(list.clone()));
        Some(list)
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        // Nothing is left of one that was finished.
        self.lists.loading.remove_if(&self.key, |_, current| Arc::ptr_eq(current, &self.load));
    }
}

impl Loaded {
    /// What was read; `None` when that did not work out, or was outdated on the way.
    pub(super) async fn wait(mut self) -> Option<Published> {
        // The error is that the read was given up.
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}

/// Weighs a list by the memory that it takes, roughly.
#[derive(Clone)]
struct Bytes;

const TYPICAL_BYTES: u64 = 4_096;
/// A key, and what the tables take.
const OVERHEAD_BYTES: usize = 128;

impl Weighter<String, Published> for Bytes {
    fn weight(&self, key: &String, list: &Published) -> u64 {
        let entries = list.as_ref().map_or(0, |list| {
            // What is short lies in the entry itself.
            let outside = |text: &SmolStr| if text.is_heap_allocated() { text.len() + 32 } else { 0 };
            let bytes = |entry: &Neighbour| {
                size_of_val(entry) + outside(&entry.product_id) + outside(&entry.category)
            };
            size_of::<NeighbourList>() + list.entries.iter().map(bytes).sum::<usize>()
        });
        (OVERHEAD_BYTES + key.len() + entries) as u64
    }
}
