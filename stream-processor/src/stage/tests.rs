//! Crashes between any two steps of a flush, duplicates and batch sizes, over both folds without any I/O.

use super::*;
use crate::known::KnownKeys;
use crate::product::Product;
use crate::progress::{ProductProgress, ShopperProgress};
use crate::shopper::{Reflecting, Shopper};
use proptest::prelude::*;
use prost::Message;
use recommender::{Interner, ProductRow};
use schemas::Version;
use schemas::proto::{Event, EventRecord, Outcome, event_record};
use schemas::published::UserHistory;
use std::collections::BTreeMap;
use std::sync::Arc;

const GENERATION: u16 = 1;
const START_MS: i64 = 1_700_000_000_000;

/// (user, product, minutes since the last event, kind, sent again)
type Step = (u8, u8, u8, u8, bool);

fn log_of(steps: &[Step]) -> Vec<Record> {
    let mut log = Vec::new();
    let mut minute = 0;
    for (number, &(user, product, pause, kind, again)) in steps.iter().enumerate() {
        minute += i64::from(pause);
        let timestamp_ms = START_MS + minute * 60_000;
        let event = Event {
            event_id: format!("e{number}"),
            event_type: i32::from(kind) + 1,
            product_id: format!("p{product}"),
            timestamp_ms,
            ..Event::default()
        };
        let record = EventRecord { record: Some(event_record::Record::Event(event)) };
        for _ in 0..=usize::from(again) {
            log.push(Record {
                offset: log.len() as u64,
                append_time_ms: timestamp_ms,
                key: Bytes::from(format!("u{user}")),
                value: Bytes::from(record.encode_to_vec()),
            });
        }
    }
    log
}

/// What a state store holds.
#[derive(Default, Clone)]
struct Stored {
    rows: BTreeMap<(Table, String), Row>,
    progress: Option<Bytes>,
}

impl Stored {
    /// The users that have rows, as the progress has it.
    fn known(&self) -> KnownKeys {
        let row = |key: &str| self.rows.get(&(Table::KnownKeys, key.to_owned())).map(|row| row.state.clone());
        match &self.progress {
            None => KnownKeys::default(),
            Some(_) => KnownKeys::stored_in(StageName::Shopper, 0, row),
        }
    }

    /// Stores a snapshot; a crash may come before the progress is written.
    fn write<K>(&mut self, snapshot: Snapshot<K>, with_progress: bool) {
        for (table, rows) in snapshot.rows {
            for row in rows {
                self.rows.insert((table, row.key.clone()), row);
            }
        }
        if with_progress {
            self.progress = Some(snapshot.progress);
        }
    }
}

fn fold<S: Stage>(stage: &mut S, stored: &Stored, batch: &[Record]) -> S::Output {
    let prepared = stage.prepare(batch.to_vec());
    for key in stage.missing(&prepared) {
        let row = stored.rows.get(&(S::TABLE, key.clone())).cloned();
        stage.admit(&key, row).unwrap();
    }
    stage.fold(prepared)
}

fn shopper(stored: &Stored) -> Shopper {
    let progress = stored
        .progress
        .as_ref()
        .map_or_else(ShopperProgress::default, |bytes| ShopperProgress::decode(bytes).unwrap());
    Shopper::new(0, GENERATION, 1, Arc::new(Interner::default()), 4, progress, Some(stored.known()))
}

