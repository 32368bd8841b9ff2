use super::cached::Held;
use super::{Cached, Snapshots};
use crate::degraded::Degraded;
use crate::metrics;
use crate::reader::{Read, decoded};
use quick_cache::sync::Cache;
use recommender::ranking::merge_trending;
use schemas::names;
use schemas::published::{Trend, TrendingEntry, TrendingList};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Mutex, MutexGuard, mpsc};

/// Products kept of a merged list: enough for the longest answer after everything that is filtered out of it.
const KEPT: usize = 300;
/// Categories that may wait for being read again. More are not worth waiting for: the next request asks anew.
const WANTED: usize = 256;

/// The trending lists, globally or of one category.
#[derive(Debug, Default)]
pub(crate) struct TrendingLists {
    /// In the order of [`Trend::ALL`].
    lists: [Vec<TrendingEntry>; Trend::ALL.len()],
    /// Set when they came by a detour.
    degraded: Option<Degraded>,
}

impl TrendingLists {
    /// The products of a list, the best first.
    pub(crate) fn of(&self, trend: impl Into<Trend>) -> &[TrendingEntry] {
        &self.lists[trend.into().index()]
    }
}

/// The lists held: the global ones, and those of the categories asked for lately.
pub(crate) struct Trending {
    global: Cached<TrendingLists>,
    categories: Cache<String, Arc<Category>>,
    ask: mpsc::Sender<Arc<str>>,
    wanted: Mutex<mpsc::Receiver<Arc<str>>>,
}

#[derive(Default)]
struct Category {
    lists: Cached<TrendingLists>,
    /// Whether it waits for being read again.
    queued: AtomicBool,
}

impl Trending {
    pub(crate) fn new(categories: usize) -> Self {
        let (ask, wanted) = mpsc::channel(WANTED);
        Self {
            global: Cached::default(),
            categories: Cache::new(categories),
            ask,
            wanted: Mutex::new(wanted),
        }
    }

    pub(crate) fn global(&self) -> &Cached<TrendingLists> {
        &self.global
    }

    /// The categories to be read again; for the one task that does.
    pub(crate) async fn wanted(&self) -> MutexGuard<'_, mpsc::Receiver<Arc<str>>> {
        self.wanted.lock().await
    }

    fn category(&self, name: &str) -> Arc<Category> {
        // Two that come at once share the first one's: otherwise both would load.
        let insert = self.categories.get_or_insert_with(name, || Ok::<_, Infallible>(Arc::default()));
        match insert {
            Ok(category) => category,
        }
    }

    /// Has a category read again soon, unless it waits for that already.
    fn queue(&self, name: &str, category: &Category) {
        if !category.queued.swap(true, Ordering::Relaxed) && self.ask.try_send(name.into()).is_err() {
            category.queued.store(false, Ordering::Relaxed);
        }
    }
}

impl Snapshots {
    /// The lists of a category or the global ones. Young ones are used as they are; older ones too, while they are read
    /// again in the background; only very old or absent ones are waited for.
    pub(crate) async fn trending(&self, category: Option<&str>) -> Read<Arc<TrendingLists>> {
        let Some(name) = category else {
            return self.wait_for(&self.trending.global, None).await;
        };
        let category = self.trending.category(name);
        if let Some(lists) = self.at_hand(name, &category) {
            return lists;
        }
        self.wait_for(&category.lists, Some(name)).await
    }

    /// The lists of a category if they are at hand; otherwise they will be soon.
    pub(crate) fn trending_at_hand(&self, name: &str) -> Option<Read<Arc<TrendingLists>>> {
        let category = self.trending.category(name);
        let lists = self.at_hand(name, &category);
        if lists.is_none() {
            self.trending.queue(name, &category);
        }
        lists
    }

    fn at_hand(&self, name: &str, category: &Category) -> Option<Read<Arc<TrendingLists>>> {
        let Some(held) = category.lists.peek().filter(|held| held.age <= self.max_age) else {
            metrics::cache("category", "miss", 1);
            return None;
        };
        let stale = held.age > self.refresh;
        metrics::cache("category", if stale { "stale" } else { "fresh" }, 1);
        if stale {
            self.trending.queue(name, category);
        }
        Some(read(held))
    }

    pub(super) async fn reload_category(&self, name: &str) {
        let category = self.trending.category(name);
        category.queued.store(false, Ordering::Relaxed);
        category.lists.reload(self.load_trending(Some(name))).await;
    }

    async fn wait_for(
        &self,
        lists: &Cached<TrendingLists>,
        category: Option<&str>,
    ) -> Read<Arc<TrendingLists>> {
        match lists.within(self.max_age, self.load_trending(category)).await {
            Some(held) => read(held),
            None => Read { value: Arc::default(), degraded: Some(Degraded::StoresUnavailable) },
        }
    }

    pub(super) async fn load_trending(&self, category: Option<&str>) -> Option<TrendingLists> {
        let Some(layout) = self.layout().await?.value else { return Some(TrendingLists::default()) };
        let partitions = layout.activity_partitions;
        let generation = self.reader.generation();
        let key = |trend, partition| {
            names::trending_key(generation, trend, category.unwrap_or_default(), partition)
        };
        let keys: Vec<String> = Trend::ALL
            .into_iter()
            .flat_map(|trend| (0..partitions).map(move |partition| key(trend, partition)))
            .collect();
        let markers = self.markers().await;
        let complete = |index: usize| markers.product_complete(index as u32 % partitions.max(1));
        let read = self.reader.published(&keys, complete).await;
        if read.degraded == Some(Degraded::StoresUnavailable) {
            return None;
        }
        let mut lists = TrendingLists { degraded: read.degraded, ..TrendingLists::default() };
        let mut values = read.value.into_iter();
        for merged in &mut lists.lists {
            let shares: Vec<TrendingList> = values
                .by_ref()
                .take(partitions as usize)
                .flatten()
                .filter_map(|share| decoded(TrendingList::decode(&share)))
                .collect();
            *merged = merge_trending(&shares, |_, _| true, KEPT);
        }
        Some(lists)
    }
}

/// Lists that could not be read again are the last good ones, however young.
fn read(held: Held<TrendingLists>) -> Read<Arc<TrendingLists>> {
    let degraded = if held.failed { Some(Degraded::StoresUnavailable) } else { held.value.degraded };
    Read { value: held.value, degraded }
}
