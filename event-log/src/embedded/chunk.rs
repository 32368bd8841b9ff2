//! How records lie on disk: a chunk is one key-value that holds several records of one partition.
//!
//! Key: partition id (topic number and partition) and the base offset, big-endian, so that the chunks of a partition lie
//! in order. Value: format byte, append time, then for each record the offsets left out before it, key and value.

use crate::{LogError, Record};
use bytes::Bytes;
use fjall::UserValue;

/// Where a partition's chunks begin: topic number and partition, big-endian.
pub(super) type PartitionKey = [u8; 8];

/// The key of the chunk whose first record is at `base`, or would be.
pub(super) fn key(partition: PartitionKey, base: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&partition);
    key[8..].copy_from_slice(&base.to_be_bytes());
    key
}

/// The base offset that a chunk's key names.
pub(super) fn base_of(key: &[u8]) -> Result<u64, LogError> {
    let base = key.get(8..16).and_then(|bytes| bytes.try_into().ok()).ok_or_else(damaged)?;
    Ok(u64::from_be_bytes(base))
}

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 9;

/// A chunk being filled, in memory that is used again for the next one: see [`Self::finish`].
#[derive(Debug)]
pub(super) struct ChunkBuilder {
    base: u64,
    next: u64,
    records: usize,
    bytes: Vec<u8>,
}

impl ChunkBuilder {
    /// Begins a chunk. `memory` is where it is filled: what it holds goes.
    pub(super) fn new(base: u64, append_time_ms: i64, memory: Vec<u8>) -> Self {
        let mut bytes = memory;
        bytes.clear();
        bytes.push(FORMAT);
        bytes.extend_from_slice(&append_time_ms.to_be_bytes());
        Self { base, next: base, records: 0, bytes }
    }

    /// Adds a record at `offset`, which is at or above [`Self::next_offset`].
    pub(super) fn push(&mut self, offset: u64, key: &[u8], value: &[u8]) {
        put_varint(&mut self.bytes, offset - self.next);
        put_varint(&mut self.bytes, key.len() as u64);
        self.bytes.extend_from_slice(key);
        put_varint(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(value);
        self.next = offset + 1;
        self.records += 1;
    }

    pub(super) fn next_offset(&self) -> u64 {
        self.next
    }

    pub(super) fn records(&self) -> usize {
        self.records
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The chunk as it is stored, and the memory that it was filled in.
    pub(super) fn finish(self) -> (StoredChunk, Vec<u8>) {
        (self.stored(), self.bytes)
    }

    /// The chunk as it is stored; begins the next one.
    pub(super) fn next(&mut self, append_time_ms: i64) -> StoredChunk {
        let stored = self.stored();
        *self = Self::new(self.next, append_time_ms, std::mem::take(&mut self.bytes));
        stored
    }

    fn stored(&self) -> StoredChunk {
        StoredChunk { base: self.base, value: self.bytes.as_slice().into() }
    }
}

/// A packed chunk as the database takes it; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct StoredChunk {
    pub(super) base: u64,
    pub(super) value: UserValue,
}

impl From<StoredChunk> for Chunk {
    /// Shares the memory.
    fn from(StoredChunk { base, value }: StoredChunk) -> Self {
        Self { base, bytes: Bytes::from_owner(value) }
    }
}

/// A packed chunk; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) base: u64,
    pub(super) bytes: Bytes,
}

impl Chunk {
    /// When its records were appended.
    pub(super) fn append_time_ms(&self) -> Result<i64, LogError> {
        match self.bytes.get(..HEADER_BYTES) {
            Some([FORMAT, time @ ..]) => Ok(i64::from_be_bytes(time.try_into().map_err(|_| damaged())?)),
            _ => Err(damaged()),
        }
    }

    /// Adds its records from offset `from` on to `out`, until that holds `max` records. They share the chunk's memory.
    pub(super) fn unpack(&self, from: u64, max: usize, out: &mut Vec<Record>) -> Result<(), LogError> {
        let append_time_ms = self.append_time_ms()?;
        let mut at = HEADER_BYTES;
        let mut offset = self.base;
        while at < self.bytes.len() && out.len() < max {
            offset = offset.checked_add(self.varint(&mut at)?).ok_or_else(damaged)?;
            let key = self.field(&mut at)?;
            let value = self.field(&mut at)?;
            // The last number there is has none after it, so that no record can have it.
            let next = offset.checked_add(1).ok_or_else(damaged)?;
            if offset >= from {
                out.push(Record {
                    offset,
                    append_time_ms,
                    key: self.bytes.slice(key),
                    value: self.bytes.slice(value),
                });
            }
            offset = next;
        }
        Ok(())
    }

    fn field(&self, at: &mut usize) -> Result<std::ops::Range<usize>, LogError> {
        let length = usize::try_from(self.varint(at)?).map_err(|_| damaged())?;
        let start = *at;
        *at = start.checked_add(length).filter(|&end| end <= self.bytes.len()).ok_or_else(damaged)?;
        Ok(start..*at)
    }

    fn varint(&self, at: &mut usize) -> Result<u64, LogError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(*at).ok_or_else(damaged)?;
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged())
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn damaged() -> LogError {
    LogError::Unusable("a stored chunk of records is damaged".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk() -> Chunk {
        let mut builder = ChunkBuilder::new(5, -3, vec![1; 10]);
        builder.push(5, b"k", b"v");
        builder.push(9, b"", &[7; 300]);
        builder.push(10, b"key", b"");
        assert_eq!((builder.next_offset(), builder.records()), (11, 3));
        builder.finish().0.into()
    }

    #[test]
    fn records_come_back_with_their_offsets_and_gaps() {
        let mut records = Vec::new();
        chunk().unpack(0, 100, &mut records).expect("what was packed can be unpacked");
        let seen: Vec<_> =
            records.iter().map(|r| (r.offset, r.append_time_ms, &r.key[..], r.value.len())).collect();
        assert_eq!(seen, [(5, -3, &b"k"[..], 1), (9, -3, b"", 300), (10, -3, b"key", 0)]);
    }

    #[test]
    fn unpacking_starts_and_stops_where_told() {
        let mut records = Vec::new();
        chunk().unpack(6, 1, &mut records).expect("what was packed can be unpacked");
        assert_eq!(records.iter().map(|r| r.offset).collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn a_cut_chunk_is_an_error_or_shorter_never_a_panic() {
        let whole = chunk();
        for length in 0..whole.bytes.len() {
            let cut = Chunk { base: whole.base, bytes: whole.bytes.slice(..length) };
            let mut records = Vec::new();
            assert!(cut.unpack(0, 100, &mut records).is_err() || records.len() < 3);
        }
    }

    #[test]
    fn offsets_beyond_all_numbers_are_an_error() {
        let last = Chunk { base: u64::MAX, ..chunk() };
        let mut records = Vec::new();
        assert!(last.unpack(0, 100, &mut records).is_err());
        assert!(records.is_empty(), "none of them has that offset");
    }
}
