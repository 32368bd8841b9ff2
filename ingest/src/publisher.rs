//! Hands records to the log and waits for its acknowledgement, within bounds.
//!
//! Memory does not grow when the log is slow or gone: what awaits acknowledgement holds permits of one budget, and a
//! request that gets none is told at once to come again. A caller that hangs up gives its permits back while its record
//! may still be on its way; the producer's own queue bounds that.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event_log::{Append, AppendError, NewRecord, Producer};
use metrics::Gauge;
use schemas::Position;
use service_runtime::http::{Connection, Elapsed, current_trace};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::{Code, Rejection};
use crate::metrics::Metrics;

/// What a record costs beyond its key and value: queue entries, the sender and receiver of its outcome.
const OVERHEAD_BYTES: usize = 256;

/// Beyond the producer's own deadline, so that its answer, which says more, comes first.
const GRACE: Duration = Duration::from_millis(500);

/// Appends records of all requests through one producer.
pub(crate) struct Publisher {
    producer: Arc<dyn Producer>,
    budget: Arc<Semaphore>,
    patience: Duration,
    dead: CancellationToken,
    in_flight_bytes: Gauge,
}

/// Why a record is not, or not known to be, in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unpublished {
    /// Too much awaits acknowledgement already. Nothing was appended.
    Overloaded,
    /// Larger than the log takes. Sending it again will not help.
    TooLarge,
    /// The log did not acknowledge; whether it holds the record is unknown.
    NotAcknowledged,
}

impl Unpublished {
    /// The reason why an item's record is too large, as the item's rejection.
    pub(crate) fn too_large() -> Rejection {
        Rejection::new(Code::TooLarge, "larger than the log takes")
    }
}

/// A record that the log was given.
pub(crate) struct Handed {
    append: Append,
    held: Held,
}

/// Permits of the budget, given back on drop.
struct Held {
    bytes: u32,
    in_flight_bytes: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.in_flight_bytes.decrement(self.bytes);
    }
}

/// With what a record is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// Its caller waits for it alone.
    Alone,
    /// Its caller waits for others, too: it may wait some ms for them, and for those of other callers.
    Batch,
}

impl Publisher {
    /// `dead` is cancelled when the producer is of no more use.
    pub(crate) fn new(
        producer: Arc<dyn Producer>,
        max_in_flight_bytes: usize,
        ack_timeout: Duration,
        dead: CancellationToken,
        metrics: &Metrics,
    ) -> Self {
        let budget = Arc::new(Semaphore::new(max_in_flight_bytes));
        let in_flight_bytes = metrics.in_flight_bytes.clone();
        Self { producer, budget, patience: ack_timeout + GRACE, dead, in_flight_bytes }
    }

    /// Hands a record over without waiting. Records of one key are appended in the order of these calls.
    pub(crate) fn hand_over(
        &self,
        topic: &Arc<str>,
        key: Bytes,
        value: Bytes,
        company: Company,
    ) -> Result<Handed, Unpublished> {
        let bytes = (OVERHEAD_BYTES + key.len() + value.len()) as u32;
        let permit =
            self.budget.clone().try_acquire_many_owned(bytes).map_err(|_| Unpublished::Overloaded)?;
        let traceparent = current_trace().map(|trace| trace.to_bytes());
        let record = NewRecord { topic: topic.clone(), partition: None, key, value, traceparent };
        let append = match company {
            Company::Alone => self.producer.append(record),
            Company::Batch => self.producer.append_among_others(record),
        };
        let append = append.map_err(|error| self.unpublished(error))?;
        let in_flight_bytes = self.in_flight_bytes.clone();
        in_flight_bytes.increment(bytes);
        Ok(Handed { append, held: Held { bytes, in_flight_bytes, _permit: permit } })
    }

    /// Until when to wait for what was handed over at this moment.
    pub(crate) fn deadline(&self, handed: Instant) -> Instant {
        handed + self.patience
    }

    /// Where the record stands, once the log holds it. The caller's connection measures the time.
    pub(crate) async fn acknowledged(
        &self,
        handed: Handed,
        deadline: Instant,
        connection: &Connection,
    ) -> Result<Position, Unpublished> {
        let Handed { append, held } = handed;
        let outcome = connection.timeout_at(deadline, append).await;
        drop(held);
        match outcome {
            Ok(outcome) => outcome.map_err(|error| self.unpublished(error)),
            Err(Elapsed) => Err(Unpublished::NotAcknowledged),
        }
    }

    fn unpublished(&self, error: AppendError) -> Unpublished {
        match error {
            AppendError::QueueFull => Unpublished::Overloaded,
            AppendError::TooLarge => Unpublished::TooLarge,
            AppendError::NotAcknowledged(reason) => {
                let trace_id = current_trace().map(|trace| trace.to_string());
                tracing::debug!(%reason, trace_id, "the log did not acknowledge a record");
                Unpublished::NotAcknowledged
            }
            AppendError::Fatal(reason) => {
                if !self.dead.is_cancelled() {
                    tracing::error!(%reason, "the log producer is of no more use");
                    self.dead.cancel();
                }
                Unpublished::NotAcknowledged
            }
        }
    }
}
