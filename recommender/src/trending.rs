//! Which products of a partition trend: a small index that says whose windows are worth an exact look.
//!
//! A product's window sums and its rise only shrink as time passes without events, so those taken earlier are upper bounds, and
//! long enough after its last event they are 0: no row is looked at for that.
//! The best k are found by looking at the highest bounds, replacing these by exact sums, and repeating until the k best are
//! exact. Of many products, the few with the highest bounds are kept apart (`board`): the others come into it again only by
//! their own events, or when too many of the few have fallen behind.

mod board;

use crate::ProductRow;
use crate::buckets::{WindowSum, window_begins_ms};
use crate::interner::Symbol;
use crate::rising::{RISE_ENDS_MS, rise};
use board::{Board, KEPT, Standing, cut};
use hashbrown::{HashMap, HashSet};
use schemas::published::{Trend, Window};
use std::cmp::Ordering;
use std::sync::Arc;

/// How many lists a product may be in, each of which it has a weight for.
pub const TRENDS: usize = Trend::ALL.len();
/// A rise is published in thousandths.
pub const RISE_UNIT: f64 = 1_000.0;
const MINUTE_MS: i64 = 60_000;

/// Products published per list.
pub const PUBLISHED: usize = 100;

/// Rows asked for at once are those of the published, and twice as many each time that most of these have to be asked for again,
/// so many times.
const MOST_DOUBLED: u32 = 5;

/// Upper bounds of a product's weights, in the order of [`Trend::ALL`].
pub type Bounds = [u32; TRENDS];
const EMPTY: Bounds = [0; TRENDS];

#[derive(Debug)]
struct Entry {
    product: Symbol,
    bounds: Bounds,
    counts: [u32; TRENDS],
    /// Minute as of which the bounds are exact; 0 = never.
    minute: u32,
    /// No event is of a later minute.
    last: u32,
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
    /// The lists of all categories together.
    overall: Boards,
    /// By category number; `None` where there are so few members that all are looked at.
    of_category: Vec<Option<Box<Boards>>>,
    /// Entries whose bounds are all 0.
    empty: usize,
    /// How often in a row more than half of the published were asked for.
    asked: u32,
    /// The first minute that any list looked back to when bounds were last taken from what is over.
    looked_back_to: u32,
}

/// In the order of [`Trend::ALL`].
type Boards = [Board; TRENDS];

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

/// What a product's row says of its place in the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// Its weights, in the order of [`Trend::ALL`].
    pub sums: [WindowSum; TRENDS],
    /// Time of its newest event, milliseconds since 1970 UTC; 0 without one.
    pub newest_ms: i64,
}

impl Demand {
    /// As of a time.
    pub fn of(row: &ProductRow, now_ms: i64) -> Self {
        let sums = Trend::ALL.map(|trend| match trend {
            Trend::Popular(window) => row.buckets.sum(window, now_ms),
            Trend::Rising => {
                // As of the minute, as windows are, so that what was looked at within one compares.
                let minute_ms = now_ms - now_ms.rem_euclid(MINUTE_MS);
                let rise = rise(row.co.popularity(), minute_ms).unwrap_or(0.0);
                // In bounds: a rise is at most that of demand that is all recent.
                let weight = (rise * RISE_UNIT) as u64;
                WindowSum { weight, count: row.buckets.sum(Window::Week, now_ms).count }
            }
        });
        Self { sums, newest_ms: row.buckets.newest_ms() }
    }

    /// Bounds that need not be written anew at every event: the next powers of two.
    pub fn coarse_bounds(&self) -> Bounds {
        self.sums.map(|sum| match sum.weight {
            0 => 0,
            weight => narrow(weight).checked_next_power_of_two().unwrap_or(u32::MAX),
        })
    }
}

