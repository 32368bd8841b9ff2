//! The log on Kafka.
//!
//! Producers hand records to librdkafka, whose delivery report resolves the append. Consumers are split in two: a
//! *membership* holds the place in the group (heartbeats, rebalances), a *fetcher* reads the partitions that it is told
//! to, from the offsets that it is told. The group's own offsets are never read.

mod admin;
mod errors;
mod fetcher;
mod lanes;
mod member;
mod membership;
mod pace;
mod producer;
mod reader;
mod sampled;
mod settings;
mod signal;

pub use settings::KafkaSettings;

use crate::{
    EventLog, GroupMember, GroupOptions, LogError, Producer, ProducerMode, Record, RecordStream,
    SampledRecord, TopicInfo, TopicPartition, TopicSpec,
};
use admin::Admin;
use async_trait::async_trait;
use errors::client_error;
use fetcher::{Buffer, Fetcher};
use member::KafkaMember;
use membership::Membership;
use producer::{Clients, KafkaProducer};
use reader::Readers;
use sampled::Sampled;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a topic that was just created may take to be known to all brokers.
const PROPAGATION: Duration = Duration::from_secs(15);

/// A log on a Kafka cluster; cheap to clone.
#[derive(Clone)]
pub struct KafkaLog(Arc<Shared>);

struct Shared {
    settings: KafkaSettings,
    admin: Admin,
    readers: Arc<Readers>,
    followers: Mutex<Vec<Follower>>,
    /// Where members of groups note records whose traces are recorded, if they are to look for them.
    sampled: Option<Arc<Sampled>>,
}

/// A fetcher for partitions that are followed without a group.
struct Follower {
    fetcher: Fetcher,
    taken: HashMap<TopicPartition, Arc<Buffer>>,
}

impl KafkaLog {
    /// A log on the cluster of `settings`. It connects when it is first used, and again whenever it has to.
    ///
    /// # Errors
    /// [`LogError::Unusable`] naming the property that is wrong or may not be set.
    pub fn connect(settings: KafkaSettings) -> Result<Self, LogError> {
        settings.check()?;
        let admin = Admin::new(&settings.client(), settings.replication_factor)?;
        let readers = Arc::new(Readers::new(settings.reader()));
        let sampled = settings.notice_sampled.then(Arc::default);
        Ok(Self(Arc::new(Shared { settings, admin, readers, followers: Mutex::default(), sampled })))
    }

    /// Deletes a topic and all its records, and returns once no broker asked knows it any more. No service does this: it is
    /// for whoever has done with a generation, and for tests.
    ///
    /// # Errors
    /// When there is no such topic, it may not be deleted, or the log does not answer.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), LogError> {
        self.0.admin.delete(topic).await?;
        let forgotten = async {
            while !matches!(self.partitions(topic).await, Err(LogError::NoSuchTopic(_))) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let reason = "its brokers still know the topic".to_owned();
        tokio::time::timeout(PROPAGATION, forgotten)
            .await
            .map_err(|_| LogError::Unavailable { action: "delete a topic", reason })
    }

    /// Deletes the records before `start`, as retention does. No service does this.
    ///
    /// # Errors
    /// When the partition does not reach that far, or the log does not answer.
    pub async fn truncate_before(&self, partition: &TopicPartition, start: u64) -> Result<(), LogError> {
        self.0.admin.truncate_before(partition, start).await
    }

