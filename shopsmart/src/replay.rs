//! Sends an event file to a running server, as an import.
//!
//! The order of one user's events is kept, through every retry: rows are spread over lanes by user, and a lane has one
//! request in flight. The lanes together stay within [`WINDOW_ROWS`] rows and [`WINDOW_MS`] of event time, because the
//! processor drops what is long behind the newest event of its partition.
//!
//! A row's event id is made of its number and content, so a row that is soon sent again changes nothing. What is done is
//! remembered in a state file: a replay that ends early goes on from there, and a finished one is not sent again, because
//! the processor knows the ids of a user's last events only.
//!
//! Where the processor answers at the same URL, it is asked whether it will apply events that old, and at the end what
//! became of them.

mod checkpoint;
mod dispatch;
mod lanes;
mod ledger;
mod processor;
mod progress;
mod rejected;
mod report;
mod source;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use self::report::{Ending, Outcomes, Processed, Rejection, Report, Totals};
pub use self::source::COLUMNS;

use self::checkpoint::Checkpoint;
use self::dispatch::Dispatch;
use self::processor::Processor;
use self::progress::Progress;
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
/// refuses or takes nothing for too long. The report tells which. A file that was sent completely before is not sent, unless
/// the server certainly never had an event.
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
    let bytes = std::fs::metadata(&options.file).map_or(0, |file| file.len());
    let progress = Progress::new(bytes, options.progress);
    let processor = stop.run_until_cancelled(Processor::find(&client)).await.flatten();
    if checkpoint.is_begun() && processor.as_ref().is_some_and(Processor::is_fresh) {
        progress.note("The server has no events: what earlier runs sent went elsewhere, so the file is sent from its start");
        checkpoint = checkpoint.anew();
    }
    if checkpoint.complete {
        return Ok(Report::sent_before(checkpoint.totals));
    }
    let done_before = checkpoint.accepted();
    let dispatch = Dispatch::new(options, client, checkpoint, progress, processor.as_ref())?;
    let mut report = dispatch.run(source, stop.clone()).await?;
    if let (Ending::Complete, Some(processor)) = (&report.ending, &processor) {
        let sent = report.totals.accepted.saturating_sub(done_before);
        report.processed = processor.outcomes(sent, &stop).await;
    }
    Ok(report)
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
