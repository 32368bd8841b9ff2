//! Runs the simulation for many seeds, or replays one: what `cargo xtask simulate` starts.

use clap::Parser;
use simulation::{Broken, Report, Settings, run, sweep};
use std::process::ExitCode;
use std::time::Instant;
use stream_processor::rules::break_rule;

/// Run the real stream processor under simulated faults
#[derive(Debug, Parser)]
struct Arguments {
    /// How many schedules
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// Run only this one, and print every step of it
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Break a rule on purpose: the run should fail then
    #[arg(long, value_parser = broken)]
    broken: Option<Broken>,
}

fn broken(name: &str) -> Result<Broken, String> {
    Broken::all().find(|broken| broken.name() == name).ok_or_else(|| {
        let names: Vec<String> = Broken::all().map(Broken::name).collect();
        format!("one of {}", names.join(", "))
    })
}

fn schedule(seed: u64, broken: Broken, verbose: bool) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let settings = Settings { seed, broken, break_rule, verbose };
    runtime.expect("a runtime without I/O needs nothing").block_on(run(settings))
}

fn main() -> ExitCode {
    let Arguments { seeds, seed, from, broken } = Arguments::parse();
    let broken = broken.unwrap_or_default();
    let replay = |seed: u64| match broken {
        Broken::Nothing => format!("cargo xtask simulate --seed {seed}"),
        broken => format!("cargo xtask simulate --seed {seed} --broken {}", broken.name()),
    };
    if let Some(seed) = seed {
        let report = schedule(seed, broken, true);
        println!("{}", report.coverage);
        println!("trace {:016x}", report.trace);
        if report.violations.is_empty() {
            return ExitCode::SUCCESS;
        }
        println!("seed {seed} breaks promises:\n  {}", report.violations.join("\n  "));
        return ExitCode::FAILURE;
    }
    let start = Instant::now();
    let done = sweep(from..from + seeds, 5, |seed| schedule(seed, broken, false));
    println!("{} schedules in {:.1} s", done.schedules, start.elapsed().as_secs_f64());
    println!("at least {} records of events and {} faults in each", done.least_events, done.least_faults);
    println!("{}", done.coverage);
    if done.failures.is_empty() {
        return ExitCode::SUCCESS;
    }
    for failure in &done.failures {
        println!("seed {}: {}\n  replay: {}", failure.seed, failure.violations[0], replay(failure.seed));
    }
    ExitCode::FAILURE
}
