//! Measures ShopSmart beside the bare parts that it is made of. `cargo xtask bench` builds and calls it.

mod cpu;
mod embedded;
mod floor;
mod report;
mod workload;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use report::Figure;
use workload::Workload;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure ShopSmart beside its floors
///
/// Every figure stands beside its floor: the bare parts, doing what nobody can do without, measured in turn with ours in
/// the same run. Absolute figures depend on the machine and on what else it does; the ratios do less.
#[derive(Debug, Parser)]
#[command(name = "bench", bin_name = "cargo xtask bench")]
struct Arguments {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    suites: Vec<Suite>,
    /// A folder with a log of real shoppers, in a format of `shopsmart evaluate` (repeatable); without one, events are made up
    #[arg(long, value_name = "FOLDER")]
    data: Vec<PathBuf>,
    /// Events of a made up log
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Where results.json and results.svg go
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// The stream processor on embedded parts
    Embedded,
    /// Everything
    All,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut figures: Vec<Figure> = Vec::new();
    let wanted = |suite| arguments.suites.iter().any(|&asked| asked == suite || asked == Suite::All);
    let workloads = workloads(&arguments)?;
    if wanted(Suite::Embedded) {
        for workload in &workloads {
            figures.extend(embedded::measure(workload).await?);
        }
    }
    print!("{}", report::table(&figures));
    report::write(&figures, &arguments.out)
}

fn workloads(arguments: &Arguments) -> Result<Vec<Workload>> {
    if arguments.data.is_empty() {
        return Ok(vec![Workload::zipf(arguments.events, 100_000, 50_000)]);
    }
    arguments.data.iter().map(|folder| Workload::read(folder)).collect()
}
