//! Runs the real stream processor on a simulated log and simulated stores, with everything that may go wrong decided by a
//! seed, and checks that each event counts exactly once.
//!
//! A [schedule](schedule) runs several copies of the processor in one thread on paused time. The copies reach the world
//! through adapters that may pause, fail, freeze or kill them at any call, also between two rows of one write. Nothing depends
//! on anything but the seed, so a seed replays exactly.
//!
//! Checked are: every row when it is written ([`ledger`]); the state against a fresh fold of the logs
//! ([`stream_processor::state::verify`]); everything stored, and what is published from it ([`published`]), against a naive
//! model ([`oracle`]); and that a log that is not the one that the state was made from is refused.

mod broken;
mod check;
mod coverage;
mod group;
mod ledger;
mod log;
mod oracle;
mod process;
mod published;
mod schedule;
mod store;
mod sweep;
mod traffic;
mod world;

pub use broken::Broken;
pub use coverage::{Coverage, Fault, Seen};
pub use sweep::{Failure, Sweep, sweep};

use schedule::Schedule;
use std::sync::Arc;
use stream_processor::rules::Rule;
use world::World;

/// What came of a schedule.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it met.
    pub coverage: Coverage,
    /// A hash of everything that happened, in order: equal for equal seeds.
    pub trace: u64,
    /// Promises that were broken, the first one first. Empty = all held.
    pub violations: Vec<String>,
}

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Decides everything.
    pub seed: u64,
    /// A rule to break.
    pub broken: Broken,
    /// `stream_processor::rules::break_rule`, where it is compiled in.
    pub break_rule: fn(Option<Rule>),
    /// Print every step to stderr.
    pub verbose: bool,
}

/// Runs the schedule of a seed. The runtime must have one thread and start paused.
pub async fn run(settings: Settings) -> Report {
    let world = World::new(settings).await;
    world.break_rule(true);
    Schedule::new(Arc::clone(&world)).run().await;
    world.break_rule(false);
    let coverage = world.state().coverage.clone();
    Report { coverage, trace: world.trace(), violations: world.violations() }
}
