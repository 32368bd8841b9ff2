//! What ranking has to know of all candidates of a list, hundreds of them: kept in a row, by symbol, so that each takes one look at
//! memory far away, where a shared cache of whole lists takes several. Grows with the catalog, 24 bytes a product.

use recommender::co_occurrence::Popularity;
use recommender::decay::DecayedSum;
use recommender::{Interner, Symbol};
use smol_str::SmolStr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// This process, which ranked the product's list itself.
    Own = 1,
    /// A list that another process published.
    Read = 2,
}

/// Popularities and categories by product.
#[derive(Debug, Default)]
pub(crate) struct Outlines {
    products: RwLock<Vec<Outline>>,
    categories: Interner,
}

/// Of one product. Who looks while it is written may see some of it from before: ranking is none the worse for that.
#[derive(Debug, Default)]
struct Outline {
    season: AtomicU64,
    recent: AtomicU64,
    /// The symbol of a category and 1; 0 = not known.
    category: AtomicU32,
    /// A [`Source`]; 0 = nothing is known.
    source: AtomicU8,
}

/// Keeps the row where it is for as long as it is looked at.
pub(crate) struct Looking<'a>(RwLockReadGuard<'a, Vec<Outline>>);

impl Outlines {
    /// Takes note of a product.
    pub(crate) fn note(&self, product: Symbol, popularity: &Popularity, category: &str, source: Source) {
        let at = product.0 as usize;
        if self.look().0.len() <= at {
            let mut products = self.products.write().unwrap_or_else(PoisonError::into_inner);
            let len = products.len().max(at + 1);
            products.resize_with(len, Outline::default);
        }
        let products = self.look();
        let outline = &products.0[at];
        let category = if category.is_empty() { 0 } else { self.categories.intern(category).0 + 1 };
        outline.season.store(packed(popularity.season), Ordering::Relaxed);
        outline.recent.store(packed(popularity.recent), Ordering::Relaxed);
        outline.category.store(category, Ordering::Relaxed);
        outline.source.store(source as u8, Ordering::Release);
    }

    /// For looking at many.
    pub(crate) fn look(&self) -> Looking<'_> {
        Looking(self.products.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A product's category; empty where it is not known.
    pub(crate) fn category_of(&self, looking: &Looking<'_>, product: Symbol) -> SmolStr {
        let category = looking.0.get(product.0 as usize).map_or(0, |o| o.category.load(Ordering::Relaxed));
        match category.checked_sub(1) {
            Some(symbol) => self.categories.id(Symbol(symbol)).clone(),
            None => SmolStr::default(),
        }
    }
}

impl Looking<'_> {
    /// Whether this process ranked the product's list itself.
    pub(crate) fn is_own(&self, product: Symbol) -> bool {
        self.0.get(product.0 as usize).is_some_and(|o| o.source.load(Ordering::Relaxed) == Source::Own as u8)
    }

    /// A product's popularity where it is known, but for its returns.
    pub(crate) fn popularity_of(&self, product: Symbol) -> Option<Popularity> {
        let outline = self.0.get(product.0 as usize)?;
        (outline.source.load(Ordering::Acquire) != 0).then(|| Popularity {
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

    #[test]
    fn products_are_known_by_what_was_noted_last() {
        let outlines = Outlines::default();
        let popularity = |value: f64| Popularity {
            season: DecayedSum { landmark: -3, value },
            recent: DecayedSum { landmark: 20_000, value: 0.5 },
            returns: DecayedSum::default(),
        };
        outlines.note(Symbol(7), &popularity(2.25), "c", Source::Own);
        outlines.note(Symbol(2), &popularity(1e9), "", Source::Read);
        let looking = outlines.look();
        assert_eq!(looking.popularity_of(Symbol(7)), Some(popularity(2.25)));
        assert_eq!(looking.popularity_of(Symbol(2)), Some(popularity(1e9)));
        assert!([3, 8, 1_000].into_iter().all(|other| looking.popularity_of(Symbol(other)).is_none()));
        assert!(looking.is_own(Symbol(7)) && !looking.is_own(Symbol(2)) && !looking.is_own(Symbol(1_000)));
        let category = |product| outlines.category_of(&looking, Symbol(product));
        assert_eq!([7, 2, 1_000].map(category), ["c", "", ""]);
        drop(looking);
        outlines.note(Symbol(7), &popularity(3.0), "d", Source::Read);
        let looking = outlines.look();
        assert!(!looking.is_own(Symbol(7)));
        assert_eq!(outlines.category_of(&looking, Symbol(7)), "d");
    }
}
