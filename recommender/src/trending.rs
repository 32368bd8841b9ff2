//! Which products of a partition trend: a small index that says whose windows are worth an exact look.
//!
//! A product's window sums and its rise only shrink as time passes without events, so those taken earlier are upper bounds.
//! The best k are found by looking at the highest bounds, replacing these by exact sums, and repeating until the k best are
//! exact.

use crate::ProductRow;
use crate::buckets::WindowSum;
use crate::interner::Symbol;
use crate::rising::rise;
use hashbrown::{HashMap, HashSet};
use schemas::published::{Trend, Window};
use std::sync::Arc;

/// How many lists a product may be in, each of which it has a weight for.
pub const TRENDS: usize = Trend::ALL.len();
/// A rise is published in thousandths.
pub const RISE_UNIT: f64 = 1_000.0;
const MINUTE_MS: i64 = 60_000;

/// Products published per list.
pub const PUBLISHED: usize = 100;

/// Changes between two rankings of a list beyond which all products are looked at again.
const REMEMBERED: usize = 1_000;

/// Upper bounds of a product's weights, in the order of [`Trend::ALL`].
pub type Bounds = [u32; TRENDS];

#[derive(Debug)]
struct Entry {
    product: Symbol,
    bounds: Bounds,
    counts: [u32; TRENDS],
    /// Minute as of which the bounds are exact; 0 = never.
    minute: u32,
    /// Numbers of the categories it is in, ascending.
    categories: Box<[u32]>,
}

/// Products of one partition with events in an open window, or on the rise.
#[derive(Debug, Default)]
pub struct TrendingIndex {
    entries: Vec<Entry>,
    places: HashMap<Symbol, u32>,
    categories: HashMap<Arc<str>, u32>,
    /// By category number.
    category_names: Vec<Arc<str>>,
    /// Places by category number.
    members: Vec<Vec<u32>>,
    /// The best of all categories, in the order of [`Trend::ALL`].
    overall: [Overall; TRENDS],
}

/// The best products of all categories as ranked last, and what may have got among them since: within a minute, a product
/// gets there by its own events alone.
#[derive(Debug, Default)]
struct Overall {
    /// As of which minute it was ranked; `None` when everything has to be looked at.
    minute: Option<u32>,
    best: Vec<Symbol>,
    /// What a product needs to be among them.
    floor: u32,
    /// Products that have it, and changed since.
    changed: Vec<Symbol>,
}

impl Overall {
    /// A product's exact weight is new; `before` is what was exact until now, or a bound of it.
    fn changed(&mut self, product: Symbol, before: u32, now: u32) {
        let is_among = now > 0 && now >= self.floor;
        // Who takes the place of one that falls behind is not known; and of many, none is worth to be remembered.
        let is_over = !is_among && now < before && self.best.contains(&product);
        if is_over || self.changed.len() >= REMEMBERED {
            *self = Self::default();
        } else if is_among && self.minute.is_some() {
            self.changed.push(product);
        }
    }
}

/// One product of a [`Ranking`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrendingProduct {
    /// The product.
    pub product: Symbol,
    /// Its sum in the window; of what rises, its rise in thousandths and its events of 7 days.
    pub sum: WindowSum,
}

/// What a look at the index gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranking {
    /// The exact best, the best first.
    Exact(Vec<TrendingProduct>),
    /// The rows of these products are needed first: call [`TrendingIndex::update`] with each, then look again.
    Needs(Vec<Symbol>),
}

/// The weights of a row as of a time, in the order of [`Trend::ALL`].
pub fn sums_of(row: &ProductRow, now_ms: i64) -> [WindowSum; TRENDS] {
    Trend::ALL.map(|trend| match trend {
        Trend::Popular(window) => row.buckets.sum(window, now_ms),
        Trend::Rising => {
            // As of the minute, as windows are, so that what was looked at within one compares.
            let minute_ms = now_ms - now_ms.rem_euclid(MINUTE_MS);
            let rise = rise(row.co.popularity(), minute_ms).unwrap_or(0.0);
            // In bounds: a rise is at most that of demand that is all recent.
            let weight = (rise * RISE_UNIT) as u64;
            WindowSum { weight, count: row.buckets.sum(Window::Week, now_ms).count }
        }
    })
}

