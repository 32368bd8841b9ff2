//! How far each generation is.

use super::{GenerationError, Generations, Origin, REGISTERED};
use crate::progress::{META_KEY, StageName};
use event_log::{LogError, TopicPartition};
use schemas::Version;
use schemas::names::{NO_GENERATION, Topics, live_key, marker_key};
use schemas::published::{Layout, LiveGeneration, Marker};
use serde::Serialize;
use std::collections::BTreeMap;
use stores::Table;

/// A partition of which nothing was heard for so long is nobody's.
const SILENT_MS: i64 = 15_000;
/// By how much longer than those of the live generation the records of another may wait that is to become live: markers are
/// up to a second old.
const SLACK_MS: u64 = 2_000;

/// All generations at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// The one that serving answers from.
    pub live: u16,
    /// The one that a rollback returns to; `None` when nothing was ever promoted.
    pub previous: Option<u16>,
    /// In their order.
    pub generations: Vec<GenerationReport>,
}

impl Overview {
    /// What is known of a generation.
    pub fn of(&self, generation: u16) -> Option<&GenerationReport> {
        self.generations.iter().find(|report| report.generation == generation)
    }

    /// Whether a generation may become live.
    ///
    /// # Errors
    /// What it lacks.
    pub fn check_ready(&self, generation: u16) -> Result<(), String> {
        let Some(report) = self.of(generation) else {
            return Err(format!("there is no generation {generation}: `shopsmart generations` lists them"));
        };
        report.check_complete()?;
        if !report.running {
            return Err(format!(
                "no processor works on generation {generation}: start processors with processor.generation = {generation}"
            ));
        }
        let (lag_ms, live_ms) =
            (report.lag_ms.unwrap_or(u64::MAX), self.of(self.live).and_then(|live| live.lag_ms));
        if lag_ms > live_ms.unwrap_or(0).saturating_add(SLACK_MS) {
            let seconds = |ms: u64| ms as f64 / 1_000.0;
            return Err(format!(
                "generation {generation} is {:.1} s behind ({} records wait), the live one {:.1} s: wait until it has caught up",
                seconds(lag_ms),
                report.lag_records,
                seconds(live_ms.unwrap_or(0))
            ));
        }
        Ok(())
    }
}

/// How far a generation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GenerationReport {
    /// Which one.
    pub generation: u16,
    /// Whether serving answers from it.
    pub live: bool,
    /// Whether the serving store has everything that the generation has published.
    pub complete: bool,
    /// Whether processors have worked on every partition within the last seconds.
    pub running: bool,
    /// Records of `events` that are to be read in all, from where the generation begins.
    pub events: u64,
    /// How many of these are reflected.
    pub events_done: u64,
    /// Records that wait, of both stages.
    pub lag_records: u64,
    /// How long the oldest of these has waited, in ms; `None` where a partition was never worked on.
    pub lag_ms: Option<u64>,
    /// Each partition of both stages.
    pub partitions: Vec<StagePosition>,
}

impl GenerationReport {
    /// Whether answers can be made from it.
    pub(super) fn check_complete(&self) -> Result<(), String> {
        let lacking = self.partitions.iter().filter(|partition| !partition.complete).count();
        if self.complete {
            return Ok(());
        }
        Err(format!(
            "generation {} is not complete: Redis lacks data of {lacking} of its {} partitions",
            self.generation,
            self.partitions.len()
        ))
    }
}

/// How far a stage is in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StagePosition {
    /// `shopper` or `product`.
    pub stage: &'static str,
    /// The partition.
    pub partition: u32,
    /// The next offset whose effects are not visible yet.
    pub position: u64,
    /// The log's end.
    pub end: u64,
    /// How long the oldest record that waits has waited, in ms; `None` where nothing was ever said.
    pub lag_ms: Option<u64>,
    /// Whether everything before `position` is published.
    pub complete: bool,
    /// How long ago all that was said, in ms; `None` where nothing was ever said.
    pub reported_ms_ago: Option<u64>,
}

impl Generations {
    /// The record of which generation is live; `None` when nothing was promoted yet.
    ///
    /// # Errors
    /// When the state store does not answer.
    pub(super) async fn record(&self) -> Result<Option<LiveGeneration>, GenerationError> {
        let key = [live_key(&self.topic_prefix)];
        let rows = self.parts.state.get_many(Table::Published, NO_GENERATION, &key).await?;
        let unreadable = |reason| GenerationError::Unreadable { key: key[0].clone(), reason };
        let row = rows.into_iter().next().flatten();
        row.map(|row| LiveGeneration::decode(&row.state).map_err(unreadable)).transpose()
    }

    /// The record as it is, or as it would be when the configured generation had been promoted first.
    pub(super) async fn live(&self) -> Result<LiveGeneration, GenerationError> {
        let unpromoted =
            LiveGeneration { version: Version(0), generation: self.configured, previous: self.configured };
        Ok(self.record().await?.unwrap_or(unpromoted))
    }

    /// Looks at all generations.
    ///
    /// # Errors
    /// When the log or a store does not answer.
    pub async fn overview(&self) -> Result<Overview, GenerationError> {
        let record = self.record().await?;
        let live = record.map_or(self.configured, |record| record.generation);
        let mut generations = Vec::new();
        for (generation, layout) in self.layouts(live).await? {
            generations.push(self.report(generation, layout, generation == live).await?);
        }
        Ok(Overview { live, previous: record.map(|record| record.previous), generations })
    }

