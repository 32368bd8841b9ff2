//! How long until an event shows in answers, on real Kafka, Redis and Cassandra, beside a steady load and then beside a replay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use system_tests::program;
use system_tests::servers::Installation;
use tokio::task::JoinHandle;

use crate::cpu::CpuSeconds;
use crate::load::{self, Request};
use crate::report::Figure;
use crate::servers;
use crate::workload::Workload;

/// Events of a request of the load.
const BATCH: usize = 10;
/// Connections of the load.
const CONNECTIONS: usize = 16;
/// Events of which the load's requests are made; they have no ids, so that each sending is an event of its own.
const EVENTS: usize = 50_000;
/// Between two probes of a kind.
const PAUSE: Duration = Duration::from_millis(20);
/// Probes of a kind at the same time, where each takes long.
const AT_THE_SAME_TIME: usize = 4;
/// What takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(20);
/// The load runs for so long before anything is measured.
const WARM_UP: Duration = Duration::from_secs(5);

/// What becomes visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// The shopper's own event counts in the next recommendation.
    OwnEvent,
    /// Two products of a session are neighbours.
    Neighbours,
    /// A product trends in its category.
    Trending,
}

impl Effect {
    /// Between two looks at an answer: what is measured is too long by half of it. Looking itself takes CPU time from what is
    /// measured, so what takes longer is looked at less often.
    fn look(self) -> Duration {
        Duration::from_millis(match self {
            Self::OwnEvent => 2,
            Self::Neighbours | Self::Trending => 20,
        })
    }
}

/// Puts events into `ingest` and looks for their effects in the answers of `serving`.
#[derive(Clone)]
struct Probe {
    client: reqwest::Client,
    events: String,
    serving: String,
    stop: Arc<AtomicBool>,
    number: Arc<AtomicU64>,
}

/// Latencies in microseconds.
type Latencies = Histogram<u64>;

/// From the 202 of an event to its effects, beside a load of `rate` events per second; the installation's services have to run,
/// `processor` being the id of its `stream-processor`. What is in the log already is what the replay reads.
///
/// # Errors
/// When anything fails, or an effect never shows.
pub async fn measure(
    installation: &Installation,
    processor: u32,
    workload: &Workload,
    rate: u32,
    time: Duration,
) -> Result<Vec<Figure>> {
    let probe = Probe {
        client: reqwest::Client::builder().timeout(PATIENCE).build()?,
        events: format!("http://{}/events", installation.ingest),
        serving: format!("http://{}", installation.serving),
        stop: Arc::default(),
        number: Arc::default(),
    };
    let mut figures = Vec::new();
    let load = tokio::spawn(load(installation.ingest, requests(workload), rate, WARM_UP + time));
    tokio::time::sleep(WARM_UP).await;
    let probes = [
        (Effect::OwnEvent, "own event in the next recommendation", 1, ["30", "150"]),
        (Effect::Neighbours, "changed neighbours", AT_THE_SAME_TIME, ["", "500"]),
        (Effect::Trending, "trending", AT_THE_SAME_TIME, ["", "500"]),
    ];
    let running = probes.map(|(effect, what, count, goals)| (probe.start(effect, count), what, goals));
    let rows = || servers::counter(installation.processor, "processor_flushed_rows_total");
    let (before, servers, rows_before) = (CpuSeconds::of(processor)?, servers::cpu()?, rows().await?);
    tokio::time::sleep(time).await;
    let events = f64::from(rate) * time.as_secs_f64();
    let per_event = 1e6 / events;
    figures.push(Figure::beside(
        format!(
            "processor, {rate} events per second: CPU per event, beside that of Kafka, Redis and Cassandra"
        ),
        (CpuSeconds::of(processor)? - before) * per_event,
        (servers::cpu()? - servers) * per_event,
        "µs",
        "1 × servers",
    ));
    figures.push(Figure::alone(
        format!("processor, {rate} events per second: rows written to Cassandra per event"),
        (rows().await? - rows_before) / events,
        "",
        "0.5",
    ));
    probe.stop.store(true, Ordering::Relaxed);
    for (running, what, goals) in running {
        let latencies = sum(running).await?;
        for (percentile, goal) in [50.0, 99.0].into_iter().zip(goals) {
            figures.push(figure(what, &latencies, percentile, goal));
        }
    }
    let latencies = load.await??;
    ensure!(latencies.failed == 0, "{} requests of the load were refused", latencies.failed);
    figures.push(replay(installation, &probe).await?);
    Ok(figures)
}

/// The live generation while another one is built from the whole log beside it.
async fn replay(installation: &Installation, probe: &Probe) -> Result<Figure> {
    probe.stop.store(false, Ordering::Relaxed);
    let config = installation.config_argument();
    let begun = Instant::now();
    let replay = tokio::task::spawn_blocking(move || {
        program::run("shopsmart", &["replay-log", "--from", "beginning", "--config", &config])
    });
    let running = probe.start(Effect::OwnEvent, 1);
    let output = replay.await??;
    probe.stop.store(true, Ordering::Relaxed);
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the replay ended with {}: {said}", output.status);
    let latencies = sum(running).await?;
    let what = format!("own event beside a replay of {:.0} s", begun.elapsed().as_secs_f64());
    Ok(figure(&what, &latencies, 99.0, "1,000"))
}

