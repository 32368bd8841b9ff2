use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use schemas::EventKind;

use super::*;

const START_MS: i64 = 1_735_689_600_000;

fn shop(seed: u64) -> Arc<Shop> {
    Arc::new(Shop::new(seed, Size { products: 600, shoppers: 1_000 }))
}

fn pace(launch: Option<Launch>) -> Pace {
    Pace { start_ms: START_MS, events_per_second: 50.0, pause_ms: 3_000.0, daily_rhythm: false, launch }
}

fn events(seed: u64, n: usize) -> Vec<Event> {
    Traffic::new(shop(seed), pace(None)).take(n).collect()
}

fn csv(seed: u64, period: Period) -> String {
    let mut out = Vec::new();
    write_csv(shop(seed), period, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_same_seed_makes_the_same_shop_and_events() {
    assert_eq!(events(7, 5_000), events(7, 5_000));
    assert_ne!(events(7, 5_000), events(8, 5_000));
    assert_eq!(shop(7).catalog().listed(), shop(7).catalog().listed());
    let period = Period { start_ms: START_MS, days: 3, events: 500 };
    assert_eq!(csv(7, period), csv(7, period));
}

#[test]
fn events_come_in_order_at_the_pace_asked_for() {
    let events = events(1, 20_000);
    assert!(events.is_sorted_by_key(|event| event.timestamp_ms));
    let seconds = (events.last().unwrap().timestamp_ms - START_MS) as f64 / 1_000.0;
    let rate = events.len() as f64 / seconds;
    assert!((40.0..60.0).contains(&rate), "{rate} events/s");
}

#[test]
fn a_shopper_does_one_thing_at_a_time() {
    let mut last: HashMap<u32, i64> = HashMap::new();
    for event in events(2, 20_000) {
        let before = last.insert(event.shopper, event.timestamp_ms);
        assert!(before.is_none_or(|before| before < event.timestamp_ms), "{event:?}");
    }
}

#[test]
fn shoppers_buy_what_they_carted_and_cart_what_they_viewed() {
    let mut done: HashSet<(u32, u32, EventKind)> = HashSet::new();
    let mut count: HashMap<EventKind, usize> = HashMap::new();
    for Event { shopper, product, kind, .. } in events(3, 50_000) {
        let before = match kind {
            EventKind::View => None,
            EventKind::AddToCart => Some(EventKind::View),
            EventKind::Purchase => Some(EventKind::AddToCart),
        };
        assert!(before.is_none_or(|before| done.contains(&(shopper, product, before))));
        done.insert((shopper, product, kind));
        *count.entry(kind).or_default() += 1;
    }
    let share = |kind| count[&kind] as f64 / 50_000.0;
    assert!((0.78..0.92).contains(&share(EventKind::View)), "{count:?}");
    assert!(share(EventKind::AddToCart) > share(EventKind::Purchase), "{count:?}");
    assert!(share(EventKind::Purchase) > 0.02, "{count:?}");
}

/// Views of a shopper that follow one another within ten minutes.
fn consecutive_views(events: &[Event]) -> Vec<(u32, u32)> {
    let mut last: HashMap<u32, Event> = HashMap::new();
    let views = events.iter().filter(|event| event.kind == EventKind::View);
    views
        .filter_map(|event| {
            let before = last.insert(event.shopper, *event)?;
            (event.timestamp_ms - before.timestamp_ms < 600_000).then_some((before.product, event.product))
        })
        .collect()
}

#[test]
fn what_is_viewed_together_is_of_one_interest_far_more_often_than_by_chance() {
    let shop = shop(4);
    let pairs = consecutive_views(&events(4, 50_000));
    let interest = |product: u32| shop.catalog().product(product).interest;
    let same = pairs.iter().filter(|(a, b)| interest(*a) == interest(*b)).count() as f64;
    // By chance: the second of one pair with the first of another.
    let shuffled = pairs.iter().zip(pairs.iter().cycle().skip(pairs.len() / 2));
    let by_chance = shuffled.filter(|((a, _), (_, b))| interest(*a) == interest(*b)).count() as f64;
    assert!(same / pairs.len() as f64 > 0.4, "{same} of {}", pairs.len());
    assert!(same > 5.0 * by_chance, "{same} against {by_chance}");
}

#[test]
fn shoppers_return_to_products_within_a_session_and_to_interests_later() {
    let shop = shop(5);
    let events = events(5, 50_000);
    let mut seen: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut repeats = 0;
    for event in events.iter().filter(|event| event.kind == EventKind::View) {
        let products = seen.entry(event.shopper).or_default();
        repeats += usize::from(products.iter().rev().take(5).any(|&product| product == event.product));
        products.push(event.product);
    }
    assert!(repeats > 2_000, "{repeats} views of a product that was seen shortly before");
    let few_interests = seen.values().filter(|products| products.len() > 20).filter(|products| {
        let mut count: HashMap<usize, usize> = HashMap::new();
        products.iter().for_each(|&p| *count.entry(shop.catalog().product(p).interest).or_default() += 1);
        let mut counts: Vec<usize> = count.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts.iter().take(3).sum::<usize>() * 2 > products.len()
    });
    let busy = seen.values().filter(|products| products.len() > 20).count();
    assert!(
        few_interests.count() * 10 > busy * 9,
        "three interests hold most of nearly every shopper's views"
    );
}

#[test]
fn popularity_is_uneven() {
    let mut count: HashMap<u32, usize> = HashMap::new();
    events(6, 50_000).iter().for_each(|event| *count.entry(event.product).or_default() += 1);
    let mut counts: Vec<usize> = count.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let top: usize = counts.iter().take(60).sum();
    assert!(top > 50_000 / 4, "a tenth of the products has {top} of 50000 events");
}

#[test]
fn the_launched_product_is_unknown_before_and_hot_afterwards() {
    let shop = shop(9);
    let product = shop.catalog().launched();
    let at_ms = START_MS + 200_000;
    let launch = Launch { product, at_ms, share: 0.05 };
    let events: Vec<Event> = Traffic::new(shop, pace(Some(launch))).take(20_000).collect();
    let (before, after): (Vec<Event>, Vec<Event>) =
        events.into_iter().partition(|event| event.timestamp_ms < at_ms);
    assert!(before.iter().all(|event| event.product != product));
    let mut count: HashMap<u32, usize> = HashMap::new();
    after.iter().for_each(|event| *count.entry(event.product).or_default() += 1);
    let hottest = count.iter().max_by_key(|(_, n)| **n).unwrap();
    assert_eq!(*hottest.0, product);
}

#[test]
fn an_event_file_holds_as_many_events_and_about_as_many_days_as_asked_for() {
    let period = Period { start_ms: START_MS, days: 30, events: 20_000 };
    let text = csv(1, period);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 20_001);
    assert_eq!(lines[0], "timestamp_ms,user_id,item_id,event_type,category_id");
    let time = |line: &str| line.split(',').next().unwrap().parse::<i64>().unwrap();
    assert!(lines[1..].is_sorted_by_key(|line| time(line)));
    let days = (time(lines[20_000]) - START_MS) as f64 / 86_400_000.0;
    assert!((27.0..33.0).contains(&days), "{days} days");
    let products: HashSet<&str> = lines[1..].iter().map(|line| line.split(',').nth(2).unwrap()).collect();
    assert!(products.len() > 500, "{} products", products.len());
}
