//! Some thousand schedules, and the proof that they would notice.

use simulation::{Broken, Fault, Report, Seen, Settings, run, sweep};
use stream_processor::rules::break_rule;

/// Schedules that `cargo xtask test` runs. `cargo xtask simulate --seeds N` runs any number.
const SCHEDULES: u64 = 5_000;
/// Within so many schedules each broken rule is noticed.
const NOTICED_WITHIN: u64 = 400;

fn schedule(seed: u64, broken: Broken) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let settings = Settings { seed, broken, break_rule, verbose: false };
    runtime.expect("a runtime without I/O needs nothing").block_on(run(settings))
}

#[test]
fn whatever_goes_wrong_each_event_counts_once() {
    let done = sweep(0..SCHEDULES, 3, |seed| schedule(seed, Broken::Nothing));
    println!("{} schedules\n{}", done.schedules, done.coverage);
    for failure in &done.failures {
        let replay = format!("cargo xtask simulate --seed {}", failure.seed);
        println!("{replay}:\n  {}", failure.violations.join("\n  "));
    }
    assert!(done.failures.is_empty(), "schedules broke promises, see above");
    assert!(done.least_events >= 200, "the shortest schedule had {} records", done.least_events);
    assert!(done.least_faults >= 3, "the calmest schedule had {} faults", done.least_faults);
    for fault in Fault::ALL {
        assert!(done.coverage.of(fault) > 0, "{fault:?} never took effect");
    }
    for seen in [
        Seen::Duplicate,
        Seen::TooLate,
        Seen::DeadLettered,
        Seen::Forgotten,
        Seen::Capped,
        Seen::StartedAnew,
        Seen::OutOfOrder,
        Seen::UpdatesRepeated,
        Seen::StaleWritesDropped,
        Seen::OldOwnerWrites,
        Seen::ProvenMidway,
    ] {
        assert!(done.coverage.count(seen) > 0, "{seen:?} never happened");
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..40 {
        let (first, second) = (schedule(seed, Broken::Nothing), schedule(seed, Broken::Nothing));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_ne!(first.trace, schedule(seed + 1_000, Broken::Nothing).trace, "the trace says something");
    }
}

#[test]
fn every_broken_rule_is_noticed() {
    let mut unnoticed = Vec::new();
    for broken in Broken::all() {
        let done = sweep(0..NOTICED_WITHIN, 1, |seed| schedule(seed, broken));
        match done.failures.first() {
            Some(failure) => {
                println!("{}: seed {}: {}", broken.name(), failure.seed, failure.violations[0]);
            }
            None => unnoticed.push(broken.name()),
        }
    }
    assert!(unnoticed.is_empty(), "broken, but not noticed within {NOTICED_WITHIN} schedules: {unnoticed:?}");
}
