use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpoint;
use super::lanes::{Lane, News};
use super::ledger::{Ledger, Outcome};
use super::processor::Processor;
use super::progress::Progress;
use super::rejected::RejectedFile;
use super::report::{Ending, Report, Totals};
use super::source::{Line, Row, Source};
use super::{ReplayError, ReplayOptions, Speed, WINDOW_MS, WINDOW_ROWS};
use crate::client::{Backoff, Client};

/// How often the state is saved and the progress shown.
const TICK: Duration = Duration::from_millis(500);
/// How long requests in flight may go on after the replay was told to stop.
const GRACE: Duration = Duration::from_secs(10);
/// Rows that the reader hands over at once, and how many such chunks it may be ahead.
const CHUNK: usize = 256;
const CHUNKS: usize = 16;

type Chunk = Result<Vec<Line>, ReplayError>;

/// One run of a replay: hands rows to the lanes in the file's order, within the window, and keeps the account.
pub(super) struct Dispatch<'a> {
    options: ReplayOptions,
    client: Client,
    ledger: Ledger,
    totals: Totals,
    checkpoint: Checkpoint,
    rejected: Option<RejectedFile>,
    progress: Progress,
    processor: Option<&'a Processor>,
    /// Rows that were read but not begun.
    waiting: VecDeque<Line>,
    lanes: Vec<mpsc::Sender<Row>>,
    /// When the first row was begun, and its event time.
    epoch: Option<(Instant, i64)>,
    /// When something was last settled, or nothing was in flight.
    moved: Instant,
    trouble: Option<String>,
    retries: u64,
    /// Whether the file has been read to its end.
    read_all: bool,
    /// Why no more rows are begun before that.
    cut_short: Option<Ending>,
    /// A broken file: reported after what was read before is done.
    broken: Option<ReplayError>,
}

impl<'a> Dispatch<'a> {
    /// Goes on from the checkpoint.
    pub fn new(
        options: ReplayOptions,
        client: Client,
        checkpoint: Checkpoint,
        progress: Progress,
        processor: Option<&'a Processor>,
    ) -> Result<Self, ReplayError> {
        let resumed = checkpoint.frontier > 0;
        let rejected =
            options.rejected.as_deref().map(|path| RejectedFile::open(path, resumed)).transpose()?;
        if let (true, Some(state)) = (resumed, &options.state) {
            let row = checkpoint.frontier;
            progress.note(&format!("Going on after row {row}, as noted in {}", state.display()));
        }
        Ok(Self {
            ledger: Ledger::resume(checkpoint.frontier, checkpoint.ahead.clone()),
            totals: checkpoint.totals.clone(),
            options,
            client,
            checkpoint,
            rejected,
            progress,
            processor,
            waiting: VecDeque::new(),
            lanes: Vec::new(),
            epoch: None,
            moved: Instant::now(),
            trouble: None,
            retries: 0,
            read_all: false,
            cut_short: None,
            broken: None,
        })
    }

    /// Replays; see [`super::run`].
    pub async fn run(mut self, source: Source, stop: CancellationToken) -> Result<Report, ReplayError> {
        let begun = Instant::now();
        let resumed_after = self.ledger.frontier();
        let resumed_rows = resumed_after + self.checkpoint.ahead.len() as u64;
        let read = source.bytes_read();
        let halt = CancellationToken::new();
        let (lanes, mut news) = self.start_lanes(&halt);
        let mut chunks = read_ahead(source, resumed_after);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);

