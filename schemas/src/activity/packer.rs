//! Packing a record of `product-activity` while its updates are found: no messages are made of them first.

use super::PairUpdate;
use crate::codec::put_varint;
use crate::proto::{Activity, Outcome};
use crate::published::SessionShape;
use crate::spans::{bytes, number};

/// Bytes of a number of 32 bits, seven bits a byte.
const NUMBER_BYTES: usize = 5;

/// A record of `product-activity` under construction. Used again for the next one, it keeps its room.
#[derive(Debug, Default)]
pub struct ActivityPacker {
    /// When the oldest of the events was received.
    received_at_ms: i64,
    /// Fields, packed: all entries but the open one, products and categories. The fields of a message may come in any order.
    fields: Vec<u8>,
    /// Numbers, packed.
    pairs: Vec<u8>,
    products: u32,
    categories: u32,
    open: Option<OpenEntry>,
    /// The repeat observation of the open entry, packed, where it has one.
    repeat: Vec<u8>,
    /// For the entry that is being closed.
    entry: Vec<u8>,
}

/// The last entry.
#[derive(Debug)]
struct OpenEntry {
    offset: u64,
    timestamp_ms: i64,
    outcome: i32,
    activity: Option<Activity>,
    has_repeat: bool,
    pairs: u32,
}

impl ActivityPacker {
    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.open.is_none()
    }

    /// Bytes of what was added, without the last entry.
    pub fn len(&self) -> usize {
        self.fields.len() + self.pairs.len()
    }

    /// Begins the entry of a source event, unless it is the last one. Source events come in order.
    pub fn begin(&mut self, offset: u64, timestamp_ms: i64, received_ms: i64) {
        if self.open.as_ref().is_some_and(|entry| entry.offset == offset) {
            return;
        }
        self.close();
        let oldest_ms = &mut self.received_at_ms;
        *oldest_ms = if *oldest_ms == 0 { received_ms } else { received_ms.min(*oldest_ms) };
        let entry =
            OpenEntry { offset, timestamp_ms, outcome: 0, activity: None, has_repeat: false, pairs: 0 };
        self.open = Some(entry);
    }

    /// Says what became of the last entry's event.
    ///
    /// # Panics
    /// When there is no entry.
    pub fn outcome(&mut self, outcome: Outcome) {
        self.last().outcome = outcome as i32;
    }

    /// Says what the last entry's event was.
    ///
    /// # Panics
    /// When there is no entry.
    pub fn activity(&mut self, activity: Activity) {
        self.last().activity = Some(activity);
    }

    /// Says what the session looked like before the last entry's event, and how many distinct products ago its product was.
    ///
    /// # Panics
    /// When there is no entry.
    pub fn repeat(&mut self, shape: &SessionShape, distance: Option<u32>) {
        self.last().has_repeat = true;
        let out = &mut self.repeat;
        out.clear();
        put_bytes(out, 1, &shape.times);
        if let Some(distance) = distance {
            out.push(number(2));
            put_varint(out, u64::from(distance));
        }
        put_number(out, 3, shape.last_step as u64);
        put_number(out, 4, shape.course.number().into());
    }

    /// Adds a pair to the last entry.
    ///
    /// # Panics
    /// When there is no entry.
    pub fn pair(&mut self, PairUpdate { product, other, weight }: PairUpdate) {
        self.last().pairs += 1;
        // At once, since pairs are most of what a record holds.
        let (mut packed, mut length) = ([0; 3 * NUMBER_BYTES], 0);
        for mut number in [product, other, weight] {
            while number >= 0x80 {
                packed[length] = number as u8 | 0x80;
                number >>= 7;
                length += 1;
            }
            packed[length] = number as u8;
            length += 1;
        }
        self.pairs.extend_from_slice(&packed[..length]);
    }

    /// Adds a product; gives its index.
    pub fn product(&mut self, id: &str) -> u32 {
        put_part(&mut self.fields, 2, id.as_bytes());
        self.products += 1;
        self.products - 1
    }

    /// Adds a category; gives its index.
    pub fn category(&mut self, id: &str) -> u32 {
        put_part(&mut self.fields, 3, id.as_bytes());
        self.categories += 1;
        self.categories - 1
    }

    fn last(&mut self) -> &mut OpenEntry {
        self.open.as_mut().expect("an entry was begun")
    }

    /// Packs the last entry.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let OpenEntry { offset, timestamp_ms, outcome, activity, has_repeat, pairs } = open;
        let entry = &mut self.entry;
        entry.clear();
        put_number(entry, 1, offset);
        put_number(entry, 2, outcome as u64);
        if let Some(Activity { product, category, weight, event_type }) = activity {
            entry.extend_from_slice(&[bytes(3), 0]);
            let before = entry.len();
            for (field, value) in [(1, product), (2, category), (3, weight), (4, event_type)] {
                put_number(entry, field, u64::from(value));
            }
            // Four numbers of 32 bits: a byte is enough for their length.
            entry[before - 1] = (entry.len() - before) as u8;
        }
        if has_repeat {
            put_part(entry, 5, &self.repeat);
        }
        put_number(entry, 6, timestamp_ms as u64);
        put_number(entry, 7, u64::from(pairs));
        put_part(&mut self.fields, 6, entry);
    }

    /// The record; empties this.
    pub fn finish(&mut self, source_partition: u32) -> Vec<u8> {
        self.close();
        let mut out = Vec::with_capacity(self.len() + 32);
        put_number(&mut out, 1, u64::from(source_partition));
        put_number(&mut out, 5, self.received_at_ms as u64);
        out.extend_from_slice(&self.fields);
        put_bytes(&mut out, 7, &self.pairs);
        self.received_at_ms = 0;
        (self.products, self.categories) = (0, 0);
        self.fields.clear();
        self.pairs.clear();
        out
    }
}

