//! The pairs of an [`ActivityRecord`], which are numbers in a row there, and how one is read.

mod packer;
mod unpacked;

use crate::proto::{ActivityRecord, OlderPair, OlderSourceEntry, SourceEntry};
pub use packer::ActivityPacker;
use prost::{DecodeError, Message};
pub use unpacked::{UnpackedActivity, UnpackedEntry, UnpackedRepeat};

/// Numbers of a pair in [`ActivityRecord::pairs`].
const NUMBERS: usize = 3;

/// `weight` is to be added to the co-occurrence of `other` in the row of `product`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairUpdate {
    /// Index of the product whose row it is.
    pub product: u32,
    /// Index of the other product.
    pub other: u32,
    /// In units of 2^-24.
    pub weight: u32,
}

impl ActivityRecord {
    /// Unpacks a record, one of an older release too.
    ///
    /// # Errors
    /// When the value is no such record.
    pub fn unpack(value: &[u8]) -> Result<Self, DecodeError> {
        let mut record = Self::decode(value)?;
        for older in std::mem::take(&mut record.older_entries) {
            let OlderSourceEntry { offset, outcome, activity, pairs, repeat, timestamp_ms } = older;
            record.entries.push(SourceEntry { offset, outcome, activity, repeat, timestamp_ms, pairs: 0 });
            for OlderPair { product, other, weight } in pairs {
                record.push_pair(PairUpdate { product, other, weight });
            }
        }
        Ok(record)
    }

    /// Adds a pair to the last entry.
    ///
    /// # Panics
    /// When there is no entry.
    pub fn push_pair(&mut self, PairUpdate { product, other, weight }: PairUpdate) {
        self.entries.last_mut().expect("a pair belongs to an entry").pairs += 1;
        self.pairs.extend_from_slice(&[product, other, weight]);
    }

    /// Each entry with its pairs, as far as there are any: see [`Self::has_all_pairs`].
    pub fn entries_with_pairs(
        &self,
    ) -> impl Iterator<Item = (&SourceEntry, impl ExactSizeIterator<Item = PairUpdate>)> {
        let mut rest = self.pairs.as_slice();
        self.entries.iter().map(move |entry| {
            let (own, later) = rest.split_at(rest.len().min((entry.pairs as usize).saturating_mul(NUMBERS)));
            rest = later;
            (entry, pairs_in(own))
        })
    }

    /// All pairs, whichever entry they are of.
    pub fn all_pairs(&self) -> impl ExactSizeIterator<Item = PairUpdate> {
        pairs_in(&self.pairs)
    }

    /// Whether there are as many pairs as the entries say.
    pub fn has_all_pairs(&self) -> bool {
        let said: u64 = self.entries.iter().map(|entry| u64::from(entry.pairs)).sum();
        said.checked_mul(NUMBERS as u64) == Some(self.pairs.len() as u64)
    }
}

fn pairs_in(numbers: &[u32]) -> impl ExactSizeIterator<Item = PairUpdate> {
    let (pairs, _) = numbers.as_chunks::<NUMBERS>();
    pairs.iter().map(|&[product, other, weight]| PairUpdate { product, other, weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(product: u32) -> PairUpdate {
        PairUpdate { product, other: 9, weight: 1 << 24 }
    }

    fn record() -> ActivityRecord {
        let mut record = ActivityRecord::default();
        for (offset, products) in [(1, &[1, 2][..]), (2, &[]), (3, &[3])] {
            record.entries.push(SourceEntry { offset, ..SourceEntry::default() });
            products.iter().for_each(|&product| record.push_pair(pair(product)));
        }
        record
    }

    #[test]
    fn each_entry_has_the_pairs_that_were_added_to_it() {
        let record = record();
        let found: Vec<(u64, Vec<PairUpdate>)> =
            record.entries_with_pairs().map(|(entry, pairs)| (entry.offset, pairs.collect())).collect();
        assert_eq!(found, [(1, vec![pair(1), pair(2)]), (2, vec![]), (3, vec![pair(3)])]);
        assert!(record.all_pairs().eq([1, 2, 3].map(pair)));
        assert!(record.has_all_pairs());
    }

    #[test]
    fn a_record_of_an_older_release_is_read_as_one_of_this() {
        let older = |(entry, pairs): (&SourceEntry, Vec<PairUpdate>)| OlderSourceEntry {
            offset: entry.offset,
            outcome: entry.outcome,
            activity: entry.activity,
            repeat: entry.repeat.clone(),
            timestamp_ms: entry.timestamp_ms,
            pairs: pairs
                .into_iter()
                .map(|PairUpdate { product, other, weight }| OlderPair { product, other, weight })
                .collect(),
        };
        let record = record();
        let entries = record.entries_with_pairs().map(|(entry, pairs)| older((entry, pairs.collect())));
        let written = ActivityRecord { older_entries: entries.collect(), ..ActivityRecord::default() };
        assert_eq!(ActivityRecord::unpack(&written.encode_to_vec()), Ok(record.clone()));
        assert_eq!(ActivityRecord::unpack(&record.encode_to_vec()), Ok(record));
    }

    #[test]
    fn numbers_that_are_missing_or_left_over_are_noticed() {
        let changes: [fn(&mut Vec<u32>); 2] = [|numbers| numbers.truncate(8), |numbers| numbers.push(7)];
        for change in changes {
            let mut record = record();
            change(&mut record.pairs);
            assert!(!record.has_all_pairs());
            assert_eq!(record.entries_with_pairs().count(), 3);
        }
        let mut record = record();
        record.entries[0].pairs = u32::MAX;
        assert!(!record.has_all_pairs());
    }
}
