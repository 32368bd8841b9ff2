//! Appending to the log in memory, with the failures that a test asked for.

use super::State;
use super::partition::lock;
use crate::{Append, AppendError, NewRecord, Producer, ProducerMode};
use async_trait::async_trait;
use schemas::Position;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;

/// Key and value together at most, in bytes, as in the embedded log.
const RECORD_BYTES: usize = 1_000_000;

/// Acknowledgements that a test holds back.
#[derive(Debug)]
pub(super) struct HeldAck {
    pub(super) reply: oneshot::Sender<Result<Position, AppendError>>,
    pub(super) position: Position,
}

pub(super) struct ScriptedProducer {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) mode: ProducerMode,
    pub(super) dead: AtomicBool,
}

#[async_trait]
impl Producer for ScriptedProducer {
    fn append(&self, record: NewRecord) -> Result<Append, AppendError> {
        let NewRecord { topic, partition, key, value, traceparent: _ } = record;
        if self.dead.load(Ordering::Acquire) {
            return Err(AppendError::Fatal("an earlier append failed".to_owned()));
        }
        if key.len() + value.len() > RECORD_BYTES {
            return Err(AppendError::TooLarge);
        }
        let mut state = lock(&self.state);
        let (reply, append) = Append::pending();
        if let Some(error) = state.failures.pop_front() {
            if self.mode == ProducerMode::Gapless && error != AppendError::QueueFull {
                self.dead.store(true, Ordering::Release);
            }
            if !matches!(error, AppendError::NotAcknowledged(_)) {
                return Err(error);
            }
            let _ = reply.send(Err(error));
            return Ok(append);
        }
        let partitions = state.partitions(&topic).map_err(|e| AppendError::NotAcknowledged(e.to_string()))?;
        let count = partitions.len() as u32;
        let partition = partition.unwrap_or_else(|| schemas::partition::partition_of(&key, count));
        let target = partitions.get(partition as usize).cloned();
        let target =
            target.ok_or_else(|| AppendError::NotAcknowledged(format!("{topic} has no {partition}")))?;
        let position = Position { partition, offset: target.append(state.now_ms, key, value) };
        match &mut state.held {
            Some(held) => held.push(HeldAck { reply, position }),
            None => drop(reply.send(Ok(position))),
        }
        Ok(append)
    }

    async fn drain(&self, deadline_ms: u64) -> usize {
        let mut released = lock(&self.state).released.subscribe();
        let held = |state: &Mutex<State>| lock(state).held.as_ref().map_or(0, Vec::len);
        let all_released = async { while held(&self.state) > 0 && released.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(Duration::from_millis(deadline_ms), all_released).await;
        held(&self.state)
    }
}
