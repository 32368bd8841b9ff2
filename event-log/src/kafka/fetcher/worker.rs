//! The thread that owns the fetching client.

use super::{Buffer, Round, Shared, Start};
use crate::kafka::errors::{is_forbidden, is_unknown_topic, log_error};
use crate::kafka::sampled::Sampled;
use crate::{LogError, TopicPartition};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// Messages taken from the client before they are handed on.
const ROUND_MESSAGES: usize = 2000;
/// The client says when it has something; look anyhow after this long, in case it forgot.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);
/// A partition that stays silent for this long is compared with the log's end.
const STALL_CHECK: Duration = Duration::from_secs(30);
/// How long to wait for a broker's answer about a partition.
const BROKER_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Worker {
    consumer: BaseConsumer,
    shared: Arc<Shared>,
    partitions: Vec<Fetched>,
    /// Where the last message belonged: the next one most likely does too.
    last: usize,
    /// Something is wrong with a partition, but the client did not say with which.
    examine: bool,
    last_stall_check: Instant,
    sampled: Option<Arc<Sampled>>,
}

struct Fetched {
    id: TopicPartition,
    buffer: Arc<Buffer>,
    /// The offset of the next record to hand on, or lower (there may be gaps).
    next: u64,
    round: Round,
    state: State,
    /// Nothing came since the last check for stalls.
    silent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not on the client: its buffer is or was full.
    Waiting,
    /// The client fetches it.
    Fetching,
    /// It cannot be read on; its reader was told.
    Failed,
}

impl Fetched {
    fn fail(&mut self, error: LogError) {
        self.state = State::Failed;
        self.buffer.fail(error);
    }
}

impl Worker {
    pub(super) fn new(consumer: BaseConsumer, shared: Arc<Shared>, sampled: Option<Arc<Sampled>>) -> Self {
        Self {
            consumer,
            shared,
            partitions: Vec::new(),
            last: 0,
            examine: false,
            last_stall_check: Instant::now(),
            sampled,
        }
    }

    pub(super) fn run(mut self) {
        while !self.shared.closed.load(Ordering::Acquire) {
            self.drop_closed();
            self.take_starts();
            let more = self.poll_round();
            self.hand_on();
            self.balance();
            if self.examine {
                self.examine_partitions();
            }
            self.check_stalls();
            if !more {
                self.shared.signal.wait(LONGEST_SLEEP);
            }
        }
        self.take_starts();
        self.partitions.iter().for_each(|partition| partition.buffer.close());
    }

    fn drop_closed(&mut self) {
        for index in (0..self.partitions.len()).rev() {
            if self.partitions[index].buffer.is_closed() {
                self.deactivate(index);
                self.partitions.swap_remove(index);
            }
        }
    }

    fn take_starts(&mut self) {
        let starts = std::mem::take(&mut *self.shared.starts.lock().unwrap_or_else(PoisonError::into_inner));
        for Start { partition, offset, buffer } in starts {
            if let Some(index) = self.partitions.iter().position(|known| known.id == partition) {
                self.deactivate(index);
                self.partitions.swap_remove(index).buffer.close();
            }
            let round = Round::default();
            let state = State::Waiting;
            let fetched = Fetched { id: partition, buffer, next: offset, round, state, silent: false };
            self.partitions.push(fetched); // `balance` makes it active
        }
    }

    /// Takes what the client has; whether there may be more.
    fn poll_round(&mut self) -> bool {
        // An answer of "nothing" may also mean that the client did something else than reading.
        let mut nothing = 0;
        for _ in 0..ROUND_MESSAGES {
            match self.consumer.poll(Duration::ZERO) {
                None if nothing == 2 => return false,
                None => nothing += 1,
                Some(Ok(message)) => {
                    nothing = 0;
                    let accepted = accept(&mut self.partitions, &mut self.last, &message);
                    if let (Some(sampled), Some(partition)) = (&self.sampled, accepted) {
                        sampled.look_at(partition, &message);
                    }
                }
                Some(Err(error)) => {
                    nothing = 0;
                    let examine = note(&error, &mut self.partitions);
                    self.examine |= examine;
                }
            }
        }
        true
    }

    fn hand_on(&mut self) {
        for partition in &mut self.partitions {
            if !partition.round.is_empty() {
                partition.silent = false;
                partition.buffer.fill(partition.round.take());
            }
        }
    }

    /// Takes partitions with a full buffer off the client, and puts those with room on it.
    fn balance(&mut self) {
        for index in 0..self.partitions.len() {
            let full = self.partitions[index].buffer.is_full();
            match (self.partitions[index].state, full) {
                (State::Fetching, true) => self.deactivate(index),
                (State::Waiting, false) => self.activate(index),
                _ => {}
            }
        }
    }

