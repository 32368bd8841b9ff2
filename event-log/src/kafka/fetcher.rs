//! Reading partitions, each at its own pace: one client, one thread, and a bounded buffer per partition.
//!
//! The client is in no group; it is told partition by partition what to fetch. A partition whose reader is slow is taken
//! off the client and put back at the next offset when there is room: the others go on meanwhile.

mod buffer;
mod round;
mod worker;

pub(super) use buffer::Buffer;
pub(super) use round::Round;

use super::errors::client_error;
use super::sampled::Sampled;
use super::signal::Signal;
use crate::{LogError, RecordStream, TopicPartition};
use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use worker::Worker;

/// A fetching client. Dropping it ends its streams.
pub(super) struct Fetcher {
    shared: Arc<Shared>,
}

/// What the fetcher and its thread share.
struct Shared {
    signal: Arc<Signal>,
    /// What is to be started. Bounded by the number of partitions: the thread takes all of it at once.
    starts: Mutex<Vec<Start>>,
    closed: AtomicBool,
}

struct Start {
    partition: TopicPartition,
    offset: u64,
    buffer: Arc<Buffer>,
}

impl Fetcher {
    /// `sampled` is where it notes records whose traces are recorded.
    pub(super) fn new(config: &ClientConfig, sampled: Option<Arc<Sampled>>) -> Result<Self, LogError> {
        let signal = Arc::new(Signal::default());
        let mut consumer: BaseConsumer = config.create().map_err(|e| client_error(&e))?;
        let on_records = Arc::clone(&signal);
        consumer.set_nonempty_callback(move || on_records.wake());
        let shared = Arc::new(Shared { signal, starts: Mutex::default(), closed: AtomicBool::new(false) });
        let worker = Worker::new(consumer, Arc::clone(&shared), sampled);
        std::thread::Builder::new()
            .name("kafka-fetcher".to_owned())
            .spawn(move || worker.run())
            .map_err(|e| LogError::Unusable(format!("cannot start a thread: {e}")))?;
        Ok(Self { shared })
    }

    /// Reads a partition from `offset` on; an earlier stream of it ends. The buffer is there to close it.
    pub(super) fn start(&self, partition: &TopicPartition, offset: u64) -> (Arc<Buffer>, RecordStream) {
        let (buffer, stream) = Buffer::with_stream(Arc::clone(&self.shared.signal));
        let start = Start { partition: partition.clone(), offset, buffer: Arc::clone(&buffer) };
        self.shared.starts.lock().unwrap_or_else(PoisonError::into_inner).push(start);
        self.shared.signal.wake();
        (buffer, stream)
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.signal.wake();
    }
}
