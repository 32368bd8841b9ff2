//! Packs the updates of a batch of events into few records: one or more per target partition.

use bytes::Bytes;
use hashbrown::HashMap;
use recommender::user_row::Effects;
use recommender::{Interner, Symbol};
use schemas::partition::partition_of;
use schemas::proto::{Activity, Outcome};
use schemas::{ActivityPacker, EventKind, PairUpdate, UnpackedEvent};
use std::sync::Arc;

/// A record for one partition of `product-activity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) partition: u32,
    pub(crate) value: Bytes,
}

/// A record takes no further event beyond so many bytes: so it stays well under the megabyte that Kafka takes by default.
const FULL_BYTES: usize = 256 << 10;

/// No partition: there are at most 1024.
const UNKNOWN: u16 = u16::MAX;

/// The record under construction for one target partition.
#[derive(Default)]
struct Pack {
    record: ActivityPacker,
    places: HashMap<Symbol, u32>,
    /// The product asked for last and its place: the event's own product is asked for with each of its pairs.
    last: Option<(Symbol, u32)>,
    categories: HashMap<String, u32>,
}

impl Pack {
    fn product(&mut self, product: Symbol, names: &Interner) -> u32 {
        *self.places.entry(product).or_insert_with(|| self.record.product(names.name(product)))
    }

    /// As [`Self::product`], for a product that is probably asked for again next.
    fn product_of_event(&mut self, product: Symbol, names: &Interner) -> u32 {
        match self.last {
            Some((last, place)) if last == product => place,
            _ => {
                let place = self.product(product, names);
                self.last = Some((product, place));
                place
            }
        }
    }

    /// 1 + the category's index; 0 for none.
    fn category(&mut self, category: &str) -> u32 {
        if category.is_empty() {
            return 0;
        }
        1 + *self.categories.entry_ref(category).or_insert_with(|| self.record.category(category))
    }

    fn is_full(&self) -> bool {
        self.record.len() >= FULL_BYTES
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
        let record = &mut self.packs[target as usize].record;
        record.begin(offset, timestamp_ms, self.received_ms);
        record.outcome(outcome);
        self.seal_full();
    }

    /// An applied event: its outcome, its product's activity, and both directions of its pairs.
    pub(crate) fn applied(
        &mut self,
        offset: u64,
        product: Symbol,
        kind: EventKind,
        event: &UnpackedEvent,
        effects: &Effects,
    ) {
        let timestamp_ms = event.timestamp_ms;
        let target = self.target(product);
        let pack = &mut self.packs[target];
        let index = pack.product_of_event(product, &self.names);
        let category = pack.category(event.category_id());
        pack.record.begin(offset, timestamp_ms, self.received_ms);
        pack.record.outcome(Outcome::Applied);
        pack.record.activity(Activity {
            product: index,
            category,
            weight: effects.weight,
            event_type: kind as u32,
        });
        if let Some(shape) = &effects.session {
            pack.record.repeat(shape, effects.repeat_distance);
        }
        for pair in effects.pairs.iter().filter(|pair| pair.backward > 0) {
            let other = pack.product(pair.earlier, &self.names);
            pack.record.pair(PairUpdate { product: index, other, weight: pair.backward });
        }
        for pair in effects.pairs.iter().filter(|pair| pair.forward > 0) {
            let target = self.target(pair.earlier);
            let pack = &mut self.packs[target];
            let earlier = pack.product(pair.earlier, &self.names);
            let other = pack.product_of_event(product, &self.names);
            pack.record.begin(offset, timestamp_ms, self.received_ms);
            pack.record.pair(PairUpdate { product: earlier, other, weight: pair.forward });
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
                self.full.push(seal(partition as u32, self.source_partition, pack));
            }
        }
    }

    /// The records of the batch, in the order to append them.
    pub(crate) fn finish(&mut self) -> Vec<Packed> {
        for (partition, pack) in self.packs.iter_mut().enumerate() {
            if !pack.record.is_empty() {
                self.full.push(seal(partition as u32, self.source_partition, pack));
            }
        }
        std::mem::take(&mut self.full)
    }
}

/// Leaves the pack empty, with its room.
fn seal(partition: u32, source_partition: u32, pack: &mut Pack) -> Packed {
    let value = Bytes::from(pack.record.finish(source_partition));
    pack.places.clear();
    pack.last = None;
    pack.categories.clear();
    Packed { partition, value }
}