/// The first minute whose events count in a list as of a time: a product without a later one has no weight in it.
fn first_minute(trend: Trend, now_ms: i64) -> u32 {
    minute_of(match trend {
        Trend::Popular(window) => window_begins_ms(window, now_ms),
        Trend::Rising => now_ms - RISE_ENDS_MS,
    })
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn minute_of(now_ms: i64) -> u32 {
    u32::try_from(now_ms.max(0) / MINUTE_MS).unwrap_or(u32::MAX)
}

impl TrendingIndex {
    /// Takes a product's categories and what its row says as of `now_ms`.
    pub fn update(&mut self, product: Symbol, categories: &[impl AsRef<str>], demand: &Demand, now_ms: i64) {
        let place = self.place(product, categories);
        let entry = &mut self.entries[place as usize];
        entry.counts = demand.sums.map(|sum| narrow(sum.count));
        entry.minute = minute_of(now_ms);
        entry.last = minute_of(demand.newest_ms);
        self.set_bounds(place, demand.sums.map(|sum| narrow(sum.weight)));
    }

    /// Takes the categories and stored bounds of a product whose row was not looked at yet; none of its events is later than
    /// `last_ms`.
    pub fn restore(&mut self, product: Symbol, categories: &[impl AsRef<str>], bounds: Bounds, last_ms: i64) {
        let place = self.place(product, categories);
        let entry = &mut self.entries[place as usize];
        entry.minute = 0;
        entry.last = minute_of(last_ms);
        self.set_bounds(place, bounds);
    }

    fn set_bounds(&mut self, place: u32, bounds: Bounds) {
        let Self { entries, overall, of_category, empty, .. } = self;
        let entry = &mut entries[place as usize];
        *empty = *empty + usize::from(bounds == EMPTY) - usize::from(entry.bounds == EMPTY);
        entry.bounds = bounds;
        offer(overall, place, bounds);
        for &number in &entry.categories {
            if let Some(boards) = &mut of_category[number as usize] {
                offer(boards, place, bounds);
            }
        }
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
        name_order: impl Fn(Symbol, Symbol) -> Ordering,
    ) -> Ranking {
        let (w, minute) = (trend.index(), minute_of(now_ms));
        let number = match category.map(|category| self.categories.get(category)) {
            None => None,
            Some(None) => return Ranking::Exact(Vec::new()),
            Some(Some(&number)) => Some(number),
        };
        let wanted = PUBLISHED << self.asked.saturating_sub(1).min(MOST_DOUBLED);
        let best = self.highest(w, number, wanted, first_minute(trend, now_ms), name_order);
        let entries = &self.entries;
        let best: Vec<&Entry> = best.iter().map(|standing| &entries[standing.place as usize]).collect();
        let published = &best[..best.len().min(PUBLISHED)];
        let is_stale = |entry: &&&Entry| entry.minute < minute;
        let stale = published.iter().filter(is_stale).count();
        if stale > 0 {
            // Where few are, bounds are about right: more rows than these would be read for nothing.
            self.asked = if 2 * stale >= published.len() { self.asked + 1 } else { 0 };
            return Ranking::Needs(best.iter().filter(is_stale).map(|entry| entry.product).collect());
        }
        let product = |entry: &&Entry| TrendingProduct {
            product: entry.product,
            sum: WindowSum { weight: u64::from(entry.bounds[w]), count: u64::from(entry.counts[w]) },
        };
        let exact = published.iter().map(product).collect();
        self.asked = 0;
        let boards = match number {
            None => Some(&mut self.overall),
            Some(number) => self.of_category[number as usize].as_deref_mut(),
        };
        if let Some(boards) = boards {
            boards[w].settled();
        }
        Ranking::Exact(exact)
    }

    /// The products with the highest bounds of a trend, the highest first, in the category with a number or (`None`) of all.
    /// Those without an event since the `first` minute are as good as gone.
    fn highest(
        &mut self,
        w: usize,
        number: Option<u32>,
        wanted: usize,
        first: u32,
        name_order: impl Fn(Symbol, Symbol) -> Ordering,
    ) -> Vec<Standing> {
        let Self { entries, members, overall, of_category, .. } = self;
        let order = |a: &Standing, b: &Standing| {
            let product = |standing: &Standing| entries[standing.place as usize].product;
            b.weight.cmp(&a.weight).then_with(|| name_order(product(a), product(b)))
        };
        let standing = |place: u32| {
            let entry = &entries[place as usize];
            let weight = entry.bounds[w];
            (weight > 0 && entry.last >= first).then_some(Standing { weight, place })
        };
        let Some(number) = number else {
            let all = || (0..entries.len() as u32).filter_map(standing);
            return best_of(&mut overall[w], wanted, all, standing, order);
        };
        let members = &members[number as usize];
        let all = || members.iter().filter_map(|&place| standing(place));
        if members.len() <= KEPT {
            let mut all: Vec<Standing> = all().collect();
            cut(&mut all, wanted, order);
            all.sort_unstable_by(order);
            return all;
        }
        let boards = of_category[number as usize].get_or_insert_default();
        // Who was in it once may have another category now.
        let is_in = |place: u32| entries[place as usize].categories.contains(&number);
        best_of(&mut boards[w], wanted, all, |place| standing(place).filter(|_| is_in(place)), order)
    }

    /// Drops products whose windows are all empty and that do not rise, when these are many. Places move: everything is looked
    /// at again afterwards.
    pub fn compact(&mut self, now_ms: i64) {
        self.empty_what_is_over(now_ms);
        if self.empty <= self.entries.len() / 8 {
            return;
        }
        let gone: HashSet<Symbol> =
            self.entries.iter().filter(|entry| entry.bounds == EMPTY).map(|entry| entry.product).collect();
        self.entries.retain(|entry| !gone.contains(&entry.product));
        self.empty = 0;
        self.overall = Default::default();
        self.of_category.iter_mut().for_each(|boards| *boards = None);
        self.places.clear();
        self.members.iter_mut().for_each(Vec::clear);
        for (place, entry) in self.entries.iter().enumerate() {
            self.places.insert(entry.product, place as u32);
            for &category in &entry.categories {
                self.members[category as usize].push(place as u32);
            }
        }
    }

    /// Takes the bounds from products that have been without events for longer than any list looks back. Once an hour will do.
    fn empty_what_is_over(&mut self, now_ms: i64) {
        let first = Trend::ALL.map(|trend| first_minute(trend, now_ms)).into_iter().min().unwrap_or(0);
        if first / 60 == self.looked_back_to / 60 {
            return;
        }
        self.looked_back_to = first;
        for entry in &mut self.entries {
            if entry.last < first && entry.bounds != EMPTY {
                entry.bounds = EMPTY;
                self.empty += 1;
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
                let (bounds, counts) = (EMPTY, EMPTY);
                let categories = Box::default();
                self.entries.push(Entry { product, bounds, counts, minute: 0, last: 0, categories });
                self.empty += 1;
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
        self.of_category.push(None);
        let name: Arc<str> = category.into();
        self.category_names.push(Arc::clone(&name));
        self.categories.insert(name, number);
        number
    }
}

fn offer(boards: &mut Boards, place: u32, bounds: Bounds) {
    for (board, weight) in boards.iter_mut().zip(bounds) {
        board.offer(Standing { weight, place });
    }
}

/// The best `most` that a board knows, the best first; of `all` when it does not know enough.
fn best_of<A: Iterator<Item = Standing>>(
    board: &mut Board,
    most: usize,
    all: impl FnOnce() -> A,
    standing: impl Fn(u32) -> Option<Standing>,
    order: impl Fn(&Standing, &Standing) -> Ordering,
) -> Vec<Standing> {
    let best = board.best(most, &standing, &order);
    if board.vouches_for(&best, &order) {
        return best;
    }
    board.remake(all(), &order);
    board.best(most, standing, order)
}

#[cfg(test)]
mod tests;
