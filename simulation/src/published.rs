//! What serving reads, once everything has come to rest, against the naive model.
//!
//! Trending lists have to be exact as of a moment that may be now. Of neighbour lists, the scores follow from the order in which products were ranked; but each list has to be of its product's
//! last version, and which products it holds, and how often they were seen together, follows from the events alone.

use crate::oracle::{Oracle, Product, Together};
use crate::world::{GENERATION, PARTITIONS, World};
use bytes::Bytes;
use recommender::{Interner, ProductRow};
use schemas::names::{neighbours_key, trending_key};
use schemas::partition::partition_of;
use schemas::published::{Neighbour, NeighbourList, Trend, TrendingList, Window};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use stores::memory::MemoryServingStore;
use stores::{ServingStore, Table};

/// Products of a trending list at most.
const TRENDING: usize = 100;
/// Products of a neighbour list at most; the traffic has fewer, so that none is pushed off.
const NEIGHBOURS: usize = 64;
/// No clock and no event is further ahead of the log's clock.
const MOST_AHEAD_MS: i64 = 15 * 60_000;

const MINUTE_MS: i64 = 60_000;
/// 1/1024 of 5 days, the half-life of recent demand.
const RISE_STEP_MS: i64 = 421_875;

/// The first published list that is not what it should be.
pub(crate) async fn wrong_list(world: &World, serving: &MemoryServingStore) -> Option<String> {
    let rows = stored_products(world);
    match wrong_neighbours(world, serving, &rows).await {
        None => wrong_trending(world, serving, &rows).await,
        wrong => wrong,
    }
}

/// What the state holds of products, which is proven apart from this: versions and categories follow the order in which
/// partitions' updates met.
fn stored_products(world: &World) -> BTreeMap<String, ProductRow> {
    let (state, names) = (world.state(), Interner::default());
    let rows = state.rows.iter().filter(|((table, _), _)| *table == Table::ProductState);
    rows.map(|((_, id), row)| {
        (id.clone(), ProductRow::decode(&row.state, &names).expect("the pipeline wrote it"))
    })
    .collect()
}

async fn read(serving: &MemoryServingStore, keys: &[String]) -> Vec<Option<Bytes>> {
    serving.get_many(keys).await.expect("it is in memory")
}

async fn wrong_neighbours(
    world: &World,
    serving: &MemoryServingStore,
    rows: &BTreeMap<String, ProductRow>,
) -> Option<String> {
    let keys: Vec<String> = rows.keys().map(|id| neighbours_key(GENERATION, id)).collect();
    let lists = read(serving, &keys).await;
    let state = world.state();
    rows.iter().zip(lists).find_map(|((id, row), list)| {
        let Some(list) = list else { return Some(format!("the neighbours of {id} are not published")) };
        let list = NeighbourList::decode(&list).expect("the pipeline wrote it");
        let wrong = wrong_list_of(id, row, &list, &state.ledger.oracle.products[id])?;
        Some(format!("neighbours of {id}: {wrong}"))
    })
}

fn wrong_list_of(id: &str, row: &ProductRow, list: &NeighbourList, product: &Product) -> Option<String> {
    if list.version != row.version || list.category != row.category {
        return Some(format!(
            "of {} {:?}, the row is {} {:?}",
            list.version, list.category, row.version, row.category
        ));
    }
    let entries: BTreeMap<&str, &Neighbour> =
        list.entries.iter().map(|entry| (entry.product_id.as_str(), entry)).collect();
    if entries.len() != list.entries.len() || entries.contains_key(id) || entries.len() > NEIGHBOURS {
        return Some(format!("it holds a product twice, or itself, or too many: {:?}", list.entries));
    }
    if !list.entries.is_sorted_by(|a, b| a.score >= b.score) {
        return Some(format!("it is out of order: {:?}", list.entries));
    }
    let others: BTreeSet<&str> =
        entries.keys().copied().chain(product.together.keys().map(String::as_str)).collect();
    others.into_iter().find_map(|other| {
        let found = entries.get(other).map_or(0, |entry| u64::from(entry.count));
        let Together { at_least, at_most } = product.together.get(other).copied().unwrap_or_default();
        let is_right = (at_least..=at_most).contains(&found);
        (!is_right).then(|| format!("seen {found} times with {other}, expected {at_least} to {at_most}"))
    })
}

/// Which list: what trends, category (empty = all) and partition.
type Place<'a> = (Trend, &'a str, u32);

/// Product, weight, number of events and category.
type Trends = Vec<(String, u64, u64, String)>;

/// What trends as of a moment: the heaviest first, ties by id.
fn trends(
    oracle: &Oracle,
    rows: &BTreeMap<String, ProductRow>,
    (trend, category, partition): Place<'_>,
    now_ms: i64,
) -> Trends {
    let products =
        oracle.products.iter().filter(|(id, _)| partition_of(id.as_bytes(), PARTITIONS) == partition);
    let mut trends: Trends = products
        .filter_map(|(id, product)| {
            let own = rows.get(id)?.category.clone();
            let windows = product.windows(now_ms);
            let (count, weight) = match trend {
                Trend::Popular(window) => windows[window as usize],
                Trend::Rising => (windows[Window::Week as usize].0, product.rise(now_ms)),
            };
            let is_in = weight > 0 && (category.is_empty() || own == category);
            is_in.then(|| (id.clone(), weight, count, own))
        })
        .collect();
    trends.sort_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
    trends.truncate(TRENDING);
    trends
}

