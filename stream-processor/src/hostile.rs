//! Whatever stands in the log or in the state store: each record has its outcome, and a damaged row is an error with its
//! name.
//!
//! Each function here is the body of a fuzz target (`cargo xtask fuzz`) and of the bounded run in the tests below.

use crate::dead_letter::{DeadLetter, Redriven};
use crate::outcome::OutcomeCounts;
use crate::product::{OpenWindows, Product};
use crate::progress::{Checkpoint, ProductProgress, ShopperProgress};
use crate::shopper::Shopper;
use crate::stage::Stage;
use bytes::Bytes;
use event_log::Record;
use recommender::Interner;
use schemas::proto::Outcome;
use std::sync::Arc;

const GENERATION: u16 = 1;
/// Partitions of `events` and of `product-activity`.
const PARTITIONS: u32 = 3;

/// Reads bytes as each row that the processor keeps of its own work, and goes on with what could be read. Gives how many
/// could.
///
/// # Panics
/// When a row that was read is lost by writing it.
pub fn progress(bytes: &[u8]) -> usize {
    let mut read = 0;
    if let Ok(progress) = ShopperProgress::decode(bytes) {
        read += 1;
        assert_eq!(ShopperProgress::decode(&progress.encode(GENERATION)), Ok(progress));
    }
    if let Ok(progress) = ProductProgress::decode(bytes) {
        read += 1;
        assert_eq!(ProductProgress::decode(&progress.encode(GENERATION)).as_ref(), Ok(&progress));
        let mut sum = OutcomeCounts::default();
        (0..4).for_each(|_| sum.merge(&progress.outcomes));
        let mut stage = Product::new(0, GENERATION, Arc::default(), 10, progress, None);
        fold(&mut stage, Vec::new());
    }
    if let Ok(checkpoint) = Checkpoint::decode_intent(bytes) {
        read += 1;
        assert_eq!(Checkpoint::decode_intent(&checkpoint.encode_intent(GENERATION)), Ok(checkpoint));
    }
    read += usize::from(crate::known::decode(bytes).is_ok());
    read += usize::from(OpenWindows::decode(bytes).is_ok());
    read += usize::from(DeadLetter::decode(bytes).is_ok());
    read += usize::from(Redriven::decode(bytes).is_ok());
    read
}

/// Takes bytes as records of `events` and folds them, and what they lead to, through both stages. Gives how many records
/// there were.
///
/// # Panics
/// When a record has no outcome, or more than one.
pub fn events(bytes: &[u8]) -> usize {
    let records = records_of(bytes);
    let given = records.len();
    let mut shopper = Shopper::new(0, GENERATION, 1, Arc::default(), 10, ShopperProgress::default(), None);
    let mut product = Product::new(0, GENERATION, Arc::default(), 10, ProductProgress::new(PARTITIONS), None);
    let output = fold(&mut shopper, records);
    let updates = output.activity.into_iter().enumerate();
    let updates = updates.map(|(offset, packed)| Record {
        offset: offset as u64,
        append_time_ms: 0,
        key: Bytes::new(),
        value: packed.value,
    });
    fold(&mut product, updates.collect());
    let counted: u64 = OutcomeCounts::NAMED.iter().map(|(outcome, _)| product.outcomes().get(*outcome)).sum();
    assert_eq!(counted, given as u64, "each record has one outcome");
    let dead = product.outcomes().get(Outcome::DeadLettered);
    assert_eq!(dead, output.dead.len() as u64, "what was not applied says why");
    given
}

/// Takes bytes as records of `product-activity`, which any producer may write to, and folds them. Gives how many there were.
pub fn activity(bytes: &[u8]) -> usize {
    let records = records_of(bytes);
    let given = records.len();
    let names = Arc::new(Interner::default());
    let mut stage = Product::new(0, GENERATION, names, 10, ProductProgress::new(PARTITIONS), None);
    fold(&mut stage, records);
    given
}

/// Records as they come out of a log, in a form that any bytes can be read as: for each record the lengths of its key (one
/// byte) and value (two), a byte that says when it was appended, key and value.
fn records_of(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some((&[key, high, low, when], rest)) = bytes.split_first_chunk() {
        let (key, rest) = rest.split_at(usize::from(key).min(rest.len()));
        let (value, rest) = rest.split_at(usize::from(u16::from_be_bytes([high, low])).min(rest.len()));
        let times = [0, 1_700_000_000_000, i64::MAX, i64::MIN, -1, 253_402_300_799_999, 1, 60_000];
        records.push(Record {
            offset: records.len() as u64,
            append_time_ms: times[usize::from(when) % times.len()],
            key: Bytes::copy_from_slice(key),
            value: Bytes::copy_from_slice(value),
        });
        bytes = rest;
    }
    records
}

