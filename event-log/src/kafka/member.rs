//! A group member: a membership that says what to read, and a fetcher that reads it.

use super::fetcher::{Buffer, Fetcher};
use super::membership::Membership;
use super::reader::{self, Readers};
use crate::{GroupMember, LogError, Rebalance, RecordStream, TopicPartition};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct KafkaMember {
    membership: Membership,
    fetcher: Fetcher,
    readers: Arc<Readers>,
    /// What this member owns, with the buffer of each partition that it has started.
    owned: HashMap<TopicPartition, Option<Arc<Buffer>>>,
}

impl KafkaMember {
    pub(super) fn new(membership: Membership, fetcher: Fetcher, readers: Arc<Readers>) -> Self {
        Self { membership, fetcher, readers, owned: HashMap::new() }
    }

    fn stop(&mut self, partitions: &[TopicPartition]) {
        partitions.iter().filter_map(|id| self.owned.remove(id).flatten()).for_each(|buffer| buffer.close());
    }
}

#[async_trait]
impl GroupMember for KafkaMember {
    async fn next_rebalance(&mut self) -> Result<Rebalance, LogError> {
        let change = self.membership.next().await?;
        match &change {
            Rebalance::Assigned(partitions) => {
                self.owned.extend(partitions.iter().map(|id| (id.clone(), None)))
            }
            Rebalance::Lost(partitions) => self.stop(partitions),
            Rebalance::Revoked(_) => {}
        }
        Ok(change)
    }

    async fn start(&mut self, partition: &TopicPartition, offset: u64) -> Result<RecordStream, LogError> {
        let Some(slot) = self.owned.get_mut(partition) else {
            let TopicPartition { topic, partition } = partition;
            return Err(LogError::Unusable(format!(
                "partition {topic}/{partition} is not assigned to this process"
            )));
        };
        if let Some(earlier) = slot.take() {
            earlier.close();
        }
        let (id, readers) = (partition.clone(), Arc::clone(&self.readers));
        let bounds = readers.call(move |consumer| reader::bounds(consumer, &id)).await?;
        if let Err(outside) = reader::check(partition, &bounds, offset) {
            return Ok(super::failed_stream(outside));
        }
        let (buffer, stream) = self.fetcher.start(partition, offset);
        *slot = Some(buffer);
        Ok(stream)
    }

    async fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.stop(partitions);
        self.membership.release(partitions);
        Ok(())
    }

    fn commit(&self, partition: &TopicPartition, next_offset: u64) {
        self.membership.commit(partition, next_offset);
    }

    async fn leave(self: Box<Self>, deadline_ms: u64) {
        let Self { membership, fetcher, owned, .. } = *self;
        owned.into_values().flatten().for_each(|buffer| buffer.close());
        drop(fetcher);
        membership.leave(Duration::from_millis(deadline_ms)).await;
    }
}
