//! Records that could not be applied, kept with the reason. They live in the state store, keyed by where the record stands
//! in the log, so that one that is read again after a crash is not kept twice. [`list`] finds them by time.

pub(crate) mod list;
mod older;

pub(crate) use older::list_older_letters;

use crate::outcome::DeadReason;
use bytes::Bytes;
use event_log::Record;
use schemas::codec::{put_signed, put_str, put_varint};
use schemas::published::{header, open};
use schemas::{DecodeError, Version};
use serde::{Deserialize, Serialize};
use stores::Row;

/// A record that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// The partition of `events`.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
    /// Why it was not applied; see [`DeadReason`].
    pub reason: String,
    /// When the log took it, milliseconds since 1970 UTC.
    pub append_time_ms: i64,
    /// The record's key.
    pub key: Vec<u8>,
    /// The record's value.
    pub value: Vec<u8>,
}

/// Where a dead letter's record stands in `events`: its name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
}

/// What the key of a mark ends in.
const MARK: &str = ":redriven";

impl Place {
    /// The key of the letter's row.
    pub(crate) fn letter_key(self) -> String {
        format!("events:{}:{:013}", self.partition, self.offset)
    }

    /// The key of the row that says that the letter was redriven. It is not the letter's own row: that one is written
    /// again when its record is read again after a crash, and would lose the mark.
    pub(crate) fn mark_key(self) -> String {
        self.letter_key() + MARK
    }

    /// Whether a key of the table is that of a mark.
    pub(crate) fn is_mark(key: &str) -> bool {
        key.ends_with(MARK)
    }
}

/// Where a dead letter's record was appended again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Redriven {
    pub(crate) partition: u32,
    pub(crate) offset: u64,
}

impl Redriven {
    /// As a row that marks the letter at `place`.
    pub(crate) fn to_row(self, place: Place, generation: u16) -> Row {
        let version = Version::of(generation, place.offset);
        let mut out = header(version, 16);
        put_varint(&mut out, u64::from(self.partition));
        put_varint(&mut out, self.offset);
        Row { key: place.mark_key(), version, state: Bytes::from(out) }
    }

    /// From the state of such a row.
    pub(crate) fn decode(state: &[u8]) -> Result<Self, DecodeError> {
        let (_, mut reader) = open(state)?;
        let partition = u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed("partition"))?;
        let offset = reader.varint()?;
        reader.finish()?;
        Ok(Self { partition, offset })
    }
}

impl DeadLetter {
    /// Its name.
    pub fn place(&self) -> Place {
        Place { partition: self.partition, offset: self.offset }
    }

    /// From a record of partition `partition` of `events`.
    pub(crate) fn new(partition: u32, record: &Record, reason: DeadReason) -> Self {
        Self {
            partition,
            offset: record.offset,
            reason: reason.as_str().to_owned(),
            append_time_ms: record.append_time_ms,
            key: record.key.to_vec(),
            value: record.value.to_vec(),
        }
    }

    /// As a row of the state store.
    pub(crate) fn to_row(&self, generation: u16) -> Row {
        let version = Version::of(generation, self.offset);
        let mut out = header(version, 48 + self.key.len() + self.value.len());
        put_varint(&mut out, u64::from(self.partition));
        put_varint(&mut out, self.offset);
        put_str(&mut out, &self.reason);
        put_signed(&mut out, self.append_time_ms);
        put_varint(&mut out, self.key.len() as u64);
        out.extend_from_slice(&self.key);
        put_varint(&mut out, self.value.len() as u64);
        out.extend_from_slice(&self.value);
        Row { key: self.place().letter_key(), version, state: Bytes::from(out) }
    }

    /// From the state of such a row.
    ///
    /// # Errors
    /// When the bytes do not follow the format.
    pub fn decode(state: &[u8]) -> Result<Self, DecodeError> {
        let (_, mut reader) = open(state)?;
        let partition = u32::try_from(reader.varint()?).map_err(|_| DecodeError::Malformed("partition"))?;
        let offset = reader.varint()?;
        let reason = reader.str()?.to_owned();
        let append_time_ms = reader.signed()?;
        let length = reader.count(1)?;
        let key = reader.take(length)?.to_vec();
        let length = reader.count(1)?;
        let value = reader.take(length)?.to_vec();
        reader.finish()?;
        Ok(Self { partition, offset, reason, append_time_ms, key, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_keeps_the_record_as_it_was() {
        let record = Record {
            offset: 12,
            append_time_ms: 99,
            key: Bytes::from_static(b"k"),
            value: Bytes::from_static(b"\xff\x00junk"),
        };
        let letter = DeadLetter::new(3, &record, DeadReason::Undecodable);
        let row = letter.to_row(1);
        assert_eq!(row.key, "events:3:0000000000012");
        assert_eq!(DeadLetter::decode(&row.state).unwrap(), letter);
    }

    #[test]
    fn a_mark_stands_beside_its_letter() {
        let (place, redriven) = (Place { partition: 3, offset: 12 }, Redriven { partition: 3, offset: 99 });
        let row = redriven.to_row(place, 1);
        assert_eq!(row.key, "events:3:0000000000012:redriven");
        assert!(Place::is_mark(&row.key) && !Place::is_mark(&place.letter_key()));
        assert_eq!(Redriven::decode(&row.state).unwrap(), redriven);
    }
}
