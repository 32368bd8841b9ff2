//! What every ShopSmart program needs around its actual work: configuration, telemetry, health, an orderly start and
//! stop, an HTTP server, and the clock.
//!
//! It knows nothing of events, logs or stores. The usual order in a `main`:
//!
//! 1. [`config::load`] the file and environment, then `validate()` the sections;
//! 2. [`telemetry::init_tracing`] and [`telemetry::install_metrics`];
//! 3. make a [`Health`] and a [`Lifecycle`], register components on both;
//! 4. [`http::serve`] inside one of these components;
//! 5. [`Lifecycle::run`] until a signal, and return its result from `main`.

pub mod clock;
pub mod config;
pub mod health;
pub mod http;
pub mod keys;
pub mod lifecycle;
pub mod telemetry;

pub use clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use health::{Component, Health};
pub use http::Problem;
pub use lifecycle::{Lifecycle, Shutdown};
