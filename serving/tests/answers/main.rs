//! Promises of the answers, through the real router on an in-memory serving store.

mod bad_input;
mod cart;
mod cors;
mod damaged_values;
mod examples;
mod fallback;
mod freshness;
mod live;
mod memory_state;
mod openapi;
mod position;
mod round_trips;
mod shop;

mod tiers;
