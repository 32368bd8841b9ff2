//! Runs the real programs under real faults, on servers of its own: what `cargo xtask faults` starts.

use anyhow::{Context, Result, bail};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use system_tests::faults::{Row, Scenario, Settings, full_disk, print_table, run};
use xtask::interrupt;
use xtask::services::{Options, Services};
use xtask::workspace::Workspace;

/// Break real servers and programs under load, and account for every event
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask faults")]
struct Arguments {
    /// Only these scenarios; `undisturbed`, which the others are compared with, always runs first
    #[arg(value_name = "NAME")]
    scenarios: Vec<Scenario>,
    /// Say what there is, and run nothing
    #[arg(long)]
    list: bool,
    /// Events per second
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// How long events are sent for, in seconds
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// How long a server is stopped, or hangs, in seconds
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    outage: u64,
    /// Write the figures to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let Arguments { scenarios, list, rate, seconds, outage, json } = Arguments::parse();
    if list {
        Scenario::all().iter().for_each(|scenario| println!("{:18} {}", scenario.name(), scenario.about()));
        return Ok(ExitCode::SUCCESS);
    }
    interrupt::install()?;
    let workspace = Workspace::find()?;
    let settings = Settings::new(rate, seconds, Duration::from_secs(outage), workspace.target.join("faults"));
    let wanted = |scenario: &Scenario| {
        scenarios.is_empty() || *scenario == Scenario::Undisturbed || scenarios.contains(scenario)
    };
    let options = Options::private(workspace.services_dir());
    let mut services = tokio::task::block_in_place(|| Services::start(&options))?;
    let (mut rows, mut reference): (Vec<Row>, _) = (Vec::new(), None);
    for scenario in Scenario::all().iter().copied().filter(wanted) {
        let begun = Instant::now();
        let run = async {
            match scenario {
                Scenario::DiskFull => full_disk(&settings, reference.as_ref()).await,
                scenario => run(&mut services, scenario, &settings, &mut reference).await,
            }
        };
        let row = tokio::select! {
            row = run => row,
            // What was started is ended on the way out.
            () = interrupted() => bail!("interrupted"),
        };
        let verdict = if row.is_kept() { "ok" } else { "BROKEN" };
        eprintln!("faults: {}: {verdict} ({:.1} s)", row.scenario, begun.elapsed().as_secs_f64());
        rows.push(row);
    }
    print_table(&rows);
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(&rows)?;
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let is_kept = rows.iter().all(Row::is_kept);
    if !is_kept {
        eprintln!(
            "faults: what the programs said is in {}, and the servers in {}",
            settings.scratch.display(),
            services.keep_for_inspection().display()
        );
    }
    tokio::task::block_in_place(|| services.close())?;
    Ok(if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn interrupted() {
    while !interrupt::requested() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