fn figure(what: &str, latencies: &Latencies, percentile: f64, goal: &'static str) -> Figure {
    let name = format!("freshness: {what}, p{percentile:.0} of {}", latencies.len());
    Figure::alone(name, latencies.value_at_percentile(percentile) as f64 / 1000.0, "ms", goal)
}

fn requests(workload: &Workload) -> Vec<Request> {
    let events: Vec<Value> = workload
        .clicks
        .iter()
        .take(EVENTS)
        .map(|click| {
            json!({"event_type": click.kind.name(), "user_id": click.user, "product_id": click.product})
        })
        .collect();
    let request = |events: &[Value]| Request {
        path: "/events/batch".to_owned(),
        body: json!({"events": events}).to_string(),
    };
    events.chunks(BATCH).map(request).collect()
}

async fn load(
    ingest: std::net::SocketAddr,
    requests: Vec<Request>,
    rate: u32,
    time: Duration,
) -> Result<load::Latencies> {
    load::at_rate(ingest, &requests, CONNECTIONS, f64::from(rate) / BATCH as f64, time).await
}

async fn sum(running: Vec<JoinHandle<Result<Latencies>>>) -> Result<Latencies> {
    let mut sum = histogram()?;
    for probe in running {
        sum.add(probe.await??)?;
    }
    ensure!(!sum.is_empty(), "nothing was measured: measure for longer");
    Ok(sum)
}

fn histogram() -> Result<Latencies> {
    Ok(Histogram::new_with_bounds(1, PATIENCE.as_micros() as u64, 3)?)
}

impl Probe {
    /// Probes, `count` at a time, until it is told to stop.
    fn start(&self, effect: Effect, count: usize) -> Vec<JoinHandle<Result<Latencies>>> {
        let probe = || {
            let probe = self.clone();
            tokio::spawn(async move {
                let mut latencies = histogram()?;
                while !probe.stop.load(Ordering::Relaxed) {
                    latencies.saturating_record(probe.once(effect).await?.as_micros() as u64);
                    tokio::time::sleep(PAUSE).await;
                }
                anyhow::Ok(latencies)
            })
        };
        (0..count).map(|_| probe()).collect()
    }

    /// How long one effect took to show, from the answer of ingest.
    async fn once(&self, effect: Effect) -> Result<Duration> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        // Of nobody before, in no product's list yet.
        let (user, own, other) =
            (format!("probe-{number}"), format!("probe-a{number}"), format!("probe-b{number}"));
        match effect {
            Effect::OwnEvent => {
                let position =
                    self.send(json!({"event_type": "view", "user_id": user, "product_id": own})).await?;
                self.until(effect, &format!("/recommendations?user_id={user}&k=20"), |answer| {
                    answer["freshness"]["position"] == position.as_str()
                })
                .await
            }
            Effect::Neighbours => {
                self.send(json!({"event_type": "view", "user_id": user, "product_id": own})).await?;
                self.send(json!({"event_type": "view", "user_id": user, "product_id": other})).await?;
                self.until(effect, &format!("/products/{own}/similar?k=5"), |answer| has(answer, &other))
                    .await
            }
            Effect::Trending => {
                // Everything in it weighs the same, so the newer ones have to fit into the list beside the others.
                let category = format!("probe-{}", number / 64);
                let event = json!({"event_type": "purchase", "user_id": user, "product_id": own,
                                   "category_id": category});
                self.send(event).await?;
                let path = format!("/trending?category_id={category}&window=1h&k=100");
                self.until(effect, &path, |answer| has(answer, &own)).await
            }
        }
    }

    /// Sends an event, and gives its position in the log.
    async fn send(&self, event: Value) -> Result<String> {
        let answer = self.client.post(&self.events).json(&event).send().await?.error_for_status()?;
        let answer: Value = answer.json().await?;
        Ok(answer["position"].as_str().context("an answer without a position")?.to_owned())
    }

    /// How long until an answer is as `wanted`.
    async fn until(&self, effect: Effect, path: &str, wanted: impl Fn(&Value) -> bool) -> Result<Duration> {
        let (begun, url) = (Instant::now(), format!("{}{path}", self.serving));
        loop {
            let answer: Value = self.client.get(&url).send().await?.error_for_status()?.json().await?;
            if wanted(&answer) {
                return Ok(begun.elapsed());
            }
            ensure!(begun.elapsed() < PATIENCE, "an effect never showed at {path}: {answer}");
            tokio::time::sleep(effect.look()).await;
        }
    }
}

fn has(answer: &Value, product: &str) -> bool {
    answer["items"].as_array().is_some_and(|items| items.iter().any(|item| item["product_id"] == product))
}
