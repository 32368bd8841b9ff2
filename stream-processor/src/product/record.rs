use event_log::Record;
use recommender::{Interner, Symbol};
use schemas::event::MAX_TIME_MS;
use schemas::proto::{Activity, ActivityRecord, SourceEntry};
use schemas::{EventKind, PairUpdate, Version};

/// A record of `product-activity`, decoded.
pub(crate) struct ProductRecord {
    pub(crate) raw: Record,
    /// `None` when it is no record of ours: the topic is derived, so such a record is passed over.
    pub(crate) activity: Option<ActivityRecord>,
    /// Its products, in their order.
    pub(crate) symbols: Vec<Symbol>,
}

impl ProductRecord {
    pub(crate) fn parse(raw: Record, names: &Interner) -> Self {
        let activity = ActivityRecord::unpack(&raw.value).ok().filter(is_consistent);
        if activity.is_none() {
            tracing::error!(offset = raw.offset, "passed over a record of product-activity that is not ours");
        }
        let products = activity.iter().flat_map(|activity| &activity.products);
        let symbols = products.map(|id| names.intern(id)).collect();
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
            events.map(|event| activity.products[event.product as usize].as_str())
        })
    }

    /// The content, when it comes from one of `sources` partitions.
    pub(crate) fn valid(&self, sources: usize) -> Option<&ActivityRecord> {
        self.activity.as_ref().filter(|activity| (activity.source_partition as usize) < sources)
    }
}

/// Whether all indices are in range, and offsets and times are such as `events` can have, so that the fold need not look.
fn is_consistent(activity: &ActivityRecord) -> bool {
    let products = activity.products.len();
    let entry_is_consistent = |entry: &SourceEntry| {
        let is_possible =
            entry.offset >> Version::OFFSET_BITS == 0 && (0..=MAX_TIME_MS).contains(&entry.timestamp_ms);
        is_possible
            && entry.activity.as_ref().is_none_or(|event| {
                (event.product as usize) < products
                    && event.category as usize <= activity.categories.len()
                    && EventKind::from_code(event.event_type).is_some()
            })
    };
    let pair_is_consistent =
        |pair: PairUpdate| (pair.product as usize) < products && (pair.other as usize) < products;
    activity.has_all_pairs()
        && activity.entries.iter().all(entry_is_consistent)
        && activity.all_pairs().all(pair_is_consistent)
}

/// What an update does to its product's row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    /// Counts the entry's event.
    Event {
        activity: &'a Activity,
        /// Whether it came back to a product that its session had shown before.
        is_return: bool,
    },
    /// Adds a pair.
    Pair(PairUpdate),
}

/// One update of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update<'a> {
    /// Index of the product.
    pub(crate) product: u32,
    pub(crate) timestamp_ms: i64,
    pub(crate) change: Change<'a>,
}

/// The updates of an entry, in their order.
pub(crate) fn updates<'a>(
    entry: &'a SourceEntry,
    pairs: impl Iterator<Item = PairUpdate>,
) -> impl Iterator<Item = Update<'a>> {
    let timestamp_ms = entry.timestamp_ms;
    let is_return = entry.repeat.as_ref().is_some_and(|repeat| repeat.distance.is_some());
    let event = entry.activity.as_ref().map(|activity| Update {
        product: activity.product,
        timestamp_ms,
        change: Change::Event { activity, is_return },
    });
    let pair =
        move |pair: PairUpdate| Update { product: pair.product, timestamp_ms, change: Change::Pair(pair) };
    event.into_iter().chain(pairs.map(pair))
}

/// Row by row, those of a row in the order in which they came. All indices are below `products`.
pub(crate) fn sorted_by_row<'a>(updates: &[Update<'a>], products: usize) -> Vec<Update<'a>> {
    // By counting: the indices are dense, and this is done for every record.
    let mut places = vec![0usize; products];
    updates.iter().for_each(|update| places[update.product as usize] += 1);
    let mut before = 0;
    for place in &mut places {
        before += std::mem::replace(place, before);
    }
    let mut sorted = updates.to_vec();
    for update in updates {
        let place = &mut places[update.product as usize];
        sorted[*place] = *update;
        *place += 1;
    }
    sorted
}

/// Indices of the products whose rows the record changes, each once.
pub(crate) fn rows_touched(activity: &ActivityRecord) -> impl Iterator<Item = usize> {
    let mut is_touched = vec![false; activity.products.len()];
    let events = activity.entries.iter().filter_map(|entry| entry.activity.as_ref());
    events.for_each(|event| is_touched[event.product as usize] = true);
    activity.all_pairs().for_each(|pair| is_touched[pair.product as usize] = true);
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
        let updates: Vec<Update<'_>> = (0..100).map(update).collect();
        let sorted = sorted_by_row(&updates, 6);
        assert_eq!(sorted.len(), updates.len());
        assert!(sorted.is_sorted_by_key(|update| (update.product, update.timestamp_ms)));
        assert!(sorted_by_row(&[], 0).is_empty());
    }
}
