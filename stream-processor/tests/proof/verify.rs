use crate::support::{Bench, GENERATION};
use bytes::Bytes;
use schemas::Version;
use stores::{Row, Table};
use stream_processor::state::{VerifyError, verify};

const EVENTS: u64 = 60;

/// What is found to differ, as it is printed.
async fn differences(bench: &Bench) -> Vec<String> {
    let result = verify(&bench.parts, GENERATION).await.expect("it can be proven or refuted");
    assert_eq!(result.differing, result.differences.len() as u64);
    result.differences.iter().map(ToString::to_string).collect()
}

/// The only difference, which has to name `what`.
async fn the_difference(bench: &Bench, what: &str) -> String {
    let differences = differences(bench).await;
    assert_eq!(differences.len(), 1, "{differences:?}");
    assert!(differences[0].starts_with(what), "{differences:?} does not name {what}");
    differences[0].clone()
}

/// The row with a byte changed near its end; the last one of a progress says how it is to be read.
fn damaged(mut row: Row) -> Row {
    let mut state = row.state.to_vec();
    let at = state.len() - if row.key.starts_with("progress:") { 2 } else { 1 };
    state[at] ^= 1;
    row.state = Bytes::from(state);
    row
}

fn is(row: &Row, table: Table, of: (Table, &str)) -> bool {
    (table, row.key.as_str()) == of
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_the_log_leads_to_is_equal() {
    let bench = Bench::having_processed(0..EVENTS).await;
    let result = verify(&bench.parts, GENERATION).await.unwrap();
    assert_eq!(result.differences, []);
    assert_eq!((result.events, result.users, result.products), (EVENTS, 5, 11));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_row_is_named() {
    for (of, what) in [
        ((Table::UserHistory, "user-3"), "shopper row \"user-3\""),
        ((Table::ProductState, "p4"), "product row \"p4\""),
        ((Table::Progress, "progress:shopper:1"), "shopper progress of partition 1"),
        ((Table::Progress, "progress:product:0"), "product progress of partition 0"),
    ] {
        let mut bench = Bench::having_processed(0..EVENTS).await;
        bench
            .damage(|table, row| Some(if is(&row, table, of) { damaged(row) } else { row }), Vec::new())
            .await;
        let difference = the_difference(&bench, what).await;
        assert!(difference.contains("not what the log leads to"), "{difference}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_row_is_named() {
    for (of, what) in [
        ((Table::UserHistory, "user-0"), "shopper row \"user-0\""),
        ((Table::ProductState, "p10"), "product row \"p10\""),
    ] {
        let mut bench = Bench::having_processed(0..EVENTS).await;
        bench.damage(|table, row| (!is(&row, table, of)).then_some(row), Vec::new()).await;
        let difference = the_difference(&bench, what).await;
        assert!(difference.contains("is missing"), "{difference}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_whose_last_write_was_lost_is_named() {
    for (table, key, what) in [
        (Table::UserHistory, "user-2", "shopper row \"user-2\""),
        (Table::ProductState, "p1", "product row \"p1\""),
    ] {
        let mut bench = Bench::having_processed(0..EVENTS).await;
        let earlier = bench.rows(table).await.into_iter().find(|row| row.key == key).expect("it is stored");
        bench.append(EVENTS..2 * EVENTS).await;
        bench.process().await.unwrap();
        assert_eq!(differences(&bench).await, Vec::<String>::new());
        let back = |of, row: Row| Some(if is(&row, of, (table, key)) { earlier.clone() } else { row });
        bench.damage(back, Vec::new()).await;
        let difference = the_difference(&bench, what).await;
        assert!(difference.contains("the progress covers"), "{difference}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_no_record_leads_to_is_named() {
    for (table, what) in
        [(Table::UserHistory, "shopper row \"intruder\""), (Table::ProductState, "product row \"intruder\"")]
    {
        let mut bench = Bench::having_processed(0..EVENTS).await;
        let state = bench.rows(table).await[0].state.clone();
        let intruder = Row { key: "intruder".to_owned(), version: Version::of(GENERATION, 3), state };
        bench.damage(|_, row| Some(row), vec![(table, intruder)]).await;
        let difference = the_difference(&bench, what).await;
        assert!(difference.contains("no record leads to"), "{difference}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_may_be_ahead_of_the_progress_but_not_of_the_intent() {
    let mut bench = Bench::having_processed(0..EVENTS).await;
    let early = bench.rows(Table::Progress).await;
    bench.append(EVENTS..2 * EVENTS).await;
    bench.process().await.unwrap();
    let back = |prefix: &'static str| {
        let early = early.clone();
        move |table, row: Row| {
            let earlier = early.iter().find(|earlier| earlier.key == row.key);
            let is_meant = table == Table::Progress && row.key.starts_with(prefix);
            Some(if is_meant { earlier.expect("it was there").clone() } else { row })
        }
    };
    // As a crash between rows and progress leaves it.
    bench.damage(back("progress:"), Vec::new()).await;
    assert_eq!(differences(&bench).await, Vec::<String>::new());
    bench.damage(back("intent:"), Vec::new()).await;
    let differences = verify(&bench.parts, GENERATION).await.unwrap().differences;
    assert!(!differences.is_empty());
    assert!(differences.iter().all(|found| found.how.contains("beyond the intent")), "{differences:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_too_few_or_too_many_is_named() {
    let mut bench = Bench::new();
    bench.create_topics().await;
    bench.append(0..10).await;
    bench.append_raw("user-1", b"\xff\xff no event".to_vec()).await;
    bench.process().await.unwrap();
    assert_eq!(differences(&bench).await, Vec::<String>::new());
    bench.damage(|table, row| (table != Table::DeadLetters).then_some(row), Vec::new()).await;
    the_difference(&bench, "dead letter events:").await;

    // The list of letters is proven too.
    let mut unlisted = Bench::new();
    unlisted.create_topics().await;
    unlisted.append_raw("user-1", b"\xff\xff no event".to_vec()).await;
    unlisted.process().await.unwrap();
    unlisted.damage(|table, row| (table != Table::DeadLettersByTime).then_some(row), Vec::new()).await;
    the_difference(&unlisted, "entry of the list of dead letters undecodable:").await;

    // And one that is stored without a reason to be.
    let mut applied = Bench::having_processed(0..10).await;
    let letter =
        Row { key: "events:0:0000000000001".to_owned(), ..applied.rows(Table::UserHistory).await[0].clone() };
    applied.damage(|_, row| Some(row), vec![(Table::DeadLetters, letter)]).await;
    the_difference(&applied, "dead letter events:0:0000000000001").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_progress_beyond_the_end_of_the_log_is_named() {
    let mut bench = Bench::having_processed(0..EVENTS).await;
    let shorter = Bench::having_processed(0..EVENTS / 2).await;
    bench.parts.log = shorter.parts.log.clone();
    let differences = verify(&bench.parts, GENERATION).await.unwrap().differences;
    let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
    for named in ["shopper progress of partition", "product progress of partition", "shopper row"] {
        assert!(differences.iter().any(|found| found.starts_with(named)), "{named}: {differences:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_can_be_proven_when_the_start_of_the_log_is_gone() {
    let bench = Bench::having_processed(0..EVENTS).await;
    let partition = Bench::partitions(&bench.parts.topics.events).last().expect("there are two");
    bench.log.truncate_before(&partition, 1);
    let error = verify(&bench.parts, GENERATION).await.unwrap_err();
    assert!(matches!(error, VerifyError::CannotProve(_)), "{error}");
    assert_eq!(error.to_string(), "cannot prove: events/1 begins at offset 1: what was before is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_whose_key_is_not_known_is_named() {
    let mut bench = Bench::having_processed(0..EVENTS).await;
    let is_segment = |table, row: &Row| table == Table::KnownKeys && row.key.starts_with("shopper:1:");
    bench.damage(|table, row| (!is_segment(table, &row)).then_some(row), Vec::new()).await;
    let differences = differences(&bench).await;
    let named = |found: &&String| found.starts_with("shopper row") && found.contains("not among the known");
    assert!(differences[0].starts_with("shopper keys of partition 1: "), "{differences:?}");
    assert!(differences.len() > 1, "{differences:?}");
    assert_eq!(differences.iter().filter(named).count(), differences.len() - 1, "{differences:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_does_not_begin_where_known_keys_were_lost() {
    let mut bench = Bench::having_processed(0..EVENTS).await;
    let is_segment = |table, row: &Row| table == Table::KnownKeys && row.key == "shopper:1:0";
    bench.damage(|table, row| (!is_segment(table, &row)).then_some(row), Vec::new()).await;
    let found = differences(&bench).await;
    assert!(found.iter().any(|found| found.starts_with("shopper keys of partition 1: ")), "{found:?}");
    let refused = bench.process().await.unwrap_err().to_string();
    assert!(refused.contains("of the keys that have rows in") && refused.contains("known_keys"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_of_a_release_that_did_not_know_keys_goes_on_without_them() {
    let mut bench = Bench::having_processed(0..EVENTS).await;
    let of_before = |table, mut row: Row| {
        if table == Table::Progress && row.key.starts_with("progress:") {
            let content = row.state.len() - 1;
            assert_eq!(row.state.split_off(content), Bytes::from_static(&[1]));
        }
        (table != Table::KnownKeys).then_some(row)
    };
    bench.damage(of_before, Vec::new()).await;
    assert_eq!(differences(&bench).await, Vec::<String>::new());
    bench.append(EVENTS..2 * EVENTS).await;
    bench.process().await.unwrap();
    assert_eq!(differences(&bench).await, Vec::<String>::new());
    assert_eq!(
        bench.rows(Table::KnownKeys).await,
        [],
        "a list that begins midway would lack what was before"
    );
}
