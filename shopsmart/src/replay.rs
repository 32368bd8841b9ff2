//! Sends an event file to a running server, as an import.
//!
//! The order of one user's events is kept, through every retry: rows are spread over lanes by user, and a lane has one
//! request in flight. The lanes together stay within [`WINDOW_ROWS`] rows and [`WINDOW_MS`] of event time, because the
//! processor drops what is long behind the newest event of its partition.
//!
//! A row's event id is made of its number and content, so sending it again changes nothing. What is done is remembered
//! in a state file until the whole file is: a replay that ends early goes on from there.

mod checkpoint;
mod dispatch;
mod lanes;
mod ledger;
mod progress;
mod rejected;
mod report;
mod source;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use self::report::{Ending, Rejection, Report, Totals};
pub use self::source::COLUMNS;

use self::checkpoint::Checkpoint;
use self::dispatch::Dispatch;
use self::source::Source;
use crate::client::{CallError, Client};

/// The most rows between the oldest unfinished one and the newest one sent.
pub const WINDOW_ROWS: usize = 5_000;
/// The most event time between these two, in ms: 7 days, far below the 30 at which the processor calls an event late.
pub const WINDOW_MS: i64 = 7 * 24 * 3600 * 1000;

/// How fast rows are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as the server takes them.
    Max,
    /// So many times as fast as they happened; 1 is as they happened.
    Times(f64),
}

/// What to replay, and how.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// The event file: CSV, plain or gzip, with [`COLUMNS`].
    pub file: PathBuf,
    /// The server's URL.
    pub to: String,
    /// An admin key, where the server has keys.
    pub api_key: Option<String>,
    /// How fast.
    pub speed: Speed,
    /// Requests in flight at most.
    pub lanes: usize,
    /// How long to go on trying when nothing is taken any more.
    pub give_up_after: Duration,
    /// Where to remember what is done; nothing is remembered when absent.
    pub state: Option<PathBuf>,
    /// Whether to forget what an earlier run has done.
    pub from_start: bool,
    /// Where rejected rows are written to, with the reason.
    pub rejected: Option<PathBuf>,
    /// Whether to show the progress on standard error.
    pub progress: bool,
}

impl ReplayOptions {
    /// At full speed, remembering nothing and showing nothing.
    pub fn new(file: impl Into<PathBuf>, to: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            to: to.into(),
            api_key: None,
            speed: Speed::Max,
            lanes: 8,
            give_up_after: Duration::from_secs(300),
            state: None,
            from_start: false,
            rejected: None,
            progress: false,
        }
    }
}

/// Why a replay could not begin or not be accounted for. Trouble with the server ends in [`Ending::Failed`] instead.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The event file cannot be opened or is no CSV.
    #[error("cannot read the events from {}: {reason}", file.display())]
    Unreadable {
        /// The file as given.
        file: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The header lacks a column.
    #[error("{} has no column {column}: needed are {}; found are {found}", file.display(), COLUMNS.join(", "))]
    MissingColumn {
        /// The file as given.
        file: PathBuf,
        /// The first one that is missing.
        column: &'static str,
        /// What the header holds.
        found: String,
    },
    /// The file cannot be read to its end; the rows before were sent.
    #[error("{} breaks off after row {after}: {reason}", file.display())]
    BreaksOff {
        /// The file as given.
        file: PathBuf,
        /// The last good row.
        after: u64,
        /// What the system said.
        reason: String,
    },
    /// The server's URL is none.
    #[error(transparent)]
    Url(CallError),
    /// The state file cannot be used.
    #[error("cannot use the state file {}: {reason}; --from-start ignores it", file.display())]
    State {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file for rejected rows cannot be written.
    #[error("cannot write the rejected rows to {}: {reason}", file.display())]
    Rejected {
        /// The file as given.
        file: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// Replays until the end of the file, `stop` (what was begun is finished, for at most 10 s), or until the server
/// refuses or takes nothing for too long. The report tells which; only the first forgets what is done.
///
/// # Errors
/// See [`ReplayError`].
pub async fn run(options: ReplayOptions, stop: CancellationToken) -> Result<Report, ReplayError> {
    let client = Client::new(&options.to, options.api_key.clone()).map_err(ReplayError::Url)?;
    let source = Source::open(&options.file)?;
    let mut checkpoint = Checkpoint::new(&options.file, client.base())?;
    if let Some(state) = &options.state {
        if options.from_start {
            Checkpoint::remove(state)?;
        }
        checkpoint = checkpoint.resume(state)?;
    }
    Dispatch::new(options, client, checkpoint)?.run(source, stop).await
}

/// Where the state of a replay of `file` to `to` is kept within `dir`: named by both, so that different replays do not
/// meet.
///
/// # Errors
/// When the file cannot be read.
pub fn state_file(dir: &Path, file: &Path, to: &str) -> Result<PathBuf, ReplayError> {
    let Checkpoint { content, .. } = Checkpoint::new(file, to)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let place = blake3::hash(format!("{content} {}", to.trim_end_matches('/')).as_bytes());
    Ok(dir.join(format!("{name}.{}.json", &place.to_hex()[..16])))
}
