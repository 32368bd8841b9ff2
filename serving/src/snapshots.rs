//! Small values that every answer needs, kept in this process and read again every second or so: the layout, the
//! processor's markers, the repeat tables and the trending lists.

mod cached;
mod markers;
mod trending;

pub(crate) use markers::Markers;
pub(crate) use trending::{Trending, TrendingLists};

use crate::config::ServingConfig;
use crate::degraded::Degraded;
use crate::reader::{Read, Reader, decoded};
use cached::Cached;
use schemas::names;
use schemas::published::{Layout, RepeatTable, Window};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// The snapshots of one generation.
pub(crate) struct Snapshots {
    reader: Reader,
    refresh: Duration,
    marker_refresh: Duration,
    max_age: Duration,
    layout: Cached<Read<Option<Layout>>>,
    markers: Cached<Markers>,
    repeats: Cached<Read<RepeatTable>>,
    trending: Trending,
}

impl Snapshots {
    pub(crate) fn new(config: &ServingConfig, reader: Reader) -> Self {
        Self {
            reader,
            refresh: config.snapshot_refresh(),
            marker_refresh: config.marker_refresh(),
            max_age: config.snapshot_max_age(),
            layout: Cached::default(),
            markers: Cached::default(),
            repeats: Cached::default(),
            trending: Trending::new(config.category_cache),
        }
    }

    /// Reads everything again in its rhythm until `token` is cancelled, and categories when they are asked for.
    pub(crate) async fn keep_fresh(&self, token: &CancellationToken) {
        let rhythm = |period| {
            let mut rhythm = interval(period);
            rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
            rhythm
        };
        let (mut markers, mut lists) = (rhythm(self.marker_refresh), rhythm(self.refresh));
        let mut wanted = self.trending.wanted().await;
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                _ = markers.tick() => self.markers.reload(self.load_markers()).await,
                _ = lists.tick() => self.reload_lists().await,
                Some(category) = wanted.recv() => self.reload_category(&category).await,
            }
        }
    }

    /// Reads once what [`Snapshots::keep_fresh`] reads again and again.
    pub(crate) async fn reload(&self) {
        self.layout.reload(self.load_layout()).await;
        self.markers.reload(self.load_markers()).await;
        self.reload_lists().await;
    }

    /// Whether there is a generation that answers can be made from: its processor has published a layout, and what trends
    /// could be read.
    pub(crate) fn are_loaded(&self) -> bool {
        let layout = self.layout.peek().is_some_and(|held| held.value.value.is_some());
        layout && self.markers.peek().is_some() && self.trending.global().peek().is_some()
    }

    /// Whether something trends here in each window in which something trends in `live`, as far as either knows.
    pub(crate) fn trends_cover(&self, live: &Self) -> bool {
        let lists = |snapshots: &Self| snapshots.trending.global().peek().map(|held| held.value);
        let (Some(here), Some(there)) = (lists(self), lists(live)) else { return true };
        Window::ALL.into_iter().all(|window| there.of(window).is_empty() || !here.of(window).is_empty())
    }

    async fn reload_lists(&self) {
        self.layout.reload(self.load_layout()).await;
        self.trending.global().reload(self.load_trending(None)).await;
        self.repeats.reload(self.load_repeats()).await;
    }

    /// The newest markers; empty as long as no processor has published a layout, or no store could be asked.
    pub(crate) async fn markers(&self) -> Arc<Markers> {
        match self.markers.within(self.marker_refresh * 2, self.load_markers()).await {
            Some(held) => held.value,
            None => Arc::default(),
        }
    }

    /// How far the newest markers are behind `now_ms`; `None` before the first ones.
    pub(crate) fn data_age(&self, now_ms: i64) -> Option<Duration> {
        let reflected_ms = self.markers.peek()?.value.all_reflected_ms()?;
        Some(Duration::from_millis(now_ms.saturating_sub(reflected_ms).max(0) as u64))
    }

    /// The partitions' repeat tables, merged.
    pub(crate) async fn repeats(&self) -> Arc<Read<RepeatTable>> {
        match self.repeats.within(self.max_age, self.load_repeats()).await {
            Some(held) => held.value,
            None => Arc::default(),
        }
    }

    async fn layout(&self) -> Option<Arc<Read<Option<Layout>>>> {
        Some(self.layout.within(self.refresh * 2, self.load_layout()).await?.value)
    }

    async fn load_layout(&self) -> Option<Read<Option<Layout>>> {
        let key = [names::layout_key(self.reader.generation())];
        // Without a layout nothing can be believed, so the state store is always asked as well.
        let read = self.reader.published(&key, |_| false).await;
        if read.degraded == Some(Degraded::StoresUnavailable) {
            return None;
        }
        let value = read.value.into_iter().flatten().next();
        let value = value.and_then(|value| decoded(Layout::decode(&value)));
        Some(Read { value, degraded: read.degraded })
    }

    async fn load_markers(&self) -> Option<Markers> {
        let Some(layout) = self.layout().await?.value else { return Some(Markers::default()) };
        let values = self.reader.markers(&Markers::keys(self.reader.generation(), layout)).await.ok()?;
        Some(Markers::decode(layout, values))
    }

    async fn load_repeats(&self) -> Option<Read<RepeatTable>> {
        let Some(layout) = self.layout().await?.value else { return Some(Read::default()) };
        let keys: Vec<String> = (0..layout.activity_partitions)
            .map(|partition| names::repeats_key(self.reader.generation(), partition))
            .collect();
        let markers = self.markers().await;
        let read = self.reader.published(&keys, |index| markers.product_complete(index as u32)).await;
        if read.degraded == Some(Degraded::StoresUnavailable) {
            return None;
        }
        let mut value = RepeatTable::default();
        for share in read.value.into_iter().flatten() {
            if let Some(share) = decoded(RepeatTable::decode(&share)) {
                value.merge(&share);
            }
        }
        Some(Read { value, degraded: read.degraded })
    }
}
