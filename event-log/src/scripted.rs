//! A log in memory for tests: it does what the test says, when the test says it.
//!
//! Appends and reads happen within the call; streams run as tasks, woken by appends only. Nothing here reads a clock.

mod member;
mod partition;
mod producer;

use crate::{
    AppendError, EventLog, GroupMember, GroupOptions, LogError, Producer, ProducerMode, Record, RecordStream,
    TopicInfo, TopicPartition, TopicSpec,
};
use async_trait::async_trait;
use member::{ScriptedMember, Seat};
use partition::{Partition, lock};
use producer::{HeldAck, ScriptedProducer};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The log and its script; clones share both.
#[derive(Debug, Clone)]
pub struct ScriptedLog(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    topics: HashMap<String, Vec<Arc<Partition>>>,
    now_ms: i64,
    batch_records: usize,
    failures: VecDeque<AppendError>,
    /// `Some` while acknowledgements are held back.
    held: Option<Vec<HeldAck>>,
    released: watch::Sender<()>,
    assigns_by_itself: bool,
    seats: HashMap<String, Seat>,
    committed: HashMap<(String, TopicPartition), u64>,
}

impl State {
    fn partitions(&self, topic: &str) -> Result<&[Arc<Partition>], LogError> {
        self.topics.get(topic).map(Vec::as_slice).ok_or_else(|| LogError::NoSuchTopic(topic.to_owned()))
    }

    fn partition(&self, id: &TopicPartition) -> Result<Arc<Partition>, LogError> {
        let missing = || LogError::Unusable(format!("{} has no partition {}", id.topic, id.partition));
        self.partitions(&id.topic)?.get(id.partition as usize).cloned().ok_or_else(missing)
    }
}

impl Default for ScriptedLog {
    fn default() -> Self {
        Self::new()
    }
}

impl ScriptedLog {
    /// An empty log at time 0 whose groups assign everything to whoever joins.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            topics: HashMap::new(),
            now_ms: 0,
            batch_records: 500,
            failures: VecDeque::new(),
            held: None,
            released: watch::Sender::new(()),
            assigns_by_itself: true,
            seats: HashMap::new(),
            committed: HashMap::new(),
        })))
    }

    /// From now on a member that joins owns nothing until [`Self::assign`].
    pub fn assign_by_hand(&self) {
        lock(&self.0).assigns_by_itself = false;
    }

    /// Sets the time of the appends to come, in ms since 1970 UTC.
    pub fn set_clock(&self, now_ms: i64) {
        lock(&self.0).now_ms = now_ms;
    }

    /// Streams started from now on give at most this many records in a batch.
    pub fn set_batch_records(&self, records: usize) {
        lock(&self.0).batch_records = records.max(1);
    }

    /// Fails the next `count` appends of any producer with `error`; their records are not appended. `NotAcknowledged` comes
    /// as the outcome, any other error at once. A gapless producer fails for good.
    pub fn fail_next_appends(&self, count: usize, error: AppendError) {
        lock(&self.0).failures.extend(std::iter::repeat_n(error, count));
    }

    /// From now on appended records can be read, but their appends stay without an outcome.
    pub fn hold_acknowledgements(&self) {
        lock(&self.0).held.get_or_insert_default();
    }

    /// Acknowledges what was held back; from now on appends are acknowledged at once.
    pub fn release_acknowledgements(&self) {
        self.end_hold(Ok);
    }

    /// Fails what was held back, although the log has it; from now on appends are acknowledged at once.
    pub fn fail_held_acknowledgements(&self, error: &AppendError) {
        self.end_hold(|_| Err(error.clone()));
    }

    fn end_hold(&self, outcome: impl Fn(schemas::Position) -> Result<schemas::Position, AppendError>) {
        let mut state = lock(&self.0);
        for ack in state.held.take().into_iter().flatten() {
            let _ = ack.reply.send(outcome(ack.position)); // the caller may have gone away
        }
        state.released.send_replace(());
    }

    /// Assigns partitions to a member: its instance id, or its group id where it has none.
    ///
    /// # Panics
    /// When there is no such member. The same holds for [`Self::revoke`] and [`Self::lose`].
    pub fn assign(&self, member: &str, partitions: Vec<TopicPartition>) {
        self.seat(member, |seat| seat.assign(partitions));
    }

    /// Tells a member to give partitions up; their streams go on until it releases them.
    pub fn revoke(&self, member: &str, partitions: Vec<TopicPartition>) {
        self.seat(member, |seat| seat.revoke(partitions));
    }

    /// Takes partitions away from a member at once.
    pub fn lose(&self, member: &str, partitions: Vec<TopicPartition>) {
        self.seat(member, |seat| seat.lose(partitions));
    }

    fn seat(&self, member: &str, change: impl FnOnce(&mut Seat)) {
        change(
            lock(&self.0).seats.get_mut(member).unwrap_or_else(|| panic!("no member {member} has joined")),
        );
    }

    /// Removes the records before `start`, as retention does.
    ///
    /// # Panics
    /// When there is no such partition.
    pub fn truncate_before(&self, partition: &TopicPartition, start: u64) {
        lock(&self.0).partition(partition).expect("the partition exists").truncate_before(start);
    }

    /// Deletes a topic and all its records.
    pub fn delete_topic(&self, topic: &str) {
        lock(&self.0).topics.remove(topic);
    }

    /// Everything a partition holds; nothing where there is no such partition.
    pub fn records(&self, partition: &TopicPartition) -> Vec<Record> {
        let Ok(partition) = lock(&self.0).partition(partition) else { return Vec::new() };
        partition.read(partition.bounds().start, usize::MAX).unwrap_or_default()
    }

    /// What a group last committed for a partition.
    pub fn committed(&self, group_id: &str, partition: &TopicPartition) -> Option<u64> {
        lock(&self.0).committed.get(&(group_id.to_owned(), partition.clone())).copied()
    }
}

