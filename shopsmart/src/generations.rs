//! Generations beside one another: building one from the log, listing them, and changing which one is live.

mod table;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use schemas::Version;
use schemas::names::Topics;
use stream_processor::generations::{From, Generations, Overview, Switched};
use stream_processor::{ProcessorConfig, start};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::target::{Settings, Target};

/// How often progress is shown.
const EVERY: Duration = Duration::from_secs(1);

/// The generations of an installation and its settings.
///
/// # Errors
/// For a folder of `shopsmart dev`, and when the configuration cannot be used or a store does not answer.
async fn open(target: &Target) -> Result<(Generations, Settings)> {
    let Target::Config(file) = target else {
        bail!(
            "a folder of `shopsmart dev` has one generation, because one process has it for itself: to see what another \
             version makes of the same events, start `shopsmart dev` on a new folder and send them again (`shopsmart \
             replay`); generations beside one another need Kafka, Redis and Cassandra (--config)"
        );
    };
    let settings = Settings::load(file.as_deref())?;
    let (parts, _) = target.open().await?;
    let (topic_prefix, configured) = (settings.kafka.topic_prefix.clone(), settings.serving.generation);
    Ok((Generations { parts, topic_prefix, configured }, settings))
}

/// Lists the generations.
///
/// # Errors
/// When the log or a store does not answer.
pub async fn list(target: &Target, json: bool) -> Result<ExitCode> {
    let (generations, _) = open(target).await?;
    let overview = generations.overview().await?;
    match json {
        true => println!("{}", serde_json::to_string(&overview)?),
        false => print!("{}", table::table(&overview)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a generation live.
///
/// # Errors
/// When it is not ready (unless `force`), or the log or a store does not answer.
pub async fn promote(target: &Target, generation: u16, force: bool) -> Result<ExitCode> {
    let (generations, _) = open(target).await?;
    let switched = generations.promote(generation, force).await?;
    if switched.from == switched.to {
        println!("generation {generation} is live already");
    } else {
        tell(&switched);
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the generation live again that was before.
///
/// # Errors
/// As [`promote`].
pub async fn rollback(target: &Target, force: bool) -> Result<ExitCode> {
    let (generations, _) = open(target).await?;
    tell(&generations.rollback(force).await?);
    Ok(ExitCode::SUCCESS)
}

fn tell(switched: &Switched) {
    let Switched { from, to, forced, untold } = switched;
    if let Some(lacks) = forced {
        eprintln!("warning: {lacks}");
    }
    if let Some(error) = untold {
        eprintln!("warning: {error}; serving follows what the state store says");
    }
    println!("generation {to} is live instead of {from}; serving follows within a second.");
    println!("`shopsmart rollback` returns to {from}: keep its processors running until you are sure.");
}

/// What to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// Where to begin; only for a generation that has not begun.
    pub from: Option<From>,
    /// Which generation; the one above the highest that exists, or that one where it is above the live one and not
    /// finished.
    pub generation: Option<u16>,
    /// Go on until stopped, instead of ending once it has caught up.
    pub follow: bool,
}

/// Builds a generation out of the log beside the live one, until it has caught up or until `stop`.
///
/// # Errors
/// When the generation cannot be built, or the log or a store does not answer.
pub async fn replay_log(target: &Target, build: Build, stop: CancellationToken) -> Result<ExitCode> {
    let (mut generations, settings) = open(target).await?;
    let overview = generations.overview().await?;
    let generation = build.generation.unwrap_or_else(|| next_generation(&overview));
    anyhow::ensure!(
        (1..=Version::MAX_GENERATION).contains(&generation),
        "--generation is {generation}: allowed is 1 to {}",
        Version::MAX_GENERATION
    );
    anyhow::ensure!(
        generation != overview.live,
        "generation {generation} is the live one: another is built beside it"
    );
    generations.parts.topics = Topics::new(&settings.kafka.topic_prefix, generation);
    generations.begin(generation, build.from).await?;
    // Its copies are no static members: this one does not come back under a name.
    let config = ProcessorConfig { generation, instance_id: String::new(), ..settings.processor.clone() };
    println!("building generation {generation} beside {}, which stays live", overview.live);

    let parts = generations.parts.clone();
    let catalog = catalog::follow(
        Arc::clone(&parts.log),
        parts.topics.products.clone(),
        Arc::clone(&parts.catalog),
        stop.clone(),
    );
    let work = async {
        let Some(processor) = stop.run_until_cancelled(start::prepare(parts, config)).await.transpose()?
        else {
            return Ok(None);
        };
        let (running, caught_up) = tokio::join!(
            async {
                let ended = processor.run(stop.clone()).await;
                stop.cancel();
                ended
            },
            watch(&generations, generation, build.follow, &stop)
        );
        running?;
        caught_up
    };
    let (caught_up, ()) = tokio::join!(
        async {
            let done = work.await;
            stop.cancel();
            done
        },
        catalog
    );
    let file = match target {
        Target::Config(Some(file)) => format!(" --config {}", file.display()),
        _ => String::new(),
    };
    match caught_up? {
        Some(events) if !build.follow => println!("{}", next_step(generation, events, &file)),
        Some(_) => {}
        None => println!("stopped: the same command goes on where this one was"),
    }
    Ok(ExitCode::SUCCESS)
}

fn next_step(generation: u16, events: u64, config: &str) -> String {
    format!(
        "generation {generation} has caught up: {events} events. Next:\n  \
         SHOPSMART__PROCESSOR__GENERATION={generation} stream-processor{config}    (goes on from here; as many copies as usual)\n  \
         shopsmart promote {generation}{config}    (once `shopsmart generations{config}` shows it running)"
    )
}

/// The one that a replay builds when none is named.
fn next_generation(overview: &Overview) -> u16 {
    let highest = overview.generations.iter().max_by_key(|report| report.generation);
    match highest {
        // One that was begun and was never live is gone on with.
        Some(report) if report.generation > overview.live && overview.previous != Some(report.generation) => {
            report.generation
        }
        Some(report) => report.generation.max(overview.live) + 1,
        None => overview.live + 1,
    }
}

/// Shows progress, and stops everything once the generation has caught up. Gives its events; `None` when it was stopped
/// before.
async fn watch(
    generations: &Generations,
    generation: u16,
    follow: bool,
    stop: &CancellationToken,
) -> Result<Option<u64>> {
    let mut ticker = tokio::time::interval(EVERY);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut caught_up = None;
    let mut shown = String::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(caught_up),
            _ = ticker.tick() => {}
        }
        let overview = match generations.overview().await {
            Ok(overview) => overview,
            Err(error) => {
                eprintln!("warning: {error}");
                continue;
            }
        };
        let Some(report) = overview.of(generation) else { continue };
        let line = table::progress(report);
        if line != shown {
            println!("{line}");
            shown = line;
        }
        if caught_up.is_none() && overview.check_ready(generation).is_ok() {
            caught_up = Some(report.events_done);
            if !follow {
                stop.cancel();
                return Ok(caught_up);
            }
            println!(
                "it has caught up and goes on until Ctrl-C; `shopsmart promote {generation}` makes it live"
            );
        }
    }
}

/// Reads `--from`.
///
/// # Errors
/// Says what is allowed.
pub fn parse_from(text: &str) -> Result<From> {
    if text == "beginning" {
        return Ok(From::Beginning);
    }
    if let Ok(offset) = text.parse() {
        return Ok(From::Offset(offset));
    }
    let time: Result<jiff::Timestamp, _> = text.parse();
    time.map(|time| From::Time(time.as_millisecond()))
        .context("expected `beginning`, an offset like 120000, or a time like 2026-11-01T00:00:00Z")
}

#[cfg(test)]
mod tests;
