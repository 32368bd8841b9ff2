//! Which keys of a partition have a row in the state store: for one that is new the store need not be asked.
//!
//! Fingerprints of the keys, in the order in which their rows were made, cut into segments of one length. Like the rows they are a
//! function of the log: whoever works through the same records writes the same segments, and a segment of a higher version has all
//! that one of a lower version has. They are stored before the progress: of a row that was made before it, the key is in
//! them. A row that was made after it, by an owner who died, may be missing: whoever begins at that progress makes the same row
//! again, from the same records. So nobody may read a row whose key is not known: its key would come into the list out of turn.

use crate::progress::{StageName, segment_key};
use bytes::Bytes;
use hashbrown::HashSet;
use recommender::user_row::fingerprint;
use schemas::published::{header, open};
use schemas::{DecodeError, Version};
use stores::{Row, StateStore, StoreError, Table};

/// Fingerprints in a segment: what a flush writes again is 16 KiB at most. Few in tests, so that many are full.
const SEGMENT: usize = if cfg!(any(test, feature = "broken-rules")) { 4 } else { 4_096 };
/// Segments read at a time.
const READ_AT_ONCE: u32 = 32;

/// The keys of one partition of one stage.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    prints: HashSet<u32>,
    /// Number of the first segment that is not stored in full.
    first: u32,
    /// That segment and those after it; only the last one is not full.
    growing: Vec<Vec<u32>>,
    /// Whether there is something that is not stored.
    has_grown: bool,
}

impl KnownKeys {
    /// Whether there may be a row. When not, there is none; that there is one is wrong for one key in 2^32 ÷ the number of keys.
    pub(crate) fn may_have(&self, key: &str) -> bool {
        self.prints.contains(&print_of(key))
    }

    /// Takes note of a row, new or not.
    pub(crate) fn add(&mut self, key: &str) {
        let print = print_of(key);
        if self.prints.insert(print) {
            match self.growing.last_mut().filter(|last| last.len() < SEGMENT) {
                Some(last) => last.push(print),
                None => self.growing.push(vec![print]),
            }
            self.has_grown = true;
        }
    }

    /// The segments that have grown since the last time, to be stored as of `version`.
    pub(crate) fn take_grown(&mut self, stage: StageName, partition: u32, version: Version) -> Vec<Row> {
        if !std::mem::take(&mut self.has_grown) {
            return Vec::new();
        }
        let rows = (self.first..).zip(&self.growing).map(|(number, prints)| Row {
            key: segment_key(stage, partition, number),
            version,
            state: encode(prints, version),
        });
        let rows = rows.collect();
        let full = self.growing.iter().take_while(|prints| prints.len() == SEGMENT).count();
        self.growing.drain(..full);
        self.first += full as u32;
        rows
    }

    /// Reads the keys that are stored. The progress has to be read before: an earlier owner may store both meanwhile.
    pub(crate) async fn load(
        store: &dyn StateStore,
        generation: u16,
        stage: StageName,
        partition: u32,
    ) -> Result<Self, StoreError> {
        let mut known = Self::default();
        loop {
            let numbers = known.first..known.first + READ_AT_ONCE;
            let keys: Vec<String> = numbers.map(|number| segment_key(stage, partition, number)).collect();
            let rows = store.get_many(Table::Progress, generation, &keys).await?;
            for (key, row) in keys.iter().zip(rows) {
                let appended = known.append(row.as_ref().map(|row| &row.state[..]));
                if !appended.map_err(|error| unreadable(key, &error))? {
                    return Ok(known);
                }
            }
        }
    }

    /// Takes the next segment, if it is stored. Whether there may be another one: after one that is not full there is none that
    /// counts, even if an earlier owner stores one meanwhile.
    fn append(&mut self, stored: Option<&[u8]>) -> Result<bool, DecodeError> {
        let Some(stored) = stored else { return Ok(false) };
        let prints = decode(stored)?;
        self.prints.extend(&prints);
        let is_full = prints.len() >= SEGMENT;
        if is_full {
            self.first += 1;
        } else {
            self.growing.push(prints);
        }
        Ok(is_full)
    }