        loop {
            self.account()?;
            let due = self.begin_rows();
            if self.is_complete() || self.cut_short.is_some() {
                break;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => self.cut_short = Some(Ending::Interrupted),
                Some(item) = news.recv() => self.take(item),
                chunk = chunks.recv(), if self.waiting.is_empty() && !self.read_all => self.read(chunk),
                _ = tick.tick() => self.tick(resumed_after, &read)?,
                () = until(due) => {}
            }
        }
        halt.cancel();
        self.wind_down(lanes, news).await?;
        self.progress.finish();
        self.save()?;
        let complete = self.is_complete();
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let ending = self.cut_short.filter(|_| !complete);
        let mut totals = self.totals;
        self.ledger.ahead().into_values().for_each(|outcome| totals.add(outcome));
        Ok(Report {
            ending: ending.unwrap_or(Ending::Complete),
            totals,
            resumed_rows,
            retries: self.retries,
            elapsed: begun.elapsed(),
            processed: None,
        })
    }

    /// Waits for the answers of the requests in flight, so that they are accounted for.
    async fn wind_down(
        &mut self,
        lanes: JoinSet<()>,
        mut news: mpsc::Receiver<News>,
    ) -> Result<(), ReplayError> {
        self.lanes.clear();
        let deadline = Instant::now() + GRACE;
        while let Ok(Some(item)) = timeout_at(deadline, news.recv()).await {
            self.take(item);
            self.account()?;
        }
        // Who has not finished is cut: what it had in flight counts as not done and goes out again with its ids.
        drop(lanes);
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.read_all && self.waiting.is_empty() && self.ledger.open_rows() == 0
    }

    fn start_lanes(&mut self, halt: &CancellationToken) -> (JoinSet<()>, mpsc::Receiver<News>) {
        let (news, receiver) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        for number in 0..self.options.lanes.max(1) {
            // The whole window may belong to one user, so handing over never waits.
            let (sender, rows) = mpsc::channel(WINDOW_ROWS);
            let backoff = Backoff::new(number as u64);
            let (client, news, halt) = (self.client.clone(), news.clone(), halt.clone());
            tasks.spawn(Lane { client, rows, news, backoff, halt }.run());
            self.lanes.push(sender);
        }
        (tasks, receiver)
    }

    /// Begins what the window and the speed allow. Returns when the next row is due, if only that is missing.
    fn begin_rows(&mut self) -> Option<Instant> {
        while let Some(line) = self.waiting.front() {
            if self.ledger.open_rows() >= WINDOW_ROWS {
                return None;
            }
            if let Ok(row) = line {
                let timestamp_ms = row.timestamp_ms;
                let oldest = self.ledger.oldest_ms().unwrap_or(timestamp_ms);
                if timestamp_ms.saturating_sub(oldest) > WINDOW_MS {
                    return None;
                }
                let (began, first) = *self.epoch.get_or_insert_with(|| {
                    let warning = self.processor.and_then(|processor| processor.warning(timestamp_ms));
                    warning.into_iter().for_each(|warning| self.progress.note(&warning));
                    (Instant::now(), timestamp_ms)
                });
                let due = due(self.options.speed, began, timestamp_ms.saturating_sub(first));
                if due.is_some_and(|due| due > Instant::now()) {
                    return due;
                }
            }
            if let Some(line) = self.waiting.pop_front() {
                self.begin(line);
            }
        }
        None
    }

    fn begin(&mut self, line: Line) {
        if self.ledger.open_rows() == 0 {
            self.moved = Instant::now();
        }
        match line {
            Ok(row) => {
                if self.ledger.begin(row.timestamp_ms) {
                    let lane = lane_of(row.user(), self.lanes.len());
                    // A lane that is gone has said why, or is about to.
                    let _ = self.lanes[lane].try_send(row);
                }
            }
            Err(rejection) => {
                // Its time is unknown; the window's own will do.
                let timestamp_ms = self.ledger.oldest_ms().unwrap_or(i64::MAX);
                if self.ledger.begin(timestamp_ms) {
                    self.ledger.settle(rejection.row, Outcome::Rejected(Box::new(rejection)));
                }
            }
        }
    }

    fn read(&mut self, chunk: Option<Chunk>) {
        match chunk {
            Some(Ok(lines)) => self.waiting.extend(lines),
            Some(Err(broken)) => self.broken = Some(broken),
            None => self.read_all = true,
        }
    }

    fn take(&mut self, news: News) {
        match news {
            News::Settled(rows) => {
                self.moved = Instant::now();
                self.trouble = None;
                for (row, outcome) in rows {
                    self.ledger.settle(row, outcome);
                }
            }
            News::Trouble(reason) => {
                self.retries += 1;
                self.trouble = Some(reason);
            }
            News::Failed(reason) => self.cut_short = Some(Ending::Failed(reason)),
        }
    }

    /// Sums up the rows that the frontier can pass.
    fn account(&mut self) -> Result<(), ReplayError> {
        while let Some(outcome) = self.ledger.advance() {
            if let (Outcome::Rejected(rejection), Some(file)) = (&outcome, &mut self.rejected) {
                file.write(rejection)?;
            }
            self.totals.add(outcome);
        }
        Ok(())
    }

    fn tick(&mut self, resumed: u64, read: &AtomicU64) -> Result<(), ReplayError> {
        self.save()?;
        let frontier = self.ledger.frontier();
        self.progress.update(read.load(Ordering::Relaxed), frontier, resumed, self.trouble.as_deref());
        let patience = self.options.give_up_after;
        if self.ledger.open_rows() > 0
            && self.moved.elapsed() > patience
            && let (None, Some(trouble)) = (&self.cut_short, &self.trouble)
        {
            let reason = format!("nothing was taken for {} s, at last: {trouble}", patience.as_secs());
            self.cut_short = Some(Ending::Failed(reason));
        }
        Ok(())
    }

    /// Notes what is done for the next run.
    fn save(&mut self) -> Result<(), ReplayError> {
        if let Some(file) = &mut self.rejected {
            file.flush()?;
        }
        let Some(state) = &self.options.state else { return Ok(()) };
        let complete = self.is_complete() && self.broken.is_none();
        let ahead = self.ledger.ahead();
        let changed = (self.ledger.frontier(), &ahead) != (self.checkpoint.frontier, &self.checkpoint.ahead);
        if changed || complete {
            self.checkpoint.frontier = self.ledger.frontier();
            self.checkpoint.totals = self.totals.clone();
            self.checkpoint.ahead = ahead;
            self.checkpoint.complete = complete;
            self.checkpoint.save(state)?;
        }
        Ok(())
    }
}

