//! Whatever bytes a store or a log hands back, reading them ends with a value or an error.
//!
//! Each function here is the body of a fuzz target (`cargo xtask fuzz`) and of the bounded run in the tests below.

use crate::proto::{ActivityRecord, EventRecord, Product, RepeatObservation, SourceEntry, event_record};
use crate::published::{Layout, Marker, NeighbourList, RepeatTable, TrendingList, UserHistory};
use crate::user::UserKey;
use crate::{Position, UnpackedActivity, UnpackedEventRecord};
use bytes::Bytes;
use prost::Message;
use std::fmt::Debug;

/// Reads bytes as each packed value. Gives how many of them could be read; those can be written and read again.
///
/// # Panics
/// When a value that was read is lost by writing it.
pub fn packed(bytes: &[u8]) -> usize {
    let mut read = 0;
    let mut same = |is_same: Option<bool>| {
        assert!(is_same != Some(false), "a value changed by being written and read again: {bytes:?}");
        read += usize::from(is_same.is_some());
    };
    same(again(UserHistory::decode(bytes).ok(), UserHistory::encode, |b| UserHistory::decode(b).ok()));
    same(again(TrendingList::decode(bytes).ok(), TrendingList::encode, |b| TrendingList::decode(b).ok()));
    same(again(Layout::decode(bytes).ok(), Layout::encode, |b| Layout::decode(b).ok()));
    same(again(Marker::decode(bytes).ok(), Marker::encode, |b| Marker::decode(b).ok()));
    let table = RepeatTable::decode(bytes).ok();
    if let Some(table) = &table {
        // Serving adds up what all partitions published.
        let mut sum = table.clone();
        sum.merge(table);
    }
    same(again(table, RepeatTable::encode, |b| RepeatTable::decode(b).ok()));
    // Its scores are rounded, so only that it can be read again is certain.
    same(NeighbourList::decode(bytes).ok().map(|list| NeighbourList::decode(&list.encode()).is_ok()));
    let position: Option<Position> = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    same(position.map(|position| position.to_string().parse() == Ok(position)));
    same(UserKey::parse(bytes).map(|key| UserKey::of(key.user()) == key));
    read
}

/// Reads bytes as each message of the log. Gives how many of them could be read.
///
/// # Panics
/// When a message that was read is lost by writing it.
pub fn protobuf(bytes: &[u8]) -> usize {
    /// NaN is not equal to itself, so the written forms are compared.
    fn read<M: Message + Default>(bytes: &[u8]) -> usize {
        let Ok(message) = M::decode(bytes) else { return 0 };
        let written = message.encode_to_vec();
        let back = M::decode(&*written).expect("what was written can be read");
        assert_eq!(back.encode_to_vec(), written);
        1
    }
    let unpacked = UnpackedActivity::unpack(&Bytes::copy_from_slice(bytes));
    match (ActivityRecord::unpack(bytes), unpacked) {
        (Ok(record), Ok(unpacked)) => {
            let of_entries: usize = record.entries_with_pairs().map(|(_, pairs)| pairs.len()).sum();
            assert!(!record.has_all_pairs() || of_entries == record.all_pairs().len());
            same_activity(&record, &unpacked);
        }
        (record, unpacked) => assert_eq!(record.err(), unpacked.err(), "{bytes:?}"),
    }
    same_event(bytes);
    read::<EventRecord>(bytes) + read::<ActivityRecord>(bytes) + read::<Product>(bytes)
}

/// Both readers of a record of `product-activity` have to read the same.
fn same_activity(record: &ActivityRecord, unpacked: &UnpackedActivity) {
    assert_eq!(unpacked.source_partition, record.source_partition);
    assert_eq!(unpacked.received_at_ms, record.received_at_ms);
    assert!(unpacked.products().eq(&record.products));
    let categories = 0..unpacked.categories_len() as u32;
    assert!(categories.map(|index| unpacked.category(index)).eq(&record.categories));
    let entries = unpacked.entries.iter().map(|entry| SourceEntry {
        offset: entry.offset,
        outcome: entry.outcome,
        activity: entry.activity,
        repeat: entry.repeat.map(|repeat| RepeatObservation {
            times: unpacked.times(&repeat).to_vec(),
            distance: repeat.distance,
            last_step: repeat.last_step,
            course: repeat.course,
        }),
        timestamp_ms: entry.timestamp_ms,
        pairs: entry.pairs,
    });
    assert!(entries.eq(record.entries.iter().cloned()));
    assert!(unpacked.pairs.iter().copied().eq(record.all_pairs()));
    for ((_, pairs), (_, expected)) in unpacked.entries_with_pairs().zip(record.entries_with_pairs()) {
        assert!(pairs.iter().copied().eq(expected));
    }
    assert_eq!(unpacked.has_all_pairs(), record.has_all_pairs());
}

/// Both readers of a record of `events` have to read the same.
fn same_event(bytes: &[u8]) {
    let unpacked = UnpackedEventRecord::unpack(&Bytes::copy_from_slice(bytes));
    let record = EventRecord::decode(bytes).map(|record| record.record);
    match (record, unpacked) {
        (Ok(Some(event_record::Record::Event(event))), Ok(UnpackedEventRecord::Event(unpacked))) => {
            let ids = [&event.event_id, &event.product_id, &event.category_id];
            assert_eq!(
                [unpacked.event_id(), unpacked.product_id(), unpacked.category_id()],
                ids.map(String::as_str)
            );
            assert_eq!(unpacked.event_type, event.event_type);
            assert_eq!(unpacked.timestamp_ms, event.timestamp_ms);
            assert_eq!(unpacked.received_at_ms, event.received_at_ms);
        }
        (Ok(Some(event_record::Record::ForgetUser(_))), Ok(UnpackedEventRecord::ForgetUser))
        | (Ok(None), Ok(UnpackedEventRecord::Unknown)) => {}
        (record, unpacked) => assert_eq!(record.err(), Some(unpacked.expect_err("the record is refused"))),
    }
}

