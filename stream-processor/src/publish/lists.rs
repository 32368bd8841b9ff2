use quick_cache::sync::Cache;
use recommender::Symbol;
use recommender::co_occurrence::Popularity;
use recommender::decay::DecayedSum;
use recommender::neighbours::DirectList;
use smol_str::SmolStr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::time::Instant;

/// What another process published is read again after so many seconds.
const READ_AGAIN: u32 = 60;
/// What was not there when it was read is looked for again after so many seconds.
const LOOK_AGAIN: u32 = 5;
/// When to read what this process ranked itself.
const NEVER: u32 = u32::MAX;

/// What ranking a product takes of others, shared by all partitions of the process: how often each of its candidates is seen, and
/// the direct neighbours of the nearest. The former is kept of every product, the latter of a bounded number; what is missing is
/// read from the serving store.
pub(crate) struct ListCache {
    /// By symbol, which are numbers without gaps: each candidate of each list is looked for, and a hash table, its locks and
    /// a count of references took a quarter of the time of ranking.
    briefs: boxcar::Vec<Brief>,
    lists: Cache<Symbol, Arc<DirectList>>,
    begun: Instant,
}

/// What is known of a product, within 64 bytes. Who looks while it changes may see parts of the old one, which does no harm:
/// rankings are made from what is known at the time.
#[derive(Default)]
struct Brief {
    season: Sum,
    recent: Sum,
    /// When its list is to be read (again), in seconds since `begun`.
    due: AtomicU32,
    category: RwLock<SmolStr>,
}

/// A decayed sum: the bits of its landmark and of its value in single precision; 0 where unknown.
#[derive(Default)]
struct Sum(AtomicU64);

impl Sum {
    fn set(&self, sum: DecayedSum) {
        let value = (sum.value as f32).to_bits();
        self.0.store(u64::from(sum.landmark as u32) << 32 | u64::from(value), Ordering::Relaxed);
    }

    fn get(&self) -> DecayedSum {
        let bits = self.0.load(Ordering::Relaxed);
        DecayedSum { landmark: (bits >> 32) as i32, value: f64::from(f32::from_bits(bits as u32)) }
    }
}

impl Brief {
    fn set(&self, popularity: &Popularity, category: SmolStr, due: u32) {
        self.season.set(popularity.season);
        self.recent.set(popularity.recent);
        *self.category.write().unwrap_or_else(PoisonError::into_inner) = category;
        self.due.store(due, Ordering::Relaxed);
    }

    fn popularity(&self) -> Option<Popularity> {
        let season = self.season.get();
        // Who is in a list was seen.
        (season.value > 0.0).then(|| Popularity {
            season,
            recent: self.recent.get(),
            ..Popularity::default()
        })
    }

    fn is_own(&self) -> bool {
        self.due.load(Ordering::Relaxed) == NEVER
    }
}

