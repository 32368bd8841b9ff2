//! The floors: the bare parts, doing what nobody can do without.

pub mod consumer;
pub mod ingest;
pub mod serving;