    async fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        let topic = topic.to_owned();
        self.0.readers.call(move |consumer| reader::partitions(consumer, &topic)).await
    }

    async fn wait_until_known(&self, topic: &str) -> Result<u32, LogError> {
        let known = async {
            loop {
                match self.partitions(topic).await {
                    Err(LogError::NoSuchTopic(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
                    outcome => break outcome,
                }
            }
        };
        tokio::time::timeout(PROPAGATION, known)
            .await
            .unwrap_or_else(|_| Err(LogError::NoSuchTopic(topic.to_owned())))
    }

    /// Follows with a fetcher that does not have the partition yet.
    fn follow_from(&self, partition: &TopicPartition, offset: u64) -> Result<RecordStream, LogError> {
        let mut followers = self.0.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let free = followers
            .iter()
            .position(|follower| follower.taken.get(partition).is_none_or(|buffer| buffer.is_closed()));
        let index = match free {
            Some(index) => index,
            None => {
                let fetcher = Fetcher::new(&self.0.settings.reader(), None)?;
                followers.push(Follower { fetcher, taken: HashMap::new() });
                followers.len() - 1
            }
        };
        let follower = &mut followers[index];
        let (buffer, stream) = follower.fetcher.start(partition, offset);
        follower.taken.insert(partition.clone(), buffer);
        Ok(stream)
    }
}

/// A stream that only says why it cannot be read.
fn failed_stream(error: LogError) -> RecordStream {
    let (batches, stream) = RecordStream::bounded(1);
    let _ = batches.try_send(Err(error)); // there is room for it
    stream
}

#[async_trait]
impl EventLog for KafkaLog {
    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        for spec in topics {
            if let Err(LogError::NoSuchTopic(_)) = self.partitions(&spec.name).await {
                self.0.admin.create(spec).await?;
            }
            let (name, found, wanted) =
                (&spec.name, self.wait_until_known(&spec.name).await?, spec.partitions);
            if found != wanted {
                return Err(LogError::Unusable(format!(
                    "topic {name} has {found} partitions but {wanted} are configured: the count of a topic in use \
                     cannot change"
                )));
            }
            if !spec.compacted {
                self.0.admin.check_append_time(name).await?;
            }
        }
        Ok(())
    }

    async fn describe(&self, topic: &str) -> Result<TopicInfo, LogError> {
        Ok(TopicInfo { partitions: self.partitions(topic).await? })
    }

    async fn traceparent(&self, partition: &TopicPartition, offset: u64) -> Result<Option<String>, LogError> {
        let partition = partition.clone();
        self.0.readers.call(move |consumer| reader::traceparent(consumer, &partition, offset)).await
    }

    fn take_sampled(&self, partition: &TopicPartition, end: u64) -> Vec<SampledRecord> {
        self.0.sampled.as_ref().map_or_else(Vec::new, |sampled| sampled.take(partition, end))
    }

    async fn bounds(&self, partition: &TopicPartition) -> Result<Range<u64>, LogError> {
        let partition = partition.clone();
        self.0.readers.call(move |consumer| reader::bounds(consumer, &partition)).await
    }

    async fn read(
        &self,
        partition: &TopicPartition,
        offset: u64,
        max_records: usize,
    ) -> Result<Vec<Record>, LogError> {
        let partition = partition.clone();
        self.0.readers.call(move |consumer| reader::read(consumer, &partition, offset, max_records)).await
    }

    async fn follow(&self, partition: &TopicPartition, offset: u64) -> Result<RecordStream, LogError> {
        let bounds = self.bounds(partition).await?;
        if let Err(outside) = reader::check(partition, &bounds, offset) {
            return Ok(failed_stream(outside));
        }
        self.follow_from(partition, offset)
    }

    fn producer(&self, mode: ProducerMode) -> Result<Arc<dyn Producer>, LogError> {
        let settings = &self.0.settings;
        let configs =
            Clients { prompt: settings.producer(mode), lingering: settings.lingering_producers(mode) };
        let capacity = settings.producer_capacity();
        Ok(Arc::new(KafkaProducer::new(&configs, mode, capacity).map_err(|e| client_error(&e))?))
    }

    async fn join(&self, options: GroupOptions) -> Result<Box<dyn GroupMember>, LogError> {
        for topic in &options.topics {
            self.partitions(topic).await?;
        }
        let fetcher = Fetcher::new(&self.0.settings.reader(), self.0.sampled.clone())?;
        let membership = Membership::join(&self.0.settings.member(&options), &options.topics)?;
        Ok(Box::new(KafkaMember::new(membership, fetcher, Arc::clone(&self.0.readers))))
    }

    async fn durability_warnings(&self, topics: &[String]) -> Vec<String> {
        let mut warnings = Vec::new();
        for topic in topics {
            let name = topic.clone();
            let copies = self.0.readers.call(move |consumer| reader::copies(consumer, &name)).await;
            match copies {
                Ok(copies) => warnings.extend(self.0.admin.warnings(topic, copies).await),
                Err(error) => {
                    warnings.push(format!("the settings of topic {topic} cannot be checked: {error}"))
                }
            }
        }
        warnings
    }
}