/// Appends a field that is a number, unless it is 0.
fn put_number(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        out.push(number(field));
        put_varint(out, value);
    }
}

/// Appends a field that is bytes, unless there are none.
fn put_bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    if !value.is_empty() {
        put_part(out, field, value);
    }
}

/// Appends a field that is bytes, also when there are none: a message, or an item of a list.
fn put_part(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(bytes(field));
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{ActivityRecord, RepeatObservation, SourceEntry};
    use crate::published::{Course, LastStep};
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<(SourceEntry, Vec<[u32; 3]>)>> {
        let activity = any::<[u32; 4]>().prop_map(|[product, category, weight, event_type]| Activity {
            product,
            category,
            weight,
            event_type,
        });
        let repeat = (prop::collection::vec(any::<u8>(), 0..40), any::<Option<u32>>(), 0..4, 0u32..279)
            .prop_map(|(times, distance, last_step, course)| RepeatObservation {
                times,
                distance,
                last_step,
                course,
            });
        let entry = (prop::option::of(activity), prop::option::of(repeat), 0i64..1 << 48, 0..6).prop_map(
            |(activity, repeat, timestamp_ms, outcome)| SourceEntry {
                outcome,
                activity,
                repeat,
                timestamp_ms,
                ..SourceEntry::default()
            },
        );
        let entry = (entry, prop::collection::vec(any::<[u32; 3]>(), 0..5));
        prop::collection::vec(entry, 0..8)
    }

    fn pack(packer: &mut ActivityPacker, record: &ActivityRecord) -> Vec<u8> {
        record.products.iter().enumerate().for_each(|(at, id)| assert_eq!(packer.product(id), at as u32));
        record.categories.iter().enumerate().for_each(|(at, id)| assert_eq!(packer.category(id), at as u32));
        for (entry, pairs) in record.entries_with_pairs() {
            packer.begin(entry.offset, entry.timestamp_ms, record.received_at_ms);
            packer.outcome(Outcome::try_from(entry.outcome).unwrap());
            entry.activity.into_iter().for_each(|activity| packer.activity(activity));
            if let Some(repeat) = &entry.repeat {
                let last_step = LastStep::ALL[repeat.last_step as usize];
                let course = Course::of_number(repeat.course).unwrap();
                packer.repeat(
                    &SessionShape { times: repeat.times.clone(), last_step, course },
                    repeat.distance,
                );
            }
            packer.begin(entry.offset, entry.timestamp_ms, record.received_at_ms);
            pairs.for_each(|pair| packer.pair(pair));
        }
        packer.finish(record.source_partition)
    }

    proptest! {
        #[test]
        fn what_is_packed_is_decoded(
            entries in entries(),
            products in prop::collection::vec("[a-z]{0,200}", 0..4),
            categories in prop::collection::vec("[a-z]{0,4}", 0..4),
            source_partition in any::<u32>(),
        ) {
            let mut record = ActivityRecord { source_partition, products, categories, ..ActivityRecord::default() };
            for (offset, (entry, pairs)) in entries.into_iter().enumerate() {
                record.received_at_ms = 77;
                record.entries.push(SourceEntry { offset: offset as u64 * 1_000, ..entry });
                for [product, other, weight] in pairs {
                    record.push_pair(PairUpdate { product, other, weight });
                }
            }
            let mut packer = ActivityPacker::default();
            prop_assert_eq!(ActivityRecord::unpack(&pack(&mut packer, &record)), Ok(record.clone()));
            prop_assert!(packer.is_empty(), "it is empty then");
            prop_assert_eq!(ActivityRecord::unpack(&pack(&mut packer, &record)), Ok(record));
        }
    }

    #[test]
    fn the_oldest_of_the_events_counts() {
        let mut packer = ActivityPacker::default();
        [(1, 30), (2, 10), (3, 20)]
            .into_iter()
            .for_each(|(offset, received)| packer.begin(offset, 5, received));
        let packed = packer.finish(0);
        assert_eq!(ActivityRecord::unpack(&packed).unwrap().received_at_ms, 10);
    }
}
