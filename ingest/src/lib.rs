//! The ingest service: HTTP in, log out.
//!
//! An event's way, file by file:
//!
//! 1. `http/call` says who calls and whether they may, `http/body` reads and decompresses within bounds;
//! 2. [`admission`] (pure) turns JSON into a record, or says by which rule not;
//! 3. `limits` holds back callers and users that send too much;
//! 4. `publisher` hands the record to the log and waits for its acknowledgement;
//! 5. `http/answers` tells the caller.
//!
//! The service keeps no state, and acknowledges nothing that the log does not hold.

pub mod admission;
mod config;
mod http;
mod limits;
mod metrics;
mod publisher;
mod watch;

pub use config::IngestConfig;
#[cfg(any(test, fuzzing))]
pub use http::hostile;
pub use http::{IngestDeps, docs, openapi, routes};
pub use metrics::describe_metrics;
pub use watch::watch_log;
