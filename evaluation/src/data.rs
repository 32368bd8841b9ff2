//! Event logs in the two formats that evaluation reads.

mod events;
mod files;
mod sessions;

pub use events::{EventLog, cut_into_sessions, hold_out_purchases};
pub use sessions::{SessionLog, TestEvent};

use schemas::EventKind;
use std::path::{Path, PathBuf};

/// Number of an item or a user within one data set.
pub type Id = u32;

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Click {
    /// The user, or the session where users are unknown.
    pub user: Id,
    /// The product.
    pub item: Id,
    /// What was done.
    pub kind: EventKind,
    /// When, in milliseconds since 1970 UTC; made up from the order where a data set has no times.
    pub timestamp_ms: i64,
}

/// What a folder holds.
#[derive(Debug)]
pub enum Dataset {
    /// `sessions.csv(.gz)`: sessions, some for training and some for testing.
    Sessions(SessionLog),
    /// `events.csv(.gz)`: one log of events by time.
    Events(EventLog),
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Neither format.
    #[error(
        "{} holds neither sessions.csv nor events.csv (each may end in .gz); sessions.csv has the columns \
         session_id,pos,item_id,split,timestamp_s and events.csv timestamp_ms,user_id,item_id,event_type,category_id", .0.display()
    )]
    NoData(PathBuf),
    /// A file cannot be read.
    #[error("{}: {reason}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A column is missing.
    #[error("{}: there is no column {column:?}; the header has {found}", .file.display())]
    MissingColumn {
        /// The file.
        file: PathBuf,
        /// The missing column.
        column: &'static str,
        /// The header.
        found: String,
    },
    /// A row cannot be used.
    #[error("{}, row {row}: {reason}", .file.display())]
    BadRow {
        /// The file.
        file: PathBuf,
        /// Its place; 1 is the first after the header.
        row: u64,
        /// What is wrong.
        reason: String,
    },
    /// The data are fine, but not for this protocol.
    #[error("{0}")]
    Unfit(String),
}

impl Dataset {
    /// Reads the folder.
    ///
    /// # Errors
    /// When it has neither format, or a file of it cannot be read.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        if let Some(file) = files::find(folder, "sessions.csv") {
            return SessionLog::read(&file).map(Self::Sessions);
        }
        if let Some(file) = files::find(folder, "events.csv") {
            return EventLog::read(&file).map(Self::Events);
        }
        Err(DataError::NoData(folder.to_owned()))
    }
}

/// The name of a data set: that of its folder.
pub fn name_of(folder: &Path) -> String {
    let name =
        folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    name.unwrap_or_else(|| folder.display().to_string())
}
