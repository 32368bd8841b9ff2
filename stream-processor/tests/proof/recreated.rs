use crate::support::{Bench, NOW_MS, config};
use event_log::embedded::{EmbeddedLog, open_database};
use event_log::{EventLog, NewRecord, ProducerMode, Record, TopicPartition};
use std::sync::Arc;
use stores::{Row, Table};
use stream_processor::ProcessorError;

const EVENTS: u64 = 60;

/// What the processor says when it refuses to start.
async fn refusal(bench: &Bench) -> String {
    match bench.process().await {
        Err(ProcessorError::Refused(said)) => said,
        other => panic!("it should have been refused, not {other:?}"),
    }
}

/// A log on disk in which time is `now_ms`.
fn embedded(folder: &tempfile::TempDir, now_ms: i64) -> Arc<dyn EventLog> {
    let database = open_database(folder.path()).expect("the database is made");
    Arc::new(EmbeddedLog::open(database, Arc::new(move || now_ms)).expect("the log opens"))
}

/// What the log holds of a topic, which is something in each partition.
fn records(bench: &Bench, topic: &str) -> Vec<(TopicPartition, Vec<Record>)> {
    let held = |partition| {
        let records = bench.log.records(&partition);
        assert!(!records.is_empty(), "every partition has records");
        (partition, records)
    };
    Bench::partitions(topic).map(held).collect()
}

/// Appends records to where they were.
async fn append(bench: &Bench, records: Vec<(TopicPartition, Vec<Record>)>) {
    let producer = bench.parts.log.producer(ProducerMode::Gapless).expect("a producer is made");
    for (TopicPartition { topic, partition }, records) in records {
        for Record { key, value, .. } in records {
            let (topic, partition) = (Arc::clone(&topic), Some(partition));
            let record = NewRecord { topic, partition, key, value, traceparent: None };
            producer.append(record).expect("there is room").await.expect("it is acknowledged");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_made_anew_with_as_many_records_are_refused() {
    let bench = Bench::having_processed(0..EVENTS).await;
    let (events, before) = (&bench.parts.topics.events, bench.ends(&bench.parts.topics.events).await);
    bench.log.delete_topic(events);
    bench.create_topics().await;
    // The very same events, only taken later: nothing but the checksum tells.
    bench.log.set_clock(NOW_MS + 1);
    bench.append(0..EVENTS).await;
    assert_eq!(bench.ends(events).await, before);
    let said = refusal(&bench).await;
    assert!(said.contains("events/") && said.contains("was recreated"), "{said}");
    assert!(said.contains("processor.generation") && said.contains("restore the topic"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn product_activity_made_anew_with_as_many_records_is_refused() {
    let bench = Bench::having_processed(0..EVENTS).await;
    let topic = bench.parts.topics.product_activity.clone();
    let records = records(&bench, &topic);
    bench.log.delete_topic(&topic);
    bench.create_topics().await;
    bench.log.set_clock(NOW_MS + 1);
    append(&bench, records).await;
    let said = refusal(&bench).await;
    assert!(said.contains(&topic) && said.contains("was recreated"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_with_fewer_records_than_were_processed_is_refused() {
    for topic in ["events", "product-activity-g1"] {
        let bench = Bench::having_processed(0..EVENTS).await;
        bench.log.delete_topic(topic);
        bench.create_topics().await;
        let said = refusal(&bench).await;
        assert!(said.contains(topic) && said.contains("recreated or truncated"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_on_disk_that_was_exchanged_is_refused() {
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().expect("a folder is made"));
    let mut bench = Bench::new();
    bench.parts.log = embedded(&first, NOW_MS);
    bench.create_topics().await;
    bench.append(0..EVENTS).await;
    bench.process().await.unwrap();
    bench.append(EVENTS..2 * EVENTS).await;
    bench.process().await.expect("the log that it was is taken up again");

    bench.parts.log = embedded(&second, NOW_MS + 1);
    bench.create_topics().await;
    bench.append(0..3 * EVENTS).await;
    let said = refusal(&bench).await;
    assert!(said.contains("recreated"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_deleted_before_they_were_processed_are_refused() {
    let bench = Bench::having_processed(0..EVENTS).await;
    bench.append(EVENTS..2 * EVENTS).await;
    let partition = Bench::partitions(&bench.parts.topics.events).next().expect("there are two");
    let end = bench.ends(&bench.parts.topics.events).await[0];
    bench.log.truncate_before(&partition, end - 1);
    let said = refusal(&bench).await;
    assert!(said.contains("events/0") && said.contains("deleted unread"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_deleted_after_they_were_processed_are_not_missed() {
    let bench = Bench::having_processed(0..EVENTS).await;
    for topic in [&bench.parts.topics.events, &bench.parts.topics.product_activity] {
        for (partition, end) in Bench::partitions(topic).zip(bench.ends(topic).await) {
            bench.log.truncate_before(&partition, end);
        }
    }
    bench.append(EVENTS..2 * EVENTS).await;
    bench.process().await.expect("everything unprocessed is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_cut_below_what_rows_may_reflect_is_refused() {
    let mut bench = Bench::having_processed(0..EVENTS).await;
    let early = bench.rows(Table::Progress).await;
    let topics = &bench.parts.topics;
    let early_records = [&topics.events, &topics.product_activity].map(|topic| records(&bench, topic));
    bench.append(EVENTS..2 * EVENTS).await;
    bench.process().await.unwrap();
    // As after a crash between rows and progress, over a log that holds no more than the progress says.
    let back = |table, row: Row| {
        let earlier = early.iter().find(|earlier| earlier.key == row.key);
        let is_meant = table == Table::Progress && row.key.starts_with("progress:");
        Some(if is_meant { earlier.expect("it was there").clone() } else { row })
    };
    bench.damage(back, Vec::new()).await;
    // The very records: a second run may write others, since the partitions of events meet in those of the updates.
    let cut = Bench::new();
    cut.create_topics().await;
    append(&cut, early_records.into_iter().flatten().collect()).await;
    bench.parts.log = cut.parts.log.clone();
    let said = refusal(&bench).await;
    assert!(said.contains("stored intent"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_partition_count_is_refused() {
    let bench = Bench::having_processed(0..EVENTS).await;
    bench.log.delete_topic(&bench.parts.topics.events);
    let wider = stream_processor::ProcessorConfig { events_partitions: 3, ..config() };
    let specs = stream_processor::topic_specs(&bench.parts.topics, &wider);
    bench.parts.log.ensure_topics(&specs[..1]).await.expect("it is created");
    let said = refusal(&bench).await;
    assert!(said.contains("2 partitions of events") && said.contains("has 3"), "{said}");
}
