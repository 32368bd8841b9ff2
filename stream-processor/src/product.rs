//! The product stage: one partition of `product-activity` in, each product's row out.

mod open_windows;
mod record;

use crate::cache::RowCache;
use crate::known::KnownKeys;
use crate::outcome::OutcomeCounts;
use crate::progress::{Checkpoint, ProductProgress, StageName};
use crate::rules::{Rule, is_broken};
use crate::stage::{FlushKeys, Snapshot, Stage, Unreadable};
use bytes::Bytes;
use event_log::Record;
use hashbrown::HashMap;
pub(crate) use open_windows::{Limits, OpenWindows};
use recommender::{Interner, ProductRow, Symbol};
pub(crate) use record::ProductRecord;
use record::{ByRow, Change};
use schemas::proto::Outcome;
use schemas::published::{Course, LastStep, RepeatTable};
use schemas::{EventKind, UnpackedActivity, UnpackedEntry, Version};
use std::sync::Arc;
use stores::{Row, Table};

/// The product stage's state for one partition.
pub(crate) struct Product {
    partition: u32,
    generation: u16,
    names: Arc<Interner>,
    rows: RowCache<Symbol, ProductRow>,
    progress: ProductProgress,
    /// As the table `open_windows` holds them, and the version of the row that they are of.
    stored_limits: HashMap<Symbol, (Version, Limits)>,
    by_row: ByRow,
}

/// What a batch of updates leads to.
#[derive(Default)]
pub(crate) struct ProductOutput {
    /// Products whose row changed; names one once for each record. Rows that had changed already are among them, as if all of them
    /// were new: who stored it may have died before it was published.
    pub(crate) changed: Vec<Changed>,
}

/// What a record did to a product's row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Changed {
    pub(crate) product: Symbol,
    /// By what share of itself it changed ([`CoOccurrence::share`]).
    ///
    /// [`CoOccurrence::share`]: recommender::co_occurrence::CoOccurrence::share
    pub(crate) share: f32,
    /// Whether events of its own are among what changed: otherwise it trends as it did before.
    pub(crate) has_events: bool,
}

/// What an event adds to a row's changes, in the units of pairs' weights.
const ONE_EVENT: u64 = 1 << 24;

impl Product {
    pub(crate) fn new(
        partition: u32,
        generation: u16,
        names: Arc<Interner>,
        cached_products: usize,
        mut progress: ProductProgress,
        known: Option<KnownKeys>,
    ) -> Self {
        progress.knows_keys = known.is_some();
        let rows = RowCache::new(cached_products, known);
        Self {
            partition,
            generation,
            names,
            rows,
            progress,
            stored_limits: HashMap::new(),
            by_row: ByRow::default(),
        }
    }

    /// Takes note of what `open_windows` holds for a product.
    pub(crate) fn restore_limits(&mut self, product: Symbol, version: Version, limits: Limits) {
        self.stored_limits.insert(product, (version, limits));
    }

    /// A row in memory.
    pub(crate) fn row(&self, product: Symbol) -> Option<&ProductRow> {
        self.rows.get(&product)
    }

    /// Highest event time so far.
    pub(crate) fn stream_time_ms(&self) -> i64 {
        self.progress.stream_time_ms
    }

    /// Outcomes counted in this partition.
    pub(crate) fn outcomes(&self) -> OutcomeCounts {
        self.progress.outcomes
    }

    /// The repeat table as published.
    pub(crate) fn repeats(&self) -> RepeatTable {
        let mut table = self.progress.repeats.clone();
        table.version = self.progress.at.version(self.generation);
        table
    }

