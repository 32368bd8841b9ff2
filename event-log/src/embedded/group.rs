//! The consumer group of a single process: its one member gets everything at once and keeps it.

use super::{Shared, reader};
use crate::{GroupMember, LogError, Rebalance, RecordStream, TopicPartition};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub(super) struct EmbeddedMember {
    log: Arc<Shared>,
    group_id: String,
    partitions: Vec<TopicPartition>,
    told: bool,
    /// What ends the stream of each started partition.
    started: HashMap<TopicPartition, CancellationToken>,
}

impl EmbeddedMember {
    pub(super) fn new(log: Arc<Shared>, group_id: String, partitions: Vec<TopicPartition>) -> Self {
        Self { log, group_id, partitions, told: false, started: HashMap::new() }
    }
}

#[async_trait]
impl GroupMember for EmbeddedMember {
    async fn next_rebalance(&mut self) -> Result<Rebalance, LogError> {
        if self.told {
            std::future::pending::<()>().await;
        }
        self.told = true;
        Ok(Rebalance::Assigned(self.partitions.clone()))
    }

    async fn start(&mut self, partition: &TopicPartition, offset: u64) -> Result<RecordStream, LogError> {
        if !self.told || !self.partitions.contains(partition) {
            let TopicPartition { topic, partition } = partition;
            return Err(LogError::Unusable(format!(
                "partition {topic}/{partition} is not assigned to this process"
            )));
        }
        let source = self.log.partition(partition)?;
        let stop = self.log.closed.child_token();
        if let Some(earlier) = self.started.insert(partition.clone(), stop.clone()) {
            earlier.cancel();
        }
        Ok(reader::follow(source, offset, stop))
    }

    async fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        for partition in partitions {
            if let Some(stream) = self.started.remove(partition) {
                stream.cancel();
            }
        }
        Ok(())
    }

    fn commit(&self, _partition: &TopicPartition, _next_offset: u64) {
        // Nobody else can look at this group: the lag that matters is measured from the progress rows.
    }

    async fn leave(self: Box<Self>, _deadline_ms: u64) {}
}

impl Drop for EmbeddedMember {
    fn drop(&mut self) {
        self.started.values().for_each(CancellationToken::cancel);
        self.log.leave_group(&self.group_id);
    }
}