    /// The generations that exist.
    async fn layouts(&self, live: u16) -> Result<BTreeMap<u16, Layout>, GenerationError> {
        let state = &self.parts.state;
        let mut rows = Vec::new();
        let mut scan = state.scan(Table::Progress, NO_GENERATION).await?;
        while let Some(row) = scan.recv().await {
            let row = row?;
            if let Some(generation) = row.key.strip_prefix(REGISTERED).and_then(|name| name.parse().ok()) {
                rows.push((generation, row));
            }
        }
        // One that was built by a version that did not register it.
        if rows.iter().all(|(generation, _)| *generation != live) {
            let found = state.get_many(Table::Progress, live, &[META_KEY.to_owned()]).await?;
            rows.extend(found.into_iter().flatten().map(|row| (live, row)));
        }
        let mut layouts = BTreeMap::new();
        for (generation, row) in rows {
            let unreadable = |reason| GenerationError::Unreadable { key: row.key.clone(), reason };
            layouts.insert(generation, Layout::decode(&row.state).map_err(unreadable)?);
        }
        Ok(layouts)
    }

    async fn report(
        &self,
        generation: u16,
        layout: Layout,
        live: bool,
    ) -> Result<GenerationReport, GenerationError> {
        let topics = Topics::new(&self.topic_prefix, generation);
        let origin = Origin::read(&self.parts, generation).await?;
        let stages = [
            (StageName::Shopper, &topics.events, layout.events_partitions),
            (StageName::Product, &topics.product_activity, layout.activity_partitions),
        ];
        let mut partitions = Vec::new();
        for (stage, topic, count) in stages {
            let keys: Vec<String> =
                (0..count).map(|partition| marker_key(generation, stage.as_str(), partition)).collect();
            let markers = self.parts.serving.get_markers(&keys).await?;
            for (partition, marker) in (0..count).zip(markers) {
                let marker = marker.and_then(|marker| Marker::decode(&marker).ok());
                let begin = if stage == StageName::Shopper { origin.of(partition) } else { 0 };
                let place = TopicPartition { topic: topic.as_str().into(), partition };
                let end = match self.parts.log.bounds(&place).await {
                    Ok(bounds) => bounds.end,
                    // Topics of a generation that nobody needs any more may be deleted.
                    Err(LogError::NoSuchTopic(_)) => 0,
                    Err(error) => return Err(error.into()),
                };
                partitions.push(self.position(stage, partition, marker, begin, end));
            }
        }
        let of_events =
            || partitions.iter().filter(|partition| partition.stage == StageName::Shopper.as_str());
        let begin: u64 = (0..layout.events_partitions).map(|partition| origin.of(partition)).sum();
        let sum = |of: fn(&StagePosition) -> u64| of_events().map(of).sum::<u64>().saturating_sub(begin);
        let lags: Option<Vec<u64>> = partitions.iter().map(|partition| partition.lag_ms).collect();
        let heard = |partition: &StagePosition| {
            partition.reported_ms_ago.is_some_and(|ago| ago < SILENT_MS.unsigned_abs())
        };
        Ok(GenerationReport {
            generation,
            live,
            complete: partitions.iter().all(|partition| partition.complete),
            running: partitions.iter().all(heard),
            events: sum(|partition| partition.end),
            events_done: sum(|partition| partition.position),
            lag_records: partitions.iter().map(|of| of.end.saturating_sub(of.position)).sum(),
            lag_ms: lags.map(|lags| lags.into_iter().max().unwrap_or(0)),
            partitions,
        })
    }

    fn position(
        &self,
        stage: StageName,
        partition: u32,
        marker: Option<Marker>,
        begin: u64,
        end: u64,
    ) -> StagePosition {
        let now_ms = self.parts.clock.now_ms();
        let reflected = marker.filter(|marker| marker.version != Version::NONE);
        let position = reflected.map_or(begin, |marker| marker.version.offset() + 1).max(begin);
        let ago_ms = marker.map(|marker| now_ms.saturating_sub(marker.published_at_ms).max(0).unsigned_abs());
        // What has waited when the marker was written has waited since then, too; and so has what came after it, at most.
        let waits = |(marker, ago_ms): (Marker, u64)| {
            if end > position { marker.lag_ms.saturating_add(ago_ms) } else { 0 }
        };
        StagePosition {
            stage: stage.as_str(),
            partition,
            position,
            end,
            lag_ms: marker.zip(ago_ms).map(waits),
            complete: marker.is_some_and(|marker| marker.complete),
            reported_ms_ago: ago_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(generation: u16, lag_ms: Option<u64>) -> GenerationReport {
        GenerationReport {
            generation,
            live: generation == 1,
            complete: true,
            running: true,
            events: 10,
            events_done: 10,
            lag_records: 0,
            lag_ms,
            partitions: Vec::new(),
        }
    }

    fn overview(other: GenerationReport) -> Overview {
        Overview { live: 1, previous: None, generations: vec![report(1, Some(5_000)), other] }
    }

    #[test]
    fn a_generation_is_ready_once_it_waits_no_longer_than_the_live_one() {
        assert_eq!(overview(report(2, Some(6_900))).check_ready(2), Ok(()));
        let refusal = overview(report(2, Some(7_100))).check_ready(2).unwrap_err();
        assert!(refusal.contains("7.1 s behind") && refusal.contains("the live one 5.0 s"), "{refusal}");
        assert!(overview(report(2, None)).check_ready(2).is_err(), "nothing is known of it");
    }

    #[test]
    fn one_that_is_incomplete_or_nobodys_or_unknown_is_not_ready() {
        let incomplete = GenerationReport { complete: false, ..report(2, Some(0)) };
        assert!(overview(incomplete).check_ready(2).unwrap_err().contains("not complete"));
        let stopped = GenerationReport { running: false, ..report(2, Some(0)) };
        assert!(overview(stopped).check_ready(2).unwrap_err().contains("processor.generation = 2"));
        assert!(overview(report(2, Some(0))).check_ready(3).unwrap_err().contains("no generation 3"));
    }
}
