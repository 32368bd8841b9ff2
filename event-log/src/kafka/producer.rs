//! Appending to Kafka. The delivery report resolves the append; nothing waits in between.

use super::errors::append_error;
use super::lanes::{Lane, Lanes, MayLinger, Way};
use super::pace::Pace;
use crate::in_flight::InFlight;
use crate::{Append, AppendError, NewRecord, Producer, ProducerMode};
use async_trait::async_trait;
use rdkafka::error::KafkaResult;
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};
use schemas::Position;
use schemas::partition::partition_of;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The header that names a record's trace.
pub(super) const TRACEPARENT: &str = "traceparent";

/// How often the thread that takes the reports looks whether it is to end.
const POLL: Duration = Duration::from_millis(100);
/// How long the brokers may take to say how many partitions a topic has.
const ASKING: Duration = Duration::from_secs(5);

/// What travels with a record until its delivery report.
type Reply = Box<Caller>;

/// Whoever waits for a record's outcome.
struct Caller {
    outcome: oneshot::Sender<Result<Position, AppendError>>,
    /// Where the record goes; none while its topic's partitions are not known.
    lane: Option<Arc<Lane<Waiting>>>,
    bytes: usize,
}

/// A record that is sent later.
struct Waiting {
    record: NewRecord,
    reply: Reply,
    since: Instant,
}

/// The client of a producer.
type Client = BaseProducer<Deliveries>;

pub(super) struct KafkaProducer {
    clients: Clients<Arc<Client>>,
    shared: Arc<Shared>,
    reports: Vec<JoinHandle<()>>,
}

/// What each of a producer's clients has.
#[derive(Clone)]
pub(super) struct Clients<T> {
    /// Of the one that sends each record as soon as it comes.
    pub(super) prompt: T,
    /// Of those that linger; none where records must not change from one client to another.
    pub(super) lingering: Option<Lingering<T>>,
}

/// What each of the clients that wait for more records has.
#[derive(Clone)]
pub(super) struct Lingering<T> {
    /// Of the one for records that come fast.
    pub(super) briefly: T,
    /// Of the one for records of batches.
    pub(super) longer: T,
}

impl<T> Clients<T> {
    fn map<U>(&self, each: impl Fn(&T) -> U) -> Clients<U> {
        let lingering = self.lingering.as_ref();
        let lingering =
            lingering.map(|two| Lingering { briefly: each(&two.briefly), longer: each(&two.longer) });
        Clients { prompt: each(&self.prompt), lingering }
    }

    fn of(&self, way: Way) -> &T {
        match (way, &self.lingering) {
            (Way::Prompt, _) | (_, None) => &self.prompt,
            (Way::Briefly, Some(two)) => &two.briefly,
            (Way::Longer, Some(two)) => &two.longer,
        }
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        let lingering = self.lingering.iter().flat_map(|two| [&two.briefly, &two.longer]);
        std::iter::once(&self.prompt).chain(lingering)
    }
}

/// What the threads that take the reports have in common with callers.
struct Shared {
    mode: ProducerMode,
    /// Records and their bytes without an outcome at most.
    capacity: (usize, usize),
    in_flight: InFlight,
    bytes: AtomicUsize,
    lanes: Lanes<Waiting>,
    /// Of records that come by themselves.
    pace: Pace,
    /// Records on their way that have no lane, since nobody knew yet where they go.
    without_lane: AtomicUsize,
    /// The clients themselves, as long as the producer lives.
    clients: OnceLock<Clients<Weak<Client>>>,
    /// Why no more records are taken.
    dead: OnceLock<String>,
    ends: AtomicBool,
}

