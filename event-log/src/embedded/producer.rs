//! Appending through the writer's queue.

use super::Shared;
use super::queue::{Pending, Waiter};
use crate::in_flight::InFlight;
use crate::{Append, AppendError, NewRecord, Producer, ProducerMode};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Key and value together at most, in bytes: what a Kafka broker takes by default, so that a shop can move there.
const RECORD_BYTES: usize = 1_000_000;

pub(super) struct EmbeddedProducer {
    pub(super) log: Arc<Shared>,
    pub(super) mode: ProducerMode,
    pub(super) in_flight: Arc<InFlight>,
}

#[async_trait]
impl Producer for EmbeddedProducer {
    fn append(&self, record: NewRecord) -> Result<Append, AppendError> {
        let NewRecord { topic, partition, key, value, traceparent: _ } = record;
        if key.len() + value.len() > RECORD_BYTES {
            return Err(AppendError::TooLarge);
        }
        let topic =
            self.log.topic(&topic).map_err(|error| AppendError::NotAcknowledged(error.to_string()))?;
        let partition =
            topic.choose(partition, &key).map_err(|e| AppendError::NotAcknowledged(e.to_string()))?;
        let (reply, append) = Append::pending();
        let deadline = match self.mode {
            ProducerMode::Bounded { ack_timeout_ms, .. } => {
                Some(Instant::now() + Duration::from_millis(ack_timeout_ms))
            }
            ProducerMode::Gapless => None,
        };
        let waiter = Waiter { reply, in_flight: Arc::clone(&self.in_flight), deadline };
        self.log.queue.push(Pending { partition, key, value }, waiter)?;
        Ok(append)
    }

    async fn drain(&self, deadline_ms: u64) -> usize {
        self.in_flight.drain(deadline_ms).await
    }
}
