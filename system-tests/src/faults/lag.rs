//! How far the pipeline is, measured from outside: the log is asked where it ends, each copy how far it is.

use crate::servers::PARTITIONS;
use anyhow::{Result, bail};
use event_log::{EventLog, TopicPartition};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long the pipeline may take to come to rest, or to catch up.
const LIMIT: Duration = Duration::from_secs(150);
/// A copy, or a broker, that does not answer in this time does not answer.
const ANSWER: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Under load something always waits: what came longer ago than this must not.
const ALLOWED: Duration = Duration::from_secs(1);

/// A number for each partition of each stage.
type Offsets = BTreeMap<(&'static str, u32), u64>;

/// Where to look.
#[derive(Clone)]
pub struct Watch {
    log: Arc<dyn EventLog>,
    partitions: Vec<(&'static str, TopicPartition)>,
    http: reqwest::Client,
}

/// What the copies of the processor say together.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Outcomes {
    /// By name.
    pub counts: BTreeMap<String, u64>,
}

impl Outcomes {
    /// Of this name.
    pub fn of(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// Of all names.
    pub fn sum(&self) -> u64 {
        self.counts.values().sum()
    }
}

impl Watch {
    /// Looks at these topics of the log.
    pub fn new(log: Arc<dyn EventLog>, events: &str, activity: &str) -> Self {
        let stage = |stage, topic: &str| {
            let topic: Arc<str> = topic.into();
            (0..PARTITIONS)
                .map(move |partition| (stage, TopicPartition { topic: Arc::clone(&topic), partition }))
        };
        let partitions = stage("shopper", events).chain(stage("product", activity)).collect();
        Self { log, partitions, http: reqwest::Client::new() }
    }

    /// Waits, while the load goes on, until every partition is worked on and all that was in the log a second earlier is
    /// visible to shoppers. Gives the time since `since`.
    ///
    /// # Errors
    /// When it never is.
    pub async fn caught_up(&self, copies: &[SocketAddr], since: Instant) -> Result<Duration> {
        let mut ends: VecDeque<(Instant, Offsets)> = VecDeque::new();
        let mut goal = None;
        while since.elapsed() < LIMIT {
            if let Some(seen) = self.ends().await {
                ends.push_back((Instant::now(), seen));
            }
            while ends.front().is_some_and(|(at, _)| at.elapsed() >= ALLOWED) {
                goal = ends.pop_front();
            }
            let done = visible(&self.reports(copies).await);
            if let Some((_, goal)) = &goal
                && goal.iter().all(|(partition, end)| done.get(partition).is_some_and(|done| done >= end))
            {
                return Ok(since.elapsed());
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("the pipeline does not catch up within {} s", LIMIT.as_secs())
    }

    /// Waits until every partition has one owner other than those left out of `copies`.
    ///
    /// # Errors
    /// When it never has.
    pub async fn owned_by(&self, copies: &[SocketAddr]) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            if visible(&self.reports(copies).await).len() == self.partitions.len() {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("some partitions have no owner after {} s", LIMIT.as_secs())
    }

    /// Waits until nothing waits and `records` of `events` have an outcome, and gives the outcomes; those of the last look
    /// when that does not come.
    pub async fn at_rest(&self, copies: &[SocketAddr], records: u64) -> Outcomes {
        let begun = Instant::now();
        let mut last = Outcomes::default();
        while begun.elapsed() < LIMIT {
            let reports = self.reports(copies).await;
            let owned: usize = reports.iter().map(|report| running(report).count()).sum();
            // Else a partition that moves is counted by both or by none.
            if owned == self.partitions.len() && visible(&reports).len() == owned {
                last = outcomes(&reports);
                let done = visible(&reports);
                let ends = self.ends().await.unwrap_or_default();
                let nothing_waits = !ends.is_empty()
                    && ends
                        .iter()
                        .all(|(partition, end)| done.get(partition).is_some_and(|done| done >= end));
                if nothing_waits && last.sum() >= records {
                    return last;
                }
            }
            sleep(LOOK_EVERY).await;
        }
        last
    }

    async fn ends(&self) -> Option<Offsets> {
        let mut ends = Offsets::new();
        for (stage, partition) in &self.partitions {
            let bounds = timeout(ANSWER, self.log.bounds(partition)).await.ok()?.ok()?;
            ends.insert((*stage, partition.partition), bounds.end);
        }
        Some(ends)
    }

    /// What each copy that answers says.
    async fn reports(&self, copies: &[SocketAddr]) -> Vec<Value> {
        let mut reports = Vec::new();
        for address in copies {
            let request = self.http.get(format!("http://{address}/admin/lag")).timeout(ANSWER);
            if let Ok(answer) = request.send().await
                && answer.status() == 200
                && let Ok(report) = answer.json().await
            {
                reports.push(report);
            }
        }
        reports
    }
}

fn running(report: &Value) -> impl Iterator<Item = ((&'static str, u32), u64)> {
    let partitions = report["partitions"].as_array().map(Vec::as_slice).unwrap_or_default();
    partitions.iter().filter(|partition| partition["running"] == true).map(|partition| {
        let stage = if partition["stage"] == "shopper" { "shopper" } else { "product" };
        let number = partition["partition"].as_u64().unwrap_or_default() as u32;
        ((stage, number), partition["visible"].as_u64().unwrap_or_default())
    })
}

/// Up to where the effects of each partition are visible; only of those that somebody works on.
fn visible(reports: &[Value]) -> Offsets {
    let mut visible = Offsets::new();
    for (partition, offset) in reports.iter().flat_map(running) {
        let known = visible.entry(partition).or_default();
        *known = offset.max(*known);
    }
    visible
}

fn outcomes(reports: &[Value]) -> Outcomes {
    let mut sum = Outcomes::default();
    for (name, count) in reports.iter().filter_map(|report| report["outcomes"].as_object()).flatten() {
        *sum.counts.entry(name.clone()).or_default() += count.as_u64().unwrap_or_default();
    }
    sum
}
