//! What the pipeline asks of a log.

use async_trait::async_trait;
use bytes::Bytes;
use schemas::Position;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// One partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: u32,
}

/// A record to append.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition; `None` = by murmur2 of the key.
    pub partition: Option<u32>,
    /// The key; may be empty where the partition is given.
    pub key: Bytes,
    /// The value; empty = a tombstone in a compacted topic.
    pub value: Bytes,
    /// What the record belongs to. Goes along as the header of this name where the log has headers.
    pub traceparent: Option<Traceparent>,
}

/// The value of a header `traceparent` (W3C Trace Context, version 00): it takes no memory of its own.
pub type Traceparent = [u8; 55];

/// A record as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the partition.
    pub offset: u64,
    /// When the log took it, milliseconds since 1970 UTC. It never changes once written.
    pub append_time_ms: i64,
    /// The key; empty where there is none.
    pub key: Bytes,
    /// The value; empty where there is none.
    pub value: Bytes,
}

/// A record that was read and whose `traceparent` says that its trace is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampledRecord {
    /// Its place in the partition.
    pub offset: u64,
    /// What it came with.
    pub traceparent: Traceparent,
    /// When it was read.
    pub read_at: Instant,
}

/// Records of one partition, ascending by offset, never empty. Offsets may have gaps (compaction).
pub type RecordBatch = Vec<Record>;

/// What a topic should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Its number of partitions.
    pub partitions: u32,
    /// Keep the newest record of each key instead of everything for a while.
    pub compacted: bool,
    /// How long records are kept, in ms; `None` = forever. Not for compacted topics.
    pub retention_ms: Option<u64>,
}

/// What a topic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its number of partitions.
    pub partitions: u32,
}

/// How a producer treats a log that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProducerMode {
    /// Gives up a record after this many ms without an acknowledgement: for callers that wait. Records of one key (or, where
    /// the partition is given, of that partition) are appended in the order in which they were handed over.
    Bounded {
        /// Deadline of an append in ms.
        ack_timeout_ms: u64,
        /// How long to wait for more records to send along, in ms; 0 = not at all. While some of a partition are on their way,
        /// more of it wait for these to be acknowledged.
        linger_ms: u64,
    },
    /// Never gives up and never leaves a gap: a record is only ever in the log when all that were appended before it to
    /// its partition are, whatever their keys. Once an append has failed, all later ones fail: the owner starts anew from its progress.
    Gapless,
}

/// Why an append did not succeed.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum AppendError {
    /// The producer's bounded queue is full: try again soon.
    #[error("the log producer's queue is full")]
    QueueFull,
    /// The record is larger than the log takes.
    #[error("the record is too large for the log")]
    TooLarge,
    /// The log did not acknowledge in time; whether it holds the record is unknown.
    #[error("the log did not acknowledge: {0}")]
    NotAcknowledged(String),
    /// This producer is of no more use.
    #[error("the log producer failed: {0}")]
    Fatal(String),
}

/// Why the log could not be read or changed.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum LogError {
    /// The log does not answer; trying again may help.
    #[error("the log is unavailable while trying to {action}: {reason}")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// What the log's client said.
        reason: String,
    },
    /// The topic does not exist.
    #[error("topic {0} does not exist: create it with `shopsmart topics create`")]
    NoSuchTopic(String),
    /// The offset asked for is not in the log.
    #[error("offset {offset} of {topic}/{partition} is outside the log ({start}..{end})")]
    OutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// What was asked for.
        offset: u64,
        /// The first offset held.
        start: u64,
        /// The next offset to be written.
        end: u64,
    },
    /// What the log holds cannot be read, or it exists with other settings.
    #[error("the log cannot be used: {0}")]
    Unusable(String),
}

/// A record on its way: resolves once the log holds it durably.
#[derive(Debug)]
pub struct Append {
    outcome: oneshot::Receiver<Result<Position, AppendError>>,
}

impl Append {
    /// An append and the sender that resolves it.
    pub fn pending() -> (oneshot::Sender<Result<Position, AppendError>>, Self) {
        let (sender, outcome) = oneshot::channel();
        (sender, Self { outcome })
    }
}

impl Future for Append {
    type Output = Result<Position, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(cx).map(|outcome| {
            outcome.unwrap_or_else(|_| Err(AppendError::Fatal("the producer was closed".to_owned())))
        })
    }
}

/// Appends records; cheap to share.
#[async_trait]
pub trait Producer: Send + Sync {
    /// Hands a record over without waiting. Records of one key are appended in the order of these calls; more is said at
    /// [`ProducerMode`].
    ///
    /// # Errors
    /// At once when the queue is full, the record too large or the producer dead; nothing was appended then.
    fn append(&self, record: NewRecord) -> Result<Append, AppendError>;

    /// As [`Producer::append`], in one order with it, for one of many records that their caller hands over together: it may wait
    /// some ms for more of its partition, of other callers too, where that makes it cheaper.
    ///
    /// # Errors
    /// As [`Producer::append`].
    fn append_among_others(&self, record: NewRecord) -> Result<Append, AppendError> {
        self.append(record)
    }

    /// Waits until everything handed over is acknowledged or given up, at most `deadline_ms`; the number left.
    async fn drain(&self, deadline_ms: u64) -> usize;
}