    fn activate(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        let mut list = TopicPartitionList::with_capacity(1);
        let TopicPartition { topic, partition: number } = &partition.id;
        let offset = Offset::Offset(partition.next as i64);
        let outcome = list
            .add_partition_offset(topic, *number as i32, offset)
            .and_then(|()| self.consumer.incremental_assign(&list));
        match outcome {
            Ok(()) => partition.state = State::Fetching,
            Err(error) => {
                let error = log_error("start reading a partition", topic, &error);
                partition.fail(error);
            }
        }
    }

    /// After this the client hands out no message of the partition any more: it drops those it had fetched.
    fn deactivate(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        if partition.state != State::Fetching {
            return;
        }
        partition.state = State::Waiting;
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&partition.id.topic, partition.id.partition as i32);
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            tracing::warn!(%error, topic = %partition.id.topic, "cannot stop reading a partition");
        }
    }

    /// Finds the partitions that cannot be read on, and tells their readers why.
    fn examine_partitions(&mut self) {
        self.examine = false;
        for index in 0..self.partitions.len() {
            if self.partitions[index].state != State::Fetching {
                continue; // the client has not complained about this one
            }
            match self.watermarks(index) {
                Ok((start, end)) => {
                    let Fetched { id, next, .. } = &self.partitions[index];
                    if *next < start || *next > end {
                        let (topic, partition, offset) = (id.topic.to_string(), id.partition, *next);
                        self.give_up(index, LogError::OutOfRange { topic, partition, offset, start, end });
                    }
                }
                Err(error @ (LogError::NoSuchTopic(_) | LogError::Unusable(_))) => {
                    self.give_up(index, error);
                }
                Err(_) => self.examine = true, // no answer: ask again
            }
        }
    }

    fn give_up(&mut self, index: usize, error: LogError) {
        self.deactivate(index);
        self.partitions[index].fail(error);
    }

    /// Puts a partition on the client anew when it has been silent although the log goes on.
    fn check_stalls(&mut self) {
        if self.last_stall_check.elapsed() < STALL_CHECK {
            return;
        }
        for index in 0..self.partitions.len() {
            let partition = &mut self.partitions[index];
            let was_silent = std::mem::replace(&mut partition.silent, true);
            let (state, next) = (partition.state, partition.next);
            if was_silent
                && state == State::Fetching
                && self.watermarks(index).is_ok_and(|(_, end)| end > next)
            {
                let TopicPartition { topic, partition } = &self.partitions[index].id;
                tracing::warn!(%topic, partition, next, "nothing was read for a while although there is more: starting anew");
                metrics::counter!(crate::metrics::STALLED_READS).increment(1);
                self.deactivate(index);
                self.activate(index);
            }
        }
        self.last_stall_check = Instant::now();
    }

    fn watermarks(&self, index: usize) -> Result<(u64, u64), LogError> {
        let TopicPartition { topic, partition } = &self.partitions[index].id;
        let (low, high) = self
            .consumer
            .fetch_watermarks(topic, *partition as i32, BROKER_TIMEOUT)
            .map_err(|error| log_error("look up the bounds", topic, &error))?;
        Ok((low.max(0) as u64, high.max(0) as u64))
    }
}

/// Adds a message to its partition's round. Gives the partition, unless it does not want the message.
fn accept<'a>(
    partitions: &'a mut [Fetched],
    last: &mut usize,
    message: &BorrowedMessage<'_>,
) -> Option<&'a TopicPartition> {
    let (topic, number, offset) = (message.topic(), message.partition() as u32, message.offset() as u64);
    let belongs = |fetched: &Fetched| fetched.id.partition == number && &*fetched.id.topic == topic;
    if !partitions.get(*last).is_some_and(belongs) {
        match partitions.iter().position(belongs) {
            Some(index) => *last = index,
            None => return None, // its reader has just gone
        }
    }
    let partition = &mut partitions[*last];
    if partition.state == State::Fetching && offset >= partition.next {
        partition.next = offset + 1;
        partition.round.push(message);
        return Some(&partition.id);
    }
    None
}

/// Deals with an error of the client; whether the partitions have to be examined.
fn note(error: &KafkaError, partitions: &mut [Fetched]) -> bool {
    let Some(code) = error.rdkafka_error_code() else { return false };
    let for_good = matches!(error, KafkaError::MessageConsumptionFatal(_)) || is_forbidden(code);
    if for_good {
        for partition in partitions {
            partition.fail(LogError::Unusable(format!("Kafka refuses: {error}")));
        }
    } else if is_unknown_topic(code)
        || matches!(code, RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    {
        return true;
    } else {
        tracing::debug!(%error, "the Kafka client goes on after an error");
    }
    false
}
