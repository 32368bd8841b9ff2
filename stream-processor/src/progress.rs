//! How far a stage has come in a partition: the one row that a restart begins from.

use crate::outcome::OutcomeCounts;
use bytes::Bytes;
use event_log::Record;
use schemas::codec::{Reader, put_signed, put_varint};
use schemas::published::{RepeatTable, header, open};
use schemas::{DecodeError, Version};

/// The stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StageName {
    /// Reads `events`, keeps users.
    Shopper,
    /// Reads `product-activity`, keeps products.
    Product,
}

impl StageName {
    /// Both, in the order that an event passes them.
    pub const ALL: [Self; 2] = [Self::Shopper, Self::Product];

    /// The name in keys, metrics and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shopper => "shopper",
            Self::Product => "product",
        }
    }
}

/// The key of a progress row.
pub(crate) fn progress_key(stage: StageName, partition: u32) -> String {
    format!("progress:{}:{partition}", stage.as_str())
}

/// The key of an intent row: up to where rows may have been written ahead of the progress.
pub(crate) fn intent_key(stage: StageName, partition: u32) -> String {
    format!("intent:{}:{partition}", stage.as_str())
}

/// The key of the row that holds the partition counts.
pub(crate) const META_KEY: &str = "meta";

/// A place in a partition and what stands just before it, so that a log that was recreated or cut is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Checkpoint {
    /// The next offset to be processed.
    pub(crate) next_offset: u64,
    /// Offset and [`checksum`] of the last record before it, when there was one.
    pub(crate) last: Option<(u64, u64)>,
}

impl Checkpoint {
    pub(crate) fn after(record: &Record) -> Self {
        Self { next_offset: record.offset + 1, last: Some((record.offset, checksum(record))) }
    }

    /// The version of what is written as of here. Rows that reflect records before it have lower ones.
    pub(crate) fn version(&self, generation: u16) -> Version {
        Version::of(generation, self.next_offset)
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        put_varint(out, self.next_offset);
        match self.last {
            None => out.push(0),
            Some((offset, checksum)) => {
                out.push(1);
                put_varint(out, offset);
                out.extend_from_slice(&checksum.to_be_bytes());
            }
        }
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let next_offset = decode_offset(reader)?;
        let last = match reader.u8()? {
            0 => None,
            1 => Some((decode_offset(reader)?, reader.u64_be()?)),
            _ => return Err(DecodeError::Malformed("checkpoint")),
        };
        Ok(Self { next_offset, last })
    }

    /// As an intent row.
    pub(crate) fn encode_intent(&self, generation: u16) -> Bytes {
        let mut out = header(self.version(generation), 24);
        self.encode_into(&mut out);
        Bytes::from(out)
    }

    /// From an intent row.
    pub(crate) fn decode_intent(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (_, mut reader) = open(bytes)?;
        let checkpoint = Self::decode_from(&mut reader)?;
        reader.finish()?;
        Ok(checkpoint)
    }
}

/// An offset, which a version has to be able to hold.
fn decode_offset(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let offset = reader.varint()?;
    if offset >> Version::OFFSET_BITS == 0 { Ok(offset) } else { Err(DecodeError::Malformed("offset")) }
}

/// Identifies a record: two records at one offset of a recreated topic differ in it, if only by their append time.
pub(crate) fn checksum(record: &Record) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&record.offset.to_be_bytes());
    hasher.update(&record.append_time_ms.to_be_bytes());
    hasher.update(&(record.key.len() as u64).to_be_bytes());
    hasher.update(&record.key);
    hasher.update(&record.value);
    u64::from_be_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("a hash is 32 bytes"))
}

/// The shopper stage's progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShopperProgress {
    pub(crate) at: Checkpoint,
    /// Highest event time so far; what is 30 days behind it is too late.
    pub(crate) highest_event_ms: i64,
    /// Whether [`crate::known`] has been kept from the first record on.
    pub(crate) knows_keys: bool,
}

impl Default for ShopperProgress {
    fn default() -> Self {
        Self { at: Checkpoint::default(), highest_event_ms: i64::MIN, knows_keys: false }
    }
}

impl ShopperProgress {
    /// Before the first record of a generation that begins at `origin`.
    pub(crate) fn beginning_at(origin: u64) -> Self {
        Self { at: Checkpoint { next_offset: origin, last: None }, ..Self::default() }
    }

