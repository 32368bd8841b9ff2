//! The shopper stage: one partition of `events` in, each user's history and the updates for products out.

mod pack;
mod record;

use crate::cache::RowCache;
use crate::dead_letter::{DeadLetter, list};
use crate::known::KnownKeys;
use crate::outcome::DeadReason;
use crate::progress::{Checkpoint, ShopperProgress, StageName};
use crate::rules::{Rule, is_broken};
use crate::stage::{FlushKeys, Snapshot, Stage, Unreadable};
use bytes::Bytes;
use event_log::Record;
pub(crate) use pack::Packed;
use pack::Packer;
use recommender::user_row::{Applied, Observation, fingerprint};
use recommender::{Interner, UserRow};
use record::Parsed;
pub(crate) use record::{ShopperRecord, User};
use schemas::event::{MAX_AHEAD_MS, MAX_LATE_MS, MAX_TIME_MS};
use schemas::proto::Outcome;
use schemas::{EventKind, UnpackedEvent, Version};
use smol_str::SmolStr;
use std::sync::Arc;
use stores::{Row, Table};

/// The shopper stage's state for one partition.
pub(crate) struct Shopper {
    partition: u32,
    generation: u16,
    names: Arc<Interner>,
    rows: RowCache<SmolStr, UserRow>,
    progress: ShopperProgress,
    packer: Packer,
    applied: Applied,
    dead: Vec<DeadLetter>,
}

/// What a batch of events leads to.
#[derive(Default)]
pub(crate) struct ShopperOutput {
    /// Records for `product-activity`, in the order to append them.
    pub(crate) activity: Vec<Packed>,
    /// Users whose history is to be published, each once.
    pub(crate) users: Vec<Reflecting>,
    /// Records that could not be applied: the offset of each, and why.
    pub(crate) dead: Vec<(u64, String)>,
}

/// A user's row, and the last record that it reflects.
pub(crate) struct Reflecting {
    pub(crate) user: User,
    pub(crate) version: Version,
    /// Whether that last record changed the row, now or before: who stored it then may have died before it was published. One that
    /// leaves it as it is (a duplicate, an event that is too late) is reflected, too, and whoever sent it may ask for that.
    pub(crate) is_changed: bool,
}

impl Shopper {
    pub(crate) fn new(
        partition: u32,
        generation: u16,
        activity_partitions: u32,
        names: Arc<Interner>,
        cached_users: usize,
        mut progress: ShopperProgress,
        known: Option<KnownKeys>,
    ) -> Self {
        progress.knows_keys = known.is_some();
        Self {
            partition,
            generation,
            packer: Packer::new(partition, activity_partitions, Arc::clone(&names)),
            names,
            rows: RowCache::new(cached_users, known),
            progress,
            applied: Applied::default(),
            dead: Vec::new(),
        }
    }

    /// Highest event time so far.
    pub(crate) fn stream_time_ms(&self) -> i64 {
        self.progress.highest_event_ms
    }

    /// The published history of a user whose row is in memory, which reflects all records up to `version`.
    pub(crate) fn published_history(&self, user: &str, version: Version) -> Option<Bytes> {
        self.rows.get(user).map(|row| Bytes::from(row.encode_history(version, &self.names)))
    }

    /// Dead letters that wait for the next flush.
    pub(crate) fn pending_dead_letters(&self) -> usize {
        self.dead.len()
    }

    /// Applies one record and says what became of it; `None` when its effects are stored already.
    fn apply(&mut self, record: &ShopperRecord, users: &mut Vec<Reflecting>) -> Option<Outcome> {
        let offset = record.raw.offset;
        let version = Version::of(self.generation, offset);
        match &record.parsed {
            Err(reason) => Some(self.bury(&record.raw, *reason)),
            Ok(Parsed::Forget { user }) => {
                users.push(Reflecting { user: user.clone(), version, is_changed: true });
                let found = self.rows.find(user.as_str()).expect("the batch's rows were admitted");
                if found.row().version >= version {
                    return None;
                }
                let row = found.change();
                row.forget();
                if !is_broken(Rule::ForgettingSetsVersion) {
                    row.version = version;
                }
                self.packer.outcome(offset, None, Outcome::Forgotten, 0);
                Some(Outcome::Forgotten)
            }
            Ok(Parsed::Event { user, kind, event }) => {
                self.apply_event(&record.raw, (user, *kind, event), version, users)
            }
        }
    }

