//! What trends in a partition of a large shop, looked at when a minute has passed.

use recommender::Symbol;
use recommender::buckets::WindowSum;
use recommender::trending::{Demand, Ranking, TRENDS, TrendingIndex};
use schemas::published::Trend;

use crate::{Path, measured};

pub(crate) const PATHS: [Path; 1] = [Path { name: "trending-minute", unit: "minute", run: minutes }];

const PRODUCTS: u32 = 20_000;
const MINUTES: i64 = 20;
/// Products with events within one of them.
const CHANGED: u32 = 200;
const MINUTE_MS: i64 = 60_000;
/// 2026-11-01T00:00:00Z.
const START_MS: i64 = 1_793_491_200_000;
const CATEGORIES: [&str; 0] = [];

/// Few favourites and a long tail of equals, all of which lose a little in each minute.
fn demand(product: u32, minute: i64) -> Demand {
    let place = product * 7_919 % PRODUCTS;
    let weight = u64::from(1_000_000 / (place + 20)) * (500 - minute as u64) / 500;
    Demand { sums: [WindowSum { weight, count: weight }; TRENDS], newest_ms: START_MS + minute * MINUTE_MS }
}

fn minutes() -> u64 {
    let mut index = TrendingIndex::default();
    for product in 0..PRODUCTS {
        index.update(Symbol(product), &CATEGORIES, &demand(product, 0), START_MS);
    }
    look(&mut index, 0);
    measured(|| (1..=MINUTES).map(|minute| look(&mut index, minute)).sum::<usize>());
    MINUTES as u64
}

fn look(index: &mut TrendingIndex, minute: i64) -> usize {
    let now_ms = START_MS + minute * MINUTE_MS;
    let update = |index: &mut TrendingIndex, product: Symbol| {
        index.update(product, &CATEGORIES, &demand(product.0, minute), now_ms);
    };
    for changed in 0..CHANGED {
        update(index, Symbol((changed * 97 + minute as u32 * 31) % PRODUCTS));
    }
    let mut listed = 0;
    for trend in Trend::ALL {
        listed += loop {
            match index.rank(trend, None, now_ms, |a, b| a.0.cmp(&b.0)) {
                Ranking::Exact(best) => break best.len(),
                Ranking::Needs(products) => products.into_iter().for_each(|product| update(index, product)),
            }
        };
    }
    listed
}
