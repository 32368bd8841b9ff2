//! Runs a partition's task, and from its progress again after a passing failure, until it is told to stop.

use super::TaskError;
use super::dead_letter_log::DeadLetterLog;
use super::load::{Stored, check_marks};
use super::product_driver::{ProductDriver, Settling};
use super::shopper_driver::ShopperDriver;
use super::task::PartitionTask;
use crate::context::Context;
use crate::known::KnownKeys;
use crate::product::Product;
use crate::progress::{Checkpoint, ProductProgress, ShopperProgress, StageName};
use crate::publish::{Covers, PublishQueue, Ranker, TrendingPublisher};
use crate::shopper::Shopper;
use crate::status::PartitionStatus;
use event_log::{LogError, RecordStream, TopicPartition};
use schemas::names::witness_key;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Asks the group member to read a partition from an offset on.
pub(crate) struct StartRequest {
    pub(crate) partition: TopicPartition,
    pub(crate) offset: u64,
    pub(crate) reply: oneshot::Sender<Result<RecordStream, LogError>>,
}

/// A partition to be worked on.
pub(crate) struct Supervised {
    pub(crate) context: Arc<Context>,
    pub(crate) stage: StageName,
    pub(crate) partition: TopicPartition,
    pub(crate) status: Arc<PartitionStatus>,
    pub(crate) starts: mpsc::Sender<StartRequest>,
    pub(crate) commits: mpsc::Sender<(TopicPartition, u64)>,
}

/// Batches of rank jobs that wait.
const RANK_QUEUE: usize = 1;

