//! Appending to Kafka. The delivery report resolves the append; nothing waits in between.

use super::errors::append_error;
use super::lanes::{Lane, Lanes, Slot};
use crate::in_flight::InFlight;
use crate::{Append, AppendError, NewRecord, Producer};
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
type Reply = Box<Waiting>;

/// Whoever waits for a record's outcome.
struct Waiting {
    caller: oneshot::Sender<Result<Position, AppendError>>,
    slot: Option<Slot>,
}

pub(super) struct KafkaProducer {
    producer: ThreadedProducer<Deliveries>,
    /// Takes over while many records are on their way.
    collecting: Option<ThreadedProducer<Deliveries>>,
    shared: Arc<Shared>,
}

impl KafkaProducer {
    /// A producer, with the configuration of one that collects where there is to be one. `gapless`: a record that failed is
    /// the last one.
    pub(super) fn new(
        config: &ClientConfig,
        collecting: Option<&ClientConfig>,
        gapless: bool,
    ) -> rdkafka::error::KafkaResult<Self> {
        let shared = Arc::new(Shared { gapless, ..Shared::default() });
        let create = |config: &ClientConfig| config.create_with_context(Deliveries(Arc::clone(&shared)));
        let (producer, collecting) = (create(config)?, collecting.map(create).transpose()?);
        Ok(Self { producer, collecting, shared })
    }

    /// The producer that a record goes through, and the slot that it takes meanwhile.
    fn choose(&self, record: &NewRecord) -> (&ThreadedProducer<Deliveries>, Option<Slot>) {
        let Some(collecting) = &self.collecting else { return (&self.producer, None) };
        let (lanes, in_flight) = (&self.shared.lanes, self.shared.in_flight.count());
        let (slot, lane) = match record.partition {
            Some(partition) => lanes.enter(partition, in_flight),
            None => lanes.enter(&record.key[..], in_flight),
        };
        (if lane == Lane::Quick { &self.producer } else { collecting }, Some(slot))
    }
}

#[derive(Default)]
struct Shared {
    gapless: bool,
    in_flight: InFlight,
    lanes: Lanes,
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

    /// A record's outcome is known.
    fn done(&self, slot: Option<Slot>) {
        if let Some(slot) = slot {
            self.lanes.leave(slot);
        }
        self.in_flight.done();
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
        let Waiting { caller, slot } = *reply;
        let _ = caller.send(outcome); // nobody listens when the caller went away
        self.0.done(slot);
    }
}

#[async_trait]
impl Producer for KafkaProducer {
    fn append(&self, record: NewRecord) -> Result<Append, AppendError> {
        if let Some(reason) = self.shared.dead.get() {
            return Err(AppendError::Fatal(reason.clone()));
        }
        let (producer, slot) = self.choose(&record);
        let NewRecord { topic, partition, key, value, traceparent } = record;
        let (caller, append) = Append::pending();
        let reply = Box::new(Waiting { caller, slot });
        let mut message = BaseRecord::<[u8], [u8], Reply>::with_opaque_to(&topic, reply);
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
        match producer.send(message) {
            Ok(()) => Ok(append),
            Err((error, _)) => {
                self.shared.done(slot);
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
