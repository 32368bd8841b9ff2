//! The real router, on a log that does what it is told.

mod access;
mod attacks;
mod batches;
mod bodies;
mod catalog;
mod events;
mod examples;
mod openapi;
mod pressure;
mod support;
