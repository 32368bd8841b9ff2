//! One partition of one stage: load, read, fold, hand on, flush; from its progress again after a failure.

mod dead_letter_log;
mod driver;
mod flush;
mod load;
mod product_driver;
mod shopper_driver;
mod spans;
mod supervise;
mod task;
mod timetable;

pub(crate) use flush::retrying;
pub(crate) use supervise::{StartRequest, Supervised, supervise};
pub(crate) use timetable::phase;

use event_log::{AppendError, LogError};
use stores::StoreError;
use thiserror::Error;

/// Why a partition task ended.
#[derive(Debug, Error)]
pub(crate) enum TaskError {
    /// The log and the stored state do not belong together: nothing is done until somebody has looked.
    #[error("{0}")]
    Refused(String),
    /// The state store failed in a way that trying again in place does not mend.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log could not be read on.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An update was not acknowledged.
    #[error("updates for products were not acknowledged: {0}")]
    Append(#[from] AppendError),
    /// Told to stop.
    #[error("stopped")]
    Stopped,
    /// The group was busy with other partitions.
    #[error("the group did not answer")]
    Unanswered,
}

impl TaskError {
    /// Whether starting anew from the stored progress may help.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Stopped => false,
            Self::Store(StoreError::Unusable { .. }) => false,
            Self::Log(LogError::OutOfRange { .. } | LogError::Unusable(_)) => false,
            Self::Store(_) | Self::Log(_) | Self::Append(_) | Self::Unanswered => true,
        }
    }
}
