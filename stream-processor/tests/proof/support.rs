//! A processor with its parts, and words for what tests do with it.

use bytes::Bytes;
use catalog::Catalog;
use event_log::embedded::open_database;
use event_log::scripted::ScriptedLog;
use event_log::{NewRecord, ProducerMode, TopicPartition};
use prost::Message;
use schemas::names::Topics;
use schemas::proto::{Event, EventRecord, event_record};
use service_runtime::SystemClock;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use stores::embedded::EmbeddedStateStore;
use stores::memory::MemoryServingStore;
use stores::{Row, StateStore, Table};
use stream_processor::{Parts, Processor, ProcessorConfig, ProcessorError};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub const GENERATION: u16 = 1;
const PARTITIONS: u32 = 2;
/// When the log takes records, in ms since 1970 UTC.
pub const NOW_MS: i64 = 1_700_000_000_000;
/// No test may hang for ever; none takes anywhere near this long.
const LIMIT: Duration = Duration::from_secs(120);

/// The parts, on a scripted log unless a test puts another in its place.
pub struct Bench {
    pub log: ScriptedLog,
    pub parts: Parts,
    /// Folders of the state stores, deleted when the test ends.
    folders: Vec<TempDir>,
}

pub fn config() -> ProcessorConfig {
    ProcessorConfig {
        generation: GENERATION,
        events_partitions: PARTITIONS,
        activity_partitions: PARTITIONS,
        ..ProcessorConfig::default()
    }
}

impl Bench {
    pub fn new() -> Self {
        let log = ScriptedLog::new();
        log.set_clock(NOW_MS);
        let (folder, state) = fresh_state();
        let parts = Parts {
            log: Arc::new(log.clone()),
            state,
            serving: Arc::new(MemoryServingStore::new()),
            catalog: Arc::new(Catalog::new()),
            clock: SystemClock::shared(),
            topics: Topics::new("", GENERATION),
        };
        parts.catalog.mark_loaded();
        Self { log, parts, folders: vec![folder] }
    }

    /// A bench whose processor has stored everything that `events` lead to.
    pub async fn having_processed(events: Range<u64>) -> Self {
        let bench = Self::new();
        bench.create_topics().await;
        bench.append(events).await;
        let ends = bench.ends(&bench.parts.topics.events).await;
        assert!(ends.iter().all(|end| *end > 0), "every partition has events: {ends:?}");
        bench.process().await.expect("everything is processed");
        bench
    }

    pub async fn create_topics(&self) {
        let specs = stream_processor::topic_specs(&self.parts.topics, &config());
        self.parts.log.ensure_topics(&specs).await.expect("the topics are created");
    }

    /// Appends events, always the same for the same numbers: a few shoppers who view related products.
    pub async fn append(&self, events: Range<u64>) {
        for number in events {
            let event = Event {
                event_id: format!("e{number}"),
                event_type: (number % 3) as i32 + 1,
                product_id: format!("p{}", number * 7 % 11),
                timestamp_ms: NOW_MS - 3_600_000 + number as i64 * 20_000,
                ..Event::default()
            };
            let record = EventRecord { record: Some(event_record::Record::Event(event)) };
            self.append_raw(&format!("user-{}", number % 5), record.encode_to_vec()).await;
        }
    }

    pub async fn append_raw(&self, key: &str, value: Vec<u8>) {
        let mode = ProducerMode::Bounded { ack_timeout_ms: 30_000, linger_ms: 0 };
        let record = NewRecord {
            topic: self.parts.topics.events.as_str().into(),
            partition: None,
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: value.into(),
            traceparent: None,
        };
        let producer = self.parts.log.producer(mode).expect("a producer is made");
        producer.append(record).expect("there is room").await.expect("it is acknowledged");
    }

    pub fn partitions(topic: &str) -> impl Iterator<Item = TopicPartition> {
        let topic: Arc<str> = topic.into();
        (0..PARTITIONS).map(move |partition| TopicPartition { topic: Arc::clone(&topic), partition })
    }

    /// The next offset to be written to each partition of a topic.
    pub async fn ends(&self, topic: &str) -> Vec<u64> {
        let mut ends = Vec::new();
        for partition in Self::partitions(topic) {
            ends.push(self.parts.log.bounds(&partition).await.expect("the partition is there").end);
        }
        ends
    }

    /// Runs a processor until everything in the log is processed and stored, or until it ends by itself.
    pub async fn process(&self) -> Result<(), ProcessorError> {
        let processor = Processor::prepare(self.parts.clone(), config()).await?;
        let token = CancellationToken::new();
        let run = processor.run(token.clone());
        tokio::pin!(run);
        let everything = tokio::time::timeout(LIMIT, self.until_processed(&processor));
        tokio::select! {
            ended = &mut run => return ended,
            in_time = everything => in_time.expect("everything is processed"),
        }
        token.cancel();
        run.await
    }

    async fn until_processed(&self, processor: &Processor) {
        let events: u64 = self.ends(&self.parts.topics.events).await.iter().sum();
        loop {
            let activity: u64 = self.ends(&self.parts.topics.product_activity).await.iter().sum();
            let report = processor.registry().report(0);
            let processed = |stage: &str| -> u64 {
                report.iter().filter(|figures| figures.stage == stage).map(|figures| figures.processed).sum()
            };
            // Each event is counted by the product stage, once.
            let counted: u64 = processor.registry().outcomes().0.iter().sum();
            if counted >= events && processed("shopper") == events && processed("product") == activity {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Puts a copy of the state in its place in which each row is what `change` makes of it (`None` = it is missing), and to
    /// which `more` rows are added.
    pub async fn damage(&mut self, change: impl Fn(Table, Row) -> Option<Row>, more: Vec<(Table, Row)>) {
        let (folder, copy) = fresh_state();
        for table in Table::ALL {
            let rows = self.rows(table).await.into_iter().filter_map(|row| change(table, row)).collect();
            copy.put_many(table, GENERATION, rows).await.expect("the copy is written");
        }
        for (table, row) in more {
            copy.put_many(table, GENERATION, vec![row]).await.expect("the copy is written");
        }
        self.parts.state = copy;
        self.folders.push(folder);
    }

    /// All rows of a table, by key.
    pub async fn rows(&self, table: Table) -> Vec<Row> {
        let mut scan = self.parts.state.scan(table, GENERATION).await.expect("the scan begins");
        let mut rows = Vec::new();
        while let Some(row) = scan.recv().await {
            rows.push(row.expect("the row can be read"));
        }
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows
    }
}

fn fresh_state() -> (TempDir, Arc<dyn StateStore>) {
    let folder = tempfile::tempdir().expect("a folder is made");
    let database = open_database(folder.path()).expect("the database is made");
    (folder, Arc::new(EmbeddedStateStore::open(database).expect("the tables are made")))
}