impl KafkaProducer {
    /// A producer with clients as configured for `mode`, for at most so many records and bytes without an outcome.
    pub(super) fn new(
        configs: &Clients<ClientConfig>,
        mode: ProducerMode,
        capacity: (usize, usize),
    ) -> KafkaResult<Self> {
        let shared = Arc::new(Shared {
            mode,
            capacity,
            in_flight: InFlight::default(),
            bytes: AtomicUsize::new(0),
            lanes: Lanes::default(),
            pace: Pace::default(),
            without_lane: AtomicUsize::new(0),
            clients: OnceLock::new(),
            dead: OnceLock::new(),
            ends: AtomicBool::new(false),
        });
        let client = |config: &ClientConfig| -> KafkaResult<Arc<Client>> {
            Ok(Arc::new(config.create_with_context(Deliveries(Arc::clone(&shared)))?))
        };
        let clients = Clients {
            prompt: client(&configs.prompt)?,
            lingering: match &configs.lingering {
                None => None,
                Some(two) => Some(Lingering { briefly: client(&two.briefly)?, longer: client(&two.longer)? }),
            },
        };
        shared.clients.get_or_init(|| clients.map(Arc::downgrade));
        let reports =
            clients.iter().map(|client| take_reports(Arc::clone(client), Arc::clone(&shared))).collect();
        Ok(Self { clients, shared, reports })
    }

    /// The lane of a record. Asks for the topic's partitions where they are not known, and does not wait for the answer.
    fn lane(&self, record: &NewRecord) -> Option<Arc<Lane<Waiting>>> {
        let topic = self.shared.lanes.of(&record.topic);
        if topic.is_to_be_asked() {
            let (client, topic, name) =
                (Arc::clone(&self.clients.prompt), Arc::clone(&topic), record.topic.clone());
            let ask = move || topic.has(partitions(&client, &name));
            // Without a thread for it, records go as they come.
            let _ = std::thread::Builder::new().name("kafka-partitions".to_owned()).spawn(ask);
        }
        let of_key = |count| partition_of(&record.key, count);
        let lane = topic.lane(|count| record.partition.unwrap_or_else(|| of_key(count)));
        lane.cloned()
    }
}

/// A thread that takes a client's delivery reports until the producer ends.
fn take_reports(client: Arc<Client>, shared: Arc<Shared>) -> JoinHandle<()> {
    let take = move || {
        while !shared.ends.load(Ordering::Relaxed) {
            client.poll(POLL);
        }
    };
    let thread = std::thread::Builder::new().name("kafka-reports".to_owned()).spawn(take);
    thread.expect("the system has no room for a thread")
}

/// How many a topic has; 0 when it does not exist or nobody answers.
fn partitions(client: &Client, topic: &str) -> usize {
    let metadata = client.client().fetch_metadata(Some(topic), ASKING);
    let found = metadata.ok().and_then(|all| all.topics().first().map(|topic| topic.partitions().len()));
    found.unwrap_or(0)
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        for reports in self.reports.drain(..) {
            let _ = reports.join();
        }
        // Callers hear that the producer was closed.
        self.shared.lanes.abandon();
    }
}

impl Shared {
    fn note(&self, error: &AppendError) {
        let ends_it = match error {
            AppendError::Fatal(_) => true,
            AppendError::NotAcknowledged(_) | AppendError::TooLarge => self.mode == ProducerMode::Gapless,
            AppendError::QueueFull => false,
        };
        if ends_it {
            self.dead.get_or_init(|| error.to_string());
        }
    }

    fn check_alive(&self) -> Result<(), AppendError> {
        self.dead.get().map_or(Ok(()), |reason| Err(AppendError::Fatal(reason.clone())))
    }

    /// Room for one more record.
    fn reserve(&self, bytes: usize) -> Result<(), AppendError> {
        let (records, all_bytes) = self.capacity;
        if self.in_flight.count() >= records || self.bytes.load(Ordering::Relaxed) > all_bytes {
            return Err(AppendError::QueueFull);
        }
        self.in_flight.add();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// A record's outcome is known.
    fn resolve(&self, caller: Caller, outcome: Result<Position, AppendError>) {
        let _ = caller.outcome.send(outcome); // nobody listens when the caller went away
        self.release(caller.bytes);
    }

    fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.in_flight.done();
    }

    /// Which records may go by way of the clients that linger: none where there are none, and none where they could overtake
    /// records that were sent before their lane was known.
    fn may_linger(&self) -> MayLinger {
        let there_are = self.clients.get().is_some_and(|clients| clients.lingering.is_some());
        match there_are && self.without_lane.load(Ordering::Acquire) == 0 {
            false => MayLinger::Nothing,
            true if self.pace.lingers() => MayLinger::Everything,
            true => MayLinger::Batches,
        }
    }

