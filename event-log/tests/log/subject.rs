//! A log under test, and short words for what tests do with it.

use event_log::{
    Append, AppendError, EventLog, GroupMember, GroupOptions, NewRecord, Producer, ProducerMode, Rebalance,
    Record, RecordStream, TopicPartition, TopicSpec,
};
use schemas::Position;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use tempfile::TempDir;

pub struct Subject {
    pub log: Arc<dyn EventLog>,
    /// Keeps tests that share a Kafka apart.
    pub prefix: String,
    /// Deleted when the test ends.
    pub _directory: Option<TempDir>,
}

pub const BOUNDED: ProducerMode = ProducerMode::Bounded { ack_timeout_ms: 30_000, linger_ms: 0 };

impl Subject {
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self {
            log,
            prefix: format!("t{:016x}-", RandomState::new().build_hasher().finish()),
            _directory: None,
        }
    }

    /// A topic of its own for the test.
    pub async fn topic(&self, partitions: u32) -> Arc<str> {
        let spec = self.spec("records", partitions);
        self.log.ensure_topics(std::slice::from_ref(&spec)).await.expect("the topic is created");
        spec.name.into()
    }

    pub fn spec(&self, name: &str, partitions: u32) -> TopicSpec {
        TopicSpec { name: format!("{}{name}", self.prefix), partitions, compacted: false, retention_ms: None }
    }

    pub fn producer(&self, mode: ProducerMode) -> Arc<dyn Producer> {
        self.log.producer(mode).expect("a producer is made")
    }

    /// Appends values "0", "1", … to a partition and waits for all acknowledgements.
    pub async fn fill(&self, partition: &TopicPartition, values: std::ops::Range<u64>) -> Vec<Position> {
        let producer = self.producer(BOUNDED);
        let mut appends = Vec::new();
        for value in values {
            appends.push(append(&*producer, numbered(partition, value)).await);
        }
        let mut positions = Vec::new();
        for append in appends {
            positions.push(append.await.expect("the record is acknowledged"));
        }
        positions
    }

    pub async fn read_all(&self, partition: &TopicPartition) -> Vec<Record> {
        let bounds = self.log.bounds(partition).await.expect("the bounds are known");
        let mut records: Vec<Record> = Vec::new();
        let mut next = bounds.start;
        while next < bounds.end {
            let more = self.log.read(partition, next, 1000).await.expect("the log can be read");
            next = more.last().map_or(bounds.end, |record| record.offset + 1);
            records.extend(more);
        }
        records
    }

    pub async fn join(&self, topic: &Arc<str>) -> Box<dyn GroupMember> {
        let options = GroupOptions {
            group_id: format!("{}group", self.prefix),
            topics: vec![topic.to_string()],
            instance_id: None,
            session_timeout_ms: 10_000,
        };
        self.log.join(options).await.expect("the group is joined")
    }

    /// A member that was told that it owns every partition of the topic.
    pub async fn sole_member(&self, topic: &Arc<str>, partitions: u32) -> Box<dyn GroupMember> {
        let mut member = self.join(topic).await;
        let Rebalance::Assigned(mut assigned) = member.next_rebalance().await.expect("the group answers")
        else {
            panic!("the first change is an assignment");
        };
        assigned.sort();
        assert_eq!(assigned, (0..partitions).map(|p| at(topic, p)).collect::<Vec<_>>());
        member
    }
}

pub fn at(topic: &Arc<str>, partition: u32) -> TopicPartition {
    TopicPartition { topic: Arc::clone(topic), partition }
}

pub fn numbered(partition: &TopicPartition, value: u64) -> NewRecord {
    NewRecord {
        topic: Arc::clone(&partition.topic),
        partition: Some(partition.partition),
        key: "key".into(),
        value: value.to_string().into(),
        traceparent: None,
    }
}

/// Appends as soon as the producer's queue has room.
pub async fn append(producer: &dyn Producer, record: NewRecord) -> Append {
    loop {
        match producer.append(record.clone()) {
            Err(AppendError::QueueFull) => tokio::task::yield_now().await,
            outcome => return outcome.expect("the record is taken"),
        }
    }
}

/// The next `count` records of a stream.
pub async fn next_records(stream: &mut RecordStream, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        let batch = stream.next().await.expect("the stream goes on").expect("the stream can be read");
        assert!(!batch.is_empty(), "a batch is never empty");
        records.extend(batch);
    }
    records
}

/// Reads what a stream still holds until it ends.
pub async fn until_end(stream: &mut RecordStream) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some(batch) = stream.next().await {
        records.extend(batch.expect("the stream can be read"));
    }
    records
}

/// The numbers that [`numbered`] wrote.
pub fn numbers(records: &[Record]) -> Vec<u64> {
    let number =
        |record: &Record| std::str::from_utf8(&record.value).expect("text").parse().expect("a number");
    records.iter().map(number).collect()
}

pub fn assert_ascending(records: &[Record]) {
    assert!(records.windows(2).all(|pair| pair[0].offset < pair[1].offset), "offsets ascend");
    assert!(
        records.windows(2).all(|pair| pair[0].append_time_ms <= pair[1].append_time_ms),
        "append times ascend"
    );
}
