//! Folds the logs again from the start, in one thread, and compares with what is stored, byte for byte.

mod rows;
mod updates;

use crate::context::Parts;
use crate::dead_letter::{Place, list};
use crate::generations::{ORIGIN_KEY, Origin};
use crate::known::KnownKeys;
use crate::outcome::OutcomeCounts;
use crate::product::Product;
use crate::progress::{Checkpoint, ProductProgress, ShopperProgress, StageName, intent_key, progress_key};
use crate::shopper::Shopper;
use crate::stage::Stage;
use event_log::{LogError, Record, TopicPartition};
use recommender::Interner;
use rows::StoredRows;
use schemas::partition::partition_of;
use schemas::proto::ActivityRecord;
use schemas::{DecodeError, Version};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use stores::{Row, StoreError, Table};
use thiserror::Error;
use updates::{Effective, hash_update};

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
    #[error("the stored {key} cannot be read: {reason}")]
    Unreadable {
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: DecodeError,
    },
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
        origin: origin(parts, generation).await?,
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
    origin: Origin,
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
        let begins_at = self.origin.of(partition);
        let known = self.begun::<Shopper>(partition).await?;
        let mut stage = Shopper::new(
            partition,
            self.generation,
            self.activity_partitions,
            Arc::clone(&self.names),
            usize::MAX,
            ShopperProgress::beginning_at(begins_at),
            known,
        );
        let topic = self.parts.topics.events.clone();
        let (folded, compared) = self
            .fold(&mut stage, (&topic, partition, begins_at), self.events_partitions, |verifier, output| {
                for packed in output.activity {
                    verifier.expect(packed.partition, &packed.value);
                }
                let changed = output.users.iter().filter(|reflecting| reflecting.is_changed);
                changed.map(|reflecting| reflecting.user.as_str().to_owned()).collect()
            })
            .await?;
        self.result.events += folded;
        self.result.users += compared;
        self.dead_letters(partition, &mut stage).await
    }

    async fn products(&mut self, partition: u32) -> Result<(), VerifyError> {
        let (names, sources) = (Arc::clone(&self.names), self.events_partitions);
        let known = self.begun::<Product>(partition).await?;
        let mut stage = Product::new(
            partition,
            self.generation,
            Arc::clone(&names),
            usize::MAX,
            ProductProgress::new(sources),
            known,
        );
        let topic = self.parts.topics.product_activity.clone();
        let mut effective = Effective::new(sources);
        let (folded, compared) = self
            .fold(&mut stage, (&topic, partition, 0), self.activity_partitions, |_, output| {
                let mut products: Vec<String> =
                    output.changed.iter().map(|changed| names.name(changed.product).to_owned()).collect();
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

    /// Folds a partition from where its generation begins and compares every stored row at the moment when the fold has its version. Gives how
    /// many records were folded and rows compared.
    async fn fold<S: Stage>(
        &mut self,
        stage: &mut S,
        (topic, partition, begins_at): (&str, u32, u64),
        partitions: u32,
        mut touched: impl FnMut(&mut Self, S::Output) -> Vec<String>,
    ) -> Result<(u64, u64), VerifyError> {
        let place = TopicPartition { topic: topic.into(), partition };
        let start = self.parts.log.bounds(&place).await?.start;
        if start > begins_at {
            return Err(VerifyError::CannotProve(format!(
                "{topic}/{partition} begins at offset {start}: what was before is gone"
            )));
        }
        let name = S::NAME.as_str();
        let progress = self.progress_row(progress_key(S::NAME, partition)).await?;
        let stored_at = progress.as_ref().map(place_of::<S>).transpose()?;
        let intent = self.progress_row(intent_key(S::NAME, partition)).await?;
        let announced = intent.as_ref().map(announced_in).transpose()?.unwrap_or(0);
        let version_at = |offset| Version::of(self.generation, offset);
        let mut rows = StoredRows::new(
            name,
            self.stored_rows(S::TABLE, partition, partitions).await?,
            version_at(stored_at.unwrap_or(0)),
            version_at(announced),
        );
        let progress_differs = |stage: &S| {
            (stored_at == Some(stage.checkpoint().next_offset))
                .then(|| progress.as_ref().is_some_and(|row| row.state != stage.encoded_progress()))
        };
        // What is found where the fold has come as far as the stored progress.
        let mut progress_found = progress_differs(stage);
        let (mut offset, mut folded) = (begins_at, 0);
        loop {
            let records = self.parts.log.read(&place, offset, CHUNK).await?;
            let Some(last) = records.last() else { break };
            offset = last.offset + 1;
            folded += records.len() as u64;
            for record in records {
                let version = Version::of(self.generation, record.offset);
                let output = fold_one(stage, record);
                for key in touched(self, output) {
                    let in_memory = |key: &str| stage.key_of(key).and_then(|key| stage.packed(&key));
                    rows.changed(key, version, in_memory, &mut self.result);
                }
                progress_found = progress_found.or_else(|| progress_differs(stage));
            }
        }
        let how = match (stored_at, progress_found) {
            (None, _) | (_, Some(false)) => None,
            (_, Some(true)) => Some("its content is not what the log leads to".to_owned()),
            (Some(at), None) => {
                Some(format!("says {at}, where no record of the log ends (its end is {offset})"))
            }
        };
        if let Some(how) = how {
            self.result.differs(format!("{name} progress of partition {partition}"), how);
        }
        if announced > offset {
            let how = format!("says {announced}, but the log ends at {offset}");
            self.result.differs(format!("{name} intent of partition {partition}"), how);
        }
        let known = self.known_keys(stage, partition).await?;
        Ok((folded, rows.finish(known.as_ref(), &mut self.result)))
    }

    /// Whether the owners of a partition know its keys: then the fold begins as the first of them did, with none.
    async fn begun<S: Stage>(&self, partition: u32) -> Result<Option<KnownKeys>, VerifyError> {
        let progress = self.progress_row(progress_key(S::NAME, partition)).await?;
        let knows_keys = progress.as_ref().map(|row| stored_progress::<S>(row)).transpose()?;
        Ok(knows_keys.is_some_and(|(_, knows_keys)| knows_keys).then(KnownKeys::default))
    }

    /// The keys of a partition's rows as the owners know them; `None` where they do not.
    async fn known_keys<S: Stage>(
        &mut self,
        stage: &mut S,
        partition: u32,
    ) -> Result<Option<KnownKeys>, VerifyError> {
        if stage.rows_mut().known().is_none() {
            return Ok(None);
        }
        let loaded = KnownKeys::load(&*self.parts.state, self.generation, S::NAME, partition).await?;
        let (known, missing) = loaded;
        if missing > 0 {
            let what = format!("{} keys of partition {partition}", S::NAME.as_str());
            self.result
                .differs(what, format!("{missing} or more of them are missing in the table known_keys"));
        }
        Ok(Some(known))
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

    async fn progress_row(&self, key: String) -> Result<Option<Row>, StoreError> {
        progress_row(self.parts, self.generation, key).await
    }

    /// Dead letters are keyed by place, and listed by time: each that the fold finds before the stored progress is stored and
    /// listed once, and no other.
    async fn dead_letters(&mut self, partition: u32, stage: &mut Shopper) -> Result<(), VerifyError> {
        let progress = self.progress_row(progress_key(StageName::Shopper, partition)).await?;
        let stored_at = progress.as_ref().map(place_of::<Shopper>).transpose()?.unwrap_or(0);
        let covered = Version::of(self.generation, stored_at);
        let of_this_partition = format!("events:{partition}:");
        let is_meant = |table, key: &str| match table {
            // That a letter was redriven is what somebody did, and does not follow from the log.
            Table::DeadLetters => key.starts_with(&of_this_partition) && !Place::is_mark(key),
            _ => list::letter_of(key).map_or(0, |place| place.partition) == partition,
        };
        for (table, rows) in stage.snapshot().rows {
            let what = match table {
                Table::DeadLetters => "dead letter",
                Table::DeadLettersByTime => "entry of the list of dead letters",
                _ => continue,
            };
            let mut stored = HashMap::new();
            let mut scan = self.parts.state.scan(table, self.generation).await?;
            while let Some(row) = scan.recv().await {
                let row = row?;
                if is_meant(table, &row.key) {
                    stored.insert(row.key, row.state);
                }
            }
            for row in rows {
                let is_equal = match stored.remove(&row.key) {
                    Some(state) => state == row.state,
                    None => row.version >= covered,
                };
                if !is_equal {
                    self.result.differs(format!("{what} {}", row.key), "is not stored as it is in the log");
                }
            }
            for key in stored.into_keys() {
                self.result.differs(format!("{what} {key}"), "is stored, but its record was applied");
            }
        }
        Ok(())
    }

    fn expect(&mut self, target: u32, value: &[u8]) {
        let record = ActivityRecord::unpack(value).expect("it was encoded by the fold");
        let updates = self.expected.entry((record.source_partition, target)).or_default();
        let hashed = record.entries_with_pairs();
        updates.extend(hashed.map(|(entry, pairs)| (entry.offset, hash_update(&record, entry, pairs))));
    }
}

/// Where a generation begins.
pub(super) async fn origin(parts: &Parts, generation: u16) -> Result<Origin, VerifyError> {
    let Some(row) = progress_row(parts, generation, ORIGIN_KEY.to_owned()).await? else {
        return Ok(Origin::default());
    };
    Origin::decode(&row.state).map_err(|reason| VerifyError::Unreadable { key: row.key.clone(), reason })
}

pub(super) async fn progress_row(
    parts: &Parts,
    generation: u16,
    key: String,
) -> Result<Option<Row>, StoreError> {
    let rows = parts.state.get_many(Table::Progress, generation, &[key]).await?;
    Ok(rows.into_iter().next().flatten())
}

/// The offset up to which a progress row says that everything is stored.
pub(super) fn place_of<S: Stage>(row: &Row) -> Result<u64, VerifyError> {
    stored_progress::<S>(row).map(|(at, _)| at)
}

/// That offset, and whether the keys of the rows are known.
fn stored_progress<S: Stage>(row: &Row) -> Result<(u64, bool), VerifyError> {
    let stored = match S::NAME {
        StageName::Shopper => {
            ShopperProgress::decode(&row.state).map(|progress| (progress.at, progress.knows_keys))
        }
        StageName::Product => {
            ProductProgress::decode(&row.state).map(|progress| (progress.at, progress.knows_keys))
        }
    };
    let stored = stored.map(|(at, knows_keys)| (at.next_offset, knows_keys));
    stored.map_err(|reason| VerifyError::Unreadable { key: row.key.clone(), reason })
}

/// The offset up to which an intent row says that rows may be stored.
fn announced_in(row: &Row) -> Result<u64, VerifyError> {
    let at = Checkpoint::decode_intent(&row.state);
    at.map(|at| at.next_offset).map_err(|reason| VerifyError::Unreadable { key: row.key.clone(), reason })
}

/// Folds one record, whose rows begin empty.
fn fold_one<S: Stage>(stage: &mut S, record: Record) -> S::Output {
    let prepared = stage.prepare(vec![record]);
    for key in stage.missing(&prepared) {
        stage.admit(&key, None).expect("there is nothing to decode");
    }
    stage.fold(prepared)
}