    /// What is stored in a table that is no database.
    #[cfg(test)]
    pub(crate) fn stored_in(
        stage: StageName,
        partition: u32,
        stored: impl Fn(&str) -> Option<Bytes>,
    ) -> Self {
        let mut known = Self::default();
        let mut keys = (0..).map(|number| segment_key(stage, partition, number));
        while known.append(stored(&keys.next().expect("there is always another one")).as_deref()).unwrap() {}
        known
    }
}

fn print_of(key: &str) -> u32 {
    (fingerprint(key) >> 32) as u32
}

fn encode(prints: &[u32], version: Version) -> Bytes {
    let mut out = header(version, 4 * prints.len());
    prints.iter().for_each(|print| out.extend_from_slice(&print.to_be_bytes()));
    Bytes::from(out)
}

/// The fingerprints of a stored segment.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<u32>, DecodeError> {
    let (_, mut reader) = open(bytes)?;
    let mut prints = Vec::new();
    while !reader.is_at_end() {
        prints.push(u32::from_be_bytes(reader.take(4)?.try_into().expect("these are four bytes")));
    }
    Ok(prints)
}

fn unreadable(key: &str, error: &DecodeError) -> StoreError {
    let reason = format!("the row {key:?} cannot be read: {error}");
    StoreError::Unusable { store: "state store", reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const VERSION: Version = Version(7);

    fn loaded(stored: &BTreeMap<String, Bytes>) -> KnownKeys {
        KnownKeys::stored_in(StageName::Shopper, 3, |key| stored.get(key).cloned())
    }

    #[test]
    fn what_was_added_is_known_whenever_it_was_stored_and_loaded() {
        let mut random = fastrand::Rng::with_seed(3);
        let (mut known, mut stored, mut number) = (KnownKeys::default(), BTreeMap::new(), 0);
        let key = |number: u32| format!("u{number}");
        while number < 5_000 {
            for _ in 0..random.usize(..3 * SEGMENT) {
                known.add(&key(number));
                // Of one that is there already, nothing is stored again.
                known.add(&key(random.u32(..=number)));
                number += 1;
            }
            let grown = known.take_grown(StageName::Shopper, 3, VERSION);
            assert!(grown.len() <= 4, "only what grew");
            stored.extend(grown.into_iter().map(|row| (row.key, row.state)));
            assert!(known.take_grown(StageName::Shopper, 3, VERSION).is_empty(), "nothing grew");
            if random.bool() {
                known = loaded(&stored);
            }
        }
        let mut once = KnownKeys::default();
        (0..number).for_each(|number| once.add(&key(number)));
        let at_once = once.take_grown(StageName::Shopper, 3, VERSION);
        let at_once: BTreeMap<String, Bytes> = at_once.into_iter().map(|row| (row.key, row.state)).collect();
        assert_eq!(at_once.len(), (number as usize).div_ceil(SEGMENT));
        assert_eq!(at_once, stored, "however often it was stored");
        let known = loaded(&stored);
        assert!((0..number).all(|number| known.may_have(&key(number))));
        let wrong = (number..number + 10_000).filter(|&number| known.may_have(&key(number))).count();
        assert!(wrong <= 2, "{wrong} of 10,000 keys are taken for known");
    }

    #[test]
    fn what_comes_after_a_segment_that_is_not_full_does_not_count() {
        let mut known = KnownKeys::default();
        assert!(known.append(Some(&encode(&[1; SEGMENT], VERSION))).unwrap());
        assert!(!known.append(Some(&encode(&[2, 3], VERSION))).unwrap());
        assert!(!known.append(None).unwrap());
        assert_eq!((known.first, known.growing.as_slice()), (1, &[vec![2, 3]][..]));
        assert!(decode(&encode(&[1, 2], VERSION)[..14]).is_err());
    }
}