/// Folds records over an empty store, as a partition's task does, and makes what a flush would write.
fn fold<S: Stage>(stage: &mut S, records: Vec<Record>) -> S::Output {
    let prepared = stage.prepare(records);
    for record in &prepared {
        S::received_ms(record);
    }
    S::subjects(&prepared).count();
    for key in stage.missing(&prepared) {
        stage.admit(&key, None).expect("there is nothing that could be damaged");
    }
    let output = stage.fold(prepared);
    stage.snapshot();
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;
    use schemas::proto::{
        Activity, ActivityRecord, Event, EventRecord, ForgetUser, SourceEntry, event_record,
    };
    use schemas::published::{Course, LastStep, SessionShape};

    fn packed(records: &[(&[u8], Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let length = u16::try_from(value.len()).unwrap().to_be_bytes();
            bytes.extend([key.len() as u8, length[0], length[1], 1]);
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
        bytes
    }

    fn events_of_a_shop() -> Vec<u8> {
        let event = |number: i64| {
            let event = Event {
                event_id: format!("e{number}"),
                event_type: 1,
                product_id: format!("p{}", number % 3),
                timestamp_ms: 1_700_000_000_000 - number,
                category_id: "c".into(),
                ..Event::default()
            };
            EventRecord { record: Some(event_record::Record::Event(event)) }.encode_to_vec()
        };
        let forget = event_record::Record::ForgetUser(ForgetUser { received_at_ms: 5 });
        let mut records: Vec<(&[u8], Vec<u8>)> = (0..6).map(|number| (&b"ada"[..], event(number))).collect();
        records.push((b"ada", EventRecord { record: Some(forget) }.encode_to_vec()));
        packed(&records)
    }

    fn updates() -> Vec<u8> {
        let entry = SourceEntry {
            offset: 7,
            outcome: 1,
            activity: Some(Activity { product: 0, category: 1, weight: 3, event_type: 1 }),
            pairs: 1,
            timestamp_ms: 1_700_000_000_000,
            ..SourceEntry::default()
        };
        let record = ActivityRecord {
            products: vec!["p".into(), "q".into()],
            categories: vec!["c".into()],
            entries: vec![entry.clone(), SourceEntry { offset: 8, ..entry }],
            pairs: vec![0, 1, 1 << 24, 0, 1, 1 << 24],
            ..ActivityRecord::default()
        };
        packed(&[(b"", record.encode_to_vec())])
    }

    fn rows() -> Vec<Bytes> {
        let record =
            Record { offset: 8, append_time_ms: 5, key: Bytes::new(), value: Bytes::from_static(b"v") };
        let mut product = ProductProgress::new(PARTITIONS);
        product.at = Checkpoint::after(&record);
        let course = Course::default().after(0).after(1).after(2).after(1);
        let shape = SessionShape { times: vec![1, 2, 1], last_step: LastStep::New, course };
        product.repeats.observe(&shape, Some(1));
        let shopper = ShopperProgress { at: product.at, highest_event_ms: 77, knows_keys: true };
        let letter = DeadLetter::new(1, &record, crate::DeadReason::BadKey);
        vec![
            product.encode(GENERATION),
            shopper.encode(GENERATION),
            product.at.encode_intent(GENERATION),
            letter.to_row(GENERATION).state,
        ]
    }

    fn damaged(mut bytes: Vec<u8>, damages: &[(prop::sample::Index, u8)]) -> Vec<u8> {
        for (place, byte) in damages {
            let place = place.index(bytes.len());
            bytes[place] = *byte;
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn damaged_rows_of_progress_are_refused_or_worked_with(
            kind in 0usize..4,
            damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        ) {
            progress(&damaged(rows()[kind].to_vec(), &damages));
        }

        #[test]
        fn damaged_records_have_their_outcome_and_are_passed_over(
            damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9),
            any_bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            events(&damaged(events_of_a_shop(), &damages));
            activity(&damaged(updates(), &damages));
            events(&any_bytes);
            activity(&any_bytes);
        }
    }

    #[test]
    fn what_is_not_damaged_is_read() {
        assert!(rows().iter().all(|bytes| progress(bytes) >= 1));
        assert_eq!((events(&events_of_a_shop()), activity(&updates())), (7, 1));
    }

    /// What another producer wrote into the derived topic must not end the task.
    #[test]
    fn updates_with_offsets_or_times_that_cannot_be_are_passed_over() {
        for (offset, timestamp_ms) in
            [(u64::MAX, 0), (1 << 40, 0), (0, i64::MIN), (0, i64::MAX), (0, 253_402_300_800_000)]
        {
            let entry = SourceEntry {
                offset,
                timestamp_ms,
                outcome: Outcome::Applied as i32,
                activity: Some(Activity { product: 0, category: 0, weight: 1, event_type: 1 }),
                ..SourceEntry::default()
            };
            let record = ActivityRecord {
                products: vec!["p".into()],
                entries: vec![entry],
                ..ActivityRecord::default()
            };
            let mut stage = Product::new(0, GENERATION, Arc::default(), 10, ProductProgress::new(1), None);
            let value = Bytes::from(record.encode_to_vec());
            fold(&mut stage, vec![Record { offset: 0, append_time_ms: 0, key: Bytes::new(), value }]);
            assert_eq!(stage.outcomes(), OutcomeCounts::default(), "{offset} {timestamp_ms}");
            assert_eq!(stage.checkpoint().next_offset, 1, "the record is passed over");
        }
    }
}