    /// Applies one record, row by row, each row's updates in their order. A row is checked once before the record and set once
    /// after it: all updates of one record for one row count, or none does.
    fn apply(&mut self, record: &ProductRecord, output: &mut ProductOutput) {
        let Some(activity) = record.valid(self.progress.marks.len()) else { return };
        let version = Version::of(self.generation, record.raw.offset);
        self.by_row.begin();
        for (entry, pairs) in activity.entries_with_pairs() {
            let mark = &mut self.progress.marks[activity.source_partition as usize];
            if entry.offset < *mark && !is_broken(Rule::MarksChecked) {
                continue;
            }
            *mark = entry.offset + 1;
            count(&mut self.progress, entry, activity);
            self.by_row.add(entry, pairs);
        }
        let new = self.by_row.sorted(activity.products_len());
        for updates in new.chunk_by(|a, b| a.product == b.product) {
            let product = record.symbols[updates[0].product as usize];
            let has_events = updates.iter().any(|update| matches!(update.change, Change::Event { .. }));
            let found = self.rows.find(&product).expect("the batch's rows were admitted");
            if found.row().version >= version && !is_broken(Rule::ProductVersionChecked) {
                output.changed.push(Changed { product, share: 1.0, has_events });
                continue;
            }
            // A row counts as changed only when something is applied to it.
            let row = found.change();
            let updates = if is_broken(Rule::VersionSetLast) { &updates[..1] } else { updates };
            let mut weight = 0;
            for update in updates {
                match update.change {
                    Change::Pair(pair) => {
                        weight += u64::from(pair.weight);
                        row.add_pair(record.symbols[pair.other as usize], pair.weight, update.timestamp_ms);
                    }
                    Change::Event { activity: event, is_return } => {
                        let category = event.category.checked_sub(1);
                        let category = category.map(|at| activity.category(at));
                        let kind = EventKind::from_code(event.event_type)
                            .expect("checked when the record was decoded");
                        row.observe(kind, event.weight, category, update.timestamp_ms);
                        if is_return {
                            row.observe_return(event.weight, update.timestamp_ms);
                        }
                        // One beyond a shopper's cap adds nothing.
                        weight += if event.weight > 0 { ONE_EVENT } else { 0 };
                    }
                }
            }
            row.version = version;
            let newest_ms = updates.last().map_or(0, |update| update.timestamp_ms);
            let share = row.co.share(weight, newest_ms);
            output.changed.push(Changed { product, share, has_events });
        }
    }

    fn open_windows_row(&mut self, product: Symbol) -> Option<Row> {
        let row = self.rows.get(&product)?;
        let limits = Limits::of(row);
        // After a crash, what is stored may be of the row as it will be again: the store would drop an older one, and what it is
        // then has more events, so its limits hold for this one.
        let is_kept =
            |(version, stored): &(Version, Limits)| row.version < *version || stored.hold_for(&limits);
        if self.stored_limits.get(&product).is_some_and(is_kept) {
            return None;
        }
        self.stored_limits.insert(product, (row.version, limits));
        let state = OpenWindows { limits, category: row.category.clone() }.encode(row.version);
        Some(Row { key: self.names.name(product).to_owned(), version: row.version, state })
    }
}

/// Counts what an entry says of its event's outcome and session.
fn count(progress: &mut ProductProgress, entry: &UnpackedEntry, activity: &UnpackedActivity) {
    if let Ok(outcome) = Outcome::try_from(entry.outcome)
        && outcome != Outcome::Unspecified
    {
        progress.outcomes.add(outcome);
    }
    if let Some(repeat) = &entry.repeat {
        let last_step = LastStep::ALL.get(repeat.last_step as usize).copied().unwrap_or_default();
        let course = Course::of_number(repeat.course).unwrap_or_default();
        progress.repeats.observe_parts(activity.times(repeat), last_step, course, repeat.distance);
    }
    progress.stream_time_ms = progress.stream_time_ms.max(entry.timestamp_ms);
}

impl Stage for Product {
    type Prepared = ProductRecord;
    type Output = ProductOutput;
    type Key = Symbol;
    type Cached = ProductRow;

    const NAME: StageName = StageName::Product;
    const TABLE: Table = Table::ProductState;
    /// An event changes a user's row and those of many products, each of which others change again soon.
    const FLUSH_INTERVALS: u32 = 4;

    fn prepare(&self, batch: Vec<Record>) -> Vec<ProductRecord> {
        batch.into_iter().map(|record| ProductRecord::parse(record, &self.names)).collect()
    }

