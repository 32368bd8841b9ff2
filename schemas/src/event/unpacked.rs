//! An [`Event`] as the processor wants it: what it needs of it, ids where they lie in the record's value.

use super::MAX_ID_BYTES;
use crate::DecodeError as Unusual;
use crate::codec::Reader;
use crate::proto::{EventRecord, event_record::Record};
use crate::spans::{Span, UNUSUAL, bytes, fixed64, number, part, require_short, text};
use bytes::Bytes;
use prost::{DecodeError, Message};

/// An event of the topic `events`, unpacked.
#[derive(Debug, Clone)]
pub struct UnpackedEvent {
    value: Bytes,
    event_id: Span,
    product_id: Span,
    category_id: Span,
    /// An [`EventType`](crate::proto::EventType) when it is a known one.
    pub event_type: i32,
    /// When it happened, milliseconds since 1970 UTC.
    pub timestamp_ms: i64,
    /// When ingest received it, milliseconds since 1970 UTC; 0 where it did not say so.
    pub received_at_ms: i64,
}

/// A record of the topic `events`, unpacked.
#[derive(Debug, Clone)]
pub enum UnpackedEventRecord {
    /// An event.
    Event(UnpackedEvent),
    /// The wish to be forgotten.
    ForgetUser,
    /// Nothing that this release knows.
    Unknown,
}

impl UnpackedEventRecord {
    /// Unpacks a record's value: to what decoding it as an [`EventRecord`] gives.
    ///
    /// # Errors
    /// When the value is no [`EventRecord`].
    pub fn unpack(value: &Bytes) -> Result<Self, DecodeError> {
        if let Ok(event) = UnpackedEvent::unpack_usual(value) {
            return Ok(Self::Event(event));
        }
        let record = EventRecord::decode(&**value)?;
        Ok(match &record.record {
            None => Self::Unknown,
            Some(Record::ForgetUser(_)) => Self::ForgetUser,
            // With unknown fields, or fields that are said twice: packed anew it looks as we write it.
            Some(Record::Event(_)) => {
                let usual = Bytes::from(record.encode_to_vec());
                Self::Event(UnpackedEvent::unpack_usual(&usual).expect("it was packed by this release"))
            }
        })
    }
}

impl UnpackedEvent {
    /// Unpacks what looks as we write it, only the event's fields in any order.
    fn unpack_usual(value: &Bytes) -> Result<Self, Unusual> {
        require_short(value)?;
        let mut reader = Reader::new(value);
        if reader.u8()? != EVENT {
            return Err(UNUSUAL);
        }
        let message = part(&mut reader)?;
        reader.finish()?;
        let mut event = Self {
            value: value.clone(),
            event_id: Span::default(),
            product_id: Span::default(),
            category_id: Span::default(),
            event_type: 0,
            timestamp_ms: 0,
            received_at_ms: 0,
        };
        let mut reader = Reader::new(message);
        while !reader.is_at_end() {
            match reader.u8()? {
                EVENT_ID => event.event_id = text(&mut reader, value)?,
                EVENT_TYPE => event.event_type = reader.varint()? as i32,
                PRODUCT_ID => event.product_id = text(&mut reader, value)?,
                TIMESTAMP => event.timestamp_ms = reader.varint()? as i64,
                RECEIVED => event.received_at_ms = reader.varint()? as i64,
                CATEGORY_ID => event.category_id = text(&mut reader, value)?,
                // Nobody here wants them, but they have to be what they should be.
                SESSION_ID | CURRENCY | ORDER_ID | RECOMMENDATION_ID | METADATA => drop(reader.str()?),
                QUANTITY => drop(reader.varint()?),
                PRICE => drop(reader.take(8)?),
                _ => return Err(UNUSUAL),
            }
        }
        Ok(event)
    }

    /// Whether it has an id and names a product, and no id is longer than [`MAX_ID_BYTES`].
    pub fn is_complete(&self) -> bool {
        let is_id = |id: Span| (1..=MAX_ID_BYTES).contains(&id.len());
        is_id(self.event_id) && is_id(self.product_id) && self.category_id.len() <= MAX_ID_BYTES
    }

    /// The idempotency key.
    pub fn event_id(&self) -> &str {
        self.event_id.str(&self.value)
    }

    /// The product.
    pub fn product_id(&self) -> &str {
        self.product_id.str(&self.value)
    }

    /// The category that it named; empty when it named none.
    pub fn category_id(&self) -> &str {
        self.category_id.str(&self.value)
    }
}

/// Keys of fields, by their numbers.
const EVENT: u8 = bytes(1);
const EVENT_ID: u8 = bytes(1);
const EVENT_TYPE: u8 = number(2);
const PRODUCT_ID: u8 = bytes(3);
const TIMESTAMP: u8 = number(4);
const RECEIVED: u8 = number(5);
const CATEGORY_ID: u8 = bytes(6);
const SESSION_ID: u8 = bytes(7);
const QUANTITY: u8 = number(8);
const PRICE: u8 = fixed64(9);
const CURRENCY: u8 = bytes(10);
const ORDER_ID: u8 = bytes(11);
const RECOMMENDATION_ID: u8 = bytes(12);
const METADATA: u8 = bytes(13);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Event;

    fn is_complete(change: impl FnOnce(&mut Event)) -> bool {
        let mut event = Event { event_id: "e".into(), product_id: "p".into(), ..Event::default() };
        change(&mut event);
        let value = Bytes::from(EventRecord { record: Some(Record::Event(event)) }.encode_to_vec());
        match UnpackedEventRecord::unpack(&value) {
            Ok(UnpackedEventRecord::Event(event)) => event.is_complete(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_is_complete_with_its_ids_none_of_them_too_long() {
        let (longest, longer) = ("x".repeat(MAX_ID_BYTES), "x".repeat(MAX_ID_BYTES + 1));
        assert!(is_complete(|_| {}));
        assert!(is_complete(|event| event.category_id = longest.clone()));
        assert!(is_complete(|event| (event.event_id, event.product_id) = (longest.clone(), longest.clone())));
        assert!(!is_complete(|event| event.event_id.clear()));
        assert!(!is_complete(|event| event.product_id.clear()));
        assert!(!is_complete(|event| event.event_id = longer.clone()));
        assert!(!is_complete(|event| event.product_id = longer.clone()));
        assert!(!is_complete(|event| event.category_id = longer.clone()));
    }
}
