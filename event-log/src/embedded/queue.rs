//! Between the producers and the writer thread: what waits to be written, and who waits for it.

use super::partition::{Partition, lock};
use crate::AppendError;
use crate::in_flight::InFlight;
use bytes::Bytes;
use schemas::Position;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;

/// Records waiting for the writer at most; beyond it, producers are told that the queue is full.
const QUEUED_RECORDS: usize = 1 << 16;
/// Their keys and values in bytes at most.
const QUEUED_BYTES: usize = 32 << 20;

type Reply = oneshot::Sender<Result<Position, AppendError>>;

/// A record to be written.
pub(super) struct Pending {
    pub(super) partition: Arc<Partition>,
    pub(super) key: Bytes,
    pub(super) value: Bytes,
}

impl Pending {
    pub(super) fn size(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

/// Somebody who waits for a record's outcome.
pub(super) struct Waiter {
    pub(super) reply: Reply,
    pub(super) in_flight: Arc<InFlight>,
    /// When to give up waiting; `None` = never.
    pub(super) deadline: Option<Instant>,
}

impl Waiter {
    fn resolve(self, outcome: Result<Position, AppendError>) {
        let _ = self.reply.send(outcome); // nobody listens when the caller went away
        self.in_flight.done();
    }
}

/// The queue of one log. Records are written in the order in which they came in.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes the thread that watches deadlines.
    deadlines: Condvar,
}

#[derive(Default)]
struct State {
    pending: Vec<Pending>,
    pending_bytes: usize,
    /// In the order of the records, those that the writer holds first; `None` = already told that it took too long.
    waiters: VecDeque<Option<Waiter>>,
    /// When the deadline watcher looks again; `None` = not until woken.
    next_look: Option<Instant>,
    failed: Option<String>,
    closed: bool,
    writer_ended: bool,
}

impl Queue {
    /// Puts a record at the end.
    pub(super) fn push(&self, record: Pending, waiter: Waiter) -> Result<(), AppendError> {
        let mut state = lock(&self.state);
        if let Some(reason) = &state.failed {
            return Err(AppendError::Fatal(reason.clone()));
        }
        if state.closed {
            return Err(AppendError::Fatal("the log was closed".to_owned()));
        }
        if state.pending.len() >= QUEUED_RECORDS || state.pending_bytes + record.size() > QUEUED_BYTES {
            return Err(AppendError::QueueFull);
        }
        waiter.in_flight.add();
        if let Some(deadline) = waiter.deadline
            && state.next_look.is_none_or(|look| deadline < look)
        {
            state.next_look = Some(deadline);
            self.deadlines.notify_one();
        }
        let was_empty = state.pending.is_empty();
        state.pending_bytes += record.size();
        state.pending.push(record);
        state.waiters.push_back(Some(waiter));
        drop(state);
        if was_empty {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Everything that waits, as soon as something does; `None` when the log was closed and nothing is left.
    pub(super) fn take(&self) -> Option<Vec<Pending>> {
        let mut state = lock(&self.state);
        while state.pending.is_empty() {
            if state.closed {
                state.writer_ended = true;
                self.deadlines.notify_one();
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.pending_bytes = 0;
        Some(std::mem::take(&mut state.pending))
    }

    /// Tells the waiters of the oldest records where their records are.
    pub(super) fn written(&self, positions: Vec<Position>) {
        let waiters: Vec<_> = lock(&self.state).waiters.drain(..positions.len()).collect();
        for (waiter, position) in waiters.into_iter().zip(positions) {
            if let Some(waiter) = waiter {
                waiter.resolve(Ok(position));
            }
        }
    }

    /// Fails everything that waits, and refuses what comes.
    pub(super) fn fail(&self, reason: &str) {
        let waiters = {
            let mut state = lock(&self.state);
            state.failed = Some(reason.to_owned());
            state.pending.clear();
            state.pending_bytes = 0;
            std::mem::take(&mut state.waiters)
        };
        for waiter in waiters.into_iter().flatten() {
            waiter.resolve(Err(AppendError::NotAcknowledged(reason.to_owned())));
        }
    }

    /// Takes no more records; what waits is still written.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.work.notify_one();
    }

    /// Gives up waiters whose deadline has passed, until the writer ends. On a thread of its own, because the writer may
    /// be stuck in a disk that does not answer.
    pub(super) fn watch_deadlines(&self) {
        let mut state = lock(&self.state);
        while !state.writer_ended {
            let now = Instant::now();
            let late = |waiter: &Waiter| waiter.deadline.is_some_and(|deadline| deadline <= now);
            let expired: Vec<_> =
                state.waiters.iter_mut().filter_map(|slot| slot.take_if(|w| late(w))).collect();
            for waiter in expired {
                waiter
                    .resolve(Err(AppendError::NotAcknowledged("the disk did not answer in time".to_owned())));
            }
            state.next_look = state.waiters.iter().flatten().filter_map(|waiter| waiter.deadline).min();
            state = match state.next_look {
                None => self.deadlines.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    self.deadlines
                        .wait_timeout(state, at.saturating_duration_since(now))
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Append, TopicPartition};
    use fjall::{Database, KeyspaceCreateOptions};

    struct Fixture {
        queue: Arc<Queue>,
        partition: Arc<Partition>,
        in_flight: Arc<InFlight>,
        _directory: tempfile::TempDir,
    }

    fn fixture() -> Fixture {
        let directory = tempfile::tempdir().expect("a directory for the test");
        let database = Database::builder(&directory).open().expect("opens");
        let chunks = database.keyspace("chunks", KeyspaceCreateOptions::default).expect("opens");
        let id = TopicPartition { topic: "t".into(), partition: 0 };
        let partition = Partition::open(id, [0; 8], chunks, false).expect("opens");
        let (queue, in_flight) = (Arc::default(), Arc::default());
        Fixture { queue, partition: Arc::new(partition), in_flight, _directory: directory }
    }

    impl Fixture {
        fn push(&self, value: &'static [u8], deadline: Option<Instant>) -> Result<Append, AppendError> {
            let (reply, append) = Append::pending();
            let (partition, in_flight) = (Arc::clone(&self.partition), Arc::clone(&self.in_flight));
            let record = Pending { partition, key: Bytes::new(), value: Bytes::from_static(value) };
            self.queue.push(record, Waiter { reply, in_flight, deadline }).map(|()| append)
        }
    }

    #[tokio::test]
    async fn an_append_is_given_up_at_its_deadline_while_the_disk_hangs() {
        let fixture = fixture();
        let watched = Arc::clone(&fixture.queue);
        let watcher = std::thread::spawn(move || watched.watch_deadlines());
        let patient = fixture.push(b"1", None).expect("taken");
        let hurried = fixture.push(b"2", Some(Instant::now())).expect("taken");
        assert!(matches!(hurried.await, Err(AppendError::NotAcknowledged(_))));

        // The disk comes back: whoever still waits gets the right position.
        assert_eq!(fixture.queue.take().map(|group| group.len()), Some(2));
        fixture.queue.written((0..2).map(|offset| Position { partition: 0, offset }).collect());
        assert_eq!(patient.await.map(|position| position.offset), Ok(0));
        assert_eq!(fixture.in_flight.drain(0).await, 0);
        fixture.queue.close();
        assert!(fixture.queue.take().is_none());
        watcher.join().expect("the watcher ends with the writer");
    }

    #[tokio::test]
    async fn after_a_failed_write_nothing_is_taken_any_more() {
        let fixture = fixture();
        let written = fixture.push(b"1", None).expect("taken");
        fixture.queue.take().expect("something waits");
        let waiting = fixture.push(b"2", None).expect("taken");
        fixture.queue.fail("the disk is full");
        for append in [written, waiting] {
            assert_eq!(append.await, Err(AppendError::NotAcknowledged("the disk is full".to_owned())));
        }
        let refused = fixture.push(b"3", None).expect_err("the log has failed");
        assert_eq!(refused, AppendError::Fatal("the disk is full".to_owned()));
        assert_eq!(fixture.in_flight.drain(0).await, 0);
    }

    #[test]
    fn a_full_queue_refuses_by_count_and_by_bytes() {
        let fixture = fixture();
        for _ in 0..QUEUED_RECORDS {
            fixture.push(b"", None).expect("there is room");
        }
        assert_eq!(fixture.push(b"", None).expect_err("full"), AppendError::QueueFull);
        fixture.queue.take().expect("something waits");
        static LARGE: [u8; 1 << 20] = [0; 1 << 20];
        for _ in 0..QUEUED_BYTES / LARGE.len() {
            fixture.push(&LARGE, None).expect("there is room");
        }
        assert_eq!(fixture.push(b"x", None).expect_err("full"), AppendError::QueueFull);
    }
}