/// Runs the shopper stage over the log with batches of `sizes`, flushing after each; at the batches in `crashes` it dies
/// after having written the rows but not the progress. Gives the updates as `product-activity` holds them, and the store.
fn run_shopper(log: &[Record], sizes: &[usize], crashes: &[usize]) -> (Vec<Record>, Stored) {
    let (mut stored, mut activity) = (Stored::default(), Vec::new());
    let mut stage = shopper(&stored);
    let mut crashes = crashes.to_vec();
    for step in 0.. {
        let from = stage.checkpoint().next_offset as usize;
        let Some(rest) = log.get(from..).filter(|rest| !rest.is_empty()) else { break };
        let size = sizes[step % sizes.len()].min(rest.len());
        for packed in fold(&mut stage, &stored, &rest[..size]).activity {
            activity.push(Record {
                offset: activity.len() as u64,
                append_time_ms: 0,
                key: Bytes::new(),
                value: packed.value,
            });
        }
        stage.make_room();
        let crashed = crashes.iter().position(|crash| *crash == step);
        // Every third batch goes unflushed, so that a crash has more to repeat.
        if crashed.is_some() || step % 3 != 2 {
            let snapshot = stage.snapshot();
            let keys = snapshot.keys.clone();
            stored.write(snapshot, crashed.is_none());
            stage.stored(keys);
        }
        if let Some(crashed) = crashed {
            crashes.remove(crashed);
            stage = shopper(&stored);
        }
    }
    let snapshot = stage.snapshot();
    stored.write(snapshot, true);
    (activity, stored)
}