    /// A record of the lane has its outcome: sends those that wait, if it is their turn.
    fn go_on(&self, lane: &Lane<Waiting>) {
        let mut traffic = lane.lock();
        let (records, way) = traffic.reported(self.may_linger());
        for Waiting { record, reply, since } in records {
            let sent = match self.check_waited(since) {
                Ok(()) => self.send(way, record, reply),
                Err(error) => Err((error, reply)),
            };
            match sent {
                Ok(()) => traffic.sent(),
                Err((error, reply)) => {
                    // Nothing may follow what is left out without a gap.
                    let error = match error {
                        AppendError::QueueFull => AppendError::NotAcknowledged(error.to_string()),
                        error => error,
                    };
                    self.note(&error);
                    self.resolve(*reply, Err(error));
                }
            }
        }
    }

    /// Whether a record that has waited is still to be sent.
    fn check_waited(&self, since: Instant) -> Result<(), AppendError> {
        self.check_alive()?;
        match self.mode {
            ProducerMode::Bounded { ack_timeout_ms, .. }
                if since.elapsed() > Duration::from_millis(ack_timeout_ms) =>
            {
                Err(AppendError::NotAcknowledged("it was not sent in time".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Hands a record to a client.
    fn send(&self, way: Way, record: NewRecord, reply: Reply) -> Result<(), (AppendError, Reply)> {
        let Some(client) = self.clients.get().and_then(|clients| clients.of(way).upgrade()) else {
            return Err((AppendError::Fatal("the producer was closed".to_owned()), reply));
        };
        let NewRecord { topic, partition, key, value, traceparent } = record;
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
        client.send(message).map_err(|(error, message)| (append_error(&error), message.delivery_opaque))
    }
}

/// Takes the delivery reports, on the producer's own thread.
struct Deliveries(Arc<Shared>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Reply;

    fn delivery(&self, report: &DeliveryResult<'_>, mut reply: Reply) {
        let outcome = match report {
            Ok(message) => {
                Ok(Position { partition: message.partition() as u32, offset: message.offset() as u64 })
            }
            Err((error, _)) => Err(append_error(error)),
        };
        if let Err(error) = &outcome {
            self.0.note(error);
        }
        let lane = reply.lane.take();
        self.0.resolve(*reply, outcome);
        match lane {
            Some(lane) => self.0.go_on(&lane),
            None => drop(self.0.without_lane.fetch_sub(1, Ordering::AcqRel)),
        }
    }
}

impl KafkaProducer {
    fn hand_over(&self, record: NewRecord, among_others: bool) -> Result<Append, AppendError> {
        let shared = &self.shared;
        shared.check_alive()?;
        let bytes = record.key.len() + record.value.len();
        shared.reserve(bytes)?;
        if !among_others {
            shared.pace.count(Instant::now);
        }
        let lane = self.lane(&record);
        let (outcome, append) = Append::pending();
        let reply = Box::new(Caller { outcome, lane: lane.clone(), bytes });
        let sent = match lane {
            None => {
                shared.without_lane.fetch_add(1, Ordering::AcqRel);
                let sent = shared.send(Way::Prompt, record, reply);
                if sent.is_err() {
                    shared.without_lane.fetch_sub(1, Ordering::AcqRel);
                }
                sent
            }
            Some(lane) => {
                let mut traffic = lane.lock();
                // Asked again: what was left out while this one waited for the lane may have been of its partition.
                if let Err(error) = shared.check_alive() {
                    Err((error, reply))
                } else if let Some(way) = traffic.free(shared.may_linger(), among_others) {
                    let sent = shared.send(way, record, reply);
                    if sent.is_ok() {
                        traffic.sent();
                    }
                    sent
                } else {
                    traffic.wait(Waiting { record, reply, since: Instant::now() }, among_others);
                    Ok(())
                }
            }
        };
        sent.map(|()| append).map_err(|(error, _)| {
            shared.release(bytes);
            if matches!(error, AppendError::Fatal(_)) {
                shared.note(&error);
            }
            error
        })
    }
}

#[async_trait]
impl Producer for KafkaProducer {
    fn append(&self, record: NewRecord) -> Result<Append, AppendError> {
        self.hand_over(record, false)
    }

    fn append_among_others(&self, record: NewRecord) -> Result<Append, AppendError> {
        self.hand_over(record, true)
    }

    async fn drain(&self, deadline_ms: u64) -> usize {
        self.shared.in_flight.drain(deadline_ms).await
    }
}