    pub(crate) fn encode(&self, generation: u16) -> Bytes {
        let mut out = header(self.at.version(generation), 40);
        self.at.encode_into(&mut out);
        put_signed(&mut out, self.highest_event_ms);
        put_knows_keys(&mut out, self.knows_keys);
        Bytes::from(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (_, mut reader) = open(bytes)?;
        let (at, highest_event_ms) = (Checkpoint::decode_from(&mut reader)?, reader.signed()?);
        let knows_keys = read_knows_keys(&mut reader)?;
        reader.finish()?;
        Ok(Self { at, highest_event_ms, knows_keys })
    }
}

/// The product stage's progress, with everything that is accumulated behind the marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProductProgress {
    pub(crate) at: Checkpoint,
    /// Per partition of `events`: offsets below this have been applied; what comes again is dropped.
    pub(crate) marks: Vec<u64>,
    /// Highest event time so far.
    pub(crate) stream_time_ms: i64,
    pub(crate) outcomes: OutcomeCounts,
    pub(crate) repeats: RepeatTable,
    /// Whether [`crate::known`] has been kept from the first record on.
    pub(crate) knows_keys: bool,
}

impl ProductProgress {
    pub(crate) fn new(events_partitions: u32) -> Self {
        Self {
            at: Checkpoint::default(),
            marks: vec![0; events_partitions as usize],
            stream_time_ms: i64::MIN,
            outcomes: OutcomeCounts::default(),
            repeats: RepeatTable::default(),
            knows_keys: false,
        }
    }

    pub(crate) fn encode(&self, generation: u16) -> Bytes {
        let mut out = header(self.at.version(generation), 4096);
        self.at.encode_into(&mut out);
        put_varint(&mut out, self.marks.len() as u64);
        for mark in &self.marks {
            put_varint(&mut out, *mark);
        }
        put_signed(&mut out, self.stream_time_ms);
        for count in self.outcomes.0 {
            put_varint(&mut out, count);
        }
        self.repeats.counts().for_each(|count| put_varint(&mut out, count));
        put_knows_keys(&mut out, self.knows_keys);
        Bytes::from(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (_, mut reader) = open(bytes)?;
        let at = Checkpoint::decode_from(&mut reader)?;
        let marks = (0..reader.count(1)?).map(|_| decode_offset(&mut reader)).collect::<Result<_, _>>()?;
        let stream_time_ms = reader.signed()?;
        let mut outcomes = OutcomeCounts::default();
        for count in &mut outcomes.0 {
            *count = reader.counted()?;
        }
        let repeats = RepeatTable::read_counts(&mut reader)?;
        let knows_keys = read_knows_keys(&mut reader)?;
        reader.finish()?;
        Ok(Self { at, marks, stream_time_ms, outcomes, repeats, knows_keys })
    }
}

/// A byte where keys are known, nothing where they are not: releases that did not keep them wrote none, and refuse what has one. After
/// one of those had written rows the keys would no longer be all.
fn put_knows_keys(out: &mut Vec<u8>, knows_keys: bool) {
    if knows_keys {
        out.push(1);
    }
}

fn read_knows_keys(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    if reader.is_at_end() {
        return Ok(false);
    }
    match reader.u8()? {
        1 => Ok(true),
        _ => Err(DecodeError::Malformed("known keys")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::published::{Course, LastStep, SessionShape};

    #[test]
    fn progress_survives_its_encoding() {
        let record =
            Record { offset: 8, append_time_ms: 5, key: Bytes::new(), value: Bytes::from_static(b"v") };
        let mut progress = ProductProgress::new(3);
        progress.at = Checkpoint::after(&record);
        progress.marks[1] = 99;
        progress.outcomes.0[2] = 5;
        let course = Course::default().after(0).after(1).after(2);
        let shape = SessionShape { times: vec![1, 2, 1], last_step: LastStep::New, course };
        progress.repeats.observe(&shape, Some(1));
        let mut shopper = ShopperProgress { at: progress.at, highest_event_ms: 77, knows_keys: false };
        for knows_keys in [false, true] {
            (progress.knows_keys, shopper.knows_keys) = (knows_keys, knows_keys);
            assert_eq!(ProductProgress::decode(&progress.encode(1)).unwrap(), progress);
            assert_eq!(ShopperProgress::decode(&shopper.encode(1)).unwrap(), shopper);
        }
        assert_eq!(Checkpoint::decode_intent(&shopper.at.encode_intent(1)).unwrap(), shopper.at);
    }

    #[test]
    fn a_recreated_topic_has_other_checksums() {
        let record =
            Record { offset: 8, append_time_ms: 5, key: Bytes::new(), value: Bytes::from_static(b"v") };
        assert_ne!(checksum(&record), checksum(&Record { append_time_ms: 6, ..record.clone() }));
        let moved = Record { key: Bytes::from_static(b"v"), value: Bytes::new(), ..record.clone() };
        assert_ne!(checksum(&record), checksum(&moved));
    }
}
