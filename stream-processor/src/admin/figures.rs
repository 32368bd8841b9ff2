//! What the operations page shows of one moment.

use super::lag::{OtherPartition, Outcomes};
use crate::progress::StageName;
use crate::status::PartitionReport;
use crate::topology::Processor;
use schemas::names::marker_key;
use schemas::published::Marker;
use serde::Serialize;
use std::collections::HashMap;
use tokio::time::Instant;

/// Everything, at one moment.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Status {
    pub(super) at_ms: i64,
    /// Which copy says so.
    copy: String,
    generation: u16,
    pub(super) stages: Vec<StageFigures>,
    outcomes: Outcomes,
    partitions: Vec<OwnedPartition>,
    others: Vec<OtherPartition>,
}

/// A partition of this process.
#[derive(Debug, Clone, Serialize)]
struct OwnedPartition {
    #[serde(flatten)]
    report: PartitionReport,
    owner: String,
}

/// A stage over all partitions of this process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct StageFigures {
    pub(super) stage: &'static str,
    partitions: usize,
    /// Records that the log takes.
    arriving_per_second: f64,
    /// Records that are folded.
    pub(super) records_per_second: f64,
    pub(super) lag_records: u64,
    /// The longest wait of any record, in ms.
    pub(super) lag_ms: u64,
    /// When nothing will wait any more at the present rates, in ms; `None` = not at these.
    pub(super) catch_up_ms: Option<u64>,
    /// The slowest of what became visible lately, from the events' receipt, in ms.
    pub(super) freshness_ms: Option<u64>,
}

/// The charts' share of a [`Status`]: one value for each stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Point {
    at_ms: i64,
    records_per_second: Vec<f64>,
    lag_ms: Vec<u64>,
    freshness_ms: Vec<Option<u64>>,
}

impl From<&Status> for Point {
    fn from(status: &Status) -> Self {
        Self {
            at_ms: status.at_ms,
            records_per_second: status.stages.iter().map(|stage| stage.records_per_second).collect(),
            lag_ms: status.stages.iter().map(|stage| stage.lag_ms).collect(),
            freshness_ms: status.stages.iter().map(|stage| stage.freshness_ms).collect(),
        }
    }
}

/// How much of a new rate counts, the rest being the rate so far: two looks a second would jump.
const NEW_SHARE: f64 = 0.4;

/// Works out rates from one look to the next.
#[derive(Debug)]
pub(super) struct Sampler {
    copy: String,
    last: Option<(Instant, ByPartition)>,
    rates: HashMap<&'static str, Rates>,
}

