//! Whether an event costs the same in a large shop: the processor on embedded parts, with the users and products of a small and
//! of a large shop in its state.

use anyhow::{Result, ensure};
use event_log::{NewRecord, ProducerMode};
use std::time::{Duration, Instant};
use stream_processor::Parts;
use tokio::time::MissedTickBehavior;

use crate::cpu::{CpuSeconds, resident_bytes};
use crate::embedded::{self, PARTITIONS, Running, fill};
use crate::report::Figure;
use crate::workload::{Click, Workload};

/// Products and users of a small and of a large shop.
const SHOPS: [(u64, u64); 2] = [(10_000, 100_000), (1_000_000, 10_000_000)];
/// Events that a restarted processor finds.
const WAITING: usize = 1_000;
/// Between two events of the past, in ms.
const STEP_MS: i64 = 5;
/// How often in a second events are sent as they come, at most.
const TICKS: u32 = 100;

/// What a shop's size makes of an event's cost.
struct Shop {
    name: String,
    /// Of events that come by and by.
    micros_as_they_come: f64,
    /// Of events that come as fast as the log takes them.
    micros_at_once: f64,
    restart_seconds: f64,
    resident_bytes: f64,
}

/// CPU per event in a large shop beside a small one, `rate` events a second and all at once, and the time from a restart to no
/// lag.
///
/// # Errors
/// When the pipeline fails.
pub async fn measure(events: usize, rate: u32) -> Result<Vec<Figure>> {
    let [small, large] = [shop(SHOPS[0], events, rate).await?, shop(SHOPS[1], events, rate).await?];
    let name = |what: &str| format!("scale: {what}, {} beside {}", large.name, small.name);
    let goal = "1.3 × small";
    Ok(vec![
        Figure::beside(
            name(&format!("CPU per event at {rate}/s")),
            large.micros_as_they_come,
            small.micros_as_they_come,
            "µs",
            goal,
        ),
        Figure::beside(
            name("CPU per event, all at once"),
            large.micros_at_once,
            small.micros_at_once,
            "µs",
            goal,
        ),
        Figure::alone(format!("scale: restart to no lag, {}", large.name), large.restart_seconds, "s", "30"),
        Figure::beside(
            "scale: memory of the process with all that it published, large beside small",
            large.resident_bytes / 1e6,
            small.resident_bytes / 1e6,
            "MB",
            "",
        ),
    ])
}

async fn shop((products, users): (u64, u64), events: usize, rate: u32) -> Result<Shop> {
    let name = format!("{}k products and {}k users", products / 1_000, users / 1_000);
    // The larger one takes minutes, in which nothing else is seen.
    eprintln!("scale: making a shop of {name}");
    let folder = tempfile::tempdir()?;
    let parts = embedded::parts(folder.path()).await?;
    let workload = Workload::zipf(WAITING + 2 * events, users, products);
    let (past, to_come) = workload.clicks.split_at(WAITING + events);
    let now_ms = parts.clock.now_ms();
    let begin_ms = now_ms - (users as i64 + past.len() as i64) * STEP_MS;
    // Everybody was here once, and every product was looked at.
    let known = (0..users).map(|user| Click {
        user: format!("u{user}"),
        product: format!("p{:07}", user % products),
        kind: schemas::EventKind::View,
        timestamp_ms: 0,
    });
    let mut log = known
        .chain(past.iter().cloned())
        .enumerate()
        .map(|(number, click)| at(click, begin_ms + number as i64 * STEP_MS).record(number, now_ms));
    let known = users as usize;
    fill(&parts, PARTITIONS, log.by_ref().take(known)).await?;
    to_rest(&parts, known).await?;

    eprintln!("scale: restarting");
    fill(&parts, PARTITIONS, log.by_ref().take(WAITING)).await?;
    let restarted = to_rest(&parts, known + WAITING).await?;
    let running = Running::start(&parts, PARTITIONS).await?;
    running.at_rest().await?;
    // Without the start, which reads what was there before.
    eprintln!("scale: {events} events at once");
    let before = CpuSeconds::of_this_process()?;
    fill(&parts, PARTITIONS, log).await?;
    running.until(known + past.len()).await?;
    running.at_rest().await?;
    let at_once = CpuSeconds::of_this_process()? - before;
    eprintln!("scale: {events} events at {rate}/s");
    let before = CpuSeconds::of_this_process()?;
    send(&parts, to_come, known + past.len(), rate).await?;
    running.until(known + past.len() + to_come.len()).await?;
    running.at_rest().await?;
    let as_they_come = CpuSeconds::of_this_process()? - before;
    let resident_bytes = resident_bytes("self")?;
    running.stop().await?;
    let micros = |seconds: f64| seconds * 1e6 / events as f64;
    Ok(Shop {
        name,
        micros_as_they_come: micros(as_they_come),
        micros_at_once: micros(at_once),
        restart_seconds: restarted.as_secs_f64(),
        resident_bytes,
    })
}

fn at(click: Click, timestamp_ms: i64) -> Click {
    Click { timestamp_ms, ..click }
}

/// Starts a processor, and stops it when so many events have an outcome since the beginning and all is done that they lead to.
/// Gives how long the events took.
async fn to_rest(parts: &Parts, events: usize) -> Result<Duration> {
    let begun = Instant::now();
    let running = Running::start(parts, PARTITIONS).await?;
    running.until(events).await?;
    let caught_up = begun.elapsed();
    running.at_rest().await?;
    running.stop().await?;
    Ok(caught_up)
}

/// Appends events at the time at which they happen, numbered from `first` on.
async fn send(parts: &Parts, clicks: &[Click], first: usize, rate: u32) -> Result<()> {
    let producer = parts.log.producer(ProducerMode::Bounded { ack_timeout_ms: 60_000, linger_ms: 0 })?;
    let at_once = (rate / TICKS).max(1);
    let mut ticker = tokio::time::interval(Duration::from_secs_f64(f64::from(at_once) / f64::from(rate)));
    ticker.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let at_once = at_once as usize;
    for (tick, clicks) in clicks.chunks(at_once).enumerate() {
        ticker.tick().await;
        let now_ms = parts.clock.now_ms();
        let mut appends = Vec::with_capacity(clicks.len());
        for (number, click) in (first + tick * at_once..).zip(clicks) {
            let (key, value) = at(click.clone(), now_ms).record(number, now_ms);
            let topic = parts.topics.events.as_str().into();
            appends.push(producer.append(NewRecord {
                topic,
                partition: None,
                key,
                value,
                traceparent: None,
            })?);
        }
        for append in appends {
            append.await?;
        }
    }
    ensure!(producer.drain(60_000).await == 0, "some events were not acknowledged");
    Ok(())
}
