//! An [`ActivityRecord`] as its reader wants it: ids stay where they lie in the record's value, and nothing is allocated for
//! an entry. What a record tells is read once for each event, so this is worth more lines than the generated code.

use super::PairUpdate;
use crate::DecodeError as Unusual;
use crate::codec::Reader;
use crate::proto::{Activity, ActivityRecord};
use crate::spans::{Span, UNUSUAL, bytes, number, part, require_short, text};
use bytes::Bytes;
use prost::{DecodeError, Message};

/// A record of `product-activity`, unpacked.
#[derive(Debug, Clone)]
pub struct UnpackedActivity {
    value: Bytes,
    /// See [`ActivityRecord::source_partition`].
    pub source_partition: u32,
    /// See [`ActivityRecord::received_at_ms`].
    pub received_at_ms: i64,
    /// See [`ActivityRecord::entries`].
    pub entries: Vec<UnpackedEntry>,
    /// The pairs of all entries, in the order of these. As many as the entries say, when [`Self::has_all_pairs`].
    pub pairs: Vec<PairUpdate>,
    /// Whether the numbers of pairs could be told apart into pairs.
    is_even: bool,
    products: Vec<Span>,
    categories: Vec<Span>,
}

/// A [`SourceEntry`](crate::proto::SourceEntry).
#[derive(Debug, Clone, Copy)]
pub struct UnpackedEntry {
    /// Offset of the source event.
    pub offset: u64,
    /// Event time of the source event, milliseconds since 1970 UTC.
    pub timestamp_ms: i64,
    /// What became of the source event, an [`Outcome`](crate::proto::Outcome) when it is a known one.
    pub outcome: i32,
    /// How many of the record's pairs are of this entry.
    pub pairs: u32,
    /// The event's own product.
    pub activity: Option<Activity>,
    /// What it says for the repeat tables.
    pub repeat: Option<UnpackedRepeat>,
}

/// A [`RepeatObservation`](crate::proto::RepeatObservation).
#[derive(Debug, Clone, Copy)]
pub struct UnpackedRepeat {
    times: Span,
    /// How many distinct products ago the product was last seen.
    pub distance: Option<u32>,
    /// A [`LastStep`](crate::proto::LastStep) when it is a known one.
    pub last_step: i32,
    /// The number of a [`Course`](crate::published::Course) when it is a known one.
    pub course: u32,
}

impl UnpackedActivity {
    /// Unpacks a record's value, one of an older release too. What it means is what [`ActivityRecord::unpack`] says.
    ///
    /// # Errors
    /// When the value is no such record.
    pub fn unpack(value: &Bytes) -> Result<Self, DecodeError> {
        if let Ok(unpacked) = Self::unpack_usual(value) {
            return Ok(unpacked);
        }
        // Whatever else a message may look like (fields of a newer or an older release, fields said twice): packed anew it
        // looks as we write it.
        let record = ActivityRecord::unpack(value)?;
        let usual = Bytes::from(record.encode_to_vec());
        Ok(Self::unpack_usual(&usual).expect("it was packed by this release"))
    }

    /// Unpacks what looks as we write it, only its fields in any order.
    fn unpack_usual(value: &Bytes) -> Result<Self, Unusual> {
        require_short(value)?;
        let mut unpacked = Self {
            value: value.clone(),
            source_partition: 0,
            received_at_ms: 0,
            entries: Vec::new(),
            pairs: Vec::new(),
            is_even: true,
            products: Vec::new(),
            categories: Vec::new(),
        };
        let mut reader = Reader::new(value);
        let mut packed_pairs = None;
        while !reader.is_at_end() {
            match reader.u8()? {
                NUMBER_1 => unpacked.source_partition = reader.varint()? as u32,
                BYTES_2 => unpacked.products.push(text(&mut reader, value)?),
                BYTES_3 => unpacked.categories.push(text(&mut reader, value)?),
                NUMBER_5 => unpacked.received_at_ms = reader.varint()? as i64,
                BYTES_6 => unpacked.entries.push(entry(part(&mut reader)?, value)?),
                BYTES_7 if packed_pairs.is_none() => packed_pairs = Some(part(&mut reader)?),
                _ => return Err(UNUSUAL),
            }
        }
        if let Some(packed) = packed_pairs {
            unpacked.unpack_pairs(packed)?;
        }
        Ok(unpacked)
    }

    fn unpack_pairs(&mut self, packed: &[u8]) -> Result<(), Unusual> {
        let said = self.entries.iter().fold(0usize, |sum, entry| sum.saturating_add(entry.pairs as usize));
        // No more room than the numbers can need, whatever the entries say.
        self.pairs.reserve(said.min(packed.len() / 3));
        let mut reader = Reader::new(packed);
        while !reader.is_at_end() {
            let mut number = || Ok(reader.varint()? as u32);
            let product = number()?;
            let (Ok(other), Ok(weight)) = (number(), number()) else {
                // Either it ends within a pair, which is no damage of the message, or its last number is damaged.
                return self.ends_within_a_pair(packed);
            };
            self.pairs.push(PairUpdate { product, other, weight });
        }
        Ok(())
    }