    fn apply_event(
        &mut self,
        raw: &Record,
        (user, kind, event): (&User, EventKind, &UnpackedEvent),
        version: Version,
        users: &mut Vec<Reflecting>,
    ) -> Option<Outcome> {
        let ahead = event.timestamp_ms.saturating_sub(raw.append_time_ms) > MAX_AHEAD_MS;
        if ahead || !(0..=MAX_TIME_MS).contains(&event.timestamp_ms) {
            return Some(self.bury(raw, DeadReason::BadTime));
        }
        let too_late = event.timestamp_ms < self.progress.highest_event_ms.saturating_sub(MAX_LATE_MS);
        self.progress.highest_event_ms = self.progress.highest_event_ms.max(event.timestamp_ms);
        if too_late {
            // Who was never seen before does not get a history for that.
            if self.rows.get(user.as_str()).is_some_and(|row| row.version > Version::NONE) {
                users.push(Reflecting { user: user.clone(), version, is_changed: false });
            }
            let product = Some(event.product_id());
            self.packer.outcome(raw.offset, product, Outcome::TooLate, event.timestamp_ms);
            return Some(Outcome::TooLate);
        }
        let found = self.rows.find(user.as_str()).expect("the batch's rows were admitted");
        if found.row().version >= version && !is_broken(Rule::UserVersionChecked) {
            users.push(Reflecting { user: user.clone(), version, is_changed: true });
            return None;
        }
        let observation = Observation {
            product: self.names.intern(event.product_id()),
            kind,
            timestamp_ms: event.timestamp_ms,
            append_time_ms: raw.append_time_ms,
            fingerprint: fingerprint(event.event_id()),
        };
        let is_changed = !found.row().knows(&observation);
        users.push(Reflecting { user: user.clone(), version, is_changed });
        if !is_changed {
            let product = Some(event.product_id());
            self.packer.outcome(raw.offset, product, Outcome::Duplicate, event.timestamp_ms);
            return Some(Outcome::Duplicate);
        }
        let row = found.change();
        row.apply_into(&observation, &mut self.applied);
        row.version = version;
        self.packer.applied(raw.offset, observation.product, kind, event, self.applied.effects());
        Some(Outcome::Applied)
    }

    fn bury(&mut self, raw: &Record, reason: DeadReason) -> Outcome {
        self.dead.push(DeadLetter::new(self.partition, raw, reason));
        self.packer.outcome(raw.offset, None, Outcome::DeadLettered, 0);
        Outcome::DeadLettered
    }
}

impl Stage for Shopper {
    type Prepared = ShopperRecord;
    type Output = ShopperOutput;
    type Key = SmolStr;
    type Cached = UserRow;

    const NAME: StageName = StageName::Shopper;
    const TABLE: Table = Table::UserHistory;
    const FLUSH_INTERVALS: u32 = 1;

    fn prepare(&self, batch: Vec<Record>) -> Vec<ShopperRecord> {
        batch.into_iter().map(ShopperRecord::parse).collect()
    }

    fn missing(&mut self, batch: &[ShopperRecord]) -> Vec<String> {
        let missing = batch
            .iter()
            .filter_map(ShopperRecord::user)
            .filter(|user| !self.rows.touch(*user))
            .map(str::to_owned)
            .collect();
        self.to_be_read(missing)
    }

    fn received_ms(record: &ShopperRecord) -> i64 {
        record.received_ms()
    }

    fn subjects(batch: &[ShopperRecord]) -> impl Iterator<Item = &str> {
        batch.iter().filter_map(ShopperRecord::user)
    }

    fn admit(&mut self, key: &str, row: Option<Row>) -> Result<(), Unreadable> {
        let row = match row {
            None => UserRow::default(),
            Some(row) => UserRow::decode(&row.state, &self.names).map_err(|reason| Unreadable {
                what: "user row",
                key: key.to_owned(),
                reason,
            })?,
        };
        self.rows.admit(SmolStr::new(key), row);
        Ok(())
    }

    fn fold(&mut self, batch: Vec<ShopperRecord>) -> ShopperOutput {
        let (mut users, dead_before) = (Vec::new(), self.dead.len());
        for record in &batch {
            self.packer.begin(record.received_ms());
            self.apply(record, &mut users);
        }
        if let Some(last) = batch.last() {
            self.progress.at = Checkpoint::after(&last.raw);
        }
        // Of each user the last.
        users.sort_unstable_by(|a, b| a.user.cmp(&b.user).then(b.version.cmp(&a.version)));
        users.dedup_by(|again, last| again.user == last.user);
        let dead =
            self.dead[dead_before..].iter().map(|letter| (letter.offset, letter.reason.clone())).collect();
        ShopperOutput { activity: self.packer.finish(), users, dead }
    }

    fn checkpoint(&self) -> Checkpoint {
        self.progress.at
    }

    fn encoded_progress(&self) -> Bytes {
        self.progress.encode(self.generation)
    }

    fn snapshot(&mut self) -> Snapshot<FlushKeys<Self>> {
        let (keys, rows) = self.copy_changed();
        let dead = std::mem::take(&mut self.dead);
        let listed = dead.iter().map(|letter| list::row_of(letter, self.generation)).collect();
        let dead = dead.iter().map(|letter| letter.to_row(self.generation)).collect();
        // In this order: what is listed can be shown.
        let mut tables = self.copy_known(self.partition, self.generation);
        tables.push((Table::UserHistory, rows));
        tables.extend([(Table::DeadLetters, dead), (Table::DeadLettersByTime, listed)]);
        Snapshot { at: self.progress.at, rows: tables, progress: self.encoded_progress(), keys }
    }

    fn rows(&self) -> &RowCache<SmolStr, UserRow> {
        &self.rows
    }

    fn rows_mut(&mut self) -> &mut RowCache<SmolStr, UserRow> {
        &mut self.rows
    }

    fn key_of(&self, stored: &str) -> Option<SmolStr> {
        Some(SmolStr::new(stored))
    }

    fn packed(&self, key: &SmolStr) -> Option<Row> {
        let row = self.rows.get(key)?;
        Some(Row { key: key.to_string(), version: row.version, state: Bytes::from(row.encode(&self.names)) })
    }
}
