//! Membership in a group whose changes the test makes.

use super::State;
use super::partition::lock;
use crate::{GroupMember, LogError, Rebalance, RecordStream, TopicPartition};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Changes that wait for the member at most.
const CHANGES: usize = 64;

/// What the log knows of a member.
#[derive(Debug)]
pub(super) struct Seat {
    changes: mpsc::Sender<Rebalance>,
    /// What it may start, with what ends the stream of each that it has started.
    owned: HashMap<TopicPartition, Option<CancellationToken>>,
}

impl Seat {
    pub(super) fn assign(&mut self, partitions: Vec<TopicPartition>) {
        self.owned.extend(partitions.iter().map(|partition| (partition.clone(), None)));
        self.tell(Rebalance::Assigned(partitions));
    }

    pub(super) fn revoke(&mut self, partitions: Vec<TopicPartition>) {
        self.tell(Rebalance::Revoked(partitions));
    }

    pub(super) fn lose(&mut self, partitions: Vec<TopicPartition>) {
        self.give_up(&partitions);
        self.tell(Rebalance::Lost(partitions));
    }

    fn tell(&self, change: Rebalance) {
        self.changes.try_send(change).expect("the member takes its changes in time");
    }

    fn give_up(&mut self, partitions: &[TopicPartition]) {
        partitions
            .iter()
            .filter_map(|partition| self.owned.remove(partition).flatten())
            .for_each(|s| s.cancel());
    }
}

pub(super) struct ScriptedMember {
    state: Arc<Mutex<State>>,
    name: String,
    group_id: String,
    changes: mpsc::Receiver<Rebalance>,
}

impl ScriptedMember {
    pub(super) fn new(state: Arc<Mutex<State>>, name: String, group_id: String) -> (Seat, Self) {
        let (sender, changes) = mpsc::channel(CHANGES);
        (Seat { changes: sender, owned: HashMap::new() }, Self { state, name, group_id, changes })
    }
}

#[async_trait]
impl GroupMember for ScriptedMember {
    async fn next_rebalance(&mut self) -> Result<Rebalance, LogError> {
        let gone = || LogError::Unusable("another member took this member's name".to_owned());
        self.changes.recv().await.ok_or_else(gone)
    }

    async fn start(&mut self, partition: &TopicPartition, offset: u64) -> Result<RecordStream, LogError> {
        let mut state = lock(&self.state);
        let (source, batch_records) = (state.partition(partition), state.batch_records);
        let slot = state.seats.get_mut(&self.name).and_then(|seat| seat.owned.get_mut(partition));
        let slot = slot.ok_or_else(|| LogError::Unusable(format!("{partition:?} is not assigned")))?;
        let stop = CancellationToken::new();
        if let Some(earlier) = slot.replace(stop.clone()) {
            earlier.cancel();
        }
        Ok(source?.follow(offset, batch_records, stop))
    }

    async fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        if let Some(seat) = lock(&self.state).seats.get_mut(&self.name) {
            seat.give_up(partitions);
        }
        Ok(())
    }

    fn commit(&self, partition: &TopicPartition, next_offset: u64) {
        lock(&self.state).committed.insert((self.group_id.clone(), partition.clone()), next_offset);
    }

    async fn leave(self: Box<Self>, _deadline_ms: u64) {}
}

impl Drop for ScriptedMember {
    fn drop(&mut self) {
        self.changes.close();
        let mut state = lock(&self.state);
        // A member that took the name since then has an open channel of its own.
        if state.seats.get(&self.name).is_some_and(|seat| seat.changes.is_closed())
            && let Some(seat) = state.seats.remove(&self.name)
        {
            seat.owned.into_values().flatten().for_each(|stream| stream.cancel());
        }
    }
}
