//! Records that could not be applied, kept with the reason. They live in the state store, keyed by where the record stands
//! in the log, so that one that is read again after a crash is not kept twice.

use crate::outcome::DeadReason;
use bytes::Bytes;
use event_log::Record;
use schemas::codec::{put_signed, put_str, put_varint};
use schemas::published::{header, open};
use schemas::{DecodeError, Version};
use serde::Serialize;
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

impl DeadLetter {
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
        Row {
            key: format!("events:{}:{:013}", self.partition, self.offset),
            version,
            state: Bytes::from(out),
        }
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
}