/// Whether a list is what it should be. Sums of decayed weights depend a little on the order in which they were added.
fn is_same(found: &Trends, expected: &Trends, trend: Trend) -> bool {
    if trend != Trend::Rising {
        return found == expected;
    }
    let expected: BTreeMap<&str, _> =
        expected.iter().map(|(id, rise, count, category)| (id.as_str(), (*rise, *count, category))).collect();
    let is_right = |(id, rise, count, category): &(String, u64, u64, String)| {
        expected.get(id.as_str()).is_some_and(|expected| {
            rise.abs_diff(expected.0) <= 1 && (*count, category) == (expected.1, expected.2)
        })
    };
    found.len() == expected.len()
        && found.iter().all(is_right)
        && found.is_sorted_by(|a, b| (Reverse(a.1), &a.0) < (Reverse(b.1), &b.0))
}

async fn wrong_trending(
    world: &World,
    serving: &MemoryServingStore,
    rows: &BTreeMap<String, ProductRow>,
) -> Option<String> {
    let categories: BTreeSet<&str> =
        std::iter::once("").chain(rows.values().map(|row| row.category.as_str())).collect();
    let mut places = Vec::new();
    for trend in Trend::ALL {
        for category in &categories {
            places.extend((0..PARTITIONS).map(|partition| (trend, *category, partition)));
        }
    }
    let key =
        |&(trend, category, partition): &Place<'_>| trending_key(GENERATION, trend, category, partition);
    let keys: Vec<String> = places.iter().map(key).collect();
    let found = read(serving, &keys).await;
    let state = world.state();
    let oracle = &state.ledger.oracle;
    let latest_ms = state.now_ms() + MOST_AHEAD_MS;
    places.into_iter().zip(found).find_map(|(place, list)| {
        let list = list.map(|list| TrendingList::decode(&list).expect("the pipeline wrote it"));
        let entries = list.iter().flat_map(|list| &list.entries);
        let mut found: Trends =
            entries.map(|e| (e.product_id.clone(), e.score, e.count, e.category.clone())).collect();
        // A product that went to another category may stay in the list that an earlier owner made of the first one: who has the
        // partition now knows nothing of that list.
        let stays = |id: &str| rows.get(id).is_some_and(|row| row.category == place.1);
        found.retain(|(id, ..)| place.1.is_empty() || stays(id));
        let as_of_ms = list.map(|list| list.as_of_ms);
        let moments = moments(oracle, place, as_of_ms, latest_ms);
        let is_right =
            moments.iter().any(|now_ms| is_same(&found, &trends(oracle, rows, place, *now_ms), place.0));
        let expected = || moments.iter().min().map(|now_ms| trends(oracle, rows, place, *now_ms));
        (!is_right).then(|| {
            let between = (moments.iter().min(), moments.iter().max());
            format!(
                "trending {place:?}: as of {as_of_ms:?} found {found:?}, expected {:?} (between {between:?})",
                expected()
            )
        })
    })
}

/// Moments that the owner of a list may take for now, one for each content that the list may have then: the stream's time is at
/// least that of the newest event, and a clock may be ahead of it.
fn moments(
    oracle: &Oracle,
    (trend, _, partition): Place<'_>,
    as_of_ms: Option<i64>,
    latest_ms: i64,
) -> Vec<i64> {
    let (width_ms, kept) = match trend {
        Trend::Popular(Window::Hour) => (60_000, 60),
        Trend::Popular(Window::Day) => (3_600_000, 24),
        Trend::Popular(Window::Week) | Trend::Rising => (3_600_000, 7 * 24),
        Trend::Popular(Window::Month) => (3_600_000, 30 * 24),
    };
    let own = oracle.products.iter().filter(|(id, _)| partition_of(id.as_bytes(), PARTITIONS) == partition);
    let times: Vec<i64> = own.flat_map(|(_, product)| product.events.iter().map(|(_, at, _)| *at)).collect();
    let newest_ms = times.iter().copied().max().unwrap_or(0);
    // A list that did not change since is older, and was never written again.
    let mut moments: Vec<i64> = as_of_ms.into_iter().chain([newest_ms, latest_ms]).collect();
    moments.extend(times.iter().map(|at| (at / width_ms + kept) * width_ms));
    if trend == Trend::Rising {
        // A rise falls by steps, and is taken as of the minute.
        let steps = newest_ms / RISE_STEP_MS + 1..=latest_ms / RISE_STEP_MS;
        moments.extend(steps.map(|step| (step * RISE_STEP_MS / MINUTE_MS + 1) * MINUTE_MS));
    }
    moments.retain(|moment| (newest_ms..=latest_ms.max(newest_ms)).contains(moment));
    moments
}