    fn ends_within_a_pair(&mut self, packed: &[u8]) -> Result<(), Unusual> {
        let mut reader = Reader::new(packed);
        while !reader.is_at_end() {
            reader.varint()?;
        }
        self.is_even = false;
        Ok(())
    }

    /// How many products the entries refer to.
    pub fn products_len(&self) -> usize {
        self.products.len()
    }

    /// Ids of the products that the entries refer to by index.
    pub fn products(&self) -> impl ExactSizeIterator<Item = &str> {
        self.products.iter().map(|id| id.str(&self.value))
    }

    /// The id of one of the products.
    ///
    /// # Panics
    /// When the index is out of range.
    pub fn product(&self, index: u32) -> &str {
        self.products[index as usize].str(&self.value)
    }

    /// How many categories the entries refer to.
    pub fn categories_len(&self) -> usize {
        self.categories.len()
    }

    /// The id of one of the categories.
    ///
    /// # Panics
    /// When the index is out of range.
    pub fn category(&self, index: u32) -> &str {
        self.categories[index as usize].str(&self.value)
    }

    /// How often each distinct product of the session was seen, a byte each, the last product first. Of one of this record's
    /// entries.
    pub fn times(&self, repeat: &UnpackedRepeat) -> &[u8] {
        repeat.times.bytes(&self.value)
    }

    /// Each entry with its pairs, as far as there are any: see [`Self::has_all_pairs`].
    pub fn entries_with_pairs(&self) -> impl Iterator<Item = (&UnpackedEntry, &[PairUpdate])> {
        let mut rest = self.pairs.as_slice();
        self.entries.iter().map(move |entry| {
            let (own, later) = rest.split_at(rest.len().min(entry.pairs as usize));
            rest = later;
            (entry, own)
        })
    }

    /// Whether there are as many pairs as the entries say.
    pub fn has_all_pairs(&self) -> bool {
        let said: u64 = self.entries.iter().map(|entry| u64::from(entry.pairs)).sum();
        self.is_even && said == self.pairs.len() as u64
    }
}

/// Keys of fields, by their numbers.
const NUMBER_1: u8 = number(1);
const NUMBER_2: u8 = number(2);
const NUMBER_3: u8 = number(3);
const NUMBER_4: u8 = number(4);
const NUMBER_5: u8 = number(5);
const NUMBER_6: u8 = number(6);
const NUMBER_7: u8 = number(7);
const BYTES_1: u8 = bytes(1);
const BYTES_2: u8 = bytes(2);
const BYTES_3: u8 = bytes(3);
const BYTES_5: u8 = bytes(5);
const BYTES_6: u8 = bytes(6);
const BYTES_7: u8 = bytes(7);

fn entry(message: &[u8], value: &[u8]) -> Result<UnpackedEntry, Unusual> {
    let (mut offset, mut timestamp_ms, mut outcome, mut pairs) = (0, 0, 0, 0);
    let (mut event, mut observed) = (None, None);
    let mut reader = Reader::new(message);
    while !reader.is_at_end() {
        match reader.u8()? {
            NUMBER_1 => offset = reader.varint()?,
            NUMBER_2 => outcome = reader.varint()? as i32,
            BYTES_3 if event.is_none() => event = Some(activity(part(&mut reader)?)?),
            BYTES_5 if observed.is_none() => observed = Some(repeat(part(&mut reader)?, value)?),
            NUMBER_6 => timestamp_ms = reader.varint()? as i64,
            NUMBER_7 => pairs = reader.varint()? as u32,
            _ => return Err(UNUSUAL),
        }
    }
    Ok(UnpackedEntry { offset, timestamp_ms, outcome, pairs, activity: event, repeat: observed })
}

fn activity(message: &[u8]) -> Result<Activity, Unusual> {
    let mut activity = Activity::default();
    let mut reader = Reader::new(message);
    while !reader.is_at_end() {
        let field = match reader.u8()? {
            NUMBER_1 => &mut activity.product,
            NUMBER_2 => &mut activity.category,
            NUMBER_3 => &mut activity.weight,
            NUMBER_4 => &mut activity.event_type,
            _ => return Err(UNUSUAL),
        };
        *field = reader.varint()? as u32;
    }
    Ok(activity)
}

fn repeat(message: &[u8], value: &[u8]) -> Result<UnpackedRepeat, Unusual> {
    let mut repeat = UnpackedRepeat { times: Span::default(), distance: None, last_step: 0, course: 0 };
    let mut reader = Reader::new(message);
    while !reader.is_at_end() {
        match reader.u8()? {
            BYTES_1 => repeat.times = Span::of(part(&mut reader)?, value),
            NUMBER_2 => repeat.distance = Some(reader.varint()? as u32),
            NUMBER_3 => repeat.last_step = reader.varint()? as i32,
            NUMBER_4 => repeat.course = reader.varint()? as u32,
            _ => return Err(UNUSUAL),
        }
    }
    Ok(repeat)
}
