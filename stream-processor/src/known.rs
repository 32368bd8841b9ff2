//! Which keys of a partition have a row in the state store: for one that is new the store need not be asked.
//!
//! Fingerprints of the keys, in the order in which their rows were made, cut into segments of one length. Like the rows they are a
//! function of the log: whoever works through the same records writes the same segments, and a segment of a higher version has all
//! that one of a lower version has. They are stored before the progress: of a row that was made before it, the key is in
//! them. A row that was made after it, by an owner who died, may be missing: whoever begins at that progress makes the same row
//! again, from the same records. So nobody may read a row whose key is not known: its key would come into the list out of turn.

use crate::progress::StageName;
use bytes::Bytes;
use hashbrown::HashSet;
use recommender::user_row::fingerprint;
use schemas::codec::{Reader, put_varint};
use schemas::published::{header, open};
use schemas::{DecodeError, Version};
use stores::{Row, StateStore, StoreError, Table};

/// Fingerprints in a segment: what a flush writes again is 16 KiB at most. A segment says how many it takes, so that another number
/// here changes nothing for lists that were begun with this one. Few in tests, so that many are full.
const SEGMENT: u32 = if cfg!(any(test, feature = "broken-rules")) { 4 } else { 4_096 };
/// Segments read at a time.
const READ_AT_ONCE: u32 = 32;

/// The keys of one partition of one stage.
#[derive(Debug)]
pub(crate) struct KnownKeys {
    prints: HashSet<u32>,
    /// Fingerprints in a full segment.
    length: u32,
    /// Number of the first segment that is not stored in full.
    first: u32,
    /// That segment and those after it; only the last one is not full.
    growing: Vec<Vec<u32>>,
    /// Whether there is something that is not stored.
    has_grown: bool,
}

/// A list that begins. Its number of keys is to be stored even while that is none: whoever finds no number knows that it was lost.
impl Default for KnownKeys {
    fn default() -> Self {
        Self { prints: HashSet::new(), length: SEGMENT, first: 0, growing: Vec::new(), has_grown: true }
    }
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
            match self.growing.last_mut().filter(|last| last.len() < self.length as usize) {
                Some(last) => last.push(print),
                None => self.growing.push(vec![print]),
            }
            self.has_grown = true;
        }
    }

    /// The segments that have grown since the last time, and the number of keys, to be stored as of `version`: first the segments, then
    /// the number. They count as stored from now on: a flush that fails ends the task.
    pub(crate) fn take_grown(
        &mut self,
        stage: StageName,
        partition: u32,
        version: Version,
    ) -> [(Table, Vec<Row>); 2] {
        let (mut segments, mut count) = (Vec::new(), Vec::new());
        if std::mem::take(&mut self.has_grown) {
            segments.extend((self.first..).zip(&self.growing).map(|(number, prints)| Row {
                key: segment_key(stage, partition, number),
                version,
                state: encode(self.length, prints, version),
            }));
            let mut number = header(version, 5);
            put_varint(&mut number, self.prints.len() as u64);
            count.push(Row { key: count_key(stage, partition), version, state: Bytes::from(number) });
            let full = self.growing.iter().take_while(|prints| prints.len() == self.length as usize).count();
            self.growing.drain(..full);
            self.first += full as u32;
        }
        [(Table::KnownKeys, segments), (Table::KnownKeys, count)]
    }

    /// Reads the keys that are stored, and tells how many of those that once were are not any more, at least: rows of the table were
    /// lost. The progress has to be read before, since an earlier owner may store all of it meanwhile.
    pub(crate) async fn load(
        store: &dyn StateStore,
        generation: u16,
        stage: StageName,
        partition: u32,
    ) -> Result<(Self, u64), StoreError> {
        let count = count_key(stage, partition);
        // Before the segments, for the same reason.
        let stored = store.get_many(Table::KnownKeys, generation, std::slice::from_ref(&count)).await?;
        let Some(row) = stored.into_iter().next().flatten() else { return Ok((Self::default(), 1)) };
        let count = decode_count(&row.state).map_err(|error| unreadable(&count, &error))?;
        let mut known = Self { has_grown: false, ..Self::default() };
        let mut is_last = false;
        while !is_last {
            let numbers = known.first..known.first + READ_AT_ONCE;
            let keys: Vec<String> = numbers.map(|number| segment_key(stage, partition, number)).collect();
            let rows = store.get_many(Table::KnownKeys, generation, &keys).await?;
            for (key, row) in keys.iter().zip(rows) {
                let appended = known.append(row.as_ref().map(|row| &row.state[..]));
                is_last = !appended.map_err(|error| unreadable(key, &error))?;
                if is_last {
                    break;
                }
            }
        }
        let missing = count.saturating_sub(known.prints.len() as u64);
        Ok((known, missing))
    }

    /// Takes the next segment, if it is stored. Whether there may be another one: after one that is not full there is none that
    /// counts, even if an earlier owner stores one meanwhile.
    fn append(&mut self, stored: Option<&[u8]>) -> Result<bool, DecodeError> {
        let Some(stored) = stored else { return Ok(false) };
        let (length, prints) = decode(stored)?;
        self.length = length;
        self.prints.extend(&prints);
        let is_full = prints.len() == length as usize;
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
        let mut known = Self { has_grown: false, ..Self::default() };
        let mut keys = (0..).map(|number| segment_key(stage, partition, number));
        while known.append(stored(&keys.next().expect("there is always another one")).as_deref()).unwrap() {}
        known
    }
}

