//! The pipeline, as one file.
//!
//! ```text
//! events ──► shopper stage ──► product-activity ──► product stage ──► neighbours, trending ──► serving store
//!               │                                      │
//!               ├──► histories ──► serving store       └──► product rows ──► state store
//!               └──► user rows ──► state store
//! ```
//!
//! Every partition of both topics has a task of its own, and the consumer group says which are this process's.

use crate::background::Background;
use crate::config::ProcessorConfig;
use crate::context::{Context, Parts, SharedProducer};
use crate::partition::{StartRequest, Supervised, TaskError, supervise};
use crate::progress::StageName;
use crate::publish::ListCache;
use crate::status::{PartitionStatus, Registry};
use crate::{layout, markers, metrics};
use event_log::{GroupMember, GroupOptions, LogError, Rebalance, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Why the processor ended by itself.
#[derive(Debug, Error)]
pub enum ProcessorError {
    /// The log and the stored state do not belong together, or a store cannot be used.
    #[error("{0}")]
    Refused(String),
    /// The log failed for good.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A processor, ready to run. Clones share everything.
#[derive(Clone)]
pub struct Processor {
    context: Arc<Context>,
}

/// Lists of other products kept for ranking.
const CACHED_LISTS: usize = 200_000;
/// How long a stage's tasks wait in line to begin reading or to note their progress.
const REQUESTS: usize = 64;

impl Processor {
    /// Creates missing topics and checks that the log's layout is the one that the state was built with.
    ///
    /// # Errors
    /// When the log does not answer or the layout differs.
    pub async fn prepare(parts: Parts, config: ProcessorConfig) -> Result<Self, ProcessorError> {
        let (events_partitions, activity_partitions) = layout::ensure_topics(&parts, &config).await?;
        let context = Arc::new(Context {
            producer: SharedProducer::new(Arc::clone(&parts.log)),
            parts,
            config,
            events_partitions,
            activity_partitions,
            names: Arc::default(),
            lists: ListCache::new(CACHED_LISTS),
            registry: Registry::default(),
            background: Background::beside_current(),
            begun: Instant::now(),
        });
        layout::check(&context).await.map_err(|error| ProcessorError::Refused(error.to_string()))?;
        Ok(Self { context })
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The partitions that this process owns, with their figures.
    pub fn registry(&self) -> &Registry {
        &self.context.registry
    }

    /// Works until `token` is cancelled; then flushes, and leaves the group.
    ///
    /// # Errors
    /// When a partition refuses to start or the membership is lost for good.
    pub async fn run(&self, token: CancellationToken) -> Result<(), ProcessorError> {
        let context = &self.context;
        // Lists name categories and leave out inactive products: nothing is published before these are known.
        tokio::select! {
            biased;
            () = token.cancelled() => return Ok(()),
            () = context.parts.catalog.loaded() => {}
        }
        let group = GroupOptions {
            group_id: format!("{}-g{}", context.config.group_id, context.config.generation),
            topics: vec![context.parts.topics.events.clone(), context.parts.topics.product_activity.clone()],
            instance_id: Some(context.config.instance_id.clone()).filter(|id| !id.is_empty()),
            session_timeout_ms: context.config.session_timeout_ms,
        };
        let mut member = context.parts.log.join(group).await?;
        #[allow(clippy::disallowed_methods, reason = "the handle aborts it when the run ends")]
        let _markers = AbortOnDropHandle::new(tokio::spawn(markers::run(Arc::clone(context))));
        let mut tasks = Tasks::new(Arc::clone(context));
        let result = tasks.follow(&mut *member, &token).await;
        let drain = Duration::from_millis(context.config.drain_ms);
        tasks.stop_all(drain).await;
        member.leave(5_000).await;
        result
    }
}

/// The partition tasks of this process.
struct Tasks {
    context: Arc<Context>,
    running: JoinSet<Result<(), TaskError>>,
    owned: BTreeMap<TopicPartition, Owned>,
    starts: Requests<StartRequest>,
    commits: Requests<(TopicPartition, u64)>,
}

/// What tasks ask of the group member: both ends of a bounded queue.
type Requests<T> = (mpsc::Sender<T>, mpsc::Receiver<T>);

type Ended = Result<(Id, Result<(), TaskError>), JoinError>;

fn id_of(ended: &Ended) -> Id {
    match ended {
        Ok((id, _)) => *id,
        Err(error) => error.id(),
    }
}

struct Owned {
    task: AbortHandle,
    token: CancellationToken,
    stage: StageName,
    status: Arc<PartitionStatus>,
}

impl Tasks {
    fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            running: JoinSet::new(),
            owned: BTreeMap::new(),
            starts: mpsc::channel(REQUESTS),
            commits: mpsc::channel(REQUESTS),
        }
    }

    /// Follows the group's assignment until told to stop.
    async fn follow(
        &mut self,
        member: &mut dyn GroupMember,
        token: &CancellationToken,
    ) -> Result<(), ProcessorError> {
        loop {
            // In this order, not in a random one: the group comes before the tasks, and a simulation can be replayed.
            tokio::select! {
                biased;
                () = token.cancelled() => return Ok(()),
                rebalance = member.next_rebalance() => match rebalance? {
                    Rebalance::Assigned(partitions) => {
                        tracing::info!(count = partitions.len(), "partitions assigned");
                        metrics::rebalance("assigned");
                        partitions.into_iter().for_each(|partition| self.begin(partition));
                    }
                    Rebalance::Revoked(partitions) => {
                        tracing::info!(count = partitions.len(), "partitions revoked");
                        metrics::rebalance("revoked");
                        self.stop(&partitions, Duration::from_millis(self.context.config.drain_ms)).await;
                        member.release(&partitions).await?;
                    }
                    Rebalance::Lost(partitions) => {
                        tracing::warn!(count = partitions.len(), "partitions lost: this copy was out of touch");
                        metrics::rebalance("lost");
                        self.stop(&partitions, Duration::ZERO).await;
                    }
                },
                Some(request) = self.starts.1.recv() => {
                    let stream = member.start(&request.partition, request.offset).await;
                    // Whoever asked may have been stopped meanwhile.
                    drop(request.reply.send(stream));
                }
                Some(ended) = self.running.join_next_with_id() => self.ended(ended)?,
                Some((partition, offset)) = self.commits.1.recv() => member.commit(&partition, offset),
            }
        }
    }

    fn begin(&mut self, partition: TopicPartition) {
        let stage = if *partition.topic == self.context.parts.topics.events {
            StageName::Shopper
        } else {
            StageName::Product
        };
        let status =
            self.context.registry.insert(stage, partition.partition, self.context.parts.clock.now_ms());
        let token = CancellationToken::new();
        let supervised = Supervised {
            context: Arc::clone(&self.context),
            stage,
            partition: partition.clone(),
            status: Arc::clone(&status),
            starts: self.starts.0.clone(),
            commits: self.commits.0.clone(),
        };
        let task = self.running.spawn(supervise(supervised, token.clone()));
        self.owned.insert(partition, Owned { task, token, stage, status });
    }

    /// A task that ends without being told to has met something that trying again cannot mend.
    fn ended(&mut self, ended: Ended) -> Result<(), ProcessorError> {
        let id = id_of(&ended);
        self.owned.retain(|_, owned| owned.task.id() != id);
        match ended {
            Ok((_, Ok(()))) => Ok(()),
            Ok((_, Err(error))) => Err(ProcessorError::Refused(error.to_string())),
            Err(error) if error.is_cancelled() => Ok(()),
            Err(error) => Err(ProcessorError::Refused(format!("a partition's task broke down: {error}"))),
        }
    }

    async fn stop_all(&mut self, budget: Duration) {
        let all: Vec<TopicPartition> = self.owned.keys().cloned().collect();
        self.stop(&all, budget).await;
    }

    /// Lets the tasks flush within `budget`, then ends them: what is not flushed is done again by the next owner.
    async fn stop(&mut self, partitions: &[TopicPartition], budget: Duration) {
        let mut waiting: Vec<AbortHandle> = Vec::new();
        for partition in partitions {
            let Some(owned) = self.owned.remove(partition) else { continue };
            owned.token.cancel();
            self.context.registry.remove(owned.stage, partition.partition, &owned.status);
            waiting.push(owned.task);
        }
        let deadline = tokio::time::sleep(budget);
        tokio::pin!(deadline);
        let mut forced = budget.is_zero();
        if forced {
            waiting.iter().for_each(AbortHandle::abort);
        }
        while !waiting.is_empty() && !self.running.is_empty() {
            tokio::select! {
                biased;
                Some(ended) = self.running.join_next_with_id() => {
                    let id = id_of(&ended);
                    waiting.retain(|task| task.id() != id);
                    if let Err(error) = self.ended(ended) {
                        tracing::error!(%error, "a partition ended with an error");
                    }
                }
                // A task that waits to begin reading is answered by nobody now.
                Some(_) = self.starts.1.recv() => {}
                () = &mut deadline, if !forced => {
                    tracing::warn!(partitions = waiting.len(), "stopped before everything was flushed");
                    forced = true;
                    waiting.iter().for_each(AbortHandle::abort);
                }
            }
        }
    }
}
