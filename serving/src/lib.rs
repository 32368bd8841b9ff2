//! Answers: recommendations, similar products, trending products, histories.
//!
//! Everything that grows with history was computed before; an answer reads the shopper's history (round trip 1) and the
//! neighbour lists of its products (round trip 2), ranks, and tops up from trending lists that are kept in memory. The way
//! of a request: `http` (parameters) → `engine` (what is read, how the tiers fill up) → `reader` (serving store, or the state
//! store when that is late) and `snapshots` (what is kept in memory).
//!
//! Nothing here writes to a store or knows Kafka, Redis or CQL: the adapters are chosen by whoever builds [`Serving`].

pub mod answer;
mod breaker;
mod budget;
pub mod config;
mod degraded;
mod engine;
#[cfg(any(test, fuzzing))]
pub mod hostile;
mod http;
mod live;
mod metrics;
mod near;
mod openapi;
mod reader;
pub mod request;
mod service;
mod snapshots;

pub use config::ServingConfig;
pub use degraded::Degraded;
pub use metrics::describe_metrics;
pub use openapi::{docs, openapi};
pub use service::{Serving, ServingDeps};