fn again<T: PartialEq + Debug>(
    value: Option<T>,
    write: impl Fn(&T) -> Vec<u8>,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Option<bool> {
    value.map(|value| read(&write(&value)).as_ref() == Some(&value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::put_varint;
    use crate::proto::{Activity, Event, ForgetUser, OlderSourceEntry};
    use crate::published::{Course, HistoryEntry, LastStep, Neighbour, SessionShape, TrendingEntry};
    use crate::{DecodeError, EventKind, Version};
    use proptest::prelude::*;

    /// One value of each kind, packed.
    fn values() -> Vec<Vec<u8>> {
        let version = Version::of(1, 77);
        let seen = HistoryEntry { product_id: "lamp".into(), kind: EventKind::View, timestamp_ms: 5 };
        let history = UserHistory { version, entries: vec![seen; 3] };
        let neighbour = Neighbour {
            product_id: "lamp".into(),
            score: 1.5,
            direct: 0.5,
            count: 3,
            category: "home".into(),
        };
        let neighbours = NeighbourList { version, entries: vec![neighbour; 3], ..NeighbourList::default() };
        let entry = TrendingEntry { product_id: "lamp".into(), score: 9, count: 3, category: "home".into() };
        let trending = TrendingList { version, as_of_ms: 5, entries: vec![entry; 3] };
        let mut repeats = RepeatTable::default();
        let course = Course::default().after(0).after(1);
        repeats.observe(&SessionShape { times: vec![1, 2], last_step: LastStep::New, course }, Some(1));
        let layout = Layout { version, events_partitions: 4, activity_partitions: 4 };
        let marker = Marker { version, ..Marker::default() };
        vec![
            history.encode(),
            neighbours.encode(),
            trending.encode(),
            repeats.encode(),
            layout.encode(),
            marker.encode(),
        ]
    }

    /// One message of each kind.
    fn messages() -> Vec<Vec<u8>> {
        let event = Event {
            event_id: "e".into(),
            event_type: 1,
            product_id: "p".into(),
            timestamp_ms: 5,
            quantity: 2,
            price: 2.5,
            metadata: "{}".into(),
            ..Event::default()
        };
        let wrap = |record| EventRecord { record: Some(record) }.encode_to_vec();
        let entry = SourceEntry {
            offset: 7,
            activity: Some(Activity { product: 0, category: 1, weight: 3, event_type: 1 }),
            repeat: Some(RepeatObservation { times: vec![1, 2], distance: Some(0), last_step: 2, course: 3 }),
            pairs: 1,
            ..SourceEntry::default()
        };
        let older =
            OlderSourceEntry { offset: 7, repeat: entry.repeat.clone(), ..OlderSourceEntry::default() };
        let activity = ActivityRecord {
            products: vec!["p".into(), "q".into()],
            categories: vec!["c".into()],
            entries: vec![entry; 2],
            pairs: vec![0, 1, 9, 0, 1, 9],
            ..ActivityRecord::default()
        };
        let of_both = ActivityRecord { older_entries: vec![older; 2], ..activity.clone() };
        let product = Product { product_id: "p".into(), active: true, ..Product::default() };
        let wrapped = wrap(event_record::Record::Event(event));
        vec![
            [wrapped.clone(), wrapped.clone()].concat(),
            wrapped,
            wrap(event_record::Record::ForgetUser(ForgetUser { received_at_ms: 5 })),
            activity.encode_to_vec(),
            [activity.encode_to_vec(), activity.encode_to_vec()].concat(),
            of_both.encode_to_vec(),
            product.encode_to_vec(),
        ]
    }

    fn read_as_everything(bytes: &[u8]) {
        packed(bytes);
        protobuf(bytes);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read_as_everything(&bytes);
        }

        #[test]
        fn damaged_values_are_read_or_refused(
            kind in any::<prop::sample::Index>(),
            damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut all = [values(), messages()].concat();
            let mut bytes = all.swap_remove(kind.index(all.len()));
            for (place, byte) in damages {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            read_as_everything(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            read_as_everything(&bytes);
        }
    }

    #[test]
    fn undamaged_values_are_read() {
        assert!(values().iter().all(|bytes| packed(bytes) >= 1));
        assert!(messages().iter().all(|bytes| protobuf(bytes) >= 1));
    }

    #[test]
    fn counts_that_could_not_be_added_up_are_refused() {
        let mut bytes = RepeatTable::default().encode();
        assert!(RepeatTable::decode(&bytes).is_ok());
        // The last count is 0, one byte.
        bytes.pop();
        put_varint(&mut bytes, u64::MAX);
        assert_eq!(RepeatTable::decode(&bytes), Err(DecodeError::Malformed("a count is too large")));
    }

    #[test]
    fn a_landmark_that_no_time_leads_to_is_refused() {
        let mut list = NeighbourList::default();
        for (landmark, is_read) in [(i32::MIN, false), (i32::MAX, false), (-1_000_000, true), (586_000, true)]
        {
            list.popularity.season_landmark = landmark;
            assert_eq!(NeighbourList::decode(&list.encode()).is_ok(), is_read, "{landmark}");
        }
    }
}
