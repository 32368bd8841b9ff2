//! The processor on embedded parts, in this process: both stages, with state, from a log that is full already.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use catalog::Catalog;
use event_log::embedded::{EmbeddedLog, open_database};
use event_log::{EventLog, GroupOptions, NewRecord, ProducerMode, TopicSpec};
use prost::Message;
use schemas::names::Topics;
use schemas::proto::EventRecord;
use service_runtime::{SharedClock, SystemClock};
use stores::StateStore;
use stores::embedded::EmbeddedStateStore;
use stores::memory::MemoryServingStore;
use stream_processor::{Parts, Processor, ProcessorConfig};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cpu::CpuSeconds;
use crate::report::Figure;
use crate::workload::Workload;

/// Partitions of each topic where nothing else is said: as many as `shopsmart dev` makes.
pub const PARTITIONS: u32 = 4;
const GENERATION: u16 = 1;
/// Records appended before their acknowledgements are awaited.
const WINDOW: usize = 10_000;
/// CPU time within a second of a process that has nothing to do, in seconds.
const RESTING: f64 = 0.05;
/// Seconds within which it comes to rest.
const MOST_LOOKS: usize = 300;
const GOAL: &str = "100,000 per core";

/// What it cost to work through a log.
pub struct Spent {
    /// From the start until nothing waited, and the time to stop.
    pub wall: Duration,
    /// CPU time of this process, in seconds.
    pub cpu: f64,
}

/// Events per second of CPU time through both stages, beside a reader that only decodes them.
///
/// # Errors
/// When the pipeline fails.
pub async fn measure(workload: &Workload, partitions: u32) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let parts = parts(folder.path()).await?;
    fill(&parts, partitions, workload.records(parts.clock.now_ms())).await?;
    let floor = decode_only(&parts, workload.clicks.len()).await?;
    let ours = process(&parts, partitions, workload.clicks.len()).await?;
    let rate = |seconds: f64| workload.clicks.len() as f64 / seconds;
    let name = |what: &str| format!("processor, embedded: {what}, {}", workload.name);
    Ok(vec![
        Figure::beside(name("events per CPU second"), rate(ours.cpu), rate(floor.cpu), "1/s", GOAL),
        Figure::beside(
            name("events per second"),
            rate(ours.wall.as_secs_f64()),
            rate(floor.wall.as_secs_f64()),
            "1/s",
            "",
        ),
    ])
}

/// A pipeline on embedded parts in a folder, with nothing in it.
///
/// # Errors
/// When the folder cannot be used.
pub async fn parts(folder: &Path) -> Result<Parts> {
    let clock: SharedClock = SystemClock::shared();
    let database = open_database(folder)?;
    let append_clock = Arc::clone(&clock);
    let log: Arc<dyn EventLog> =
        Arc::new(EmbeddedLog::open(database.clone(), Arc::new(move || append_clock.now_ms()))?);
    let state: Arc<dyn StateStore> = Arc::new(EmbeddedStateStore::open(database)?);
    state.migrate().await?;
    let catalog = Arc::new(Catalog::new());
    let topics = Topics::new("", GENERATION);
    let compacted =
        TopicSpec { name: topics.products.to_string(), partitions: 1, compacted: true, retention_ms: None };
    log.ensure_topics(&[compacted]).await?;
    let (follow_log, name, follower) = (Arc::clone(&log), topics.products.clone(), Arc::clone(&catalog));
    tokio::spawn(catalog::follow(follow_log, name, follower, CancellationToken::new()));
    Ok(Parts { log, state, serving: Arc::new(MemoryServingStore::new()), catalog, clock, topics })
}

