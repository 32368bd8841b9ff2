//! Folds the logs again from the start, in one thread, and compares with what is stored, byte for byte.

use crate::context::Parts;
use crate::outcome::OutcomeCounts;
use crate::product::Product;
use crate::progress::{ProductProgress, ShopperProgress, StageName, progress_key};
use crate::shopper::Shopper;
use crate::stage::Stage;
use blake3::Hasher;
use event_log::{LogError, Record, TopicPartition};
use prost::Message;
use recommender::Interner;
use schemas::partition::partition_of;
use schemas::proto::{ActivityRecord, SourceEntry};
use schemas::{DecodeError, Version};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use stores::{Row, StoreError, Table};
use thiserror::Error;

/// Something stored that the logs do not lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs: a row, a progress row, an update.
    pub what: String,
    /// How.
    pub how: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.how)
    }
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// Records of `events` folded.
    pub events: u64,
    /// Records of `product-activity` folded.
    pub updates: u64,
    /// User rows compared.
    pub users: u64,
    /// Product rows compared.
    pub products: u64,
    /// Outcomes as the fold counts them.
    pub outcomes: OutcomeCounts,
    /// The first differences, at most [`MAX_DIFFERENCES`].
    pub differences: Vec<Difference>,
    /// How many there are.
    pub differing: u64,
}

/// Differences that are listed.
pub const MAX_DIFFERENCES: usize = 20;

/// Why nothing could be proven.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The start of a log is gone, so that the state cannot be computed again.
    #[error("cannot prove: {0}")]
    CannotProve(String),
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored row cannot be read.
    #[error("a stored progress row cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
}

/// Records read at a time.
const CHUNK: usize = 2_000;

/// Compares the stored state of `generation` with a fold of the logs. The processor should be stopped: a state that is being
/// written differs from itself.
///
/// # Errors
/// When the start of a log is gone, or log or store do not answer.
pub async fn verify(parts: &Parts, generation: u16) -> Result<Verification, VerifyError> {
    let mut verifier = Verifier {
        parts,
        generation,
        events_partitions: parts.log.describe(&parts.topics.events).await?.partitions,
        activity_partitions: parts.log.describe(&parts.topics.product_activity).await?.partitions,
        names: Arc::default(),
        expected: HashMap::new(),
        result: Verification::default(),
    };
    for partition in 0..verifier.events_partitions {
        verifier.shoppers(partition).await?;
    }
    for partition in 0..verifier.activity_partitions {
        verifier.products(partition).await?;
    }
    Ok(verifier.result)
}

struct Verifier<'a> {
    parts: &'a Parts,
    generation: u16,
    events_partitions: u32,
    activity_partitions: u32,
    names: Arc<Interner>,
    /// What each source partition should have told each target: (source, target) → (source offset, hash of the update).
    expected: HashMap<(u32, u32), Vec<(u64, u64)>>,
    result: Verification,
}

impl Verification {
    fn differs(&mut self, what: impl Into<String>, how: impl Into<String>) {
        self.differing += 1;
        if self.differences.len() < MAX_DIFFERENCES {
            self.differences.push(Difference { what: what.into(), how: how.into() });
        }
    }
}