#[async_trait]
impl EventLog for ScriptedLog {
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<(), LogError> {
        let mut state = lock(&self.0);
        for TopicSpec { name, partitions, .. } in specs {
            if let Some(existing) = state.topics.get(name) {
                let found = existing.len();
                if found != *partitions as usize {
                    let said = format!("topic {name} has {found} partitions but {partitions} are configured");
                    return Err(LogError::Unusable(said));
                }
                continue;
            }
            let topic: Arc<str> = name.as_str().into();
            let id = |partition| TopicPartition { topic: Arc::clone(&topic), partition };
            let made = (0..*partitions).map(|partition| Arc::new(Partition::new(id(partition)))).collect();
            state.topics.insert(name.clone(), made);
        }
        Ok(())
    }

    async fn describe(&self, topic: &str) -> Result<TopicInfo, LogError> {
        Ok(TopicInfo { partitions: lock(&self.0).partitions(topic)?.len() as u32 })
    }

    async fn bounds(&self, partition: &TopicPartition) -> Result<Range<u64>, LogError> {
        Ok(lock(&self.0).partition(partition)?.bounds())
    }

    async fn read(
        &self,
        partition: &TopicPartition,
        offset: u64,
        max_records: usize,
    ) -> Result<Vec<Record>, LogError> {
        lock(&self.0).partition(partition)?.read(offset, max_records)
    }

    async fn follow(&self, partition: &TopicPartition, offset: u64) -> Result<RecordStream, LogError> {
        let (source, batch_records) = {
            let state = lock(&self.0);
            (state.partition(partition)?, state.batch_records)
        };
        Ok(source.follow(offset, batch_records, CancellationToken::new()))
    }

    fn producer(&self, mode: ProducerMode) -> Result<Arc<dyn Producer>, LogError> {
        Ok(Arc::new(ScriptedProducer { state: Arc::clone(&self.0), mode, dead: AtomicBool::new(false) }))
    }

    async fn join(&self, options: GroupOptions) -> Result<Box<dyn GroupMember>, LogError> {
        let GroupOptions { group_id, topics, instance_id, .. } = options;
        let mut state = lock(&self.0);
        let mut partitions = Vec::new();
        for topic in &topics {
            partitions.extend(state.partitions(topic)?.iter().map(|partition| partition.id().clone()));
        }
        let name = instance_id.unwrap_or_else(|| group_id.clone());
        let (mut seat, member) = ScriptedMember::new(Arc::clone(&self.0), name.clone(), group_id);
        if state.assigns_by_itself {
            seat.assign(partitions);
        }
        state.seats.insert(name, seat);
        Ok(Box::new(member))
    }

    async fn durability_warnings(&self, _topics: &[String]) -> Vec<String> {
        Vec::new()
    }
}