/// Appends records of the topic `events`, of so many partitions: keys and values.
///
/// # Errors
/// When the log fails.
pub async fn fill(
    parts: &Parts,
    partitions: u32,
    records: impl Iterator<Item = (Bytes, Bytes)>,
) -> Result<()> {
    let spec =
        TopicSpec { name: parts.topics.events.clone(), partitions, compacted: false, retention_ms: None };
    parts.log.ensure_topics(&[spec]).await?;
    let producer = parts.log.producer(ProducerMode::Bounded { ack_timeout_ms: 60_000, linger_ms: 0 })?;
    let mut appends = Vec::new();
    let topic: Arc<str> = parts.topics.events.as_str().into();
    for (key, value) in records {
        let record = NewRecord { topic: Arc::clone(&topic), partition: None, key, value, traceparent: None };
        appends.push(producer.append(record)?);
        if appends.len() >= WINDOW {
            for append in appends.drain(..) {
                append.await?;
            }
        }
    }
    for append in appends {
        append.await?;
    }
    Ok(())
}

/// The floor: whoever wants to do anything with the events has to read and decode them.
async fn decode_only(parts: &Parts, events: usize) -> Result<Spent> {
    let group = GroupOptions {
        group_id: "floor".to_owned(),
        topics: vec![parts.topics.events.clone()],
        instance_id: None,
        session_timeout_ms: 6_000,
    };
    let (begun, before) = (Instant::now(), CpuSeconds::of_this_process()?);
    let decoded = crate::floor::consumer::decode_all(&*parts.log, group, events).await?;
    ensure!(decoded == events, "decoded {decoded} of {events}");
    let wall = begun.elapsed();
    Ok(Spent { wall, cpu: CpuSeconds::of_this_process()? - before })
}

/// Starts the processor, with so many partitions of each topic, and stops it when `events` have an outcome since the beginning.
///
/// # Errors
/// When it fails.
pub async fn process(parts: &Parts, partitions: u32, events: usize) -> Result<Spent> {
    let (begun, before) = (Instant::now(), CpuSeconds::of_this_process()?);
    let running = Running::start(parts, partitions).await?;
    running.until(events).await?;
    running.stop().await?;
    Ok(Spent { wall: begun.elapsed(), cpu: CpuSeconds::of_this_process()? - before })
}

/// A processor on embedded parts.
pub struct Running {
    processor: Processor,
    token: CancellationToken,
    task: JoinHandle<Result<(), stream_processor::ProcessorError>>,
}

impl Running {
    /// With so many partitions of each topic.
    ///
    /// # Errors
    /// When it cannot start.
    pub async fn start(parts: &Parts, partitions: u32) -> Result<Self> {
        let config = ProcessorConfig {
            generation: GENERATION,
            events_partitions: partitions,
            activity_partitions: partitions,
            ..ProcessorConfig::default()
        };
        let processor = Processor::prepare(parts.clone(), config).await?;
        let token = CancellationToken::new();
        let task = tokio::spawn({
            let (processor, token) = (processor.clone(), token.clone());
            async move { processor.run(token).await }
        });
        Ok(Self { processor, token, task })
    }

    /// Waits until so many events have an outcome since the beginning.
    ///
    /// # Errors
    /// When it ends before that.
    pub async fn until(&self, events: usize) -> Result<()> {
        while self.processor.registry().outcomes().0.iter().sum::<u64>() < events as u64 {
            ensure!(!self.task.is_finished(), "the processor ended early");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Waits until all is done that events lead to: lists are published, and files of the database are merged.
    ///
    /// # Errors
    /// When it does not come to rest.
    pub async fn at_rest(&self) -> Result<()> {
        for _ in 0..MOST_LOOKS {
            let before = CpuSeconds::of_this_process()?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            if CpuSeconds::of_this_process()? - before < RESTING {
                return Ok(());
            }
        }
        bail!("the processor still has something to do after {MOST_LOOKS} seconds without events");
    }

    /// Stops it.
    ///
    /// # Errors
    /// When it failed.
    pub async fn stop(self) -> Result<()> {
        self.token.cancel();
        Ok(self.task.await??)
    }
}

/// Whether a record is an event.
pub fn is_event(value: &[u8]) -> bool {
    EventRecord::decode(value).is_ok_and(|record| record.record.is_some())
}
