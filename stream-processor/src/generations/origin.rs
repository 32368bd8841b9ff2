//! Where in `events` a generation begins.

use super::{GenerationError, Generations};
use crate::context::Parts;
use crate::progress::META_KEY;
use bytes::Bytes;
use event_log::TopicPartition;
use schemas::codec::put_varint;
use schemas::published::{header, open};
use schemas::{DecodeError, Version};
use stores::{Row, Table};

/// The key of the row that says where a generation begins, where that is not offset 0.
pub(crate) const ORIGIN_KEY: &str = "origin";

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At the first record that the log still has.
    Beginning,
    /// At this offset of every partition, or at its first one or its end where it does not have that.
    Offset(u64),
    /// At the first record that was appended at this time or later, milliseconds since 1970 UTC.
    Time(i64),
}

/// The first offset of each partition of `events` that a generation reflects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Origin(Vec<u64>);

impl Origin {
    /// Of a partition; 0 where nothing else was said.
    pub(crate) fn of(&self, partition: u32) -> u64 {
        self.0.get(partition as usize).copied().unwrap_or(0)
    }

    fn encode(&self, version: Version) -> Bytes {
        let mut out = header(version, 8 * self.0.len());
        put_varint(&mut out, self.0.len() as u64);
        self.0.iter().for_each(|&offset| put_varint(&mut out, offset));
        Bytes::from(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (_, mut reader) = open(bytes)?;
        let count = reader.varint()?;
        if count > 1024 {
            return Err(DecodeError::Malformed("origin"));
        }
        let offsets: Result<Vec<u64>, _> = (0..count).map(|_| reader.varint()).collect();
        let origin = Self(offsets?);
        reader.finish()?;
        Ok(origin)
    }

    /// Reads that of a generation.
    pub(crate) async fn read(parts: &Parts, generation: u16) -> Result<Self, GenerationError> {
        let keys = [ORIGIN_KEY.to_owned()];
        let row =
            parts.state.get_many(Table::Progress, generation, &keys).await?.into_iter().next().flatten();
        let unreadable = |reason| GenerationError::Unreadable { key: ORIGIN_KEY.to_owned(), reason };
        row.map_or_else(|| Ok(Self::default()), |row| Self::decode(&row.state).map_err(unreadable))
    }
}

impl Generations {
    /// Says where a generation begins, before its first processor starts. One that has begun goes on: `from` is for new
    /// ones.
    ///
    /// # Errors
    /// When it has begun and `from` is given, or log or store do not answer.
    pub async fn begin(&self, generation: u16, from: Option<From>) -> Result<(), GenerationError> {
        let state = &self.parts.state;
        let keys = [META_KEY.to_owned(), ORIGIN_KEY.to_owned()];
        let rows = state.get_many(Table::Progress, generation, &keys).await?;
        if rows.iter().any(Option::is_some) {
            if from.is_none() {
                return Ok(());
            }
            return Err(GenerationError::Refused(format!(
                "generation {generation} has begun already: leave --from out to let it go on, or take another one with \
                 --generation"
            )));
        }
        let origin = self.locate(from.unwrap_or(From::Beginning)).await?;
        let version = Version::of(generation, 0);
        let row = Row { key: ORIGIN_KEY.to_owned(), version, state: origin.encode(version) };
        Ok(state.put_many(Table::Progress, generation, vec![row]).await?)
    }

    async fn locate(&self, from: From) -> Result<Origin, GenerationError> {
        let (log, topic) = (&self.parts.log, &self.parts.topics.events);
        let mut offsets = Vec::new();
        for partition in 0..log.describe(topic).await?.partitions {
            let place = TopicPartition { topic: topic.as_str().into(), partition };
            let bounds = log.bounds(&place).await?;
            offsets.push(match from {
                From::Beginning => bounds.start,
                From::Offset(offset) => offset.clamp(bounds.start, bounds.end),
                From::Time(time_ms) => {
                    // Append times of a partition do not go back, so the place can be found by halving.
                    let (mut below, mut above) = (bounds.start, bounds.end);
                    while below < above {
                        let middle = below + (above - below) / 2;
                        match log.read(&place, middle, 1).await?.first() {
                            Some(record) if record.append_time_ms < time_ms => below = record.offset + 1,
                            _ => above = middle,
                        }
                    }
                    below
                }
            });
        }
        Ok(Origin(offsets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_as_it_was_written() {
        let origin = Origin(vec![0, 300, 7]);
        let read = Origin::decode(&origin.encode(Version::of(2, 0))).unwrap();
        assert_eq!(read, origin);
        assert_eq!((read.of(1), read.of(9)), (300, 0));
        assert!(Origin::decode(b"\x01").is_err());
    }
}
