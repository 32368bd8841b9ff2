use super::Engine;
use super::freshness::Freshly;
use crate::degraded::Degraded;
use crate::metrics;
use crate::reader::decoded;
use crate::snapshots::Markers;
use schemas::names;
use schemas::published::{Marker, UserHistory};
use schemas::user::UserKey;
use schemas::{Position, Version};
use std::time::Duration;
use tokio::time::Instant;

/// The first pause while waiting for a position, and the longest: it doubles in between.
const POLL: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(16));

/// What is known of a shopper.
#[derive(Debug, Default)]
pub(crate) struct Shopper {
    pub(crate) history: UserHistory,
    /// Of `events`; `None` while the layout is not known or nobody was named.
    pub(crate) partition: Option<u32>,
    pub(crate) degraded: Option<Degraded>,
    reached: Option<bool>,
}

impl Shopper {
    /// What it says about an answer's freshness.
    pub(crate) fn freshly(&self) -> Freshly<'_> {
        let version = self.history.version;
        let position = self
            .partition
            .filter(|_| version != Version::NONE)
            .map(|partition| Position { partition, offset: version.offset() });
        Freshly { marker: None, position, reached: self.reached, degraded: self.degraded }
    }
}

impl Engine {
    /// Reads a shopper's history: round trip 1. With `until`, again and again until that is reflected.
    pub(crate) async fn shopper(
        &self,
        user: Option<&UserKey>,
        until: Option<Position>,
        markers: &Markers,
    ) -> Shopper {
        let mut shopper =
            Shopper { partition: user.and_then(|user| markers.partition_of(user)), ..Shopper::default() };
        if let Some(user) = user {
            let complete = shopper.partition.is_some_and(|partition| markers.shopper_complete(partition));
            self.read_history(&mut shopper, user, complete).await;
        }
        if let Some(until) = until {
            let reached = self.wait_for(&mut shopper, user, until).await;
            shopper.reached = Some(reached);
            metrics::position_wait(reached);
        }
        shopper
    }

    /// Waits until a position is reflected: by the shopper's own history, or by the whole partition, for a record that no history
    /// tells of (a dead letter; an event that was too late, of somebody unknown). False when it is not in time.
    async fn wait_for(&self, shopper: &mut Shopper, user: Option<&UserKey>, until: Position) -> bool {
        let generation = self.reader.generation();
        let target = Version::of(generation, until.offset);
        let marker = [names::marker_key(generation, "shopper", until.partition)];
        let deadline = Instant::now() + self.config.position_wait();
        let (mut pause, longest) = POLL;
        loop {
            if shopper.partition == Some(until.partition) && shopper.history.version >= target {
                return true;
            }
            if shopper.degraded > Some(Degraded::ServingStoreIncomplete) {
                // The state store is some seconds behind by design: waiting for it is no use.
                return false;
            }
            let reached = self.marker(&marker).await.is_some_and(|marker| marker.version >= target);
            let left = deadline.saturating_duration_since(Instant::now());
            if !reached && left.is_zero() {
                return false;
            }
            if !reached {
                tokio::time::sleep(pause.min(left)).await;
                pause = (pause * 2).min(longest);
            }
            // Also after the marker: the row that was read before it may be older.
            if let Some(user) = user {
                self.read_history(shopper, user, true).await;
            }
            if reached {
                return true;
            }
        }
    }

    async fn read_history(&self, shopper: &mut Shopper, user: &UserKey, complete: bool) {
        let read = self.reader.history(user, complete).await;
        shopper.degraded = shopper.degraded.max(read.degraded);
        // A row never goes away, and one read by a detour may be older.
        if let Some(history) = read.value.filter(|history| history.version >= shopper.history.version) {
            shopper.history = history;
        }
    }

    async fn marker(&self, key: &[String]) -> Option<Marker> {
        let value = self.reader.markers(key).await.ok()?.pop()??;
        decoded(Marker::decode(&value))
    }
}
