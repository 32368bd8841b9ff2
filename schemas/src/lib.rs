//! The contracts between the parts of ShopSmart: what travels through the log, what is kept in the serving and state
//! stores, and what every one of these is called.
//!
//! Nothing here does I/O. A change to an encoding breaks a golden test on purpose: values written by an older version
//! stay readable, because each carries a format byte or is Protobuf.

mod activity;
pub mod codec;
pub mod cql;
pub mod event;
#[cfg(any(test, fuzzing))]
pub mod hostile;
pub mod names;
pub mod partition;
pub mod position;
pub mod published;
mod spans;
pub mod user;
pub mod version;

/// Messages generated from `proto/*.proto`; the comments there are their documentation.
#[allow(missing_docs, clippy::all)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/shopsmart.v1.rs"));
}

pub use activity::{ActivityPacker, PairUpdate, UnpackedActivity, UnpackedEntry, UnpackedRepeat};
pub use codec::DecodeError;
pub use event::{EventKind, UnpackedEvent, UnpackedEventRecord};
pub use position::Position;
pub use version::Version;
