//! Holding a place in a consumer group: a client and a thread that only do that, so that nothing else delays heartbeats
//! and the answers to rebalances.
//!
//! The client reads nothing. When it is assigned partitions it confirms that at once (with nothing to fetch), and the news
//! goes to the pipeline, which reads through a fetcher. When partitions are revoked, the group waits until the pipeline
//! has let go of them.

use super::errors::{client_error, is_forbidden};
use super::signal::Signal;
use crate::{LogError, Rebalance, TopicPartition};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Changes that wait for the pipeline at most. There cannot be many: the group waits for a release after each revocation.
const CHANGES: usize = 64;
/// The client says when it has something; look anyhow after this long, and show the group that this process is alive.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);

type News = Result<Rebalance, LogError>;

/// A place in a group. Dropping it leaves the group, in the background.
pub(super) struct Membership {
    shared: Arc<Shared>,
    changes: mpsc::Receiver<News>,
    left: oneshot::Receiver<()>,
}

#[derive(Default)]
struct Shared {
    signal: Arc<Signal>,
    requests: Mutex<Requests>,
    leaving: Arc<AtomicBool>,
}

#[derive(Default)]
struct Requests {
    released: Vec<TopicPartition>,
    /// The newest position of each partition.
    commits: HashMap<TopicPartition, u64>,
}

impl Membership {
    pub(super) fn join(config: &ClientConfig, topics: &[String]) -> Result<Self, LogError> {
        let shared = Arc::new(Shared::default());
        let context = Recorder { seen: Mutex::default(), leaving: Arc::clone(&shared.leaving) };
        let mut consumer: BaseConsumer<Recorder> =
            config.create_with_context(context).map_err(|e| client_error(&e))?;
        let on_event = Arc::clone(&shared.signal);
        consumer.set_nonempty_callback(move || on_event.wake());
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|e| LogError::Unavailable {
            action: "join the consumer group",
            reason: e.to_string(),
        })?;
        let (sender, changes) = mpsc::channel(CHANGES);
        let (done, left) = oneshot::channel();
        let holder =
            Holder { consumer, shared: Arc::clone(&shared), changes: sender, unreleased: HashSet::new() };
        std::thread::Builder::new()
            .name("kafka-member".to_owned())
            .spawn(move || {
                holder.run();
                let _ = done.send(()); // nobody waits when the member was dropped
            })
            .map_err(|e| LogError::Unusable(format!("cannot start a thread: {e}")))?;
        Ok(Self { shared, changes, left })
    }

    /// The next change. Cancel-safe.
    pub(super) async fn next(&mut self) -> News {
        self.changes
            .recv()
            .await
            .unwrap_or_else(|| Err(LogError::Unusable("the consumer group was left".to_owned())))
    }

    pub(super) fn release(&self, partitions: &[TopicPartition]) {
        self.requests().released.extend_from_slice(partitions);
        self.shared.signal.wake();
    }

    pub(super) fn commit(&self, partition: &TopicPartition, next_offset: u64) {
        self.requests().commits.insert(partition.clone(), next_offset);
        self.shared.signal.wake();
    }

    /// Leaves the group and waits for that, at most as long as told: a client that hangs is left behind.
    pub(super) async fn leave(mut self, deadline: Duration) {
        self.shared.leave();
        if tokio::time::timeout(deadline, &mut self.left).await.is_err() {
            tracing::warn!(
                "the consumer group could not be left in time: others take over after the session timeout"
            );
        }
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

impl Shared {
    fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
        self.signal.wake();
    }
}

/// Records what the group says. It runs inside of a poll, where nothing else may be done.
struct Recorder {
    seen: Mutex<Vec<Seen>>,
    leaving: Arc<AtomicBool>,
}

enum Seen {
    Assigned(Vec<TopicPartition>),
    Revoked { partitions: Vec<TopicPartition>, lost: bool },
    Failed(String),
}

impl ClientContext for Recorder {}

impl ConsumerContext for Recorder {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.leaving.load(Ordering::Acquire) {
            // The client is being closed and waits for this; the pipeline has stopped already.
            let _ = consumer.unassign(); // a failure would only mean that there is nothing to give up
            return;
        }
        let id =
            |topic: &str, partition: i32| TopicPartition { topic: topic.into(), partition: partition as u32 };
        let partitions = list.elements().iter().map(|found| id(found.topic(), found.partition())).collect();
        let seen = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Seen::Assigned(partitions),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                Seen::Revoked { partitions, lost: consumer.assignment_lost() }
            }
            other => Seen::Failed(format!("{other:?}")),
        };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }
}

