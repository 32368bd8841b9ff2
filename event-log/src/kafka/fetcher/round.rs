//! What one round of polling brought for a partition: many small records share one allocation.

use crate::Record;
use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Message};

#[derive(Debug, Default)]
pub(in crate::kafka) struct Round {
    bytes: Vec<u8>,
    records: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    offset: u64,
    append_time_ms: i64,
    key: usize,
    value: usize,
}

impl Round {
    pub(in crate::kafka) fn push(&mut self, message: &BorrowedMessage<'_>) {
        let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.records.push(Place {
            offset: message.offset() as u64,
            append_time_ms: message.timestamp().to_millis().unwrap_or(0),
            key: key.len(),
            value: value.len(),
        });
    }

    pub(in crate::kafka) fn len(&self) -> usize {
        self.records.len()
    }

    pub(in crate::kafka) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records; the round is empty afterwards.
    pub(in crate::kafka) fn take(&mut self) -> impl Iterator<Item = Record> + use<> {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let mut at = 0;
        std::mem::take(&mut self.records).into_iter().map(move |place| {
            let value = at + place.key;
            let end = value + place.value;
            let record = Record {
                offset: place.offset,
                append_time_ms: place.append_time_ms,
                key: bytes.slice(at..value),
                value: bytes.slice(value..end),
            };
            at = end;
            record
        })
    }
}