    fn missing(&mut self, batch: &[ProductRecord]) -> Vec<String> {
        let mut missing: Vec<String> = Vec::new();
        for record in batch {
            let Some(activity) = &record.activity else { continue };
            for index in record::rows_touched(activity) {
                if !self.rows.touch(&record.symbols[index]) {
                    missing.push(activity.product(index as u32).to_owned());
                }
            }
        }
        self.to_be_read(missing)
    }

    fn received_ms(record: &ProductRecord) -> i64 {
        record.received_ms()
    }

    fn subjects(batch: &[ProductRecord]) -> impl Iterator<Item = &str> {
        batch.iter().flat_map(ProductRecord::event_products)
    }

    fn admit(&mut self, key: &str, row: Option<Row>) -> Result<(), Unreadable> {
        let row = match row {
            None => ProductRow::default(),
            Some(row) => ProductRow::decode(&row.state, &self.names).map_err(|reason| Unreadable {
                what: "product row",
                key: key.to_owned(),
                reason,
            })?,
        };
        self.rows.admit(self.names.intern(key), row);
        Ok(())
    }

    fn fold(&mut self, batch: Vec<ProductRecord>) -> ProductOutput {
        let mut output = ProductOutput::default();
        for record in &batch {
            self.apply(record, &mut output);
        }
        if let Some(last) = batch.last() {
            self.progress.at = Checkpoint::after(&last.raw);
        }
        output
    }

    fn checkpoint(&self) -> Checkpoint {
        self.progress.at
    }

    fn encoded_progress(&self) -> Bytes {
        self.progress.encode(self.generation)
    }

    fn snapshot(&mut self) -> Snapshot<FlushKeys<Self>> {
        let (keys, rows) = self.copy_changed();
        let windows = keys.1.iter().filter_map(|&product| self.open_windows_row(product)).collect();
        // Bounds first: a crash in between leaves bounds that are too high, which does no harm. A row that is stored
        // without its bounds would skip its records at the restart and never write them.
        let mut tables = self.copy_known(self.partition, self.generation);
        tables.extend([(Table::OpenWindows, windows), (Table::ProductState, rows)]);
        Snapshot { at: self.progress.at, rows: tables, progress: self.encoded_progress(), keys }
    }

    fn rows(&self) -> &RowCache<Symbol, ProductRow> {
        &self.rows
    }

    fn rows_mut(&mut self) -> &mut RowCache<Symbol, ProductRow> {
        &mut self.rows
    }

    fn key_of(&self, stored: &str) -> Option<Symbol> {
        self.names.find(stored)
    }

    fn packed(&self, key: &Symbol) -> Option<Row> {
        let row = self.rows.get(key)?;
        let state = Bytes::from(row.encode(&self.names));
        Some(Row { key: self.names.name(*key).to_owned(), version: row.version, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: i64 = 1_700_000_000_000;

    /// A crash between the two writes of a flush leaves an entry of a row that is read again, record by record.
    #[test]
    fn an_entry_of_open_windows_from_before_a_crash_is_kept_until_its_row_is_there_again() {
        let names = Arc::new(Interner::default());
        let product = names.intern("p");
        let mut row = ProductRow::default();
        (0..20).for_each(|_| row.observe(EventKind::View, 1, None, START_MS));
        row.version = Version::of(1, 5);
        let mut stage = Product::new(0, 1, Arc::clone(&names), 10, ProductProgress::new(1), None);
        // An hour and more later, when the entry was written, that hour had one event.
        let mut later = row.clone();
        let later_ms = START_MS + 2 * 3_600_000;
        later.observe(EventKind::View, 1, None, later_ms);
        stage.restore_limits(product, Version::of(1, 9), Limits::of(&later));

        stage.rows.admit(product, row);
        assert_eq!(stage.open_windows_row(product), None, "the store would drop it");
        let row = stage.rows.find(&product).unwrap().change();
        *row = later;
        row.version = Version::of(1, 10);
        row.observe(EventKind::View, 1, None, later_ms);
        let written = stage.open_windows_row(product).expect("the hour is above what is stored");
        assert_eq!(written.version, Version::of(1, 10));
    }
}
