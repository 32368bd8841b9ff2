use super::*;
use schemas::EventKind;

const HOUR_MS: i64 = 3_600_000;
/// More than are kept apart, also of one category.
const PRODUCTS: u32 = 2_500;

const TREND: Trend = Trend::Popular(Window::Day);

fn category_of(product: u32) -> &'static str {
    if product.is_multiple_of(2) { "even" } else { "odd" }
}

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
                    let demand = Demand::of(&rows[product.0 as usize], now);
                    index.update(product, &[category_of(product.0)], &demand, now);
                }
            }
        }
    }
}

/// The best of the products that `keep` accepts, by sorting all of them.
fn sorted(rows: &[ProductRow], trend: Trend, now: i64, keep: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut weights: Vec<(u64, u32)> = (0..rows.len() as u32)
        .filter(|&product| keep(product))
        .map(|product| (Demand::of(&rows[product as usize], now).sums[trend.index()].weight, product))
        .filter(|(weight, _)| *weight > 0)
        .collect();
    weights.sort_by_key(|&(weight, product)| (std::cmp::Reverse(weight), product));
    weights.into_iter().take(PUBLISHED).map(|(_, product)| product).collect()
}

fn rows() -> Vec<ProductRow> {
    (0..PRODUCTS)
        .map(|product| {
            let mut row = ProductRow::default();
            for i in 0..(product * 7919 % 97) {
                row.observe(EventKind::View, 1, None, 100 * HOUR_MS + i64::from(i * 13 % 40) * HOUR_MS / 8);
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
                index.restore(
                    Symbol(product as u32),
                    &[category_of(product as u32)],
                    Demand::of(row, row.buckets.newest_ms()).coarse_bounds(),
                    // Until one that is never over, one that is right, and one in between.
                    row.buckets.newest_ms() + [i64::MAX / 2, 0, HOUR_MS][product % 3],
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
fn the_best_are_right_after_every_event() {
    let (mut rows, mut index, mut now) = (rows(), TrendingIndex::default(), 105 * HOUR_MS);
    for (product, row) in rows.iter().enumerate() {
        index.update(Symbol(product as u32), &[category_of(product as u32)], &Demand::of(row, now), now);
    }
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..200 {
        // Also a while without events, in which the best of an hour fall behind.
        now += if round % 67 == 66 { HOUR_MS / 2 } else { random.i64(0..120_000) };
        for _ in 0..random.usize(0..12) {
            let product = random.u32(0..PRODUCTS);
            // Also late ones, which change a longer window only.
            let timestamp_ms = now - random.i64(0..3) * 2 * HOUR_MS;
            let row = &mut rows[product as usize];
            row.observe(EventKind::View, random.u32(1..4), None, timestamp_ms);
            index.update(Symbol(product), &[category_of(product)], &Demand::of(row, now), now);
        }
        if round == 100 {
            index.compact(now);
        }
        for trend in Trend::ALL {
            let expected = sorted(&rows, trend, now, |_| true);
            assert_eq!(settle(&mut index, &rows, trend, None, now), expected, "{trend:?}, round {round}");
            let expected = sorted(&rows, trend, now, |product| category_of(product) == "even");
            let found = settle(&mut index, &rows, trend, Some("even"), now);
            assert_eq!(found, expected, "{trend:?} among the even ones, round {round}");
        }
    }
}

#[test]
fn bounds_that_are_all_far_too_high_are_asked_for_in_ever_more_at_once() {
    let (rows, now) = (rows(), 500 * HOUR_MS);
    let mut index = TrendingIndex::default();
    for product in 0..PRODUCTS {
        index.restore(Symbol(product), &[category_of(product)], [1_000; TRENDS], now);
    }
    let (mut asked, mut products) = (0, HashSet::new());
    while let Ranking::Needs(needed) = index.rank(TREND, None, now, by_number) {
        asked += 1;
        for product in needed {
            products.insert(product);
            let demand = Demand::of(&rows[product.0 as usize], now);
            index.update(product, &[category_of(product.0)], &demand, now);
        }
    }
    assert_eq!(products.len() as u32, PRODUCTS, "each might have been the best");
    assert!(asked < 12, "asked {asked} times");
    assert!(settle(&mut index, &rows, TREND, None, now).is_empty(), "nothing came that day");
}

#[test]
fn a_product_that_changes_its_category_changes_lists() {
    let (rows, now) = (rows(), 105 * HOUR_MS);
    let mut index = TrendingIndex::default();
    for (product, row) in rows.iter().enumerate() {
        index.update(Symbol(product as u32), &[category_of(product as u32)], &Demand::of(row, now), now);
    }
    let [even, odd] = ["even", "odd"].map(|name| settle(&mut index, &rows, TREND, Some(name), now));
    let (moved, row) = (even[0], &rows[even[0] as usize]);
    index.update(Symbol(moved), &["odd"], &Demand::of(row, now), now);
    let ranked = |index: &mut TrendingIndex, name| match index.rank(TREND, Some(name), now, by_number) {
        Ranking::Exact(best) => best.iter().map(|best| best.product.0).collect::<Vec<_>>(),
        Ranking::Needs(products) => panic!("{products:?} were looked at a moment ago"),
    };
    assert!(!ranked(&mut index, "even").contains(&moved));
    assert!(ranked(&mut index, "odd").contains(&moved) && !odd.contains(&moved));
    assert_eq!(index.category_of(Symbol(moved)), "odd");
    assert_eq!(ranked(&mut index, "unheard of"), [0; 0]);
}

#[test]
fn compaction_drops_only_what_no_window_holds() {
    let (rows, now) = (rows(), 110 * HOUR_MS);
    let mut index = TrendingIndex::default();
    let update = |index: &mut TrendingIndex, product: u32, demand| {
        index.update(Symbol(product), &["even"], &demand, now);
    };
    let weighty = |product: &u32| !product.is_multiple_of(7);
    for product in 0..PRODUCTS {
        let demand =
            if weighty(&product) { Demand::of(&rows[product as usize], now) } else { Default::default() };
        update(&mut index, product, demand);
    }
    let before = settle(&mut index, &rows, TREND, None, now);
    index.compact(now);
    let weightless = rows.iter().filter(|row| Demand::of(row, now).sums[TREND.index()].weight == 0).count();
    let left = (0..PRODUCTS).filter(weighty).count();
    assert!(((left - weightless)..=left).contains(&index.len()), "{} of {left}", index.len());
    assert_eq!(settle(&mut index, &rows, TREND, None, now), before);
    // Few are not worth it.
    update(&mut index, before[0], Default::default());
    let len = index.len();
    index.compact(now);
    assert_eq!(index.len(), len);
    assert_eq!(settle(&mut index, &rows, TREND, None, now)[0], before[1]);
}

#[test]
fn no_row_is_looked_at_for_what_a_silence_has_ended() {
    let rows = rows();
    let newest_ms = rows.iter().map(|row| row.buckets.newest_ms()).max().unwrap();
    let index = || {
        let mut index = TrendingIndex::default();
        for (product, row) in rows.iter().enumerate().filter(|(_, row)| row.buckets.newest_ms() > 0) {
            let bounds = [1_000; TRENDS];
            let product = product as u32;
            index.restore(Symbol(product), &[category_of(product)], bounds, row.buckets.newest_ms());
        }
        index
    };
    for (trend, silence_ms) in [
        (Trend::Popular(Window::Hour), HOUR_MS),
        (Trend::Popular(Window::Day), 24 * HOUR_MS),
        (Trend::Popular(Window::Week), 7 * 24 * HOUR_MS),
        (Trend::Popular(Window::Month), 30 * 24 * HOUR_MS),
        (Trend::Rising, RISE_ENDS_MS + MINUTE_MS),
    ] {
        for category in [None, Some("odd")] {
            let over = index().rank(trend, category, newest_ms + silence_ms, by_number);
            assert_eq!(over, Ranking::Exact(Vec::new()), "{trend:?}");
            let not_yet = index().rank(trend, category, newest_ms + silence_ms - 2 * HOUR_MS, by_number);
            assert!(matches!(not_yet, Ranking::Needs(_)), "{trend:?}: {not_yet:?}");
        }
    }
    let mut index = index();
    let known = index.len();
    index.compact(newest_ms + 29 * 24 * HOUR_MS);
    assert_eq!(index.len(), known, "the month holds them all");
    index.compact(newest_ms + 30 * 24 * HOUR_MS);
    assert_eq!(index.len(), 0, "nothing holds them");
}
