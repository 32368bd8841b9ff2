//! Real faults: the real programs on real servers, under load, while something breaks.
//!
//! A run of a [`Scenario`] sends a known set of events, each until it is acknowledged, lets the fault happen meanwhile, and
//! then accounts for every event: what was acknowledged is in the log, what is in the log has one outcome, the state is
//! proven, and it is the one that the undisturbed run ends with.

mod account;
mod disk;
mod lag;
mod load;
mod plan;
mod probe;
mod report;
mod run;
mod scenarios;
mod site;

pub use disk::full_disk;
pub use report::{Row, print_table};
pub use run::{Settings, run};
pub use scenarios::Scenario;
