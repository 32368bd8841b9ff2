//! Packs the updates of a batch of events into few records: one or more per target partition.

use bytes::Bytes;
use hashbrown::HashMap;
use prost::Message;
use recommender::user_row::Effects;
use recommender::{Interner, Symbol};
use schemas::partition::partition_of;
use schemas::proto::{Activity, ActivityRecord, Event, Outcome, RepeatObservation, SourceEntry};
use schemas::{EventKind, PairUpdate};
use std::sync::Arc;

/// A record for one partition of `product-activity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) partition: u32,
    pub(crate) value: Bytes,
}

/// A record takes no further event beyond so many bytes, roughly counted: so it stays well under the megabyte that Kafka takes
/// by default.
const FULL_BYTES: usize = 256 << 10;
/// What an entry takes at most besides its ids and pairs, and a number of a pair.
const ENTRY_BYTES: usize = 80;
const NUMBER_BYTES: usize = 5;

/// No partition: there are at most 1024.
const UNKNOWN: u16 = u16::MAX;

/// The record under construction for one target partition.
#[derive(Default)]
struct Pack {
    /// Without its products: their ids are known by their symbols until the record is packed.
    record: ActivityRecord,
    products: Vec<Symbol>,
    places: HashMap<Symbol, u32>,
    categories: HashMap<String, u32>,
    /// Bytes of ids.
    ids: usize,
}

impl Pack {
    /// The entry of a source event, made on first use. Source events come in order.
    fn entry(&mut self, offset: u64, timestamp_ms: i64, received_ms: i64) -> &mut SourceEntry {
        if self.record.entries.last().is_none_or(|entry| entry.offset != offset) {
            let oldest_ms = &mut self.record.received_at_ms;
            *oldest_ms = if *oldest_ms == 0 { received_ms } else { received_ms.min(*oldest_ms) };
            self.record.entries.push(SourceEntry { offset, timestamp_ms, ..SourceEntry::default() });
        }
        self.record.entries.last_mut().expect("one was pushed")
    }

    fn product(&mut self, product: Symbol, names: &Interner) -> u32 {
        *self.places.entry(product).or_insert_with(|| {
            self.ids += names.name(product).len();
            self.products.push(product);
            self.products.len() as u32 - 1
        })
    }

    /// 1 + the category's index; 0 for none.
    fn category(&mut self, category: &str) -> u32 {
        if category.is_empty() {
            return 0;
        }
        let next = self.record.categories.len() as u32;
        1 + *self.categories.entry_ref(category).or_insert_with(|| {
            self.ids += category.len();
            self.record.categories.push(category.to_owned());
            next
        })
    }

    fn is_full(&self) -> bool {
        let ActivityRecord { entries, pairs, .. } = &self.record;
        self.ids + entries.len() * ENTRY_BYTES + pairs.len() * NUMBER_BYTES >= FULL_BYTES
    }
}

/// Collects the updates of a batch.
pub(crate) struct Packer {
    source_partition: u32,
    names: Arc<Interner>,
    packs: Vec<Pack>,
    /// Target partition by symbol, [`UNKNOWN`] until it was asked for.
    targets: Vec<u16>,
    full: Vec<Packed>,
    /// When the event was received that is packed now.
    received_ms: i64,
}

impl Packer {
    pub(crate) fn new(source_partition: u32, targets: u32, names: Arc<Interner>) -> Self {
        let packs = (0..targets).map(|_| Pack::default()).collect();
        Self { source_partition, names, packs, targets: Vec::new(), full: Vec::new(), received_ms: 0 }
    }

    /// Begins with an event that was received then.
    pub(crate) fn begin(&mut self, received_ms: i64) {
        self.received_ms = received_ms;
    }

    /// An event that changed nothing, or a record that is no event: only its outcome is told.
    pub(crate) fn outcome(
        &mut self,
        offset: u64,
        product_id: Option<&str>,
        outcome: Outcome,
        timestamp_ms: i64,
    ) {
        let targets = self.packs.len() as u32;
        let target = match product_id {
            Some(id) => partition_of(id.as_bytes(), targets),
            None => self.source_partition % targets,
        };
        self.packs[target as usize].entry(offset, timestamp_ms, self.received_ms).outcome = outcome as i32;
        self.seal_full();
    }

    /// An applied event: its outcome, its product's activity, and both directions of its pairs.
    pub(crate) fn applied(
        &mut self,
        offset: u64,
        product: Symbol,
        kind: EventKind,
        event: &Event,
        effects: Effects,
    ) {
        let timestamp_ms = event.timestamp_ms;
        let target = self.target(product);
        let pack = &mut self.packs[target];
        let index = pack.product(product, &self.names);
        let category = pack.category(&event.category_id);
        let activity = Activity { product: index, category, weight: effects.weight, event_type: kind as u32 };
        let entry = pack.entry(offset, timestamp_ms, self.received_ms);
        entry.outcome = Outcome::Applied as i32;
        entry.activity = Some(activity);
        entry.repeat = effects.session.map(|shape| RepeatObservation {
            times: shape.times,
            distance: effects.repeat_distance,
            last_step: shape.last_step as i32,
        });
        for pair in effects.pairs.iter().filter(|pair| pair.backward > 0) {
            let other = pack.product(pair.earlier, &self.names);
            pack.record.push_pair(PairUpdate { product: index, other, weight: pair.backward });
        }
        for pair in effects.pairs.iter().filter(|pair| pair.forward > 0) {
            let target = self.target(pair.earlier);
            let pack = &mut self.packs[target];
            let earlier = pack.product(pair.earlier, &self.names);
            let other = pack.product(product, &self.names);
            pack.entry(offset, timestamp_ms, self.received_ms);
            pack.record.push_pair(PairUpdate { product: earlier, other, weight: pair.forward });
        }
        self.seal_full();
    }

    fn target(&mut self, product: Symbol) -> usize {
        let at = product.0 as usize;
        if at >= self.targets.len() {
            self.targets.resize(at + 1, UNKNOWN);
        }
        let target = &mut self.targets[at];
        if *target == UNKNOWN {
            *target = partition_of(self.names.name(product).as_bytes(), self.packs.len() as u32) as u16;
        }
        usize::from(*target)
    }

    /// Between two events only, so that all updates of one event for one target stay in one record.
    fn seal_full(&mut self) {
        for (partition, pack) in self.packs.iter_mut().enumerate() {
            if pack.is_full() {
                self.full.push(seal(partition as u32, self.source_partition, pack, &self.names));
            }
        }
    }

    /// The records of the batch, in the order to append them.
    pub(crate) fn finish(&mut self) -> Vec<Packed> {
        for (partition, pack) in self.packs.iter_mut().enumerate() {
            if !pack.record.entries.is_empty() {
                self.full.push(seal(partition as u32, self.source_partition, pack, &self.names));
            }
        }
        std::mem::take(&mut self.full)
    }
}

/// Leaves the pack empty, with its room.
fn seal(partition: u32, source_partition: u32, pack: &mut Pack, names: &Interner) -> Packed {
    pack.record.source_partition = source_partition;
    let ids = pack.products.iter().map(|&product| names.name(product));
    let value = Bytes::from(pack.record.encode_with_products(ids));
    pack.record.clear();
    pack.products.clear();
    pack.places.clear();
    pack.categories.clear();
    pack.ids = 0;
    Packed { partition, value }
}
