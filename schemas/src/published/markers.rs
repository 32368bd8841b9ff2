use super::{header, open};
use crate::Version;
use crate::codec::{DecodeError, put_signed, put_varint};
use crate::partition::MAX_PARTITIONS;

/// How far a stage has come in a partition, and how far that is behind. Written every second or so: when it is gone or
/// behind what the processor knows, the serving store has lost data and is filled again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marker {
    /// Version of the last record whose effects are visible in the serving store.
    pub version: Version,
    /// Records that wait behind it in the log.
    pub lag_records: u64,
    /// How long the oldest of these waits, in ms; 0 when none does.
    pub lag_ms: u64,
    /// Highest event time of the partition, milliseconds since 1970 UTC; `i64::MIN` before the first event.
    pub stream_time_ms: i64,
    /// When this was written, milliseconds since 1970 UTC.
    pub published_at_ms: i64,
    /// True when everything up to `version` has been published since the store was last found empty.
    pub complete: bool,
}

impl Marker {
    /// Packs the value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = header(self.version, 32);
        put_varint(&mut out, self.lag_records);
        put_varint(&mut out, self.lag_ms);
        put_signed(&mut out, self.stream_time_ms);
        put_signed(&mut out, self.published_at_ms);
        out.push(u8::from(self.complete));
        out
    }

    /// Unpacks a value.
    ///
    /// # Errors
    /// When the value does not follow the format.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (version, mut reader) = open(bytes)?;
        let marker = Self {
            version,
            lag_records: reader.counted()?,
            lag_ms: reader.counted()?,
            stream_time_ms: reader.signed()?,
            published_at_ms: reader.signed()?,
            complete: reader.u8()? != 0,
        };
        reader.finish()?;
        Ok(marker)
    }
}

/// What serving needs to know of the log's layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The generation, as a version, so that the value can be compared like the others.
    pub version: Version,
    /// Partitions of `events`.
    pub events_partitions: u32,
    /// Partitions of `product-activity`.
    pub activity_partitions: u32,
}

impl Layout {
    /// Packs the value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = header(self.version, 4);
        put_varint(&mut out, u64::from(self.events_partitions));
        put_varint(&mut out, u64::from(self.activity_partitions));
        out
    }

    /// Unpacks a value.
    ///
    /// # Errors
    /// When the value does not follow the format.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (version, mut reader) = open(bytes)?;
        // Readers keep something for each partition, and take keys modulo their number.
        let mut partitions = || match u32::try_from(reader.varint()?) {
            Ok(partitions) if (1..=MAX_PARTITIONS).contains(&partitions) => Ok(partitions),
            _ => Err(DecodeError::Malformed("partitions")),
        };
        let layout = Self { version, events_partitions: partitions()?, activity_partitions: partitions()? };
        reader.finish()?;
        Ok(layout)
    }
}
