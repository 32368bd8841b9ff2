use crate::Catalog;
use event_log::{EventLog, LogError, TopicPartition};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Records asked for at a time while loading.
const LOAD_RECORDS: usize = 5_000;
/// Pause before trying again after an error of the log.
const RETRY: Duration = Duration::from_millis(500);

/// Applies every record of `topic` (all its partitions, from the start) to `catalog` and goes on with new ones until
/// `token` is cancelled. Marks the catalog as loaded once it holds what the topic held at the beginning. Errors of the log
/// are logged and tried again for ever; what is known meanwhile stays.
///
/// Partitions that are added later are noticed at the next start only: adding some moves keys between partitions, which a
/// compacted topic does not survive anyway.
pub async fn follow(log: Arc<dyn EventLog>, topic: String, catalog: Arc<Catalog>, token: CancellationToken) {
    // Dropping the set with this future ends the partitions' tasks.
    let mut tasks = JoinSet::new();
    let work = async {
        let partitions = describe(&*log, &topic).await;
        let (loaded, mut loading) = mpsc::channel::<()>(1);
        let topic: Arc<str> = topic.into();
        for partition in 0..partitions {
            let follower = Follower {
                log: Arc::clone(&log),
                partition: TopicPartition { topic: Arc::clone(&topic), partition },
                catalog: Arc::clone(&catalog),
                next: None,
            };
            tasks.spawn(follower.run(loaded.clone()));
        }
        drop(loaded);
        // Nothing is ever sent: the channel closes when the last partition is loaded.
        loading.recv().await;
        catalog.mark_loaded();
        tracing::info!(products = catalog.len(), "catalog loaded");
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a catalog partition is no longer followed");
            }
        }
    };
    token.run_until_cancelled(work).await;
}

async fn describe(log: &dyn EventLog, topic: &str) -> u32 {
    loop {
        match log.describe(topic).await {
            Ok(info) => return info.partitions,
            Err(error) => {
                tracing::warn!(%error, topic, "cannot load the catalog yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Follows one partition.
struct Follower {
    log: Arc<dyn EventLog>,
    partition: TopicPartition,
    catalog: Arc<Catalog>,
    /// The offset to go on from; `None` = the start of the log.
    next: Option<u64>,
}

impl Follower {
    async fn run(mut self, loading: mpsc::Sender<()>) {
        while let Err(error) = self.load().await {
            self.pause(&error).await;
        }
        drop(loading);
        loop {
            if let Err(error) = self.tail().await {
                self.pause(&error).await;
            }
        }
    }

    /// Reads up to the end as of now. Done by reading instead of following, because compaction may have removed the last
    /// records, and a follower would then wait for an offset that never comes.
    async fn load(&mut self) -> Result<(), LogError> {
        let bounds = self.log.bounds(&self.partition).await?;
        let mut next = self.next.unwrap_or(bounds.start);
        while next < bounds.end {
            let records = self.log.read(&self.partition, next, LOAD_RECORDS).await?;
            let Some(last) = records.last() else { break };
            next = last.offset + 1;
            records.iter().for_each(|record| self.catalog.apply(record));
            self.next = Some(next);
        }
        self.next = Some(next.max(bounds.end));
        Ok(())
    }

    async fn tail(&mut self) -> Result<(), LogError> {
        let next = match self.next {
            Some(next) => next,
            None => self.log.bounds(&self.partition).await?.start,
        };
        let mut stream = self.log.follow(&self.partition, next).await?;
        while let Some(batch) = stream.next().await {
            for record in &batch? {
                self.catalog.apply(record);
                self.next = Some(record.offset + 1);
            }
        }
        Err(LogError::Unavailable { action: "follow the catalog", reason: "the stream ended".to_owned() })
    }

    async fn pause(&mut self, error: &LogError) {
        tracing::warn!(%error, partition = self.partition.partition, "the catalog may be stale; trying again");
        if matches!(error, LogError::OutOfRange { .. }) {
            // The topic was recreated, or compaction overtook us: only a fresh start is complete.
            self.next = None;
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests;