impl ListCache {
    /// With room for so many lists.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { briefs: boxcar::Vec::new(), lists: Cache::new(capacity), begun: Instant::now() }
    }

    /// Now, for the methods here: seconds since this began.
    pub(crate) fn now(&self) -> u32 {
        self.begun.elapsed().as_secs() as u32
    }

    fn brief(&self, product: Symbol) -> &Brief {
        loop {
            if let Some(brief) = self.briefs.get(product.0 as usize) {
                return brief;
            }
            self.briefs.push(Brief::default());
        }
    }

    /// Whether it is time to read a product's list.
    pub(crate) fn is_due(&self, product: Symbol, now: u32) -> bool {
        self.brief(product).due.load(Ordering::Relaxed) <= now
    }

    /// How often a product is seen, without its returns, where that is known.
    pub(crate) fn popularity(&self, product: Symbol) -> Option<Popularity> {
        self.brief(product).popularity()
    }

    /// A product's category; empty where unknown.
    pub(crate) fn category(&self, product: Symbol) -> SmolStr {
        self.brief(product).category.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A product's direct neighbours where they are here.
    pub(crate) fn list(&self, product: Symbol) -> Option<Arc<DirectList>> {
        self.lists.get(&product)
    }

    /// Whether a product has a list that is not here, for lack of room.
    pub(crate) fn is_evicted(&self, product: Symbol) -> bool {
        self.popularity(product).is_some() && !self.lists.contains_key(&product)
    }

    /// This process ranked it.
    pub(crate) fn put(&self, product: Symbol, direct: Arc<DirectList>, category: SmolStr) {
        self.brief(product).set(&direct.popularity, category, NEVER);
        self.lists.insert(product, direct);
    }

    /// What the serving store has of a product: its direct neighbours and its category.
    pub(crate) fn read(&self, product: Symbol, found: Option<(DirectList, SmolStr)>, now: u32) {
        let brief = self.brief(product);
        match found {
            // What this process knows of the product itself is newer than what it published.
            Some((direct, _)) if brief.is_own() => {
                if !self.lists.contains_key(&product) {
                    self.lists.insert(product, Arc::new(direct));
                }
            }
            Some((direct, category)) => {
                brief.set(&direct.popularity, category, now + READ_AGAIN);
                self.lists.insert(product, Arc::new(direct));
            }
            None if brief.is_own() => {}
            None => {
                brief.set(&Popularity::default(), SmolStr::default(), now + LOOK_AGAIN);
                self.lists.remove(&product);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of a product that was seen so often.
    fn list(times: f64) -> DirectList {
        let season = DecayedSum { landmark: -7, value: times };
        let recent = DecayedSum { landmark: 4_000, value: times / 2.0 };
        let popularity = Popularity { season, recent, ..Popularity::default() };
        DirectList { popularity, ..DirectList::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_publish_is_read_again_and_what_is_missing_is_not_asked_for_each_time() {
        let (lists, product) = (ListCache::new(100), Symbol(1));
        assert!(lists.is_due(product, 0), "nobody looked for it yet");
        lists.read(product, None, 0);
        assert!(lists.popularity(product).is_none() && !lists.is_due(product, LOOK_AGAIN - 1));
        assert!(lists.is_due(product, LOOK_AGAIN));
        lists.read(product, Some((list(8.0), "c".into())), LOOK_AGAIN);
        assert!(!lists.is_due(product, READ_AGAIN));
        assert!(lists.is_due(product, LOOK_AGAIN + READ_AGAIN));
        assert!(lists.list(product).is_some(), "until then the old one is better than none");
        lists.put(product, Arc::new(list(9.0)), "d".into());
        lists.read(product, None, 0);
        lists.read(product, Some((list(8.0), "c".into())), 0);
        assert!(!lists.is_due(product, NEVER - 1), "this process knows best what it ranks itself");
        assert_eq!(lists.popularity(product), Some(list(9.0).popularity));
        assert_eq!(lists.list(product).map(|list| list.popularity), Some(list(9.0).popularity));
        assert_eq!(lists.category(product), "d");
    }

    #[tokio::test(start_paused = true)]
    async fn how_often_products_are_seen_stays_known_when_there_is_no_room_for_their_lists() {
        let lists = ListCache::new(10);
        for product in 0..1_000 {
            lists.put(Symbol(product), Arc::new(list(f64::from(product + 1))), "c".into());
        }
        let evicted: Vec<u32> = (0..1_000).filter(|&product| lists.is_evicted(Symbol(product))).collect();
        assert!(evicted.len() >= 900, "{}", evicted.len());
        assert!((0..1_000).all(|product| !lists.is_due(Symbol(product), 0)), "none is to be read for that");
        let product = Symbol(evicted[0]);
        assert_eq!(lists.popularity(product).map(|known| known.season.value), Some(f64::from(product.0 + 1)));
        lists.read(product, Some((list(1.0), "old".into())), 0);
        assert!(lists.list(product).is_some());
        assert_eq!(lists.popularity(product).map(|known| known.season.value), Some(f64::from(product.0 + 1)));
        assert!(!lists.is_evicted(Symbol(2_000)), "nobody knows it");
    }

    #[test]
    fn a_product_takes_a_line_of_memory() {
        assert!(size_of::<Brief>() <= 64, "{}", size_of::<Brief>());
    }

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_in_seconds() {
        let lists = ListCache::new(10);
        tokio::time::advance(std::time::Duration::from_millis(61_500)).await;
        assert_eq!(lists.now(), 61);
    }
}
