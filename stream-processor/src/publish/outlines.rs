//! What ranking has to know of all candidates of a list, hundreds of them: kept in a row, by symbol, so that each takes one look at
//! memory far away, where a shared cache of whole lists takes several. Grows with the catalog, 24 bytes a product.

use recommender::co_occurrence::Popularity;
use recommender::decay::DecayedSum;
use recommender::{Interner, Symbol};
use smol_str::SmolStr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::time::Instant;

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// This process, which ranked the product's list itself.
    Own,
    /// A list that another process published.
    Read,
}

/// For so long, what this process ranked is taken for the newest that there is: its partition may be another's by then.
const IS_NEW_FOR: Duration = Duration::from_secs(600);
/// The row grows by so many products.
const CHUNK: usize = 1_024;

/// Popularities and categories by product.
#[derive(Debug)]
pub(crate) struct Outlines {
    products: RwLock<Vec<Outline>>,
    categories: Interner,
    begun: Instant,
}

/// Of one product. Who looks while it is written may see some of it from before: ranking is none the worse for that.
#[derive(Debug, Default)]
struct Outline {
    season: AtomicU64,
    recent: AtomicU64,
    /// The symbol of a category and 1; 0 = not known.
    category: AtomicU32,
    /// [`UNKNOWN`], [`READ`], or when this process ranked its list.
    ranked: AtomicU32,
}

const UNKNOWN: u32 = 0;
const READ: u32 = 1;
/// From here on, seconds.
const RANKED: u32 = 2;

/// Keeps the row where it is for as long as it is looked at.
pub(crate) struct Looking<'a> {
    products: RwLockReadGuard<'a, Vec<Outline>>,
    /// What was ranked from here on is new.
    new_from: u32,
}

impl Default for Outlines {
    fn default() -> Self {
        Self { products: RwLock::default(), categories: Interner::default(), begun: Instant::now() }
    }
}

impl Outlines {
    /// Takes note of a product.
    pub(crate) fn note(
        &self,
        product: Symbol,
        popularity: &Popularity,
        category: &str,
        source: Source,
        now: Instant,
    ) {
        let at = product.0 as usize;
        if self.look(now).products.len() <= at {
            let mut products = self.products.write().unwrap_or_else(PoisonError::into_inner);
            let len = products.len().max((at + 1).next_multiple_of(CHUNK));
            products.resize_with(len, Outline::default);
        }
        let looking = self.look(now);
        let outline = &looking.products[at];
        let category = if category.is_empty() { 0 } else { self.categories.intern(category).0 + 1 };
        outline.season.store(packed(popularity.season), Ordering::Relaxed);
        outline.recent.store(packed(popularity.recent), Ordering::Relaxed);
        // Whoever sees the number finds the category.
        outline.category.store(category, Ordering::Release);
        let ranked = match source {
            Source::Own => self.seconds(now),
            Source::Read => READ,
        };
        outline.ranked.store(ranked, Ordering::Release);
    }

    /// For looking at many.
    pub(crate) fn look(&self, now: Instant) -> Looking<'_> {
        let products = self.products.read().unwrap_or_else(PoisonError::into_inner);
        let new_from = self.seconds(now).saturating_sub(IS_NEW_FOR.as_secs() as u32).max(RANKED);
        Looking { products, new_from }
    }

    fn seconds(&self, now: Instant) -> u32 {
        RANKED.saturating_add(u32::try_from((now - self.begun).as_secs()).unwrap_or(u32::MAX))
    }

    /// A product's category; empty where it is not known.
    pub(crate) fn category_of(&self, looking: &Looking<'_>, product: Symbol) -> SmolStr {
        let outline = looking.products.get(product.0 as usize);
        let category = outline.map_or(0, |outline| outline.category.load(Ordering::Acquire));
        match category.checked_sub(1) {
            Some(symbol) => self.categories.id(Symbol(symbol)).clone(),
            None => SmolStr::default(),
        }
    }
}

impl Looking<'_> {
    /// Whether this process ranked the product's list itself a short while ago.
    pub(crate) fn is_own(&self, product: Symbol) -> bool {
        let outline = self.products.get(product.0 as usize);
        outline.is_some_and(|outline| outline.ranked.load(Ordering::Relaxed) >= self.new_from)
    }

    /// A product's popularity where it is known, but for its returns.
    pub(crate) fn popularity_of(&self, product: Symbol) -> Option<Popularity> {
        let outline = self.products.get(product.0 as usize)?;
        (outline.ranked.load(Ordering::Acquire) != UNKNOWN).then(|| Popularity {
            season: unpacked(outline.season.load(Ordering::Relaxed)),
            recent: unpacked(outline.recent.load(Ordering::Relaxed)),
            returns: DecayedSum::default(),
        })
    }
}

/// As exact as published lists have it.
fn packed(sum: DecayedSum) -> u64 {
    u64::from((sum.value as f32).to_bits()) << 32 | u64::from(sum.landmark as u32)
}

fn unpacked(packed: u64) -> DecayedSum {
    DecayedSum { landmark: packed as u32 as i32, value: f64::from(f32::from_bits((packed >> 32) as u32)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn products_are_known_by_what_was_noted_last() {
        let (outlines, now) = (Outlines::default(), Instant::now());
        let popularity = |value: f64| Popularity {
            season: DecayedSum { landmark: -3, value },
            recent: DecayedSum { landmark: 20_000, value: 0.5 },
            returns: DecayedSum::default(),
        };
        outlines.note(Symbol(7), &popularity(2.25), "c", Source::Own, now);
        outlines.note(Symbol(5_000), &popularity(1e9), "", Source::Read, now);
        let looking = outlines.look(now);
        assert_eq!(looking.popularity_of(Symbol(7)), Some(popularity(2.25)));
        assert_eq!(looking.popularity_of(Symbol(5_000)), Some(popularity(1e9)));
        assert!([3, 8, 100_000].into_iter().all(|other| looking.popularity_of(Symbol(other)).is_none()));
        let is_own = [7, 5_000, 3, 100_000].map(|product| looking.is_own(Symbol(product)));
        assert_eq!(is_own, [true, false, false, false]);
        let category = |product| outlines.category_of(&looking, Symbol(product));
        assert_eq!([7, 5_000, 100_000].map(category), ["c", "", ""]);
        drop(looking);
        outlines.note(Symbol(7), &popularity(3.0), "d", Source::Read, now);
        let looking = outlines.look(now);
        assert!(!looking.is_own(Symbol(7)));
        assert_eq!(outlines.category_of(&looking, Symbol(7)), "d");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_ranked_long_ago_may_be_another_process_by_now() {
        let (outlines, now) = (Outlines::default(), Instant::now());
        let later = now + Duration::from_secs(100);
        outlines.note(Symbol(0), &Popularity::default(), "", Source::Own, later);
        assert!(outlines.look(later + IS_NEW_FOR).is_own(Symbol(0)));
        let looking = outlines.look(later + IS_NEW_FOR + Duration::from_secs(1));
        assert!(!looking.is_own(Symbol(0)) && looking.popularity_of(Symbol(0)).is_some());
    }
}
