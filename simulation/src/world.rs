//! What all copies share: the log, the stores, chance, and the ledger that checks every write.

use crate::Settings;
use crate::broken::Broken;
use crate::coverage::{Coverage, Fault, Seen};
use crate::group::Group;
use crate::ledger::{Ledger, place_of};
use crate::process::{Process, Step};
use bytes::Bytes;
use event_log::scripted::ScriptedLog;
use event_log::{EventLog, NewRecord, Producer, ProducerMode, TopicPartition, TopicSpec};
use schemas::names::Topics;
use schemas::partition::partition_of;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use stores::{Row, Table};
use tokio::time::Instant;

/// Partitions of both topics.
pub(crate) const PARTITIONS: u32 = 4;
/// The generation that the copies build.
pub(crate) const GENERATION: u16 = 1;

pub(crate) struct World {
    pub(crate) log: ScriptedLog,
    pub(crate) topics: Topics,
    pub(crate) broken: Broken,
    settings: Settings,
    appender: Arc<dyn Producer>,
    began: Instant,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) random: fastrand::Rng,
    pub(crate) rows: BTreeMap<(Table, String), Row>,
    pub(crate) ledger: Ledger,
    pub(crate) group: Group,
    pub(crate) coverage: Coverage,
    pub(crate) plan: Disturbance,
    /// What was promised and does not hold.
    violations: Vec<String>,
    /// A hash of everything that happened, in order.
    trace: u64,
    /// The time of the log, in ms since 1970 UTC.
    now_ms: i64,
}

/// Faults that wait for an occasion, and those that last.
#[derive(Debug, Default)]
pub(crate) struct Disturbance {
    pub(crate) state_writes_fail: u32,
    pub(crate) state_reads_fail: u32,
    pub(crate) log_reads_fail: u32,
    pub(crate) deliveries_fail: u32,
    pub(crate) acknowledgements_lost: u32,
    pub(crate) queue_full: u32,
    pub(crate) state_slow: bool,
    pub(crate) log_slow: bool,
    pub(crate) serving_down: bool,
    /// Somebody noticed that it is down.
    pub(crate) serving_missed: bool,
}

impl State {
    /// The time of the log, in ms since 1970 UTC.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms
    }
}

/// Violations kept: the first says most.
const MAX_VIOLATIONS: usize = 20;

impl World {
    pub(crate) async fn new(settings: Settings) -> Arc<Self> {
        let log = ScriptedLog::new();
        let topics = Topics::new("", GENERATION);
        let spec = |name: &str, partitions: u32| TopicSpec {
            name: name.to_owned(),
            partitions,
            compacted: false,
            retention_ms: None,
        };
        let specs = [
            spec(&topics.events, PARTITIONS),
            spec(&topics.product_activity, PARTITIONS),
            spec(&topics.products, 1),
        ];
        log.ensure_topics(&specs).await.expect("a scripted log takes topics");
        let mode = ProducerMode::Bounded { ack_timeout_ms: 1_000, linger_ms: 0 };
        let appender = log.producer(mode).expect("a scripted log has producers");
        let state = State {
            random: fastrand::Rng::with_seed(settings.seed),
            rows: BTreeMap::new(),
            ledger: Ledger::new(PARTITIONS),
            group: Group::default(),
            coverage: Coverage::default(),
            plan: Disturbance::default(),
            violations: Vec::new(),
            trace: 0xcbf2_9ce4_8422_2325,
            now_ms: 1_700_000_000_000,
        };
        let began = Instant::now();
        let (broken, state) = (settings.broken, Mutex::new(state));
        Arc::new(Self { log, topics, broken, settings, appender, began, state })
    }

    /// Breaks the pipeline's rule that the settings name, or mends it.
    pub(crate) fn break_rule(&self, broken: bool) {
        if let Broken::Rule(rule) = self.broken {
            (self.settings.break_rule)(broken.then_some(rule));
        }
    }

