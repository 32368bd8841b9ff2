//! Measures lag, tells serving how far each partition is, and notices a serving store that lost its data.

use crate::context::Context;
use crate::progress::StageName;
use crate::refill::{Partitions, refill};
use crate::status::PartitionStatus;
use bytes::Bytes;
use event_log::TopicPartition;
use schemas::Version;
use schemas::names::marker_key;
use schemas::published::Marker;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

type Owned = ((StageName, u32), Arc<PartitionStatus>);

/// Runs until dropped.
pub(crate) async fn run(context: Arc<Context>) {
    let mut ticker = tokio::time::interval(Duration::from_millis(context.config.marker_interval_ms));
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch { written: HashMap::new(), filling: None };
    loop {
        ticker.tick().await;
        let owned: Vec<Owned> = context
            .registry
            .all()
            .into_iter()
            .filter(|(_, status)| status.running.load(Ordering::Relaxed))
            .collect();
        measure_lag(&context, &owned).await;
        watch.round(&context, &owned).await;
    }
}

async fn measure_lag(context: &Context, owned: &[Owned]) {
    for ((stage, partition), status) in owned {
        let topic = match stage {
            StageName::Shopper => &context.parts.topics.events,
            StageName::Product => &context.parts.topics.product_activity,
        };
        let place = TopicPartition { topic: topic.as_str().into(), partition: *partition };
        match context.parts.log.bounds(&place).await {
            Ok(bounds) => {
                if status.is_new() {
                    look_at_backlog(context, &place, status, bounds.end).await;
                }
                status.saw_end(bounds.end, context.parts.clock.now_ms());
            }
            Err(error) => {
                tracing::debug!(%error, "lag could not be measured");
                return;
            }
        }
    }
}

/// What waits first when a partition is taken over may have waited for long: looking at ends alone would not tell.
async fn look_at_backlog(context: &Context, place: &TopicPartition, status: &PartitionStatus, end: u64) {
    let visible = status.visible.load(Ordering::Relaxed);
    if visible >= end {
        return;
    }
    match context.parts.log.read(place, visible, 1).await {
        Ok(records) => records.iter().for_each(|record| status.backlog_since(record.append_time_ms)),
        Err(error) => tracing::debug!(%error, "the age of the backlog could not be looked at"),
    }
}

struct Watch {
    /// Each partition's marker as last written; a partition that is new here is looked at first.
    written: HashMap<(StageName, u32), (Arc<PartitionStatus>, Marker)>,
    filling: Option<AbortOnDropHandle<()>>,
}

impl Watch {
    async fn round(&mut self, context: &Arc<Context>, owned: &[Owned]) {
        let generation = context.config.generation;
        self.written.retain(|key, (status, _)| {
            owned.iter().any(|(other, current)| other == key && Arc::ptr_eq(status, current))
        });
        let keys: Vec<String> = owned
            .iter()
            .map(|((stage, partition), _)| marker_key(generation, stage.as_str(), *partition))
            .collect();
        let Ok(markers) = context.parts.serving.get_markers(&keys).await else { return };
        let mut lost = false;
        for ((key, status), marker) in owned.iter().zip(markers) {
            let marker = marker.and_then(|marker| Marker::decode(&marker).ok());
            let stands = match (self.written.get(key), marker) {
                (_, None) => false,
                (Some((_, written)), Some(marker)) => marker.version >= written.version,
                // On taking over: what was stored must have been published too.
                (None, Some(marker)) => {
                    marker.complete
                        && marker.version >= last_before(generation, status.stored.load(Ordering::Relaxed))
                }
            };
            // One fill at a time: while it is under way there is nothing to notice.
            if !stands && !status.needs_refill.swap(true, Ordering::Relaxed) {
                lost = true;
                status.republish.store(true, Ordering::Relaxed);
                status.flush_now.store(true, Ordering::Relaxed);
            }
        }
        if lost {
            crate::layout::publish(context).await;
        }
        self.fill(context, owned);
        self.write(context, owned, &keys).await;
    }

    /// Begins to fill what lacks data, unless that is under way.
    fn fill(&mut self, context: &Arc<Context>, owned: &[Owned]) {
        if self.filling.as_ref().is_some_and(|filling| !filling.is_finished()) {
            return;
        }
        let lacking: Vec<Owned> =
            owned.iter().filter(|(_, status)| status.needs_refill.load(Ordering::Relaxed)).cloned().collect();
        if lacking.is_empty() {
            return;
        }
        let context = Arc::clone(context);
        let fill = async move {
            let partitions: Partitions = lacking.iter().map(|(key, _)| *key).collect();
            wait_until_stored(&lacking).await;
            match refill(&context, &partitions).await {
                Ok(counts) => {
                    tracing::info!(
                        users = counts.users,
                        products = counts.products,
                        partitions = partitions.len(),
                        "filled the serving store"
                    );
                    for (_, status) in &lacking {
                        status.needs_refill.store(false, Ordering::Relaxed);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "could not fill the serving store; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        };
        #[allow(clippy::disallowed_methods, reason = "the handle aborts it when the markers' task ends")]
        let handle = AbortOnDropHandle::new(tokio::spawn(fill));
        self.filling = Some(handle);
    }

    async fn write(&mut self, context: &Context, owned: &[Owned], keys: &[String]) {
        for ((key, status), name) in owned.iter().zip(keys) {
            let complete = !status.needs_refill.load(Ordering::Relaxed);
            let version = last_before(context.config.generation, status.visible.load(Ordering::Relaxed));
            let marker = Marker {
                version,
                lag_records: status.lag_records(),
                lag_ms: status.lag_ms(context.parts.clock.now_ms()),
                stream_time_ms: status.stream_time_ms.load(Ordering::Relaxed),
                published_at_ms: context.parts.clock.now_ms(),
                complete,
            };
            if let Err(error) = context.parts.serving.put_marker(name, Bytes::from(marker.encode())).await {
                tracing::debug!(%error, "a marker could not be written");
                return;
            }
            self.written.insert(*key, (Arc::clone(status), marker));
        }
    }
}

/// The version of the last record before `offset`; none when there is none.
fn last_before(generation: u16, offset: u64) -> Version {
    offset.checked_sub(1).map_or(Version::NONE, |last| Version::of(generation, last))
}

/// Rows that changed before the loss was noticed were published before it, so they are read from the state store: wait until
/// they are there.
async fn wait_until_stored(owned: &[Owned]) {
    let goals: Vec<u64> = owned.iter().map(|(_, status)| status.processed.load(Ordering::Relaxed)).collect();
    for ((_, status), goal) in owned.iter().zip(goals) {
        while status.stored.load(Ordering::Relaxed) < goal && status.running.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
