//! The log in this process, on disk.
//!
//! Records lie in chunks in one fjall keyspace. All producers share a queue; one thread takes whatever waits, writes it as
//! one batch, waits for the disk (fdatasync) and only then resolves the appends and lets readers see the records. A crash
//! at any moment leaves a prefix of what was appended.
//!
//! Everything is kept: retention and compaction do not run here. A small shop's events take well under 100 bytes each.

mod chunk;
mod database;
mod group;
#[cfg(any(test, fuzzing))]
pub mod hostile;
mod partition;
mod producer;
mod queue;
mod reader;
mod topics;
mod writer;

pub use database::open_database;
pub use fjall::Database;

use crate::in_flight::InFlight;
use crate::{
    EventLog, GroupMember, GroupOptions, LogError, Producer, ProducerMode, Record, RecordStream, TopicInfo,
    TopicPartition, TopicSpec,
};
use async_trait::async_trait;
use fjall::{Keyspace, KeyspaceCreateOptions};
use partition::{Partition, lock, unreadable};
use queue::Queue;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use tokio_util::sync::CancellationToken;
use topics::{Topic, Topics};
use writer::{Clock, Writer};

/// A log kept in a fjall database; cheap to clone. It closes when the last clone and the last producer are dropped: what
/// was handed over until then is written.
#[derive(Clone)]
pub struct EmbeddedLog(Arc<Shared>);

impl EmbeddedLog {
    /// Opens the log in a database that others may use too: its keyspaces start with `log_`. `clock` gives the append
    /// times, in ms since 1970 UTC.
    ///
    /// # Errors
    /// [`LogError::Unusable`] when what is stored cannot be read, or threads cannot be started.
    pub fn open(database: Database, clock: Arc<dyn Fn() -> i64 + Send + Sync>) -> Result<Self, LogError> {
        let stored_topics =
            database.keyspace("log_topics", KeyspaceCreateOptions::default).map_err(unreadable)?;
        let chunks = database.keyspace("log_chunks", KeyspaceCreateOptions::default).map_err(unreadable)?;
        let topics = topics::load(&stored_topics, &chunks)?;
        let queue = Arc::new(Queue::default());
        let threads = start_threads(&database, &chunks, clock, &queue)
            .map_err(|e| LogError::Unusable(format!("cannot start the log's threads: {e}")))?;
        Ok(Self(Arc::new(Shared {
            database,
            stored_topics,
            chunks,
            topics: RwLock::new(topics),
            groups: Mutex::default(),
            queue,
            closed: CancellationToken::new(),
            threads,
        })))
    }
}

fn start_threads(
    database: &Database,
    chunks: &Keyspace,
    clock: Clock,
    queue: &Arc<Queue>,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let writer = Writer {
        database: database.clone(),
        chunks: chunks.clone(),
        clock,
        queue: Arc::clone(queue),
        spare: Vec::new(),
    };
    let deadlines = Arc::clone(queue);
    Ok(vec![
        std::thread::Builder::new().name("log-writer".to_owned()).spawn(move || writer.run())?,
        std::thread::Builder::new()
            .name("log-deadlines".to_owned())
            .spawn(move || deadlines.watch_deadlines())?,
    ])
}

/// What the log, its producers and its members share.
struct Shared {
    database: Database,
    stored_topics: Keyspace,
    chunks: Keyspace,
    topics: RwLock<Topics>,
    /// Groups that have their member.
    groups: Mutex<HashSet<String>>,
    queue: Arc<Queue>,
    /// Ends the streams.
    closed: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

impl Shared {
    fn topic(&self, name: &str) -> Result<Arc<Topic>, LogError> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(name).cloned().ok_or_else(|| LogError::NoSuchTopic(name.to_owned()))
    }

    fn partition(&self, id: &TopicPartition) -> Result<Arc<Partition>, LogError> {
        self.topic(&id.topic)?.partition(id.partition)
    }

    fn leave_group(&self, group_id: &str) {
        lock(&self.groups).remove(group_id);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.closed.cancel();
        self.queue.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a panic was already reported by the thread
        }
    }
}

#[async_trait]
impl EventLog for EmbeddedLog {
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<(), LogError> {
        let (log, specs) = (Arc::clone(&self.0), specs.to_vec());
        tokio::task::spawn_blocking(move || {
            let mut topics = log.topics.write().unwrap_or_else(PoisonError::into_inner);
            topics::ensure(&mut topics, &specs, &log.database, &log.stored_topics, &log.chunks)
        })
        .await
        .unwrap_or_else(|_| Err(LogError::Unusable("creating topics failed".to_owned())))
    }

    async fn describe(&self, topic: &str) -> Result<TopicInfo, LogError> {
        Ok(TopicInfo { partitions: self.0.topic(topic)?.partitions.len() as u32 })
    }

    async fn bounds(&self, partition: &TopicPartition) -> Result<Range<u64>, LogError> {
        Ok(self.0.partition(partition)?.bounds())
    }

    async fn read(
        &self,
        partition: &TopicPartition,
        offset: u64,
        max_records: usize,
    ) -> Result<Vec<Record>, LogError> {
        let partition = self.0.partition(partition)?;
        partition.check(offset)?;
        reader::read(&partition, offset, partition.bounds().end, max_records).await
    }

    async fn follow(&self, partition: &TopicPartition, offset: u64) -> Result<RecordStream, LogError> {
        Ok(reader::follow(self.0.partition(partition)?, offset, self.0.closed.child_token()))
    }

    fn producer(&self, mode: ProducerMode) -> Result<Arc<dyn Producer>, LogError> {
        let (log, in_flight) = (Arc::clone(&self.0), Arc::new(InFlight::default()));
        Ok(Arc::new(producer::EmbeddedProducer { log, mode, in_flight }))
    }

    async fn join(&self, options: GroupOptions) -> Result<Box<dyn GroupMember>, LogError> {
        let GroupOptions { group_id, topics, .. } = options;
        let mut partitions = Vec::new();
        for topic in &topics {
            partitions.extend(self.0.topic(topic)?.partitions.iter().map(|partition| partition.id.clone()));
        }
        if !lock(&self.0.groups).insert(group_id.clone()) {
            return Err(LogError::Unusable(format!(
                "group {group_id} has its member: an embedded log has one process"
            )));
        }
        Ok(Box::new(group::EmbeddedMember::new(Arc::clone(&self.0), group_id, partitions)))
    }

    async fn durability_warnings(&self, _topics: &[String]) -> Vec<String> {
        Vec::new() // it has no such settings
    }
}
