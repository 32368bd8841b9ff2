//! Rows in memory: bounded, and never without those that are not stored yet.

use crate::known::KnownKeys;
use crate::rules::{Rule, is_broken};
use hashbrown::{Equivalent, HashMap};
use std::hash::Hash;

/// A row, when it last changed and when it was last used.
#[derive(Debug)]
struct Entry<R> {
    row: R,
    /// The flush epoch in which the row last changed; [`CLEAN`] when the store holds it as it is.
    changed: u64,
    /// The generation in which it was last used.
    used: u64,
}

const CLEAN: u64 = 0;

/// Rows of two generations: what is used belongs to the young one; when that is full, a new one begins, and what was used in
/// neither goes. Rows that changed since they were last stored, or are being stored, always stay.
#[derive(Debug)]
pub(crate) struct RowCache<K, R> {
    rows: HashMap<K, Entry<R>>,
    capacity: usize,
    epoch: u64,
    /// Keys that changed in the current epoch, each once.
    changed: Vec<K>,
    generation: u64,
    /// How many rows were used in the current generation.
    young: usize,
    /// The keys that the store has rows of; `None` where that is not known.
    known: Option<KnownKeys>,
}

/// A row in a cache.
pub(crate) struct Found<'a, K, R> {
    key: &'a K,
    entry: &'a mut Entry<R>,
    epoch: u64,
    changed: &'a mut Vec<K>,
}

impl<'a, K: Clone, R> Found<'a, K, R> {
    /// The row, to look at.
    pub(crate) fn row(&self) -> &R {
        &self.entry.row
    }

    /// The row, to change: it counts as changed from now on.
    pub(crate) fn change(self) -> &'a mut R {
        if self.entry.changed != self.epoch {
            self.entry.changed = self.epoch;
            self.changed.push(self.key.clone());
        }
        &mut self.entry.row
    }
}

impl<K: Hash + Eq + Clone, R> RowCache<K, R> {
    /// A cache that holds about `capacity` rows besides the changed ones. `known` are the keys that the store has rows of.
    pub(crate) fn new(capacity: usize, known: Option<KnownKeys>) -> Self {
        let capacity = (capacity / 2).max(1);
        Self {
            rows: HashMap::new(),
            capacity,
            epoch: CLEAN + 1,
            changed: Vec::new(),
            generation: 1,
            young: 0,
            known,
        }
    }

    /// Whether the row is here; if so it counts as used.
    pub(crate) fn touch<Q: Hash + Equivalent<K> + ?Sized>(&mut self, key: &Q) -> bool {
        let Some(entry) = self.rows.get_mut(key) else { return false };
        self.young += usize::from(entry.used != self.generation);
        entry.used = self.generation;
        true
    }

    /// A row, to look at.
    pub(crate) fn get<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<&R> {
        self.rows.get(key).map(|entry| &entry.row)
    }

    /// A row, to look at first and perhaps to change then.
    pub(crate) fn find<Q: Hash + Equivalent<K> + ?Sized>(&mut self, key: &Q) -> Option<Found<'_, K, R>> {
        let (key, entry) = self.rows.get_key_value_mut(key)?;
        Some(Found { key, entry, epoch: self.epoch, changed: &mut self.changed })
    }

    /// Takes a row as the store holds it, unless it is here already.
    pub(crate) fn admit(&mut self, key: K, row: R) {
        if !self.touch(&key) {
            self.rows.insert(key, Entry { row, changed: CLEAN, used: self.generation });
            self.young += 1;
        }
    }

    /// Whether it is certain that the store has no row of a key that is not here.
    pub(crate) fn is_new(&self, key: &str) -> bool {
        self.known.as_ref().is_some_and(|known| !known.may_have(key))
    }

    /// The keys that the store has rows of, where they are known.
    pub(crate) fn known(&mut self) -> Option<&mut KnownKeys> {
        self.known.as_mut()
    }

    /// Ends the epoch: the keys that changed in it, to be copied and stored. Give the number to [`Self::stored`] then.
    pub(crate) fn begin_flush(&mut self) -> (u64, Vec<K>) {
        let epoch = self.epoch;
        self.epoch += 1;
        (epoch, std::mem::take(&mut self.changed))
    }

    /// The copies of `epoch` are stored: rows that have not changed since are clean.
    pub(crate) fn stored(&mut self, epoch: u64, keys: &[K]) {
        for key in keys {
            if let Some(entry) = self.rows.get_mut(key)
                && (entry.changed <= epoch || is_broken(Rule::ChangedSinceCopyStaysChanged))
            {
                entry.changed = CLEAN;
            }
        }
    }

    /// How many keys changed since the last flush began.
    pub(crate) fn changed_len(&self) -> usize {
        self.changed.len()
    }

    /// How many rows are here.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Makes room when the young generation is full. Only between batches: rows that a batch was loaded for must stay.
    pub(crate) fn make_room(&mut self) {
        if self.young < self.capacity {
            return;
        }
        let young = self.generation;
        let waits = |entry: &Entry<R>| entry.changed != CLEAN && !is_broken(Rule::ChangedRowsStay);
        self.rows.retain(|_, entry| entry.used == young || waits(entry));
        self.generation += 1;
        self.young = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_not_stored_yet_is_never_evicted() {
        let mut cache: RowCache<String, u32> = RowCache::new(10, None);
        cache.admit("kept".into(), 0);
        *cache.find("kept").unwrap().change() = 7;
        let (epoch, keys) = cache.begin_flush();
        for i in 0..100 {
            cache.admit(i.to_string(), i);
            cache.make_room();
        }
        assert_eq!(cache.get("kept"), Some(&7), "in flight");
        *cache.find("kept").unwrap().change() = 8;
        cache.stored(epoch, &keys);
        for i in 100..200 {
            cache.admit(i.to_string(), i);
            cache.make_room();
        }
        assert_eq!(cache.get("kept"), Some(&8), "changed since the copy");
        let (epoch, keys) = cache.begin_flush();
        assert_eq!(keys, ["kept"]);
        cache.stored(epoch, &keys);
        for i in 200..300 {
            cache.admit(i.to_string(), i);
            cache.make_room();
        }
        assert_eq!(cache.get("kept"), None, "clean and unused");
        assert!(cache.len() <= 12);
    }

    #[test]
    fn a_row_in_memory_is_not_replaced_by_an_older_one() {
        let mut cache: RowCache<String, u32> = RowCache::new(10, None);
        cache.admit("a".into(), 1);
        *cache.find("a").unwrap().change() = 2;
        cache.admit("a".into(), 1);
        assert_eq!(cache.get("a"), Some(&2));
    }

    #[test]
    fn use_keeps_a_row() {
        let mut cache: RowCache<u32, u32> = RowCache::new(10, None);
        cache.admit(0, 0);
        for i in 1..1000 {
            assert!(cache.touch(&0));
            cache.admit(i, i);
            cache.make_room();
        }
        assert!(cache.len() <= 12);
    }
}
