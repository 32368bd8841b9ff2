//! The loop of one partition: everything between a record read and its effects stored.

use super::TaskError;
use super::driver::Driver;
use super::flush::{Flush, retrying};
use super::spans;
use super::timetable::Timetable;
use crate::context::Context;
use crate::progress::{Checkpoint, StageName};
use crate::publish::PublishQueue;
use crate::stage::{FlushKeys, Stage};
use crate::status::{Batch, PartitionStatus};
use event_log::{Append, LogError, RecordBatch, RecordStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

type Keys<D> = FlushKeys<<D as Driver>::Stage>;
type Running<K> = AbortOnDropHandle<Result<(K, Checkpoint), TaskError>>;

/// A partition's task, ready to run.
pub(crate) struct PartitionTask<D: Driver> {
    pub(crate) context: Arc<Context>,
    pub(crate) partition: u32,
    pub(crate) driver: D,
    pub(crate) queue: Arc<PublishQueue>,
    pub(crate) status: Arc<PartitionStatus>,
    /// Tells how far the partition is stored, for lag tools.
    pub(crate) committed: Box<dyn Fn(u64) + Send>,
    /// Appends that the next flush waits for.
    pub(crate) appends: Vec<Append>,
    pub(crate) next_fallback: Instant,
}

/// Due work is looked for this often.
const TICK: Duration = Duration::from_millis(20);
/// Unacknowledged appends that make a flush due.
const MAX_APPENDS: usize = 20_000;
/// Rows of the state store read at a time.
const LOAD_CHUNK: usize = 2_000;

impl<D: Driver> PartitionTask<D> {
    /// Works until `token` is cancelled; then flushes and returns.
    pub(crate) async fn run(
        mut self,
        mut stream: RecordStream,
        token: CancellationToken,
    ) -> Result<(), TaskError> {
        let interval = Duration::from_millis(self.context.config.flush_interval_ms)
            * <D::Stage as Stage>::FLUSH_INTERVALS;
        let (now, phase) = (Instant::now(), self.context.phase(<D::Stage as Stage>::NAME, self.partition));
        let mut flushes = Timetable::new(self.context.begun, interval, phase, now);
        let mut running: Option<Running<Keys<D>>> = None;
        let mut ticker = tokio::time::interval_at(now + TICK.mul_f64(phase), TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // While one flush runs and another is due already, reading waits: memory stays bounded.
            let may_read = running.is_none() || !self.is_overfull();
            tokio::select! {
                biased;
                () = token.cancelled() => break,
                done = finished(&mut running) => {
                    running = None;
                    self.flushed(done)?;
                }
                _ = ticker.tick() => {
                    self.driver.tick().await?;
                    let wanted = self.status.flush_now.load(Ordering::Relaxed);
                    let due = wanted || flushes.is_due(Instant::now()) || self.is_overfull();
                    if due && running.is_none() {
                        self.status.flush_now.store(false, Ordering::Relaxed);
                        if wanted {
                            self.next_fallback = Instant::now();
                        }
                        flushes.begun(Instant::now());
                        running = self.begin_flush();
                    }
                }
                batch = stream.next(), if may_read => match batch {
                    Some(batch) => self.batch(batch?, &token).await?,
                    // Taken away; the cancellation is on its way.
                    None => token.cancelled().await,
                }
            }
        }
        if let Some(handle) = running.take() {
            let done = handle.await.expect("a flush does not panic");
            self.flushed(done)?;
        }
        self.next_fallback = Instant::now();
        if let Some(handle) = self.begin_flush() {
            let done = handle.await.expect("a flush does not panic");
            self.flushed(done)?;
        }
        Ok(())
    }

    async fn batch(&mut self, batch: RecordBatch, token: &CancellationToken) -> Result<(), TaskError> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(()) };
        let mut times = Batch {
            next_offset: last.offset + 1,
            first_append_ms: first.append_time_ms,
            last_append_ms: last.append_time_ms,
            received_ms: first.append_time_ms,
            records: batch.len(),
        };
        let stage = self.driver.stage();
        let prepared = stage.prepare(batch);
        times.received_ms =
            prepared.iter().map(<D::Stage as Stage>::received_ms).min().unwrap_or(times.received_ms);
        let missing = stage.missing(&prepared);
        for keys in missing.chunks(LOAD_CHUNK) {
            let (context, table) = (&self.context, <D::Stage as Stage>::TABLE);
            let load = retrying("read rows", || {
                context.parts.state.get_many(table, context.config.generation, keys)
            });
            let rows = tokio::select! {
                biased;
                () = token.cancelled() => return Ok(()),
                rows = load => rows?,
            };
            for (key, row) in keys.iter().zip(rows) {
                let admitted = self.driver.stage().admit(key, row);
                admitted.map_err(|error| TaskError::Refused(error.to_string()))?;
            }
        }
        // Before the output is handed on: whoever sees the effects may ask how far they reach.
        let subjects = <D::Stage as Stage>::subjects(&prepared);
        self.status.folded(times, subjects, self.context.parts.clock.now_ms());
        let output = self.driver.stage().fold(prepared);
        let appends = self.driver.hand_on(output).await?;
        self.appends.extend(appends);
        if <D::Stage as Stage>::NAME == StageName::Shopper {
            spans::record(&self.context, self.partition, times.next_offset);
        }
        let stage = self.driver.stage();
        stage.make_room();
        self.status.cached_rows.store(stage.cached_rows() as u64, Ordering::Relaxed);
        self.status.changed_rows.store(stage.changed_rows() as u64, Ordering::Relaxed);
        self.status.stream_time_ms.store(self.driver.stream_time_ms(), Ordering::Relaxed);
        Ok(())
    }

    fn is_overfull(&mut self) -> bool {
        self.appends.len() >= MAX_APPENDS || self.driver.is_overfull()
    }

    /// Begins a flush, unless nothing was read since the last one.
    fn begin_flush(&mut self) -> Option<Running<Keys<D>>> {
        let at = self.driver.stage().checkpoint().next_offset;
        let published = if Instant::now() >= self.next_fallback {
            let pause = Duration::from_millis(self.context.config.fallback_interval_ms);
            self.next_fallback = Instant::now() + pause;
            self.queue.take_fallback()
        } else {
            Vec::new()
        };
        if at == self.status.stored.load(Ordering::Relaxed) && published.is_empty() {
            return None;
        }
        let flush = Flush {
            context: Arc::clone(&self.context),
            stage: <D::Stage as Stage>::NAME,
            partition: self.partition,
            snapshot: self.driver.stage().snapshot(),
            appends: std::mem::take(&mut self.appends),
            published,
        };
        #[allow(clippy::disallowed_methods, reason = "the handle aborts the flush when the task is dropped")]
        Some(AbortOnDropHandle::new(tokio::spawn(flush.run())))
    }

    fn flushed(&mut self, done: Result<(Keys<D>, Checkpoint), TaskError>) -> Result<(), TaskError> {
        let (keys, at) = done?;
        self.driver.stage().stored(keys);
        self.status.stored.store(at.next_offset, Ordering::Relaxed);
        (self.committed)(at.next_offset);
        Ok(())
    }
}

/// The result of the running flush; pending for ever when none runs.
async fn finished<K: Send + 'static>(running: &mut Option<Running<K>>) -> Result<(K, Checkpoint), TaskError> {
    match running {
        Some(handle) => handle.await.unwrap_or_else(|error| {
            let reason = format!("the flush ended early: {error}");
            Err(TaskError::Log(LogError::Unavailable { action: "flush", reason }))
        }),
        None => std::future::pending().await,
    }
}
