//! The HTTP side every service shares: a server that stops in order, errors as `application/problem+json`, and metrics
//! by route and status.

mod layers;
mod problem;
mod serve;

pub use layers::{instrument, with_fallbacks};
pub use problem::{Problem, ProblemBody};
pub use serve::serve;