    /// Everything that changes. Never held across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Something random.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.state().random)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.state().now_ms
    }

    /// Moves the log's clock on.
    pub(crate) fn advance(&self, by_ms: i64) -> i64 {
        let mut state = self.state();
        state.now_ms += by_ms;
        self.log.set_clock(state.now_ms);
        state.now_ms
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.state().coverage.fault(fault);
    }

    pub(crate) fn saw(&self, what: Seen, times: u64) {
        self.state().coverage.saw(what, times);
    }

    /// Notes something for the trace.
    pub(crate) fn note(&self, what: &str, who: u32, about: &str, number: u64) {
        let at = self.began.elapsed().as_millis() as u64;
        if self.settings.verbose {
            eprintln!("{at:>7} copy {who} {what} {about} {number}");
        }
        let mut state = self.state();
        let numbers = [u64::from(who), number, at];
        let bytes = what.bytes().chain(about.bytes());
        let bytes = bytes.chain(numbers.into_iter().flat_map(u64::to_le_bytes));
        let trace =
            bytes.fold(state.trace, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        state.trace = trace;
    }

    pub(crate) fn trace(&self) -> u64 {
        self.state().trace
    }

    /// A promise is broken.
    pub(crate) fn violated(&self, what: String) {
        let at = self.began.elapsed().as_millis();
        if self.settings.verbose {
            eprintln!("{at:>7} VIOLATED: {what}");
        }
        let mut state = self.state();
        if state.violations.len() < MAX_VIOLATIONS {
            state.violations.push(format!("at {at} ms: {what}"));
        }
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// How long a step takes: `None` = no time at all, zero = others may come first.
    pub(crate) fn pause(&self, step: Step) -> Option<Duration> {
        let mut state = self.state();
        let slow = state.plan.state_slow && matches!(step, Step::Read | Step::Write | Step::Row);
        let random = &mut state.random;
        match random.u32(0..100) {
            0..60 => None,
            _ if slow => Some(Duration::from_millis(random.u64(1..200))),
            60..90 => Some(Duration::ZERO),
            _ => Some(Duration::from_millis(random.u64(1..8))),
        }
    }

    /// A record that is no event, and no update of ours, arrives in the log.
    pub(crate) async fn append(&self, record: NewRecord) {
        let append = self.appender.append(record).expect("the scripted log takes records");
        append.await.expect("the scripted log acknowledges");
    }

    /// An event arrives in the log; what it should lead to is judged at once.
    pub(crate) async fn event(&self, key: Bytes, value: Bytes) {
        let topic: Arc<str> = self.topics.events.as_str().into();
        let record = NewRecord { topic: Arc::clone(&topic), partition: None, key, value, traceparent: None };
        let append = self.appender.append(record).expect("the scripted log takes events");
        let position = append.await.expect("the scripted log acknowledges");
        let place = TopicPartition { topic, partition: position.partition };
        let mut records = self.log.read(&place, position.offset, 1).await.expect("it was just written");
        let record = records.pop().expect("it was just written");
        let mut state = self.state();
        let State { ledger, coverage, .. } = &mut *state;
        ledger.event(position.partition, &record, coverage);
    }

    /// An update reaches the log. Gives its acknowledgement.
    pub(crate) async fn update(&self, process: u32, record: NewRecord) -> schemas::Position {
        let value = record.value.clone();
        let append = self.appender.append(record).expect("the scripted log takes updates");
        let position = append.await.expect("the scripted log acknowledges");
        self.note("update", process, "", position.offset << 8 | u64::from(position.partition));
        let mut state = self.state();
        let State { ledger, coverage, .. } = &mut *state;
        let problem = ledger.update(position, &value, coverage);
        drop(state);
        problem.into_iter().for_each(|problem| self.violated(problem));
        position
    }

    /// A row reaches the state store.
    pub(crate) fn write(&self, process: &Process, table: Table, row: Row) {
        self.note("writes", process.number, &row.key, row.version.offset());
        let key = (table, row.key.clone());
        let mut state = self.state();
        let stored = state.rows.get(&key).map(|stored| stored.version);
        state.coverage.saw(Seen::RowsWritten, 1);
        if stored.is_some_and(|stored| stored > row.version) {
            state.coverage.saw(Seen::StaleWritesDropped, 1);
            if self.broken != Broken::StaleWritesDropped {
                return;
            }
        }
        if let Some(partition) = self.partition_of_row(table, &row.key)
            && state.group.owner(&partition) != Some(process.number)
        {
            state.coverage.saw(Seen::OldOwnerWrites, 1);
        }
        if self.broken == Broken::ForgottenRowsStay
            && table == Table::UserHistory
            && recommender::user_row::decode_history(&row.state)
                .is_ok_and(|history| history.entries.is_empty())
        {
            state.rows.remove(&key);
            return;
        }
        let State { ledger, rows, coverage, .. } = &mut *state;
        let problem = ledger.check_write(table, &row, rows, coverage);
        rows.insert(key, row);
        drop(state);
        problem.into_iter().for_each(|problem| self.violated(problem));
    }

    /// The stored progress of a stage's partition.
    pub(crate) fn progress(&self, stage: &str, partition: u32) -> u64 {
        let key = (Table::Progress, format!("progress:{stage}:{partition}"));
        self.state().rows.get(&key).map_or(0, place_of)
    }

    fn partition_of_row(&self, table: Table, key: &str) -> Option<TopicPartition> {
        let topic = match table {
            Table::UserHistory => &self.topics.events,
            Table::ProductState => &self.topics.product_activity,
            _ => return None,
        };
        Some(TopicPartition {
            topic: topic.as_str().into(),
            partition: partition_of(key.as_bytes(), PARTITIONS),
        })
    }
}
