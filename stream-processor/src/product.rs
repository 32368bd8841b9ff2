//! The product stage: one partition of `product-activity` in, each product's row out.

mod open_windows;
mod record;

use crate::cache::RowCache;
use crate::outcome::OutcomeCounts;
use crate::progress::{Checkpoint, ProductProgress, StageName};
use crate::stage::{Snapshot, Stage, Unreadable};
use bytes::Bytes;
use event_log::Record;
use hashbrown::HashMap;
pub(crate) use open_windows::OpenWindows;
use recommender::trending::Bounds;
use recommender::{Interner, ProductRow, Symbol};
pub(crate) use record::ProductRecord;
use schemas::proto::{Outcome, SourceEntry};
use schemas::published::{LastStep, RepeatTable, SessionShape};
use schemas::{EventKind, Version};
use std::sync::Arc;
use stores::{Row, Table};

/// The product stage's state for one partition.
pub(crate) struct Product {
    generation: u16,
    names: Arc<Interner>,
    rows: RowCache<Symbol, ProductRow>,
    progress: ProductProgress,
    /// Bounds as the table `open_windows` holds them.
    stored_bounds: HashMap<Symbol, Bounds>,
}

/// What a batch of updates leads to.
#[derive(Default)]
pub(crate) struct ProductOutput {
    /// Products whose row changed; may name one several times.
    pub(crate) changed: Vec<Symbol>,
}

impl Product {
    pub(crate) fn new(
        generation: u16,
        names: Arc<Interner>,
        cached_products: usize,
        progress: ProductProgress,
    ) -> Self {
        let rows = RowCache::new(cached_products);
        Self { generation, names, rows, progress, stored_bounds: HashMap::new() }
    }

    /// Takes note of what `open_windows` holds for a product.
    pub(crate) fn restore_bounds(&mut self, product: Symbol, bounds: Bounds) {
        self.stored_bounds.insert(product, bounds);
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
        table.version = Version::of(self.generation, self.progress.at.next_offset);
        table
    }

    /// Applies one record. Each row is checked once before the record and set once after it: all updates of one record for
    /// one row count, or none does.
    fn apply(&mut self, record: &ProductRecord, changed: &mut Vec<Symbol>) {
        let Some(activity) = record.valid(self.progress.marks.len()) else { return };
        let version = Version::of(self.generation, record.raw.offset);
        let symbols: Vec<Symbol> = activity.products.iter().map(|id| self.names.intern(id)).collect();
        let touched_from = changed.len();
        for entry in &activity.entries {
            let mark = &mut self.progress.marks[activity.source_partition as usize];
            if entry.offset < *mark {
                continue;
            }
            *mark = entry.offset + 1;
            self.count(entry);
            if let Some(event) = &entry.activity {
                let category =
                    event.category.checked_sub(1).map(|at| activity.categories[at as usize].as_str());
                let kind =
                    EventKind::from_code(event.event_type).expect("checked when the record was decoded");
                let product = symbols[event.product as usize];
                if let Some(row) = fresh_row(&mut self.rows, product, version) {
                    row.observe(kind, event.weight, category, entry.timestamp_ms);
                    changed.push(product);
                }
            }
            for pair in &entry.pairs {
                let (product, other) = (symbols[pair.product as usize], symbols[pair.other as usize]);
                if let Some(row) = fresh_row(&mut self.rows, product, version) {
                    row.add_pair(other, pair.weight, entry.timestamp_ms);
                    changed.push(product);
                }
            }
        }
        for product in &changed[touched_from..] {
            self.rows.change(product).expect("it was changed above").version = version;
        }
    }

    fn count(&mut self, entry: &SourceEntry) {
        if let Ok(outcome) = Outcome::try_from(entry.outcome)
            && outcome != Outcome::Unspecified
        {
            self.progress.outcomes.add(outcome);
        }
        if let Some(repeat) = &entry.repeat {
            let last_step = LastStep::ALL.get(repeat.last_step as usize).copied().unwrap_or_default();
            let shape = SessionShape { times: repeat.times.clone(), last_step };
            self.progress.repeats.observe(&shape, repeat.distance);
        }
        self.progress.stream_time_ms = self.progress.stream_time_ms.max(entry.timestamp_ms);
    }

