//! Appending to Kafka. The delivery report resolves the append; nothing waits in between.

use super::errors::append_error;
use crate::in_flight::InFlight;
use crate::{Append, AppendError, NewRecord, Producer, ProducerMode};
use async_trait::async_trait;
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use schemas::Position;
use std::sync::{Arc, OnceLock};
use tokio::sync::oneshot;

/// The header that names a record's trace.
pub(super) const TRACEPARENT: &str = "traceparent";

/// What travels with a record until its delivery report.
type Reply = Box<oneshot::Sender<Result<Position, AppendError>>>;

pub(super) struct KafkaProducer {
    producer: ThreadedProducer<Deliveries>,
    shared: Arc<Shared>,
}

impl KafkaProducer {
    pub(super) fn new(config: &ClientConfig, mode: ProducerMode) -> rdkafka::error::KafkaResult<Self> {
        let shared = Arc::new(Shared { gapless: mode == ProducerMode::Gapless, ..Shared::default() });
        let producer = config.create_with_context(Deliveries(Arc::clone(&shared)))?;
        Ok(Self { producer, shared })
    }
}

#[derive(Default)]
struct Shared {
    gapless: bool,
    in_flight: InFlight,
    /// Why no more records are taken.
    dead: OnceLock<String>,
}

impl Shared {
    fn note(&self, error: &AppendError) {
        let ends_it = match error {
            AppendError::Fatal(_) => true,
            AppendError::NotAcknowledged(_) | AppendError::TooLarge => self.gapless,
            AppendError::QueueFull => false,
        };
        if ends_it {
            self.dead.get_or_init(|| error.to_string());
        }
    }
}

/// Takes the delivery reports, on the producer's polling thread.
struct Deliveries(Arc<Shared>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Reply;

    fn delivery(&self, report: &DeliveryResult<'_>, reply: Reply) {
        let outcome = match report {
            Ok(message) => {
                Ok(Position { partition: message.partition() as u32, offset: message.offset() as u64 })
            }
            Err((error, _)) => Err(append_error(error)),
        };
        if let Err(error) = &outcome {
            self.0.note(error);
        }
        let _ = reply.send(outcome); // nobody listens when the caller went away
        self.0.in_flight.done();
    }
}

#[async_trait]
impl Producer for KafkaProducer {
    fn append(&self, record: NewRecord) -> Result<Append, AppendError> {
        if let Some(reason) = self.shared.dead.get() {
            return Err(AppendError::Fatal(reason.clone()));
        }
        let NewRecord { topic, partition, key, value, traceparent } = record;
        let (reply, append) = Append::pending();
        let mut message = BaseRecord::<[u8], [u8], Reply>::with_opaque_to(&topic, Box::new(reply));
        if let Some(partition) = partition {
            message = message.partition(partition as i32);
        }
        if !key.is_empty() {
            message = message.key(&key);
        }
        // No value at all, rather than an empty one: that is what compaction understands as a tombstone.
        if !value.is_empty() {
            message = message.payload(&value);
        }
        if let Some(traceparent) = &traceparent {
            let header = Header { key: TRACEPARENT, value: Some(traceparent) };
            message = message.headers(OwnedHeaders::new_with_capacity(1).insert(header));
        }
        self.shared.in_flight.add();
        match self.producer.send(message) {
            Ok(()) => Ok(append),
            Err((error, _)) => {
                self.shared.in_flight.done();
                let error = append_error(&error);
                if matches!(error, AppendError::Fatal(_)) {
                    self.shared.note(&error);
                }
                Err(error)
            }
        }
    }

    async fn drain(&self, deadline_ms: u64) -> usize {
        self.shared.in_flight.drain(deadline_ms).await
    }
}