/// Bounds that need not be written anew at every event: the next powers of two.
pub fn coarse_bounds(sums: &[WindowSum; TRENDS]) -> Bounds {
    sums.map(|sum| {
        if sum.weight == 0 { 0 } else { narrow(sum.weight).checked_next_power_of_two().unwrap_or(u32::MAX) }
    })
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn minute_of(now_ms: i64) -> u32 {
    u32::try_from(now_ms.max(0) / MINUTE_MS).unwrap_or(u32::MAX)
}

impl TrendingIndex {
    /// Takes a product's categories and exact sums as of `now_ms`.
    pub fn update(
        &mut self,
        product: Symbol,
        categories: &[impl AsRef<str>],
        sums: &[WindowSum; TRENDS],
        now_ms: i64,
    ) {
        let place = self.place(product, categories);
        let entry = &mut self.entries[place as usize];
        for ((overall, before), sum) in self.overall.iter_mut().zip(entry.bounds).zip(sums) {
            overall.changed(product, before, narrow(sum.weight));
        }
        entry.bounds = sums.map(|sum| narrow(sum.weight));
        entry.counts = sums.map(|sum| narrow(sum.count));
        entry.minute = minute_of(now_ms);
    }

    /// Takes the categories and stored bounds of a product whose row was not looked at yet.
    pub fn restore(&mut self, product: Symbol, categories: &[impl AsRef<str>], bounds: Bounds) {
        let place = self.place(product, categories);
        let entry = &mut self.entries[place as usize];
        entry.bounds = bounds;
        entry.minute = 0;
        self.overall = Default::default();
    }

    /// The categories there are.
    pub fn categories(&self) -> impl Iterator<Item = &str> {
        self.category_names.iter().map(|name| &**name)
    }

    /// The category of a product that is in one; empty where it is in none, or not known.
    pub fn category_of(&self, product: Symbol) -> &str {
        let place = self.places.get(&product);
        let number = place.and_then(|&place| self.entries[place as usize].categories.last());
        number.map_or("", |&number| &self.category_names[number as usize])
    }

    /// How many products are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no product is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The best products of `trend` as of `now_ms`, in `category` or (`None`) of all. Weight first, ties by `name_order`.
    pub fn rank(
        &mut self,
        trend: Trend,
        category: Option<&str>,
        now_ms: i64,
        name_order: impl Fn(Symbol, Symbol) -> std::cmp::Ordering,
    ) -> Ranking {
        let (w, minute) = (trend.index(), minute_of(now_ms));
        let overall = &self.overall[w];
        let mut best: Vec<&Entry> = match category {
            None if overall.minute == Some(minute) => {
                let products = overall.best.iter().chain(&overall.changed);
                let mut places: Vec<u32> = products.map(|product| self.places[product]).collect();
                places.sort_unstable();
                places.dedup();
                places.into_iter().map(|place| &self.entries[place as usize]).collect()
            }
            None => self.entries.iter().filter(|entry| entry.bounds[w] > 0).collect(),
            Some(category) => self
                .categories
                .get(category)
                .into_iter()
                .flat_map(|&number| &self.members[number as usize])
                .map(|&place| &self.entries[place as usize])
                .filter(|entry| entry.bounds[w] > 0)
                .collect(),
        };
        let order = |a: &&Entry, b: &&Entry| {
            b.bounds[w].cmp(&a.bounds[w]).then_with(|| name_order(a.product, b.product))
        };
        if best.len() > PUBLISHED {
            // Numbers are told apart many times faster than names, of which only those of equals at the end are needed.
            let mut weights: Vec<u32> = best.iter().map(|entry| entry.bounds[w]).collect();
            let (_, &mut last, _) = weights.select_nth_unstable_by(PUBLISHED - 1, |a, b| b.cmp(a));
            best.retain(|entry| entry.bounds[w] >= last);
            if best.len() > PUBLISHED {
                best.select_nth_unstable_by(PUBLISHED - 1, order);
                best.truncate(PUBLISHED);
            }
        }
        let stale: Vec<Symbol> =
            best.iter().filter(|entry| entry.minute < minute).map(|entry| entry.product).collect();
        if !stale.is_empty() {
            return Ranking::Needs(stale);
        }
        best.sort_unstable_by(order);
        let product = |entry: &&Entry| TrendingProduct {
            product: entry.product,
            sum: WindowSum { weight: u64::from(entry.bounds[w]), count: u64::from(entry.counts[w]) },
        };
        let best: Vec<TrendingProduct> = best.iter().map(product).collect();
        if category.is_none() {
            let last = best.last().filter(|_| best.len() == PUBLISHED);
            self.overall[w] = Overall {
                minute: Some(minute),
                best: best.iter().map(|best| best.product).collect(),
                floor: last.map_or(0, |last| narrow(last.sum.weight)),
                changed: Vec::new(),
            };
        }
        Ranking::Exact(best)
    }

    /// Drops products whose windows are all empty and that do not rise. Places move: costs a pass over the index, so call it seldom.
    pub fn compact(&mut self) {
        let gone: HashSet<Symbol> = self
            .entries
            .iter()
            .filter(|entry| entry.bounds == [0; TRENDS])
            .map(|entry| entry.product)
            .collect();
        if gone.is_empty() {
            return;
        }
        self.entries.retain(|entry| !gone.contains(&entry.product));
        self.overall = Default::default();
        self.places.clear();
        self.members.iter_mut().for_each(Vec::clear);
        for (place, entry) in self.entries.iter().enumerate() {
            self.places.insert(entry.product, place as u32);
            for &category in &entry.categories {
                self.members[category as usize].push(place as u32);
            }
        }
    }

    fn place(&mut self, product: Symbol, categories: &[impl AsRef<str>]) -> u32 {
        let mut numbers: Vec<u32> =
            categories.iter().map(|category| self.number(category.as_ref())).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let place = match self.places.get(&product) {
            Some(&place) if *self.entries[place as usize].categories == *numbers => return place,
            Some(&place) => {
                for &before in &self.entries[place as usize].categories {
                    self.members[before as usize].retain(|&member| member != place);
                }
                place
            }
            None => {
                let place = self.entries.len() as u32;
                let (bounds, counts) = ([0; TRENDS], [0; TRENDS]);
                self.entries.push(Entry { product, bounds, counts, minute: 0, categories: Box::default() });
                self.places.insert(product, place);
                place
            }
        };
        for &category in &numbers {
            self.members[category as usize].push(place);
        }
        self.entries[place as usize].categories = numbers.into();
        place
    }

    fn number(&mut self, category: &str) -> u32 {
        if let Some(&number) = self.categories.get(category) {
            return number;
        }
        let number = self.members.len() as u32;
        self.members.push(Vec::new());
        let name: Arc<str> = category.into();
        self.category_names.push(Arc::clone(&name));
        self.categories.insert(name, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::EventKind;

    const HOUR_MS: i64 = 3_600_000;

    fn by_number(a: Symbol, b: Symbol) -> std::cmp::Ordering {
        a.0.cmp(&b.0)
    }

    /// Ranks, giving the index the rows that it asks for.
    fn settle(
        index: &mut TrendingIndex,
        rows: &[ProductRow],
        trend: Trend,
        category: Option<&str>,
        now: i64,
    ) -> Vec<u32> {
        loop {
            match index.rank(trend, category, now, by_number) {
                Ranking::Exact(best) => return best.iter().map(|best| best.product.0).collect(),
                Ranking::Needs(products) => {
                    for product in products {
                        let category = if product.0 % 2 == 0 { "even" } else { "odd" };
                        index.update(product, &[category], &sums_of(&rows[product.0 as usize], now), now);
                    }
                }
            }
        }
    }

    /// The best of the products that `keep` accepts, by sorting all of them.
    fn sorted(rows: &[ProductRow], trend: Trend, now: i64, keep: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut weights: Vec<(u64, u32)> = (0..rows.len() as u32)
            .filter(|&product| keep(product))
            .map(|product| (sums_of(&rows[product as usize], now)[trend.index()].weight, product))
            .filter(|(weight, _)| *weight > 0)
            .collect();
        weights.sort_by_key(|&(weight, product)| (std::cmp::Reverse(weight), product));
        weights.into_iter().take(PUBLISHED).map(|(_, product)| product).collect()
    }

    fn rows() -> Vec<ProductRow> {
        (0..500u32)
            .map(|product| {
                let mut row = ProductRow::default();
                for i in 0..(product * 7919 % 97) {
                    row.observe(
                        EventKind::View,
                        1,
                        None,
                        100 * HOUR_MS + i64::from(i * 13 % 40) * HOUR_MS / 8,
                    );
                }
                row
            })
            .collect()
    }

    #[test]
    fn the_ranking_is_that_of_a_full_sort_whatever_the_bounds_were() {
        let rows = rows();
        for now in [105 * HOUR_MS, 110 * HOUR_MS, 128 * HOUR_MS, 900 * HOUR_MS] {
            for trend in Trend::ALL {
                let mut index = TrendingIndex::default();
                for (product, row) in rows.iter().enumerate() {
                    let category = if product % 2 == 0 { "even" } else { "odd" };
                    index.restore(
                        Symbol(product as u32),
                        &[category],
                        coarse_bounds(&sums_of(row, row.buckets.newest_ms())),
                    );
                }
                for (category, keep) in [(None, 0..2), (Some("odd"), 1..2)] {
                    let expected = sorted(&rows, trend, now, |product| keep.contains(&(product % 2)));
                    assert_eq!(settle(&mut index, &rows, trend, category, now), expected, "{trend:?} {now}");
                }
            }
        }
    }

    #[test]
    fn the_best_of_all_are_right_after_every_event() {
        let (mut rows, mut index, mut now) = (rows(), TrendingIndex::default(), 105 * HOUR_MS);
        let categories: [&str; 0] = [];
        for (product, row) in rows.iter().enumerate() {
            index.update(Symbol(product as u32), &categories, &sums_of(row, now), now);
        }
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..400 {
            now += random.i64(0..20_000);
            for _ in 0..random.usize(0..6) {
                let product = random.usize(0..500);
                // Also late ones, which change a longer window only.
                let timestamp_ms = now - random.i64(0..3) * 2 * HOUR_MS;
                rows[product].observe(EventKind::View, random.u32(1..4), None, timestamp_ms);
                index.update(Symbol(product as u32), &categories, &sums_of(&rows[product], now), now);
            }
            if round == 200 {
                index.compact();
            }
            for trend in Trend::ALL {
                let expected = sorted(&rows, trend, now, |_| true);
                assert_eq!(settle(&mut index, &rows, trend, None, now), expected, "{trend:?}, round {round}");
            }
        }
    }

    #[test]
    fn compaction_drops_only_what_no_window_holds() {
        let rows = rows();
        let mut index = TrendingIndex::default();
        for (product, row) in rows.iter().enumerate() {
            index.update(Symbol(product as u32), &["even"], &sums_of(row, 106 * HOUR_MS), 106 * HOUR_MS);
        }
        let before = settle(&mut index, &rows, Window::Day.into(), None, 106 * HOUR_MS);
        index.compact();
        assert!(index.len() < 500);
        assert_eq!(settle(&mut index, &rows, Window::Day.into(), None, 106 * HOUR_MS), before);
    }
}
