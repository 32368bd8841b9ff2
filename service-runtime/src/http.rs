//! The HTTP side every service shares: a server that stops in order, errors as `application/problem+json`, metrics by
//! route and status, and traces that go on from the caller's.

mod connection;
mod layers;
mod observer;
mod params;
mod problem;
mod routes;
mod security;
mod serve;
mod span;
mod trace;

pub use connection::{Connection, Elapsed};
pub use layers::{instrument, with_fallbacks};
pub use params::{flag, invalid_parameter, known_parameter, query_of};
pub use problem::{Problem, ProblemBody};
pub use routes::{Direct, Routes};
pub use security::KeySecurity;
pub use serve::serve;
pub use trace::{TRACEPARENT, Trace, current_trace};
