//! The stream processor: log in, state out.
//!
//! Begin with [`topology`]: it reads as one file. The stages themselves ([`shopper`], [`product`]) are pure folds; a
//! [`partition`] task does the I/O around a fold; [`publish`] makes what serving reads; [`markers`] watch lag and fill a
//! serving store that lost its data.

mod admin;
mod background;
mod cache;
pub mod config;
mod context;
mod dead_letter;
pub mod generations;
#[cfg(any(test, fuzzing))]
pub mod hostile;
#[cfg(feature = "hot-paths")]
pub mod hot_paths;
mod known;
mod layout;
mod markers;
mod metrics;
mod outcome;
mod partition;
mod product;
mod progress;
mod publish;
mod redrive;
mod refill;
pub mod rules;
mod shopper;
mod stage;
pub mod start;
pub mod state;
mod status;
pub mod topology;
mod watchdog;

pub use admin::{Admin, LagReport, Outcomes, openapi};
pub use config::ProcessorConfig;
pub use context::Parts;
pub use dead_letter::{DeadLetter, Place};
pub use layout::topic_specs;
pub use metrics::describe_metrics;
pub use outcome::{DeadReason, OutcomeCounts};
pub use progress::StageName;
pub use refill::rebuild;
pub use status::{Hottest, PartitionReport, PartitionStatus, Registry};
pub use topology::{Processor, ProcessorError};