fn segment_key(stage: StageName, partition: u32, number: u32) -> String {
    format!("{}:{partition}:{number}", stage.as_str())
}

fn count_key(stage: StageName, partition: u32) -> String {
    format!("{}:{partition}:count", stage.as_str())
}

fn print_of(key: &str) -> u32 {
    (fingerprint(key) >> 32) as u32
}

fn encode(length: u32, prints: &[u32], version: Version) -> Bytes {
    let mut out = header(version, 4 + 4 * prints.len());
    out.extend_from_slice(&length.to_be_bytes());
    prints.iter().for_each(|print| out.extend_from_slice(&print.to_be_bytes()));
    Bytes::from(out)
}

/// How many fingerprints a stored segment takes, and those that are in it.
pub(crate) fn decode(bytes: &[u8]) -> Result<(u32, Vec<u32>), DecodeError> {
    let (_, mut reader) = open(bytes)?;
    let length = number(&mut reader)?;
    let mut prints = Vec::new();
    while !reader.is_at_end() {
        prints.push(number(&mut reader)?);
    }
    let fits = (1..=length as usize).contains(&prints.len());
    if fits { Ok((length, prints)) } else { Err(DecodeError::Malformed("known keys")) }
}

fn number(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    Ok(u32::from_be_bytes(reader.take(4)?.try_into().expect("these are four bytes")))
}

fn decode_count(bytes: &[u8]) -> Result<u64, DecodeError> {
    let (_, mut reader) = open(bytes)?;
    let count = reader.varint()?;
    reader.finish()?;
    Ok(count)
}