impl Verifier<'_> {
    async fn shoppers(&mut self, partition: u32) -> Result<(), VerifyError> {
        let mut stage = Shopper::new(
            partition,
            self.generation,
            self.activity_partitions,
            Arc::clone(&self.names),
            usize::MAX,
            ShopperProgress::default(),
        );
        let topic = self.parts.topics.events.clone();
        let (folded, compared) = self
            .fold(&mut stage, &topic, partition, self.events_partitions, |verifier, output| {
                for packed in output.activity {
                    verifier.expect(packed.partition, &packed.value);
                }
                output.users
            })
            .await?;
        self.result.events += folded;
        self.result.users += compared;
        self.dead_letters(partition, &mut stage).await
    }

    async fn products(&mut self, partition: u32) -> Result<(), VerifyError> {
        let (names, sources) = (Arc::clone(&self.names), self.events_partitions);
        let mut stage =
            Product::new(self.generation, Arc::clone(&names), usize::MAX, ProductProgress::new(sources));
        let topic = self.parts.topics.product_activity.clone();
        let mut effective = Effective::new(sources);
        let (folded, compared) = self
            .fold(&mut stage, &topic, partition, self.activity_partitions, |_, output| {
                let mut products: Vec<String> =
                    output.changed.iter().map(|&product| names.name(product).as_ref().to_owned()).collect();
                products.sort_unstable();
                products.dedup();
                products
            })
            .await?;
        self.result.updates += folded;
        self.result.products += compared;
        self.result.outcomes.merge(&stage.outcomes());
        let place = TopicPartition { topic: topic.as_str().into(), partition };
        let mut offset = 0;
        loop {
            let records = self.parts.log.read(&place, offset, CHUNK).await?;
            let Some(last) = records.last() else { break };
            offset = last.offset + 1;
            records.iter().for_each(|record| effective.add(&record.value));
        }
        for (source, found) in effective.updates.into_iter().enumerate() {
            let expected = self.expected.remove(&(source as u32, partition)).unwrap_or_default();
            // Updates may still be on their way; what is there must be the beginning of what is expected.
            if !expected.starts_with(&found) {
                let at =
                    found.iter().zip(&expected).take_while(|(found, expected)| found == expected).count();
                self.result.differs(
                    format!("updates from {}/{source} in {topic}/{partition}", self.parts.topics.events),
                    format!("the {at}th differs: {:?}, expected {:?}", found.get(at), expected.get(at)),
                );
            }
        }
        Ok(())
    }

    /// Folds a partition from its start and compares every stored row at the moment when the fold has its version. Gives how
    /// many records were folded and rows compared.
    async fn fold<S: Stage>(
        &mut self,
        stage: &mut S,
        topic: &str,
        partition: u32,
        partitions: u32,
        mut touched: impl FnMut(&mut Self, S::Output) -> Vec<String>,
    ) -> Result<(u64, u64), VerifyError> {
        let place = TopicPartition { topic: topic.into(), partition };
        let start = self.parts.log.bounds(&place).await?.start;
        if start > 0 {
            return Err(VerifyError::CannotProve(format!(
                "{topic}/{partition} begins at offset {start}: what was before is gone"
            )));
        }
        let mut stored = self.stored_rows(S::TABLE, partition, partitions).await?;
        let progress = self.progress_row(S::NAME, partition).await?;
        // Both kinds of progress rows begin with the checkpoint, as the intent row does.
        let place_of = |row: &Row| -> Result<u64, DecodeError> {
            Ok(match S::NAME {
                StageName::Shopper => ShopperProgress::decode(&row.state)?.at.next_offset,
                StageName::Product => ProductProgress::decode(&row.state)?.at.next_offset,
            })
        };
        let stored_at = progress.as_ref().map(place_of).transpose()?.unwrap_or(0);
        let name = S::NAME.as_str();
        let (mut offset, mut folded, mut compared) = (0, 0, 0);
        let mut versions: HashMap<String, Version> = HashMap::new();
        loop {
            let records = self.parts.log.read(&place, offset, CHUNK).await?;
            let Some(last) = records.last() else { break };
            offset = last.offset + 1;
            folded += records.len() as u64;
            for record in records {
                let version = Version::of(self.generation, record.offset);
                let output = fold_one(stage, record);
                for key in touched(self, output) {
                    if stored.get(&key).is_some_and(|row| row.version == version) {
                        let row = stored.remove(&key).expect("it was there");
                        compared += 1;
                        if stage.encoded(&key).is_none_or(|state| state != row.state) {
                            self.result
                                .differs(format!("{name} row {key:?}"), format!("at version {version}"));
                        }
                    }
                    versions.insert(key, version);
                }
                if stage.checkpoint().next_offset == stored_at
                    && progress.as_ref().is_some_and(|row| row.state != stage.encoded_progress())
                {
                    self.result.differs(
                        format!("{name} progress of partition {partition}"),
                        "differs from the fold",
                    );
                }
            }
        }
        if stored_at > offset {
            let how = format!("says {stored_at}, but the log ends at {offset}");
            self.result.differs(format!("{name} progress of partition {partition}"), how);
        }
        for (key, row) in stored {
            let how = match versions.get(&key) {
                Some(version) => format!("is stored at version {}, the fold ends at {version}", row.version),
                None => format!("is stored at version {}, the fold has no such row", row.version),
            };
            self.result.differs(format!("{name} row {key:?}"), how);
        }
        // Rows that the progress says are stored: those that the fold last changed before it.
        let covered = Version::of(self.generation, stored_at);
        let expected = versions.values().filter(|version| **version < covered).count() as u64;
        if compared < expected {
            let how = format!("{expected} rows should be stored, {compared} were found");
            self.result.differs(format!("{name} rows of partition {partition}"), how);
        }
        Ok((folded, compared))
    }

    async fn stored_rows(
        &self,
        table: Table,
        partition: u32,
        partitions: u32,
    ) -> Result<HashMap<String, Row>, StoreError> {
        let mut rows = HashMap::new();
        let mut scan = self.parts.state.scan(table, self.generation).await?;
        while let Some(row) = scan.recv().await {
            let row = row?;
            if partition_of(row.key.as_bytes(), partitions) == partition {
                rows.insert(row.key.clone(), row);
            }
        }
        Ok(rows)
    }

    async fn progress_row(&self, stage: StageName, partition: u32) -> Result<Option<Row>, StoreError> {
        let keys = [progress_key(stage, partition)];
        let rows = self.parts.state.get_many(Table::Progress, self.generation, &keys).await?;
        Ok(rows.into_iter().next().flatten())
    }

    /// Dead letters are keyed by place: each that the fold finds before the stored progress is stored once, and no other.
    async fn dead_letters(&mut self, partition: u32, stage: &mut Shopper) -> Result<(), VerifyError> {
        let stored_at = match self.progress_row(StageName::Shopper, partition).await? {
            Some(row) => ShopperProgress::decode(&row.state)?.at.next_offset,
            None => 0,
        };
        let covered = Version::of(self.generation, stored_at);
        let snapshot = stage.snapshot();
        let expected = snapshot.rows.into_iter().filter(|(table, _)| *table == Table::DeadLetters);
        let expected: Vec<Row> =
            expected.flat_map(|(_, rows)| rows).filter(|row| row.version < covered).collect();
        let keys: Vec<String> = expected.iter().map(|row| row.key.clone()).collect();
        let stored = self.parts.state.get_many(Table::DeadLetters, self.generation, &keys).await?;
        for (expected, stored) in expected.iter().zip(stored) {
            if stored.is_none_or(|stored| stored.state != expected.state) {
                self.result
                    .differs(format!("dead letter {}", expected.key), "is not stored as it is in the log");
            }
        }
        Ok(())
    }

    fn expect(&mut self, target: u32, value: &[u8]) {
        let record = ActivityRecord::decode(value).expect("it was encoded by the fold");
        let updates = self.expected.entry((record.source_partition, target)).or_default();
        updates.extend(record.entries.iter().map(|entry| (entry.offset, hash_update(&record, entry))));
    }
}

