use crate::reader::decoded;
use bytes::Bytes;
use schemas::names;
use schemas::partition::partition_of;
use schemas::published::{Layout, Marker};
use schemas::user::UserKey;

/// How far the processor is, per stage and partition. Empty while there is no layout.
#[derive(Debug, Default)]
pub(crate) struct Markers {
    layout: Option<Layout>,
    shopper: Vec<Option<Marker>>,
    product: Vec<Option<Marker>>,
}

impl Markers {
    /// The keys to read, in the order that `decode` expects.
    pub(crate) fn keys(generation: u16, layout: Layout) -> Vec<String> {
        let shopper = (0..layout.events_partitions).map(|p| names::marker_key(generation, "shopper", p));
        let product = (0..layout.activity_partitions).map(|p| names::marker_key(generation, "product", p));
        shopper.chain(product).collect()
    }

    pub(crate) fn decode(layout: Layout, values: Vec<Option<Bytes>>) -> Self {
        let mut markers = values.into_iter().map(|value| value.and_then(|v| decoded(Marker::decode(&v))));
        let shopper = markers.by_ref().take(layout.events_partitions as usize).collect();
        Self { layout: Some(layout), shopper, product: markers.collect() }
    }

    /// The partition of `events` that holds a user's records; `None` while there is no layout.
    pub(crate) fn partition_of(&self, user: &UserKey) -> Option<u32> {
        Some(partition_of(user.as_str().as_bytes(), self.layout?.events_partitions.max(1)))
    }

    /// How far a partition of `events` is.
    pub(crate) fn shopper(&self, partition: u32) -> Option<&Marker> {
        self.shopper.get(partition as usize)?.as_ref()
    }

    /// How far the partition is that holds a product's updates.
    pub(crate) fn product_of(&self, product: &str) -> Option<&Marker> {
        self.product.get(self.activity_partition(product)? as usize)?.as_ref()
    }

    /// Of all partitions of the product stage, the one that is most behind; `None` where any has no marker.
    pub(crate) fn slowest_product(&self) -> Option<&Marker> {
        let all: Option<Vec<&Marker>> = self.product.iter().map(Option::as_ref).collect();
        all?.into_iter().min_by_key(|marker| marker.published_at_ms.saturating_sub_unsigned(marker.lag_ms))
    }

    /// The highest event time over all partitions of `events`; `None` before the first event.
    pub(crate) fn stream_time_ms(&self) -> Option<i64> {
        let times = self.shopper.iter().flatten().map(|marker| marker.stream_time_ms);
        times.max().filter(|time| *time != i64::MIN)
    }

    /// Everything that was logged up to this time is reflected, in every partition; `None` where any has no marker.
    pub(crate) fn all_reflected_ms(&self) -> Option<i64> {
        let all: Option<Vec<&Marker>> =
            self.shopper.iter().chain(&self.product).map(Option::as_ref).collect();
        all?.into_iter().map(|marker| marker.published_at_ms.saturating_sub_unsigned(marker.lag_ms)).min()
    }

    /// Whether the serving store has every user of the partition: then one that it does not know has no history.
    pub(crate) fn shopper_complete(&self, partition: u32) -> bool {
        self.shopper(partition).is_some_and(|marker| marker.complete)
    }

    /// Whether the serving store has everything that a partition of the product stage published.
    pub(crate) fn product_complete(&self, partition: u32) -> bool {
        self.product.get(partition as usize).is_some_and(|m| m.as_ref().is_some_and(|m| m.complete))
    }

    /// Whether the serving store would have a product's list if there was one.
    pub(crate) fn neighbours_complete(&self, product: &str) -> bool {
        self.activity_partition(product).is_some_and(|partition| self.product_complete(partition))
    }

    fn activity_partition(&self, product: &str) -> Option<u32> {
        Some(partition_of(product.as_bytes(), self.layout?.activity_partitions.max(1)))
    }
}