/// Reads the file on a thread of its own, a bounded way ahead, leaving out the first `skip` rows.
fn read_ahead(mut source: Source, skip: u64) -> mpsc::Receiver<Chunk> {
    let (chunks, receiver) = mpsc::channel(CHUNKS);
    tokio::task::spawn_blocking(move || {
        let mut row = 0;
        loop {
            let mut lines = Vec::with_capacity(CHUNK);
            let end = loop {
                match source.next() {
                    Ok(Some(line)) => {
                        row += 1;
                        if row > skip {
                            lines.push(line);
                        }
                        if lines.len() == CHUNK {
                            break None;
                        }
                    }
                    Ok(None) => break Some(None),
                    Err(broken) => break Some(Some(broken)),
                }
            };
            if chunks.blocking_send(Ok(lines)).is_err() {
                return;
            }
            if let Some(end) = end {
                if let Some(broken) = end {
                    let _ = chunks.blocking_send(Err(broken));
                }
                return;
            }
        }
    });
    receiver
}

/// When a row is to be sent that happened `after_ms` after the first one; at once when `None`.
fn due(speed: Speed, began: Instant, after_ms: i64) -> Option<Instant> {
    match speed {
        Speed::Max => None,
        Speed::Times(times) => {
            let seconds = after_ms.max(0) as f64 / 1_000.0 / times;
            began.checked_add(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
        }
    }
}

fn lane_of(user: &str, lanes: usize) -> usize {
    schemas::partition::murmur2(user.as_bytes()) as usize % lanes
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => pending().await,
    }
}