/// What a partition of `product-activity` effectively carries: each source event once, whatever was sent again.
struct Effective {
    marks: Vec<u64>,
    updates: Vec<Vec<(u64, u64)>>,
}

impl Effective {
    fn new(sources: u32) -> Self {
        Self { marks: vec![0; sources as usize], updates: vec![Vec::new(); sources as usize] }
    }

    fn add(&mut self, value: &[u8]) {
        let Ok(record) = ActivityRecord::decode(value) else { return };
        let source = record.source_partition as usize;
        let Some(mark) = self.marks.get_mut(source) else { return };
        for entry in &record.entries {
            if entry.offset >= *mark {
                *mark = entry.offset + 1;
                self.updates[source].push((entry.offset, hash_update(&record, entry)));
            }
        }
    }
}

/// A hash of an update's meaning: indices are replaced by what they stand for, since they differ with how events are packed.
fn hash_update(record: &ActivityRecord, entry: &SourceEntry) -> u64 {
    let mut hasher = Hasher::new();
    let product = |index: u32| record.products.get(index as usize).map_or("", String::as_str);
    hasher.update(&entry.timestamp_ms.to_le_bytes()).update(&entry.outcome.to_le_bytes());
    if let Some(event) = &entry.activity {
        let category = event.category.checked_sub(1).and_then(|at| record.categories.get(at as usize));
        hasher.update(product(event.product).as_bytes()).update(&[0]);
        hasher.update(category.map_or("", String::as_str).as_bytes()).update(&[0]);
        hasher.update(&event.weight.to_le_bytes()).update(&event.event_type.to_le_bytes());
    }
    for pair in &entry.pairs {
        hasher.update(product(pair.product).as_bytes()).update(&[0]);
        hasher.update(product(pair.other).as_bytes()).update(&[0]).update(&pair.weight.to_le_bytes());
    }
    if let Some(repeat) = &entry.repeat {
        hasher.update(&(repeat.times.len() as u64).to_le_bytes()).update(&repeat.times);
        hasher.update(&repeat.last_step.to_le_bytes());
        hasher.update(&repeat.distance.map_or(u64::MAX, u64::from).to_le_bytes());
    }
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("a hash is 32 bytes"))
}

/// Folds one record, whose rows begin empty.
fn fold_one<S: Stage>(stage: &mut S, record: Record) -> S::Output {
    let prepared = stage.prepare(vec![record]);
    for key in stage.missing(&prepared) {
        stage.admit(&key, None).expect("there is nothing to decode");
    }
    stage.fold(prepared)
}