/// Batches of one partition in order, through a bounded queue. Ends (`None`) when the partition was taken away or the
/// member closed.
#[derive(Debug)]
pub struct RecordStream {
    batches: mpsc::Receiver<Result<RecordBatch, LogError>>,
}

impl RecordStream {
    /// A stream and its bounded sending side, for adapters and scripted logs.
    pub fn bounded(batches: usize) -> (mpsc::Sender<Result<RecordBatch, LogError>>, Self) {
        let (sender, receiver) = mpsc::channel(batches);
        (sender, Self { batches: receiver })
    }

    /// The next batch.
    ///
    /// # Errors
    /// When the log cannot be read on; the stream is of no more use then.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, LogError>> {
        self.batches.recv().await
    }
}

/// How to join a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOptions {
    /// The group's name.
    pub group_id: String,
    /// The topics to share out.
    pub topics: Vec<String>,
    /// Static membership: the name under which a restarted copy gets its partitions back at once.
    pub instance_id: Option<String>,
    /// After how many ms without a sign of life a member's partitions go to others.
    pub session_timeout_ms: u64,
}

/// A change of what this member owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebalance {
    /// These are now this member's, in addition to what it has. Nothing is read until [`GroupMember::start`].
    Assigned(Vec<TopicPartition>),
    /// These go to others: stop work on them, then call [`GroupMember::release`].
    Revoked(Vec<TopicPartition>),
    /// These were already taken away (this member was out of touch): stop work at once; nothing to release.
    Lost(Vec<TopicPartition>),
}

/// Membership in a consumer group: says which partitions are this process's to read.
#[async_trait]
pub trait GroupMember: Send {
    /// Waits for the next change. Must be polled again promptly: the group waits for its members. Cancel-safe.
    ///
    /// # Errors
    /// When the membership is lost for good.
    async fn next_rebalance(&mut self) -> Result<Rebalance, LogError>;

    /// Reads an assigned partition from `offset` on (again, after a failed task). Any earlier stream of it ends.
    ///
    /// # Errors
    /// When the partition is not assigned or the log does not answer.
    async fn start(&mut self, partition: &TopicPartition, offset: u64) -> Result<RecordStream, LogError>;

    /// Lets go of revoked partitions once the work on them has ended.
    ///
    /// # Errors
    /// When the log does not answer.
    async fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError>;

    /// Notes how far a partition is processed, for lag tools only; best effort, in the background.
    fn commit(&self, partition: &TopicPartition, next_offset: u64);

    /// Leaves the group, within `deadline_ms`.
    async fn leave(self: Box<Self>, deadline_ms: u64);
}

/// A log of topics and partitions.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Creates the topics that are missing. A topic that exists with another partition count is an error that says so.
    ///
    /// # Errors
    /// When the log does not answer, or a topic exists but differs.
    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError>;

    /// What a topic is.
    ///
    /// # Errors
    /// [`LogError::NoSuchTopic`], or the log does not answer.
    async fn describe(&self, topic: &str) -> Result<TopicInfo, LogError>;

    /// The `traceparent` of the record at `offset`: looked up when somebody asks, because reading it along would cost every
    /// record. `None` where it has none, is gone, or the log has no headers.
    ///
    /// # Errors
    /// When the log does not answer.
    async fn traceparent(&self, partition: &TopicPartition, offset: u64) -> Result<Option<String>, LogError> {
        let _ = (partition, offset);
        Ok(None)
    }

    /// Those of the records before offset `end` of a partition that this process reads as a member of a group whose traces are
    /// recorded; each is given once. None where the log was not told to look for them, or has no headers.
    fn take_sampled(&self, partition: &TopicPartition, end: u64) -> Vec<SampledRecord> {
        let _ = (partition, end);
        Vec::new()
    }

    /// The first offset held and the next to be written.
    ///
    /// # Errors
    /// When the topic does not exist or the log does not answer.
    async fn bounds(&self, partition: &TopicPartition) -> Result<Range<u64>, LogError>;

    /// Records from `offset` on, at most `max_records` and at most up to the end at the time of the call; empty at the end.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] when `offset` is before the start or beyond the end; or the log does not answer.
    async fn read(
        &self,
        partition: &TopicPartition,
        offset: u64,
        max_records: usize,
    ) -> Result<Vec<Record>, LogError>;

    /// Follows a partition from `offset` on without a group, until the stream is dropped. Reconnects by itself.
    ///
    /// # Errors
    /// When the topic does not exist or the log does not answer.
    async fn follow(&self, partition: &TopicPartition, offset: u64) -> Result<RecordStream, LogError>;

    /// A producer of its own.
    ///
    /// # Errors
    /// When it cannot be made from the configuration.
    fn producer(&self, mode: ProducerMode) -> Result<Arc<dyn Producer>, LogError>;

    /// Joins a consumer group.
    ///
    /// # Errors
    /// When the topics do not exist or the log does not answer.
    async fn join(&self, options: GroupOptions) -> Result<Box<dyn GroupMember>, LogError>;

    /// Warnings about settings that weaken the promises (replication, min.insync, unclean election), for the start-up log.
    async fn durability_warnings(&self, topics: &[String]) -> Vec<String>;
}