/// By stage and partition.
type ByPartition = HashMap<(&'static str, u32), Counts>;

#[derive(Debug, Clone, Copy)]
struct Counts {
    records: u64,
    log_end: u64,
    visible: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Rates {
    arriving: f64,
    folded: f64,
    visible: f64,
}

impl Sampler {
    /// A sampler of the copy that is configured by this name; without one it goes by the name of its machine.
    pub(super) fn new(instance_id: &str) -> Self {
        Self { copy: copy_name(instance_id), last: None, rates: HashMap::new() }
    }

    /// Looks at `processor`.
    pub(super) async fn look(&mut self, processor: &Processor) -> Status {
        let context = processor.context();
        let at_ms = context.parts.clock.now_ms();
        // First, so that what is counted and not visible is among the records that wait.
        let outcomes = processor.registry().outcomes().into();
        let reports = processor.registry().report(at_ms);
        self.take_rates(&reports);
        let stages = StageName::ALL.map(|stage| self.stage(stage.as_str(), &reports));
        let owned = |report| OwnedPartition { report, owner: self.copy.clone() };
        Status {
            at_ms,
            generation: context.config.generation,
            stages: stages.into(),
            outcomes,
            partitions: reports.into_iter().map(owned).collect(),
            others: others(processor).await,
            copy: self.copy.clone(),
        }
    }

    fn take_rates(&mut self, reports: &[PartitionReport]) {
        let now = Instant::now();
        let counts = |report: &PartitionReport| Counts {
            records: report.records,
            log_end: report.log_end,
            visible: report.visible,
        };
        let current: ByPartition =
            reports.iter().map(|report| ((report.stage, report.partition), counts(report))).collect();
        if let Some((at, before)) = &self.last {
            let seconds = (now - *at).as_secs_f64().max(0.001);
            for stage in StageName::ALL.map(StageName::as_str) {
                let mut seen = Rates::default();
                for (key, now) in current.iter().filter(|((of, _), _)| *of == stage) {
                    // A partition that is new here tells nothing of rates yet; nor does one of which nothing was known.
                    let Some(before) = before.get(key).filter(|before| before.log_end > 0) else { continue };
                    let per_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
                    seen.arriving += per_second(now.log_end, before.log_end);
                    seen.folded += per_second(now.records, before.records);
                    seen.visible += per_second(now.visible, before.visible);
                }
                let rates = self.rates.entry(stage).or_default();
                let mix = |old: f64, new: f64| old + NEW_SHARE * (new - old);
                rates.arriving = mix(rates.arriving, seen.arriving);
                rates.folded = mix(rates.folded, seen.folded);
                rates.visible = mix(rates.visible, seen.visible);
            }
        }
        self.last = Some((now, current));
    }

    fn stage(&self, stage: &'static str, reports: &[PartitionReport]) -> StageFigures {
        let of_stage = || reports.iter().filter(|report| report.stage == stage);
        let rates = self.rates.get(stage).copied().unwrap_or_default();
        let lag_records = of_stage().map(|report| report.lag_records).sum();
        StageFigures {
            stage,
            partitions: of_stage().count(),
            arriving_per_second: rounded(rates.arriving),
            records_per_second: rounded(rates.folded),
            lag_records,
            lag_ms: of_stage().map(|report| report.lag_ms).max().unwrap_or(0),
            catch_up_ms: catch_up_ms(lag_records, rates),
            freshness_ms: of_stage().filter_map(|report| report.freshness_ms).max(),
        }
    }
}

fn catch_up_ms(lag_records: u64, rates: Rates) -> Option<u64> {
    let gained = rates.visible - rates.arriving;
    match lag_records {
        0 => Some(0),
        _ if gained > 0.01 => Some((lag_records as f64 / gained * 1_000.0) as u64),
        _ => None,
    }
}

fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

/// The configured name of this copy, else that of the machine.
fn copy_name(instance_id: &str) -> String {
    if !instance_id.is_empty() {
        return instance_id.to_owned();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => "this copy".to_owned(),
        host => host.to_owned(),
    }
}

/// The partitions that other processes own, as far as the serving store tells.
pub(super) async fn others(processor: &Processor) -> Vec<OtherPartition> {
    let context = processor.context();
    let counts =
        [(StageName::Shopper, context.events_partitions), (StageName::Product, context.activity_partitions)];
    let owned: Vec<(StageName, u32)> = processor.registry().all().into_iter().map(|(key, _)| key).collect();
    let not_owned: Vec<(StageName, u32)> = counts
        .into_iter()
        .flat_map(|(stage, count)| (0..count).map(move |partition| (stage, partition)))
        .filter(|key| !owned.contains(key))
        .collect();
    if not_owned.is_empty() {
        return Vec::new();
    }
    let name = |(stage, partition): &(StageName, u32)| {
        marker_key(context.config.generation, stage.as_str(), *partition)
    };
    let keys: Vec<String> = not_owned.iter().map(name).collect();
    let Ok(markers) = context.parts.serving.get_markers(&keys).await else { return Vec::new() };
    let now_ms = context.parts.clock.now_ms();
    let known = not_owned.into_iter().zip(markers).filter_map(|((stage, partition), marker)| {
        let marker = Marker::decode(&marker?).ok()?;
        Some(OtherPartition {
            stage: stage.as_str(),
            partition,
            lag_records: marker.lag_records,
            lag_ms: marker.lag_ms,
            stream_time_ms: (marker.stream_time_ms != i64::MIN).then_some(marker.stream_time_ms),
            reported_ms_ago: now_ms.saturating_sub(marker.published_at_ms).max(0) as u64,
        })
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catching_up_takes_what_is_gained_on_the_arrivals() {
        let rates = |arriving, visible| Rates { arriving, folded: visible, visible };
        assert_eq!(catch_up_ms(0, rates(10.0, 0.0)), Some(0));
        assert_eq!(catch_up_ms(1_000, rates(100.0, 300.0)), Some(5_000));
        assert_eq!(catch_up_ms(1_000, rates(100.0, 100.0)), None);
        assert_eq!(catch_up_ms(1_000, rates(0.0, 0.0)), None);
    }
}