fn unreadable(key: &str, error: &DecodeError) -> StoreError {
    let reason = format!("the row {key:?} cannot be read: {error}");
    StoreError::Unusable { store: "state store", reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event_log::embedded::open_database;
    use std::collections::BTreeMap;
    use stores::embedded::EmbeddedStateStore;
    use tempfile::TempDir;

    const VERSION: Version = Version(7);
    const STAGE: StageName = StageName::Shopper;

    fn key(number: u32) -> String {
        format!("u{number}")
    }

    async fn store(rows: impl IntoIterator<Item = Row>) -> (TempDir, EmbeddedStateStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStateStore::open(open_database(folder.path()).unwrap()).unwrap();
        store.put_many(Table::KnownKeys, 1, rows.into_iter().collect()).await.unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn what_was_added_is_known_whenever_it_was_stored_and_loaded() {
        let mut random = fastrand::Rng::with_seed(3);
        let (mut known, mut stored, mut number) = (KnownKeys::default(), BTreeMap::new(), 0);
        while number < 5_000 {
            for _ in 0..random.u32(..3 * SEGMENT) {
                known.add(&key(number));
                // Of one that is there already, nothing is stored again.
                known.add(&key(random.u32(..=number)));
                number += 1;
            }
            let [(_, segments), (_, count)] = known.take_grown(STAGE, 3, VERSION);
            assert!(segments.len() <= 4 && count.len() <= 1, "only what grew");
            stored.extend(segments.into_iter().chain(count).map(|row| (row.key.clone(), row)));
            let again = known.take_grown(STAGE, 3, VERSION);
            assert!(again.iter().all(|(_, rows)| rows.is_empty()), "nothing grew");
            if random.u8(..100) == 0 {
                let (_folder, store) = store(stored.values().cloned()).await;
                let missing;
                (known, missing) = KnownKeys::load(&store, 1, STAGE, 3).await.unwrap();
                assert_eq!(missing, 0);
            }
        }
        let mut once = KnownKeys::default();
        (0..number).for_each(|number| once.add(&key(number)));
        let at_once: BTreeMap<String, Row> = once
            .take_grown(STAGE, 3, VERSION)
            .into_iter()
            .flat_map(|(_, rows)| rows)
            .map(|row| (row.key.clone(), row))
            .collect();
        assert_eq!(at_once.len(), number.div_ceil(SEGMENT) as usize + 1);
        assert_eq!(at_once, stored, "however often it was stored");
        let (_folder, store) = store(stored.into_values()).await;
        let (known, _) = KnownKeys::load(&store, 1, STAGE, 3).await.unwrap();
        assert!((0..number).all(|number| known.may_have(&key(number))));
        let wrong = (number..number + 10_000).filter(|&number| known.may_have(&key(number))).count();
        assert!(wrong <= 2, "{wrong} of 10,000 keys are taken for known");
    }

    #[tokio::test]
    async fn a_segment_that_was_lost_is_noticed() {
        let mut known = KnownKeys::default();
        (0..10 * SEGMENT).for_each(|number| known.add(&key(number)));
        let rows = known.take_grown(STAGE, 3, VERSION).into_iter().flat_map(|(_, rows)| rows);
        let rows: Vec<Row> = rows.collect();
        for lost in [0, 4, 9] {
            let lost_key = segment_key(STAGE, 3, lost);
            let (_folder, store) = store(rows.iter().filter(|row| row.key != lost_key).cloned()).await;
            let (_, missing) = KnownKeys::load(&store, 1, STAGE, 3).await.unwrap();
            assert_eq!(missing, u64::from((10 - lost) * SEGMENT), "segment {lost}");
        }
        let (_folder, empty) = store([]).await;
        assert_eq!(KnownKeys::load(&empty, 1, STAGE, 3).await.unwrap().1, 1, "everything is lost");
        let [_, (_, count)] = KnownKeys::default().take_grown(STAGE, 3, VERSION);
        let (_folder, begun) = store(count).await;
        assert_eq!(KnownKeys::load(&begun, 1, STAGE, 3).await.unwrap().1, 0, "there were none");
    }

    #[test]
    fn a_list_keeps_the_length_that_its_segments_began_with() {
        let (long, mut known) = (SEGMENT + 3, KnownKeys::default());
        let full: Vec<u32> = (0..long).collect();
        assert!(known.append(Some(&encode(long, &full, VERSION))).unwrap());
        assert!(!known.append(Some(&encode(long, &full[..SEGMENT as usize + 1], VERSION))).unwrap());
        (0..2).for_each(|number| known.add(&key(number)));
        let [(_, segments), _] = known.take_grown(STAGE, 3, VERSION);
        let keys: Vec<&str> = segments.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, ["shopper:3:1"]);
        assert_eq!(decode(&segments[0].state).unwrap().1.len(), long as usize);
    }

    #[test]
    fn what_comes_after_a_segment_that_is_not_full_does_not_count() {
        let mut known = KnownKeys::default();
        assert!(known.append(Some(&encode(SEGMENT, &[1; SEGMENT as usize], VERSION))).unwrap());
        assert!(!known.append(Some(&encode(SEGMENT, &[2, 3], VERSION))).unwrap());
        assert!(!known.append(None).unwrap());
        assert_eq!((known.first, known.growing.as_slice()), (1, &[vec![2, 3]][..]));
        assert!(decode(&encode(SEGMENT, &[1, 2], VERSION)[..18]).is_err());
        assert!(decode(&encode(1, &[1, 2], VERSION)).is_err());
    }
}
