use event_log::Record;
use recommender::{Interner, Symbol};
use schemas::event::MAX_TIME_MS;
use schemas::proto::Activity;
use schemas::{EventKind, PairUpdate, UnpackedActivity, UnpackedEntry, Version};

/// A record of `product-activity`, decoded.
pub(crate) struct ProductRecord {
    pub(crate) raw: Record,
    /// `None` when it is no record of ours: the topic is derived, so such a record is passed over.
    pub(crate) activity: Option<UnpackedActivity>,
    /// Its products, in their order.
    pub(crate) symbols: Vec<Symbol>,
}

impl ProductRecord {
    pub(crate) fn parse(raw: Record, names: &Interner) -> Self {
        let activity = UnpackedActivity::unpack(&raw.value).ok().filter(is_consistent);
        if activity.is_none() {
            tracing::error!(offset = raw.offset, "passed over a record of product-activity that is not ours");
        }
        let symbols =
            activity.as_ref().map_or_else(Vec::new, |a| a.products().map(|id| names.intern(id)).collect());
        Self { raw, activity, symbols }
    }

    /// When ingest received the oldest of the events behind it; where that is not known, when the log took the record.
    pub(crate) fn received_ms(&self) -> i64 {
        let received = self.activity.as_ref().map_or(0, |activity| activity.received_at_ms);
        if received > 0 { received } else { self.raw.append_time_ms }
    }

    /// The products of the events behind it.
    pub(crate) fn event_products(&self) -> impl Iterator<Item = &str> {
        self.activity.iter().flat_map(|activity| {
            let events = activity.entries.iter().filter_map(|entry| entry.activity.as_ref());
            events.map(|event| activity.product(event.product))
        })
    }

    /// The content, when it comes from one of `sources` partitions.
    pub(crate) fn valid(&self, sources: usize) -> Option<&UnpackedActivity> {
        self.activity.as_ref().filter(|activity| (activity.source_partition as usize) < sources)
    }
}

/// Whether all indices are in range, and offsets and times are such as `events` can have, so that the fold need not look.
fn is_consistent(activity: &UnpackedActivity) -> bool {
    let products = activity.products_len();
    let entry_is_consistent = |entry: &UnpackedEntry| {
        let is_possible =
            entry.offset >> Version::OFFSET_BITS == 0 && (0..=MAX_TIME_MS).contains(&entry.timestamp_ms);
        is_possible
            && entry.activity.as_ref().is_none_or(|event| {
                (event.product as usize) < products
                    && event.category as usize <= activity.categories_len()
                    && EventKind::from_code(event.event_type).is_some()
            })
    };
    let pair_is_consistent =
        |pair: &PairUpdate| (pair.product as usize) < products && (pair.other as usize) < products;
    activity.has_all_pairs()
        && activity.entries.iter().all(entry_is_consistent)
        && activity.pairs.iter().all(pair_is_consistent)
}

/// What an update does to its product's row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// Counts the entry's event.
    Event {
        activity: Activity,
        /// Whether it came back to a product that its session had shown before.
        is_return: bool,
    },
    /// Adds a pair.
    Pair(PairUpdate),
}

/// One update of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    /// Index of the product.
    pub(crate) product: u32,
    pub(crate) timestamp_ms: i64,
    pub(crate) change: Change,
}

/// Sorts the updates of a record by row. Used for one record after the other, it keeps its room.
#[derive(Debug, Default)]
pub(crate) struct ByRow {
    updates: Vec<Update>,
    places: Vec<usize>,
    sorted: Vec<Update>,
}

impl ByRow {
    /// Begins with a record of which there are no updates yet.
    pub(crate) fn begin(&mut self) {
        self.updates.clear();
    }

    /// Adds the updates of an entry.
    pub(crate) fn add(&mut self, entry: &UnpackedEntry, pairs: &[PairUpdate]) {
        let timestamp_ms = entry.timestamp_ms;
        if let Some(activity) = entry.activity {
            let is_return = entry.repeat.is_some_and(|repeat| repeat.distance.is_some());
            let change = Change::Event { activity, is_return };
            self.updates.push(Update { product: activity.product, timestamp_ms, change });
        }
        let update =
            |&pair: &PairUpdate| Update { product: pair.product, timestamp_ms, change: Change::Pair(pair) };
        self.updates.extend(pairs.iter().map(update));
    }

    /// Row by row, those of a row in the order in which they were added. All indices are below `products`.
    pub(crate) fn sorted(&mut self, products: usize) -> &[Update] {
        // By counting: the indices are dense, and this is done for every record.
        let Self { updates, places, sorted } = self;
        places.clear();
        places.resize(products, 0);
        updates.iter().for_each(|update| places[update.product as usize] += 1);
        let mut before = 0;
        for place in &mut *places {
            before += std::mem::replace(place, before);
        }
        // Every place is written.
        let Some(&any) = updates.first() else { return &[] };
        sorted.resize(updates.len(), any);
        for update in updates {
            let place = &mut places[update.product as usize];
            sorted[*place] = *update;
            *place += 1;
        }
        sorted
    }
}

/// Indices of the products whose rows the record changes, each once.
pub(crate) fn rows_touched(activity: &UnpackedActivity) -> impl Iterator<Item = usize> {
    let mut is_touched = vec![false; activity.products_len()];
    let events = activity.entries.iter().filter_map(|entry| entry.activity.as_ref());
    events.for_each(|event| is_touched[event.product as usize] = true);
    activity.pairs.iter().for_each(|pair| is_touched[pair.product as usize] = true);
    (0..is_touched.len()).filter(move |&index| is_touched[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_sorted_by_row_and_keep_their_order_within_one() {
        let update = |number: usize| Update {
            product: (number * 7 % 5) as u32,
            timestamp_ms: number as i64,
            change: Change::Pair(PairUpdate { product: 0, other: 0, weight: 1 }),
        };
        let mut by_row = ByRow::default();
        for count in [100, 30, 200] {
            by_row.begin();
            by_row.updates.extend((0..count).map(update));
            let sorted = by_row.sorted(6);
            assert_eq!(sorted.len(), count);
            assert!(sorted.is_sorted_by_key(|update| (update.product, update.timestamp_ms)));
            let times: i64 = sorted.iter().map(|update| update.timestamp_ms).sum();
            assert_eq!(times, (0..count as i64).sum::<i64>(), "each of them");
        }
        by_row.begin();
        assert!(by_row.sorted(0).is_empty());
    }
}
