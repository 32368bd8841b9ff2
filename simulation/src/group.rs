//! The consumer group: who has joined, who was told to own what, and who owns it by the group's own account.

use event_log::{Rebalance, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Changes that wait for a member at most.
const CHANGES: usize = 256;

/// What a member believes.
#[derive(Debug)]
pub(crate) struct Seat {
    changes: mpsc::Sender<Rebalance>,
    /// What it believes to own, with what ends its stream.
    owned: BTreeMap<TopicPartition, Option<CancellationToken>>,
    /// What it was asked to let go of and has not yet: it gets none of these before.
    releasing: BTreeSet<TopicPartition>,
}

#[derive(Debug, Default)]
pub(crate) struct Group {
    seats: BTreeMap<u32, Seat>,
    owners: BTreeMap<TopicPartition, u32>,
    /// How far each partition was read by anyone: what a group that commits by itself would know.
    read: BTreeMap<TopicPartition, u64>,
}

impl Group {
    pub(crate) fn join(&mut self, member: u32) -> mpsc::Receiver<Rebalance> {
        let (changes, told) = mpsc::channel(CHANGES);
        self.seats.insert(member, Seat { changes, owned: BTreeMap::new(), releasing: BTreeSet::new() });
        told
    }

    /// Members, in the order of their numbers.
    pub(crate) fn members(&self) -> Vec<u32> {
        self.seats.keys().copied().collect()
    }

    pub(crate) fn owner(&self, partition: &TopicPartition) -> Option<u32> {
        self.owners.get(partition).copied()
    }

    /// Partitions of a member by the group's account.
    pub(crate) fn owned_by(&self, member: u32) -> Vec<TopicPartition> {
        let owned = self.owners.iter().filter(|(_, owner)| **owner == member);
        owned.map(|(partition, _)| partition.clone()).collect()
    }

    /// Whether the member still believes to own the partition, or is about to let go of it.
    pub(crate) fn believes(&self, member: u32, partition: &TopicPartition) -> bool {
        let holds = |seat: &Seat| seat.owned.contains_key(partition) || seat.releasing.contains(partition);
        self.seats.get(&member).is_some_and(holds)
    }

    pub(crate) fn assign(&mut self, member: u32, partition: TopicPartition) {
        self.owners.insert(partition.clone(), member);
        if let Some(seat) = self.seats.get_mut(&member) {
            seat.owned.insert(partition.clone(), None);
            seat.tell(Rebalance::Assigned(vec![partition]));
        }
    }

    /// Asks a member to let go of partitions.
    pub(crate) fn revoke(&mut self, member: u32, partitions: Vec<TopicPartition>) {
        if let Some(seat) = self.seats.get_mut(&member) {
            seat.releasing.extend(partitions.iter().cloned());
            seat.tell(Rebalance::Revoked(partitions));
        }
    }

    /// The partitions are free; whoever believes to own them goes on until told.
    pub(crate) fn free(&mut self, partitions: &[TopicPartition]) {
        self.owners.retain(|partition, _| !partitions.contains(partition));
    }

    /// Tells a member that partitions were taken away, and ends their streams.
    pub(crate) fn lose(&mut self, member: u32, partitions: Vec<TopicPartition>) {
        let Some(seat) = self.seats.get_mut(&member) else { return };
        seat.end(&partitions);
        seat.tell(Rebalance::Lost(partitions));
    }

    /// A member lets go.
    pub(crate) fn release(&mut self, member: u32, partitions: &[TopicPartition]) {
        if let Some(seat) = self.seats.get_mut(&member) {
            seat.end(partitions);
            seat.releasing.retain(|partition| !partitions.contains(partition));
        }
        for partition in partitions {
            if self.owner(partition) == Some(member) {
                self.owners.remove(partition);
            }
        }
    }

    /// The token that ends a new stream; any earlier one ends now. `None` when the member does not own the partition.
    pub(crate) fn stream(&mut self, member: u32, partition: &TopicPartition) -> Option<CancellationToken> {
        let slot = self.seats.get_mut(&member)?.owned.get_mut(partition)?;
        let stop = CancellationToken::new();
        if let Some(earlier) = slot.replace(stop.clone()) {
            earlier.cancel();
        }
        Some(stop)
    }

    /// A member is gone; what it owned stays its own until the group notices.
    pub(crate) fn leave(&mut self, member: u32) {
        if let Some(seat) = self.seats.remove(&member) {
            seat.owned.into_values().flatten().for_each(|stream| stream.cancel());
        }
    }

    pub(crate) fn was_read(&mut self, partition: &TopicPartition, next: u64) {
        let read = self.read.entry(partition.clone()).or_default();
        *read = next.max(*read);
    }

    pub(crate) fn read_until(&self, partition: &TopicPartition) -> u64 {
        self.read.get(partition).copied().unwrap_or(0)
    }
}

impl Seat {
    fn tell(&self, change: Rebalance) {
        // A member whose process is gone hears nothing.
        drop(self.changes.try_send(change));
    }

    fn end(&mut self, partitions: &[TopicPartition]) {
        let streams = partitions.iter().filter_map(|partition| self.owned.remove(partition).flatten());
        streams.for_each(|stream| stream.cancel());
    }
}
