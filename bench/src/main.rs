//! Measures ShopSmart beside the bare parts that it is made of. `cargo xtask bench` builds and calls it.

mod copies;
mod cpu;
mod embedded;
mod floor;
mod freshness;
mod load;
mod real;
mod report;
mod scale;
mod servers;
mod workload;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use real::{Bench, Effort};
use report::Figure;
use workload::Workload;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure ShopSmart beside its floors
///
/// Every figure stands beside its floor: the bare parts, doing what nobody can do without, measured in turn with ours in
/// the same run. Absolute figures depend on the machine and on what else it does; the ratios do less.
#[derive(Debug, Parser)]
#[command(name = "bench", bin_name = "cargo xtask bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    floor: Option<Floor>,
    #[command(flatten)]
    measure: Measure,
}

#[derive(Debug, Args)]
struct Measure {
    /// What to measure (several are possible)
    #[arg(value_enum, default_value = "all")]
    suites: Vec<Suite>,
    /// A folder with a log of real shoppers, in a format of `shopsmart evaluate`, for `embedded` (repeatable); without one,
    /// events are made up
    #[arg(long, value_name = "FOLDER")]
    data: Vec<PathBuf>,
    /// Partitions of each topic, for `embedded`
    #[arg(long, default_value_t = embedded::PARTITIONS, value_parser = clap::value_parser!(u32).range(1..=256))]
    partitions: u32,
    /// Events of a made up log
    #[arg(long, default_value_t = 400_000, value_parser = clap::value_parser!(u32).range(1_000..))]
    events: u32,
    /// Events per second beside the probes of `freshness`, and of `scale`
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    rate: u32,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How often ours and the floor are measured in turn, rates in turns of 2 seconds that take as long; the median counts
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Where results.json and results.svg go
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// The stream processor on embedded parts, in one process
    Embedded,
    /// HTTP into Kafka
    Ingest,
    /// The stream processor on Kafka, Redis and Cassandra
    Processor,
    /// Recommendations from Redis, after what `processor` does
    Serving,
    /// From an event to its effects in answers, under load and beside a replay, after what `processor` does
    Freshness,
    /// Two copies of the stream processor on Kafka, Redis and Cassandra beside one
    Copies,
    /// The stream processor on embedded parts in a small and in a large shop; needs 25 GB of disk and 10 of memory
    Scale,
    /// Everything
    All,
}

/// The floors, as processes of their own; called by the measurements.
#[derive(Debug, Subcommand)]
enum Floor {
    /// Run a floor
    #[command(subcommand, hide = true)]
    Floor(FloorKind),
}

#[derive(Debug, Subcommand)]
enum FloorKind {
    /// A bare server in front of Kafka
    Ingest {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        brokers: String,
        #[arg(long)]
        topic: String,
        #[arg(long)]
        linger_ms: u32,
    },
    /// A bare server in front of Redis
    Serving {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        redis: String,
        #[arg(long)]
        generation: u16,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.floor {
        Some(Floor::Floor(FloorKind::Ingest { listen, brokers, topic, linger_ms })) => {
            floor::ingest::serve(listen, &brokers, &topic, linger_ms).await
        }
        Some(Floor::Floor(FloorKind::Serving { listen, redis, generation })) => {
            floor::serving::serve(listen, &redis, generation).await
        }
        None => measure(&arguments.measure).await,
    }
}

async fn measure(asked: &Measure) -> Result<()> {
    let mut figures: Vec<Figure> = Vec::new();
    let measured = suites(asked, &mut figures).await;
    // What was measured before something failed took long enough.
    print!("{}", report::table(&figures));
    report::write(&figures, &asked.out)?;
    measured
}

async fn suites(asked: &Measure, figures: &mut Vec<Figure>) -> Result<()> {
    let wants = |suite| asked.suites.iter().any(|&wanted| wanted == suite || wanted == Suite::All);
    if wants(Suite::Embedded) {
        for workload in workloads(asked)? {
            figures.extend(embedded::measure(&workload, asked.partitions).await?);
        }
    }
    if wants(Suite::Scale) {
        figures.extend(scale::measure(asked.events as usize, asked.rate).await?);
    }
    let effort = Effort { time: Duration::from_secs(asked.seconds), rounds: usize::from(asked.rounds) };
    let made_up = made_up(asked);
    if wants(Suite::Ingest) {
        figures.extend(Bench::new(effort).await?.ingest(&made_up).await?);
    }
    if wants(Suite::Copies) {
        figures.extend(copies::measure(&made_up, effort).await?);
    }
    if wants(Suite::Processor) || wants(Suite::Serving) || wants(Suite::Freshness) {
        let bench = Bench::new(effort).await?;
        figures.extend(bench.processor(&made_up).await?);
        if wants(Suite::Serving) {
            figures.extend(bench.serving(&made_up).await?);
        }
        if wants(Suite::Freshness) {
            figures.extend(bench.freshness(&made_up, asked.rate).await?);
        }
    }
    Ok(())
}

/// Twenty events a shopper, on average.
fn made_up(asked: &Measure) -> Workload {
    Workload::zipf(asked.events as usize, u64::from(asked.events / 20), 50_000)
}

fn workloads(asked: &Measure) -> Result<Vec<Workload>> {
    if asked.data.is_empty() {
        return Ok(vec![made_up(asked)]);
    }
    asked.data.iter().map(|folder| Workload::read(folder)).collect()
}
