//! Generations beside one another: which there are, how far each is, and which one serving answers from.
//!
//! A generation is everything that is derived from `events`: built anew beside the live one by processors of its own, it
//! becomes live in one step once it has caught up, and the one before it can become live again.

mod origin;
mod report;
mod switch;

pub use origin::From;
pub(crate) use origin::{ORIGIN_KEY, Origin};
pub use report::{GenerationReport, Overview, StagePosition};
pub use switch::Switched;

use crate::context::Parts;
use event_log::LogError;
use schemas::DecodeError;
use schemas::published::Layout;
use stores::{Row, StoreError};
use thiserror::Error;

/// Why something could not be done with generations.
#[derive(Debug, Error)]
pub enum GenerationError {
    /// It would not be right; the text says what is missing.
    #[error("{0}")]
    Refused(String),
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored value cannot be read.
    #[error("the stored {key} cannot be read ({reason}): was it written by a newer version?")]
    Unreadable {
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: DecodeError,
    },
}

/// The generations of an installation.
#[derive(Clone)]
pub struct Generations {
    /// Log and stores.
    pub parts: Parts,
    /// What the names of the topics begin with.
    pub topic_prefix: String,
    /// The generation that serving answers from as long as none was promoted (`serving.generation`).
    pub configured: u16,
}

/// The row of a generation among those that belong to none: it says that the generation exists, and its layout.
const REGISTERED: &str = "generation:";

/// The row that makes a generation known to [`Generations::overview`].
pub(crate) fn registration(generation: u16, layout: &Layout) -> Row {
    Row { key: format!("{REGISTERED}{generation}"), version: layout.version, state: layout.encode().into() }
}
