//! A place in the group, and the streams that it reads.

use super::read_fails;
use crate::broken::Broken;
use crate::coverage::Seen;
use crate::process::{Process, Step};
use async_trait::async_trait;
use event_log::{EventLog, GroupMember, LogError, Rebalance, RecordBatch, RecordStream, TopicPartition};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Batches that wait for a slow task.
const STREAM_BATCHES: usize = 2;

pub(super) struct SimulatedMember {
    process: Arc<Process>,
    batch_records: usize,
    changes: mpsc::Receiver<Rebalance>,
}

impl SimulatedMember {
    pub(super) fn join(process: Arc<Process>, batch_records: usize) -> Self {
        let changes = process.world.state().group.join(process.number);
        Self { process, batch_records, changes }
    }
}

#[async_trait]
impl GroupMember for SimulatedMember {
    async fn next_rebalance(&mut self) -> Result<Rebalance, LogError> {
        self.process.alive().await;
        match self.changes.recv().await {
            Some(change) => {
                self.process.world.note("hears", self.process.number, &format!("{change:?}"), 0);
                Ok(change)
            }
            None => std::future::pending().await,
        }
    }

    async fn start(&mut self, partition: &TopicPartition, offset: u64) -> Result<RecordStream, LogError> {
        self.process.step(Step::Read).await;
        let world = &self.process.world;
        let (stop, from) = {
            let mut state = world.state();
            let stop = state.group.stream(self.process.number, partition);
            let read = state.group.read_until(partition);
            (stop, if world.broken == Broken::ReadFromProgress { read } else { offset })
        };
        let stop = stop.ok_or_else(|| LogError::Unavailable {
            action: "start reading",
            reason: format!("{partition:?} is not assigned any more"),
        })?;
        world.note(
            "starts",
            self.process.number,
            &partition.topic,
            u64::from(partition.partition) << 32 | from,
        );
        let (batches, stream) = RecordStream::bounded(STREAM_BATCHES);
        let feed = Feed {
            process: Arc::clone(&self.process),
            partition: partition.clone(),
            batch_records: self.batch_records,
            batches,
        };
        tokio::spawn(feed.run(from, stop));
        Ok(stream)
    }

    async fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.process.alive().await;
        self.process.world.note("releases", self.process.number, "", partitions.len() as u64);
        self.process.world.state().group.release(self.process.number, partitions);
        Ok(())
    }

    fn commit(&self, _: &TopicPartition, _: u64) {}

    async fn leave(self: Box<Self>, _: u64) {}
}

impl Drop for SimulatedMember {
    fn drop(&mut self) {
        self.process.world.state().group.leave(self.process.number);
    }
}

struct Feed {
    process: Arc<Process>,
    partition: TopicPartition,
    batch_records: usize,
    batches: mpsc::Sender<Result<RecordBatch, LogError>>,
}

impl Feed {
    async fn run(self, from: u64, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.batches.closed() => {}
            () = self.feed(from) => {}
        }
    }

    async fn feed(&self, mut next: u64) {
        let world = &self.process.world;
        loop {
            self.process.alive().await;
            let size = world.draw(|random| random.usize(1..=self.batch_records));
            let outcome = match read_fails(&self.process, "read on") {
                Ok(()) => world.log.read(&self.partition, next, size).await,
                Err(error) => Err(error),
            };
            let failed = outcome.is_err();
            if let Ok(records) = &outcome {
                let Some(last) = records.last() else {
                    let pause = world.draw(|random| random.u64(2..25));
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    continue;
                };
                next = last.offset + 1;
            }
            if self.batches.send(outcome).await.is_err() || failed {
                return;
            }
            let mut state = world.state();
            state.group.was_read(&self.partition, next);
            state.coverage.saw(Seen::Batches, 1);
        }
    }
}