    fn open_windows_row(&mut self, product: Symbol) -> Option<Row> {
        let row = self.rows.get(&product)?;
        let bounds = OpenWindows::bounds_of(row);
        let stored = self.stored_bounds.entry(product).or_default();
        // The stored bounds need only be upper bounds.
        if bounds.iter().zip(stored.iter()).all(|(bound, stored)| bound <= stored) {
            return None;
        }
        *stored = bounds;
        let state = OpenWindows { bounds, category: row.category.clone() }.encode(row.version);
        Some(Row { key: self.names.name(product).as_ref().to_owned(), version: row.version, state })
    }
}

/// The row, unless it reflects this record already. A row counts as changed only when something is applied to it.
fn fresh_row(
    rows: &mut RowCache<Symbol, ProductRow>,
    product: Symbol,
    version: Version,
) -> Option<&mut ProductRow> {
    if rows.get(&product).expect("the batch's rows were admitted").version >= version {
        return None;
    }
    rows.change(&product)
}

impl Stage for Product {
    type Prepared = ProductRecord;
    type Output = ProductOutput;
    type FlushKeys = (u64, Vec<Symbol>);

    const NAME: StageName = StageName::Product;
    const TABLE: Table = Table::ProductState;

    fn prepare(&self, batch: Vec<Record>) -> Vec<ProductRecord> {
        batch.into_iter().map(ProductRecord::parse).collect()
    }

    fn missing(&mut self, batch: &[ProductRecord]) -> Vec<String> {
        let mut missing: Vec<String> = Vec::new();
        for activity in batch.iter().filter_map(|record| record.activity.as_ref()) {
            for index in record::rows_touched(activity) {
                let id = &activity.products[index as usize];
                if !self.rows.touch(&self.names.intern(id)) {
                    missing.push(id.clone());
                }
            }
        }
        missing.sort_unstable();
        missing.dedup();
        missing
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
        let mut changed = Vec::new();
        for record in &batch {
            self.apply(record, &mut changed);
        }
        if let Some(last) = batch.last() {
            self.progress.at = Checkpoint::after(&last.raw);
        }
        ProductOutput { changed }
    }

    fn checkpoint(&self) -> Checkpoint {
        self.progress.at
    }

    fn encoded(&self, key: &str) -> Option<Bytes> {
        let row = self.rows.get(&self.names.find(key)?)?;
        Some(Bytes::from(row.encode(&self.names)))
    }

    fn encoded_progress(&self) -> Bytes {
        let version = Version::of(self.generation, self.progress.at.next_offset);
        Bytes::from(self.progress.encode(version))
    }

    fn changed_rows(&self) -> usize {
        self.rows.changed_len()
    }

    fn snapshot(&mut self) -> Snapshot<Self::FlushKeys> {
        let (epoch, keys) = self.rows.begin_flush();
        let mut rows = Vec::with_capacity(keys.len());
        let mut windows = Vec::new();
        for &product in &keys {
            let row = self.rows.get(&product).expect("changed rows stay in memory");
            rows.push(Row {
                key: self.names.name(product).as_ref().to_owned(),
                version: row.version,
                state: Bytes::from(row.encode(&self.names)),
            });
            windows.extend(self.open_windows_row(product));
        }
        Snapshot {
            at: self.progress.at,
            rows: vec![(Table::ProductState, rows), (Table::OpenWindows, windows)],
            progress: self.encoded_progress(),
            keys: (epoch, keys),
        }
    }

    fn stored(&mut self, (epoch, keys): Self::FlushKeys) {
        self.rows.stored(epoch, &keys);
    }

    fn make_room(&mut self) {
        self.rows.make_room();
    }

    fn cached_rows(&self) -> usize {
        self.rows.len()
    }
}
