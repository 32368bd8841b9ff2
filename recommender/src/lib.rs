//! The recommender's maths: what an event changes, and how answers are ranked. Pure: no I/O, no clock, no async.
//!
//! Everything that becomes deterministic state (rows, decays, windows) uses only integer arithmetic and IEEE additions and
//! multiplications in a fixed order, so that the same log gives the same bytes on every machine.

pub mod buckets;
pub mod co_occurrence;
pub mod decay;
#[cfg(any(test, fuzzing))]
pub mod hostile;
pub mod interner;
pub mod neighbours;
pub mod product_row;
pub mod publishing;
pub mod ranking;
pub mod repeats;
mod returns;
pub mod rising;
pub mod session;
pub mod settings;
mod sums;
pub mod trending;
pub mod user_row;
pub mod voting;

pub use interner::{Interner, Symbol};
pub use product_row::ProductRow;
pub use user_row::UserRow;
pub use voting::VotingList;
