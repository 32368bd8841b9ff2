//! Where computed state lives: the serving store (what answers are made from) and the state store (what the processor
//! continues from).
//!
//! [`ServingStore`] has the adapters `redis` and `memory`; [`StateStore`] has `cql` (Scylla, Cassandra) and `embedded`.
//! One contract suite each runs against all adapters; `faulty` wraps any of them for tests of others. This is the only crate that knows the redis and scylla drivers.

pub mod cql;
pub mod embedded;
pub mod faulty;
mod measured;
pub mod memory;
mod packed;
mod port;
pub mod redis;
mod tls;

pub use measured::{Measured, describe_metrics};
pub use port::{
    Changes, KeyRange, Row, RowStream, ServingStore, StateStore, StoreError, Table, WatchingReader,
};