/// The thread that owns the client.
struct Holder {
    consumer: BaseConsumer<Recorder>,
    shared: Arc<Shared>,
    changes: mpsc::Sender<News>,
    /// Revoked, and not yet released by the pipeline.
    unreleased: HashSet<TopicPartition>,
}

impl Holder {
    /// Until the group is left or lost for good. The client leaves the group when it is dropped.
    fn run(mut self) {
        while !self.shared.leaving.load(Ordering::Acquire) {
            if let Err(error) = self.poll().and_then(|()| self.serve()) {
                let _ = self.changes.try_send(Err(error)); // the closed channel says it too
                break;
            }
            self.shared.signal.wait(LONGEST_SLEEP);
        }
        self.serve_commits();
        self.shared.leaving.store(true, Ordering::Release);
    }

    fn poll(&mut self) -> Result<(), LogError> {
        // An answer of "nothing" may also mean that the client did something else.
        let mut nothing = 0;
        while nothing < 3 {
            match self.consumer.poll(Duration::ZERO) {
                None => nothing += 1,
                Some(Ok(_)) => {} // it fetches nothing
                Some(Err(error)) => {
                    let forbidden = error.rdkafka_error_code().is_some_and(is_forbidden);
                    if forbidden || matches!(error, KafkaError::MessageConsumptionFatal(_)) {
                        return Err(LogError::Unusable(format!(
                            "the consumer group refuses this process: {error}"
                        )));
                    }
                    tracing::debug!(%error, "the Kafka group client goes on after an error");
                }
            }
        }
        Ok(())
    }

    fn serve(&mut self) -> Result<(), LogError> {
        let seen =
            std::mem::take(&mut *self.consumer.context().seen.lock().unwrap_or_else(PoisonError::into_inner));
        for seen in seen {
            match seen {
                Seen::Assigned(partitions) => {
                    self.consumer.assign(&TopicPartitionList::new()).map_err(not_answered)?;
                    self.tell(partitions, Rebalance::Assigned)?;
                }
                Seen::Revoked { partitions, lost } if lost || partitions.is_empty() => {
                    self.unreleased.clear();
                    self.consumer.unassign().map_err(not_answered)?;
                    self.tell(partitions, Rebalance::Lost)?;
                }
                Seen::Revoked { partitions, .. } => {
                    self.unreleased.extend(partitions.iter().cloned());
                    self.tell(partitions, Rebalance::Revoked)?;
                }
                Seen::Failed(reason) => tracing::warn!(reason, "a rebalance of the consumer group failed"),
            }
        }
        self.serve_commits();
        self.serve_releases()
    }

    fn tell(
        &self,
        partitions: Vec<TopicPartition>,
        change: fn(Vec<TopicPartition>) -> Rebalance,
    ) -> Result<(), LogError> {
        if partitions.is_empty() {
            return Ok(());
        }
        self.changes.try_send(Ok(change(partitions))).map_err(|_| {
            LogError::Unusable("changes of the consumer group were not taken in time".to_owned())
        })
    }

    fn serve_releases(&mut self) -> Result<(), LogError> {
        let released = {
            let mut requests = self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut requests.released)
        };
        let waited = !self.unreleased.is_empty();
        self.unreleased.retain(|partition| !released.contains(partition));
        if waited && self.unreleased.is_empty() {
            self.consumer.unassign().map_err(not_answered)?;
        }
        Ok(())
    }

    /// Best effort: the group's offsets are for lag tools only.
    fn serve_commits(&self) {
        let commits = {
            let mut requests = self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut requests.commits)
        };
        if commits.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for (TopicPartition { topic, partition }, offset) in commits {
            let _ = list.add_partition_offset(&topic, partition as i32, Offset::Offset(offset as i64));
        }
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "the group's offsets could not be committed");
        }
    }
}

fn not_answered(error: KafkaError) -> LogError {
    LogError::Unavailable { action: "answer the consumer group", reason: error.to_string() }
}