/// The product rows that the updates lead to, without the versions, and the outcomes.
fn products(activity: &[Record], size: usize) -> (BTreeMap<String, ProductRow>, [u64; 6]) {
    let names = Arc::new(Interner::default());
    let mut stage = Product::new(0, GENERATION, Arc::clone(&names), 1_000, ProductProgress::new(1), None);
    for batch in activity.chunks(size) {
        fold(&mut stage, &Stored::default(), batch);
    }
    let outcomes = stage.outcomes().0;
    let rows = stage.snapshot().rows.into_iter().filter(|(table, _)| *table == Table::ProductState);
    let comparable = Arc::new(Interner::default());
    for product in 0..40 {
        comparable.intern(&format!("p{product}"));
    }
    let rows = rows.flat_map(|(_, rows)| rows).map(|row| {
        let mut decoded = ProductRow::decode(&row.state, &comparable).unwrap();
        decoded.version = Version::NONE;
        (row.key, decoded)
    });
    (rows.collect(), outcomes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn crashes_and_batch_sizes_change_nothing(
        steps in prop::collection::vec((0u8..5, 0u8..12, 0u8..20, 0u8..3, prop::bool::weighted(0.1)), 30..150),
        sizes in prop::collection::vec(1usize..12, 1..6),
        crashes in prop::collection::vec(0usize..20, 0..4),
        activity_batch in 1usize..9,
    ) {
        let log = log_of(&steps);
        let (quiet_activity, quiet) = run_shopper(&log, &[7], &[]);
        let (activity, disturbed) = run_shopper(&log, &sizes, &crashes);
        let users = |stored: &Stored| -> Vec<Row> {
            stored.rows.iter().filter(|((table, _), _)| *table == Table::UserHistory).map(|(_, row)| row.clone()).collect()
        };
        prop_assert_eq!(users(&quiet), users(&disturbed));
        prop_assert_eq!(quiet.progress, disturbed.progress);
        let (expected, outcomes) = products(&quiet_activity, 3);
        prop_assert_eq!(products(&activity, activity_batch), (expected, outcomes));
        prop_assert_eq!(outcomes[Outcome::Applied as usize], steps.len() as u64);
        prop_assert_eq!(outcomes[Outcome::Duplicate as usize], (log.len() - steps.len()) as u64);
    }
}

#[test]
fn records_of_any_producer_get_exactly_one_outcome() {
    let good = log_of(&[(1, 1, 0, 0, false)]).remove(0);
    let with = |offset: u64, change: &dyn Fn(&mut Record)| {
        let mut record = Record { offset, ..good.clone() };
        change(&mut record);
        record
    };
    let rewritten = |change: &dyn Fn(&mut Event)| {
        let Some(event_record::Record::Event(mut event)) = EventRecord::decode(&*good.value).unwrap().record
        else {
            unreachable!("it is an event")
        };
        change(&mut event);
        Bytes::from(EventRecord { record: Some(event_record::Record::Event(event)) }.encode_to_vec())
    };
    let log = [
        with(0, &|record| record.value = Bytes::from_static(b"\xff\xff")),
        with(1, &|record| record.value = Bytes::new()),
        with(2, &|record| record.key = Bytes::new()),
        with(3, &|record| record.value = rewritten(&|event| event.product_id.clear())),
        with(4, &|record| record.value = rewritten(&|event| event.event_type = 99)),
        with(5, &|record| record.value = rewritten(&|event| event.timestamp_ms += 600_000)),
        with(6, &|record| record.value = rewritten(&|event| event.timestamp_ms = -1)),
        with(7, &|_| {}),
        with(8, &|record| record.value = rewritten(&|event| event.timestamp_ms -= 31 * 24 * 3_600_000)),
        with(9, &|_| {}),
    ];
    let (activity, stored) = run_shopper(&log, &[4], &[]);
    let (_, outcomes) = products(&activity, 2);
    let count = |outcome: Outcome| outcomes[outcome as usize];
    assert_eq!(count(Outcome::DeadLettered), 7);
    assert_eq!((count(Outcome::Applied), count(Outcome::TooLate), count(Outcome::Duplicate)), (1, 1, 1));
    assert_eq!(stored.rows.keys().filter(|(table, _)| *table == Table::DeadLetters).count(), 7);
}

#[test]
fn a_record_without_effect_is_reflected_by_its_users_history() {
    let mut log =
        log_of(&[(1, 1, 0, 0, true), (2, 2, 0, 0, false), (1, 3, 0, 0, false), (3, 1, 0, 0, false)]);
    let stored = Stored::default();
    let mut stage = shopper(&stored);
    let mut reflected = |batch: &[Record]| -> Vec<(String, u64, usize)> {
        let users = fold(&mut stage, &stored, batch).users;
        let history = users.iter().map(|Reflecting { user, version, .. }| {
            let published = stage.published_history(user.as_str(), *version).unwrap();
            let history = UserHistory::decode(&published).unwrap();
            (user.as_str().to_owned(), history.version.offset(), history.entries.len())
        });
        history.collect()
    };
    let of = |user: &str, offset, entries| (user.to_owned(), offset, entries);
    assert_eq!(reflected(&log[..3]), [of("u1", 1, 1), of("u2", 2, 1)], "a duplicate in the same batch");
    log[0].offset = 3;
    assert_eq!(reflected(&log[..1]), [of("u1", 3, 1)], "and in a later one");
    let mut late = log_of(&[(2, 9, 0, 0, false), (9, 9, 0, 0, false)]);
    for (record, offset) in late.iter_mut().zip(4..) {
        record.offset = offset;
    }
    let Some(event_record::Record::Event(mut event)) = EventRecord::decode(&*log[4].value).unwrap().record
    else {
        unreachable!("it is an event")
    };
    event.timestamp_ms -= 31 * 24 * 3_600_000;
    for record in &mut late {
        let event = EventRecord { record: Some(event_record::Record::Event(event.clone())) };
        record.value = Bytes::from(event.encode_to_vec());
    }
    assert_eq!(reflected(&late), [of("u2", 4, 1)], "who never did anything in time has no history");
}

#[test]
fn only_a_product_with_events_of_its_own_trends_otherwise() {
    // One shopper sees p0 and, a minute later, p1: both rows change twice, each once by an event.
    let log = log_of(&[(0, 0, 0, 0, false), (0, 1, 1, 0, false)]);
    let (activity, _) = run_shopper(&log, &[1], &[]);
    let names = Arc::new(Interner::default());
    let mut stage = Product::new(0, GENERATION, Arc::clone(&names), 10, ProductProgress::new(1), None);
    let mut changes = |record: &Record| -> Vec<(String, bool)> {
        let changed = fold(&mut stage, &Stored::default(), std::slice::from_ref(record)).changed;
        changed.iter().map(|change| (names.name(change.product).to_owned(), change.has_events)).collect()
    };
    let [first, second] = activity.as_slice() else { panic!("{} records for two events", activity.len()) };
    assert_eq!(changes(first), [("p0".to_owned(), true)]);
    let mut both = changes(second);
    both.sort();
    assert_eq!(both, [("p0".to_owned(), false), ("p1".to_owned(), true)]);
}