/// Ends with `Ok` when told to stop, with an error when trying again cannot help.
pub(crate) async fn supervise(supervised: Supervised, token: CancellationToken) -> Result<(), TaskError> {
    let mut pause = Duration::from_millis(100);
    loop {
        let started = Instant::now();
        // Everything of an attempt is made anew: caches, queues, drivers. Only the stored progress carries over.
        let result = supervised.attempt(&token).await;
        supervised.status.running.store(false, Ordering::Relaxed);
        match result {
            Ok(()) => return Ok(()),
            Err(_) if token.is_cancelled() => return Ok(()),
            Err(error) if error.is_passing() => {
                supervised.status.restarts.fetch_add(1, Ordering::Relaxed);
                if started.elapsed() > Duration::from_secs(30) {
                    pause = Duration::from_millis(100);
                }
                let (stage, partition) = (supervised.stage.as_str(), supervised.partition.partition);
                tracing::warn!(%error, stage, partition, "starting anew from the stored progress in {pause:?}");
                tokio::select! {
                    biased;
                    () = token.cancelled() => return Ok(()),
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            Err(error) => return Err(error),
        }
    }
}

impl Supervised {
    async fn attempt(&self, token: &CancellationToken) -> Result<(), TaskError> {
        let load = async {
            self.see_witness().await;
            let stored = Stored::read(&self.context, self.stage, self.partition.partition).await?;
            match self.stage {
                StageName::Shopper => {
                    let progress = stored.shopper(self.partition.partition)?;
                    self.check_log(&stored, progress.at).await?;
                    let known = self.known(&stored, progress.knows_keys).await?;
                    Ok::<_, TaskError>(Loaded::Shopper(progress, known))
                }
                StageName::Product => {
                    let progress = stored.product(self.context.events_partitions)?;
                    check_marks(&self.context, &progress).await?;
                    self.check_log(&stored, progress.at).await?;
                    let known = self.known(&stored, progress.knows_keys).await?;
                    Ok::<_, TaskError>(Loaded::Product(Box::new(progress), known))
                }
            }
        };
        let loaded = tokio::select! {
            biased;
            () = token.cancelled() => return Err(TaskError::Stopped),
            loaded = load => loaded,
        }?;
        match loaded {
            Loaded::Shopper(progress, known) => self.run_shopper(progress, known, token).await,
            Loaded::Product(progress, known) => self.run_product(*progress, known, token).await,
        }
    }

    /// Before anything of the partition is published: when the serving store loses that before the markers are looked at first, and an
    /// earlier owner that does not know yet fills what *it* had published, only another witness tells.
    async fn see_witness(&self) {
        if self.status.first_witness.get().is_some() {
            return; // by an earlier attempt
        }
        let Context { parts, config, .. } = &*self.context;
        let key = witness_key(config.generation, self.stage.as_str(), self.partition.partition);
        let seen = parts.serving.get_markers(&[key]).await.ok().and_then(|mut found| found.pop().flatten());
        let _ = self.status.first_witness.set(seen);
    }

    /// The keys that have rows, where a release that keeps them has worked on the partition from its first record on. Without a
    /// progress that begins now, with none: a row that is there all the same will be made again.
    async fn known(&self, stored: &Stored, knows_keys: bool) -> Result<Option<KnownKeys>, TaskError> {
        if stored.is_new() {
            return Ok(Some(KnownKeys::default()));
        }
        if !knows_keys {
            return Ok(None);
        }
        let Context { parts, config, .. } = &*self.context;
        let partition = self.partition.partition;
        let loaded = KnownKeys::load(&*parts.state, config.generation, self.stage, partition).await?;
        let (known, missing) = loaded;
        if missing > 0 {
            // Rows whose keys are missing would be made anew, and what is in them would be lost.
            return Err(TaskError::Refused(format!(
                "the state store lacks {missing} or more of the keys that have rows in {}/{partition}: rows of its table known_keys \
                 were lost. Restore them with the rest of the state, or build a new generation (processor.generation) with \
                 `shopsmart replay-log`",
                self.partition.topic
            )));
        }
        Ok(Some(known))
    }

    async fn check_log(&self, stored: &Stored, progress: Checkpoint) -> Result<(), TaskError> {
        // Whether the clock counts for windows follows from when the log last took a record: not only from now on.
        if let Some(appended_ms) = stored.check_log(&self.context, &self.partition, progress).await? {
            self.status.last_append_ms.store(appended_ms, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn run_shopper(
        &self,
        progress: ShopperProgress,
        known: Option<KnownKeys>,
        token: &CancellationToken,
    ) -> Result<(), TaskError> {
        let (context, at) = (&self.context, progress.at);
        let producer = context.producer.get()?;
        let publishing = Publishing::begin(self);
        let stage = Shopper::new(
            self.partition.partition,
            context.config.generation,
            context.activity_partitions,
            Arc::clone(&context.names),
            context.config.cached_users,
            progress,
            known,
        );
        let driver = ShopperDriver {
            context: Arc::clone(context),
            stage,
            queue: Arc::clone(&publishing.queue),
            topic: context.parts.topics.product_activity.as_str().into(),
            dead_letters: DeadLetterLog::start(Arc::clone(context), self.partition.partition),
            producer: Arc::clone(&producer),
        };
        let result = self.run_task(driver, publishing, at, token).await;
        // Every task that uses the failed producer ends like this one; the next attempts share a new one.
        if let Err(TaskError::Append(_)) = result {
            context.producer.discard(&producer);
        }
        result
    }

    async fn run_product(
        &self,
        progress: ProductProgress,
        known: Option<KnownKeys>,
        token: &CancellationToken,
    ) -> Result<(), TaskError> {
        let (context, at) = (&self.context, progress.at);
        let publishing = Publishing::begin(self);
        let names = Arc::clone(&context.names);
        let mut stage = Product::new(
            self.partition.partition,
            context.config.generation,
            names,
            context.config.cached_products,
            progress,
            known,
        );
        self.status.set_outcomes(stage.outcomes());
        let mut trending = TrendingPublisher::new(Arc::clone(context), self.partition.partition);
        trending.restore(&mut stage).await?;
        let (rank, batches) = mpsc::channel(RANK_QUEUE);
        let ranker = Ranker::new(Arc::clone(context)).run(Arc::clone(&publishing.queue), batches);
        let _ranker = context.background.spawn(ranker);
        let trending_interval = Duration::from_millis(context.config.trending_interval_ms);
        let phase = context.phase(StageName::Product, self.partition.partition);
        let driver = ProductDriver {
            context: Arc::clone(context),
            partition: self.partition.partition,
            stage,
            queue: Arc::clone(&publishing.queue),
            status: Arc::clone(&self.status),
            trending,
            rank,
            stale: Default::default(),
            round: None,
            handed_on: at.next_offset,
            in_rounds: at.next_offset,
            next_trending: Instant::now() + trending_interval.mul_f64(phase),
            unseen: Default::default(),
            repeats_at: u64::MAX,
            settling: Settling::begin(context.config.session_timeout_ms),
            latest_now_ms: i64::MIN,
        };
        self.run_task(driver, publishing, at, token).await
    }

    async fn run_task<D: super::driver::Driver>(
        &self,
        mut driver: D,
        publishing: Publishing,
        at: Checkpoint,
        token: &CancellationToken,
    ) -> Result<(), TaskError> {
        let status = &self.status;
        // What an earlier attempt stored and did not publish is not read again: it has to come from the state store.
        let is_first = status.processed.load(Ordering::Relaxed) == 0;
        if !is_first && status.complete.load(Ordering::Relaxed) < at.next_offset {
            status.lost_data();
        }
        status.begins(at.next_offset);
        status.stream_time_ms.store(driver.stream_time_ms(), Ordering::Relaxed);
        publishing.queue.covers(Covers::all_before(at.next_offset));
        let (reply, started) = oneshot::channel();
        let request = StartRequest { partition: self.partition.clone(), offset: at.next_offset, reply };
        self.starts.send(request).await.map_err(|_| TaskError::Stopped)?;
        // Nobody answers while other partitions are being given up: this one is still to be read.
        let stream = started.await.map_err(|_| TaskError::Unanswered)??;
        status.running.store(true, Ordering::Relaxed);
        let (commits, partition) = (self.commits.clone(), self.partition.clone());
        let task = PartitionTask {
            context: Arc::clone(&self.context),
            partition: self.partition.partition,
            driver,
            queue: Arc::clone(&publishing.queue),
            status: Arc::clone(status),
            // Only lag tools read what is committed: one that is left out does no harm.
            committed: Box::new(move |offset| drop(commits.try_send((partition.clone(), offset)))),
            appends: Vec::new(),
            next_fallback: Instant::now(),
        };
        let result = task.run(stream, token.clone()).await;
        publishing.end().await;
        result
    }
}

enum Loaded {
    Shopper(ShopperProgress, Option<KnownKeys>),
    Product(Box<ProductProgress>, Option<KnownKeys>),
}

/// The task that writes a partition's values to the serving store.
struct Publishing {
    queue: Arc<PublishQueue>,
    token: CancellationToken,
    handle: AbortOnDropHandle<()>,
}

impl Publishing {
    fn begin(of: &Supervised) -> Self {
        let queue = Arc::new(PublishQueue::default());
        let token = CancellationToken::new();
        let run = Arc::clone(&queue).run(
            Arc::clone(&of.context.parts.serving),
            Arc::clone(&of.status),
            Arc::clone(&of.context.parts.clock),
            token.clone(),
        );
        #[allow(clippy::disallowed_methods, reason = "the handle aborts it when the attempt ends")]
        let handle = AbortOnDropHandle::new(tokio::spawn(run));
        Self { queue, token, handle }
    }

    /// Writes what is left, once.
    async fn end(self) {
        self.token.cancel();
        if let Err(error) = self.handle.await {
            tracing::warn!(%error, "publishing did not end in order");
        }
    }
}
