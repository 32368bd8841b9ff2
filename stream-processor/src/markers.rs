//! Measures lag, tells serving how far each partition is, and notices a serving store that lost its data.

use crate::context::Context;
use crate::progress::StageName;
use crate::refill::{Partitions, refill};
use crate::status::PartitionStatus;
use bytes::Bytes;
use event_log::TopicPartition;
use schemas::Version;
use schemas::names::{marker_key, witness_key};
use schemas::published::{Marker, header};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
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
    let mut watch = Watch { written: HashMap::new(), witnesses: HashMap::new(), filling: None };
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
    /// The witness of each of these partitions, as last found or written.
    witnesses: HashMap<(StageName, u32), Bytes>,
    filling: Option<AbortOnDropHandle<()>>,
}

impl Watch {
    async fn round(&mut self, context: &Arc<Context>, owned: &[Owned]) {
        let generation = context.config.generation;
        self.written.retain(|key, (status, _)| {
            owned.iter().any(|(other, current)| other == key && Arc::ptr_eq(status, current))
        });
        self.witnesses.retain(|key, _| self.written.contains_key(key));
        let marker_keys =
            owned.iter().map(|((stage, partition), _)| marker_key(generation, stage.as_str(), *partition));
        let witness_keys =
            owned.iter().map(|((stage, partition), _)| witness_key(generation, stage.as_str(), *partition));
        let keys: Vec<String> = marker_keys.chain(witness_keys).collect();
        let Ok(mut markers) = context.parts.serving.get_markers(&keys).await else { return };
        let witnesses = markers.split_off(owned.len());
        let mut lost = false;
        for (((key, status), marker), witness) in owned.iter().zip(markers).zip(witnesses) {
            let marker = marker.and_then(|marker| Marker::decode(&marker).ok());
            let marker_stands = match (self.written.get(key), marker) {
                (_, None) => false,
                // Another one than was written is another owner's: when that one noticed a loss, this one did not see it.
                (Some((_, written)), Some(marker)) => {
                    marker == *written || (marker.complete && marker.version >= written.version)
                }
                // On taking over: what was stored must have been published too.
                (None, Some(marker)) => {
                    marker.complete
                        && marker.version >= last_before(generation, status.stored.load(Ordering::Relaxed))
                }
            };
            // Data may be lost between a look at a marker and the writing of the next one.
            let first = || status.first_witness.get().and_then(Option::as_ref);
            let known = self.witnesses.get(key).or_else(first);
            let witness_stands = witness.is_some() && witness.as_ref() == known;
            match witness {
                Some(witness) => self.witnesses.insert(*key, witness),
                None => self.witnesses.remove(key),
            };
            let left_by_another = marker.filter(|marker| marker.complete && !self.written.contains_key(key));
            match left_by_another {
                _ if marker_stands && witness_stands => continue,
                // Lists that changed little wait to be published, and who was to do it is gone.
                Some(marker) if witness_stands && key.0 == StageName::Product => {
                    status.is_behind(marker.version.offset() + 1);
                }
                _ => {
                    lost = true;
                    status.lost_data();
                    status.republish.store(true, Ordering::Relaxed);
                }
            }
            status.flush_now.store(true, Ordering::Relaxed);
        }
        if lost {
            crate::layout::publish(context).await;
        }
        self.fill(context, owned);
        self.write(context, owned).await;
    }

    /// Begins to fill what lacks data, unless that is under way.
    fn fill(&mut self, context: &Arc<Context>, owned: &[Owned]) {
        if self.filling.as_ref().is_some_and(|filling| !filling.is_finished()) {
            return;
        }
        let lacking: Vec<Owned> = owned.iter().filter(|(_, status)| status.needs_refill()).cloned().collect();
        if lacking.is_empty() {
            return;
        }
        let context = Arc::clone(context);
        let fill = async move {
            let lacking = stored_ones(&context, lacking).await;
            if lacking.is_empty() {
                return;
            }
            let partitions: Partitions = lacking.iter().map(|(key, ..)| *key).collect();
            match refill(&context, &partitions).await {
                Ok(counts) => {
                    tracing::info!(
                        users = counts.users,
                        products = counts.products,
                        partitions = partitions.len(),
                        "filled the serving store"
                    );
                    for (_, status, losses) in lacking {
                        status.filled_up_to(losses);
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

    async fn write(&mut self, context: &Context, owned: &[Owned]) {
        let (serving, generation) = (&context.parts.serving, context.config.generation);
        for (key, status) in owned {
            let (stage, partition) = (key.0.as_str(), key.1);
            if !self.witnesses.contains_key(key) {
                let witness = new_witness(generation);
                let name = witness_key(generation, stage, partition);
                if let Err(error) = serving.put_marker(&name, witness.clone()).await {
                    tracing::debug!(%error, "a witness could not be written");
                    return;
                }
                self.witnesses.insert(*key, witness);
            }
            let (offset, complete) = status.published();
            let version = last_before(generation, offset);
            let marker = Marker {
                version,
                lag_records: status.lag_records(),
                lag_ms: status.lag_ms(context.parts.clock.now_ms()),
                stream_time_ms: status.stream_time_ms.load(Ordering::Relaxed),
                published_at_ms: context.parts.clock.now_ms(),
                complete,
            };
            let name = marker_key(generation, stage, partition);
            if let Err(error) = serving.put_marker(&name, Bytes::from(marker.encode())).await {
                tracing::debug!(%error, "a marker could not be written");
                return;
            }
            self.written.insert(*key, (Arc::clone(status), marker));
        }
    }
}

/// Like no other witness.
fn new_witness(generation: u16) -> Bytes {
    let mut witness = header(Version::of(generation, 0), 8);
    witness.extend_from_slice(&RandomState::new().hash_one(0).to_be_bytes());
    Bytes::from(witness)
}

/// The version of the last record before `offset`; none when there is none.
fn last_before(generation: u16, offset: u64) -> Version {
    offset.checked_sub(1).map_or(Version::NONE, |last| Version::of(generation, last))
}

/// Rows that changed before the loss was noticed were published before it, so they are read from the state store: waits until
/// they are there, also when a task starts anew meanwhile, and gives how many losses a fill makes good then. A partition that
/// is taken away before is left out: what it would be filled with is not all, and its next owner is to see that it lacks something.
async fn stored_ones(
    context: &Context,
    owned: Vec<Owned>,
) -> Vec<((StageName, u32), Arc<PartitionStatus>, u64)> {
    let with_goal = |(key, status): Owned| {
        let (goal, losses) = (status.processed.load(Ordering::Relaxed), status.losses());
        (key, status, goal, losses)
    };
    let owned: Vec<_> = owned.into_iter().map(with_goal).collect();
    let mut stored = Vec::new();
    for (key, status, goal, losses) in owned {
        let is_stored = || status.stored.load(Ordering::Relaxed) >= goal;
        while !is_stored() && context.registry.holds(key.0, key.1, &status) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if is_stored() {
            stored.push((key, status, losses));
        }
    }
    stored
}
