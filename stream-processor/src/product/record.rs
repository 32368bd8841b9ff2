use event_log::Record;
use prost::Message;
use schemas::EventKind;
use schemas::proto::{ActivityRecord, SourceEntry};

/// A record of `product-activity`, decoded.
pub(crate) struct ProductRecord {
    pub(crate) raw: Record,
    /// `None` when it is no record of ours: the topic is derived, so such a record is passed over.
    pub(crate) activity: Option<ActivityRecord>,
}

impl ProductRecord {
    pub(crate) fn parse(raw: Record) -> Self {
        let activity = ActivityRecord::decode(&*raw.value).ok().filter(is_consistent);
        if activity.is_none() {
            tracing::error!(offset = raw.offset, "passed over a record of product-activity that is not ours");
        }
        Self { raw, activity }
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

/// Whether all indices are in range, so that the fold need not look.
fn is_consistent(activity: &ActivityRecord) -> bool {
    let products = activity.products.len();
    let entry_is_consistent = |entry: &SourceEntry| {
        entry.activity.as_ref().is_none_or(|event| {
            (event.product as usize) < products
                && event.category as usize <= activity.categories.len()
                && EventKind::from_code(event.event_type).is_some()
        }) && entry
            .pairs
            .iter()
            .all(|pair| (pair.product as usize) < products && (pair.other as usize) < products)
    };
    activity.entries.iter().all(entry_is_consistent)
}

/// Indices of the products whose rows the record changes, each once.
pub(crate) fn rows_touched(activity: &ActivityRecord) -> Vec<u32> {
    let mut touched: Vec<u32> = activity
        .entries
        .iter()
        .flat_map(|entry| {
            let own = entry.activity.as_ref().map(|event| event.product);
            own.into_iter().chain(entry.pairs.iter().map(|pair| pair.product))
        })
        .collect();
    touched.sort_unstable();
    touched.dedup();
    touched
}
