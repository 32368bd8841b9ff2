//! Looking things up and reading exactly, with clients that are kept for the next call.

use super::errors::{client_error, log_error};
use super::fetcher::Round;
use super::producer::TRACEPARENT;
use crate::{LogError, Record, TopicPartition};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long to wait for a broker's answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Clients kept for later.
const KEPT_CLIENTS: usize = 4;

/// Clients for calls that block: each call has one to itself.
pub(super) struct Readers {
    config: ClientConfig,
    idle: Mutex<Vec<BaseConsumer>>,
}

impl Readers {
    pub(super) fn new(mut config: ClientConfig) -> Self {
        config.set("enable.partition.eof", "true");
        // A request for another partition waits until the broker has answered the one before it.
        config.set("fetch.wait.max.ms", "10");
        Self { config, idle: Mutex::default() }
    }

    /// Runs a call on a thread that may block.
    pub(super) async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&BaseConsumer) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let readers = Arc::clone(self);
        let call = move || {
            let consumer = readers.take()?;
            let outcome = work(&consumer);
            if outcome.is_ok() {
                readers.keep(consumer);
            }
            outcome
        };
        tokio::task::spawn_blocking(call)
            .await
            .unwrap_or_else(|_| Err(LogError::Unusable("a call to Kafka failed".to_owned())))
    }

    fn take(&self) -> Result<BaseConsumer, LogError> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let consumer = match kept {
            Some(consumer) => consumer,
            None => self.config.create().map_err(|e| client_error(&e))?,
        };
        while consumer.poll(Duration::ZERO).is_some() {} // what it had to say while it was idle
        Ok(consumer)
    }

    fn keep(&self, consumer: BaseConsumer) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT_CLIENTS {
            idle.push(consumer);
        }
    }
}

/// The number of partitions of a topic.
pub(super) fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<u32, LogError> {
    with_metadata(consumer, topic, |found| found.partitions().len() as u32)
}

/// How many copies its partitions have; the least where that differs.
pub(super) fn copies(consumer: &BaseConsumer, topic: &str) -> Result<usize, LogError> {
    with_metadata(consumer, topic, |found| {
        found.partitions().iter().map(|p| p.replicas().len()).min().unwrap_or(0)
    })
}

fn with_metadata<T>(
    consumer: &BaseConsumer,
    topic: &str,
    extract: impl FnOnce(&MetadataTopic) -> T,
) -> Result<T, LogError> {
    let failed = |error: KafkaError| log_error("look up the partitions", topic, &error);
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).map_err(failed)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.ok_or_else(|| LogError::NoSuchTopic(topic.to_owned()))?;
    match found.error() {
        Some(error) => Err(failed(KafkaError::MetadataFetch(error.into()))),
        None => Ok(extract(found)),
    }
}

/// The first offset held and the next to be written.
pub(super) fn bounds(consumer: &BaseConsumer, id: &TopicPartition) -> Result<Range<u64>, LogError> {
    let TopicPartition { topic, partition } = id;
    // Asking for the bounds of a topic that does not exist would wait for it to appear.
    let count = partitions(consumer, topic)?;
    if *partition >= count {
        return Err(LogError::Unusable(format!(
            "topic {topic} has {count} partitions, there is no {partition}"
        )));
    }
    let (low, high) = consumer
        .fetch_watermarks(topic, *partition as i32, TIMEOUT)
        .map_err(|error| log_error("look up the bounds", topic, &error))?;
    Ok(low.max(0) as u64..high.max(0) as u64)
}

/// [`LogError::OutOfRange`] unless `offset` can be read from (the end itself can).
pub(super) fn check(id: &TopicPartition, bounds: &Range<u64>, offset: u64) -> Result<(), LogError> {
    let Range { start, end } = *bounds;
    if (start..=end).contains(&offset) {
        return Ok(());
    }
    Err(LogError::OutOfRange { topic: id.topic.to_string(), partition: id.partition, offset, start, end })
}

/// Records from `offset` on, at most `max` and at most up to the end at the time of the call.
pub(super) fn read(
    consumer: &BaseConsumer,
    id: &TopicPartition,
    offset: u64,
    max: usize,
) -> Result<Vec<Record>, LogError> {
    let bounds = bounds(consumer, id)?;
    check(id, &bounds, offset)?;
    if offset == bounds.end || max == 0 {
        return Ok(Vec::new());
    }
    let failed = |error: KafkaError| log_error("read records", &id.topic, &error);
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(&id.topic, id.partition as i32, Offset::Offset(offset as i64))
        .map_err(failed)?;
    consumer.assign(&list).map_err(failed)?;
    let mut round = Round::default();
    let outcome = collect(consumer, id, offset, bounds.end, |message| {
        round.push(message);
        round.len() < max
    });
    consumer.unassign().map_err(failed)?;
    outcome.map(|()| round.take().collect())
}

/// The `traceparent` of the record at `offset`.
pub(super) fn traceparent(
    consumer: &BaseConsumer,
    id: &TopicPartition,
    offset: u64,
) -> Result<Option<String>, LogError> {
    let bounds = bounds(consumer, id)?;
    if !bounds.contains(&offset) {
        return Ok(None);
    }
    let failed = |error: KafkaError| log_error("read a record's header", &id.topic, &error);
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(&id.topic, id.partition as i32, Offset::Offset(offset as i64))
        .map_err(failed)?;
    consumer.assign(&list).map_err(failed)?;
    let mut found = None;
    let outcome = collect(consumer, id, offset, bounds.end, |message| {
        if message.offset() as u64 == offset {
            found = message.headers().and_then(|headers| {
                let header = headers.iter().find(|header| header.key == TRACEPARENT)?;
                String::from_utf8(header.value?.to_vec()).ok()
            });
        }
        false
    });
    consumer.unassign().map_err(failed)?;
    outcome.map(|()| found)
}

/// Hands over messages from `offset` on and up to `end`, for as long as `more` wants more.
fn collect(
    consumer: &BaseConsumer,
    id: &TopicPartition,
    offset: u64,
    end: u64,
    mut more: impl FnMut(&BorrowedMessage<'_>) -> bool,
) -> Result<(), LogError> {
    let mut progress = Instant::now();
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let at = message.offset() as u64;
                if at >= end {
                    break;
                }
                progress = Instant::now();
                if at >= offset && !more(&message) {
                    break;
                }
                if at + 1 == end {
                    break;
                }
            }
            // Where the last offsets hold no record (compaction, transactions), only this says that nothing follows.
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                check(id, &bounds(consumer, id)?, offset)?;
                return Err(log_error("read records", &id.topic, &error));
            }
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                return Err(log_error("read records", &id.topic, &error));
            }
            Some(Err(error)) => match log_error("read records", &id.topic, &error) {
                LogError::Unavailable { .. } => {} // the client tries again by itself
                for_good => return Err(for_good),
            },
            None => {}
        }
        if progress.elapsed() > TIMEOUT {
            return Err(LogError::Unavailable {
                action: "read records",
                reason: "no broker answers".to_owned(),
            });
        }
    }
    Ok(())
}
