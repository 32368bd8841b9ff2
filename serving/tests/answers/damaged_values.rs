//! Values that no writer writes: a store that lost bits, or that somebody else wrote to.

use crate::shop::{ACTIVITY_PARTITIONS, EVENTS_PARTITIONS, GENERATION, Shop, config};
use bytes::Bytes;
use fastrand::Rng;
use schemas::published::{Course, HEADER_BYTES, LastStep, RepeatTable, SessionShape, Trend};
use schemas::{EventKind, Version, names};
use service_runtime::keys::Keys;
use stores::{Row, ServingStore, StateStore, Table};

async fn sound() -> Shop {
    let shop = Shop::with(config(), Keys::open()).await;
    shop.shopper("ada", 5, &[("kettle", EventKind::View, 1), ("teapot", EventKind::Purchase, 3)]).await;
    shop.neighbours("kettle", "kitchen", &[("teapot", 2.0, 3), ("toaster", 1.0, 2), ("pan", 0.5, 0)]).await;
    shop.neighbours("teapot", "kitchen", &[("kettle", 2.0, 3), ("cup", 1.0, 2)]).await;
    for trend in Trend::ALL {
        shop.trending(trend, "", &[("kettle", "kitchen"), ("cup", "table"), ("lamp", "")]).await;
        shop.trending(trend, "kitchen", &[("kettle", "kitchen")]).await;
    }
    let mut repeats = RepeatTable::default();
    repeats.version = Version::of(GENERATION, 1);
    let course = [0, 1, 1].into_iter().fold(Course::default(), Course::after);
    repeats.observe(&SessionShape { times: vec![1, 2], last_step: LastStep::New, course }, Some(1));
    for partition in 0..ACTIVITY_PARTITIONS {
        let key = names::repeats_key(GENERATION, partition);
        shop.store.put_many(vec![(key, repeats.encode().into())]).await.unwrap();
    }
    shop
}

fn keys() -> Vec<String> {
    let mut keys = vec![
        names::user_key(GENERATION, "ada"),
        names::neighbours_key(GENERATION, "kettle"),
        names::neighbours_key(GENERATION, "teapot"),
        names::layout_key(GENERATION),
    ];
    for partition in 0..ACTIVITY_PARTITIONS {
        keys.push(names::repeats_key(GENERATION, partition));
        keys.push(names::marker_key(GENERATION, "product", partition));
        let categories = ["", "kitchen"].into_iter();
        let lists = categories.flat_map(|category| Trend::ALL.map(|trend| (category, trend)));
        keys.extend(
            lists.map(|(category, trend)| names::trending_key(GENERATION, trend, category, partition)),
        );
    }
    keys.extend((0..EVENTS_PARTITIONS).map(|partition| names::marker_key(GENERATION, "shopper", partition)));
    keys
}

/// The version stays, so that the stores take the value.
fn damaged(value: &Bytes, random: &mut Rng) -> Bytes {
    let mut value = value.to_vec();
    if value.len() == HEADER_BYTES {
        value.push(random.u8(..));
    }
    for _ in 0..random.usize(1..4) {
        let place = random.usize(HEADER_BYTES..value.len());
        value[place] = [0, 1, 0x7f, 0x80, 0xff, random.u8(..)][random.usize(0..6)];
    }
    if random.u32(0..4) == 0 {
        value.truncate(random.usize(HEADER_BYTES..value.len()));
    }
    value.into()
}

/// Damages some values in both stores.
async fn damage(shop: &Shop, random: &mut Rng) {
    for key in keys() {
        if random.u32(0..3) > 0 {
            continue;
        }
        let keys = [key.clone()];
        if let Some(value) = shop.store.get_many(&keys).await.unwrap().remove(0) {
            shop.store.put_many(vec![(key.clone(), damaged(&value, random))]).await.unwrap();
        }
        let stored = shop.state.get_many(Table::Published, GENERATION, &keys).await.unwrap().remove(0);
        damage_row(shop, Table::Published, stored, random).await;
    }
    let user =
        shop.state.get_many(Table::UserHistory, GENERATION, &["ada".to_owned()]).await.unwrap().remove(0);
    damage_row(shop, Table::UserHistory, user, random).await;
}

async fn damage_row(shop: &Shop, table: Table, row: Option<Row>, random: &mut Rng) {
    if let Some(row) = row {
        let state = damaged(&row.state, random);
        shop.state.put_many(table, GENERATION, vec![Row { state, ..row }]).await.unwrap();
    }
}

#[tokio::test]
async fn damaged_values_in_the_stores_never_break_an_answer() {
    let mut with_items = 0;
    for seed in 0..500 {
        let mut random = Rng::with_seed(seed);
        let shop = sound().await;
        damage(&shop, &mut random).await;
        for path in [
            "/recommendations?user_id=ada&explain=true",
            "/recommendations?user_id=ada&category_id=kitchen",
            "/recommendations?product_id=kettle&product_id=teapot",
            "/products/kettle/similar",
            "/trending?window=1h",
            "/trending?category_id=kitchen",
            "/users/ada/history",
        ] {
            let (status, answer) = shop.get(path).await;
            assert_eq!(status, 200, "seed {seed}, {path}: {answer}");
            let items = answer["items"].as_array().unwrap();
            with_items += usize::from(!items.is_empty());
            let has_score =
                |item: &serde_json::Value| item.get("score").is_none_or(|score| score.is_number());
            assert!(items.iter().all(has_score), "seed {seed}, {path}: {answer}");
        }
    }
    assert!(with_items > 500, "what is not damaged is still shown: {with_items}");
}
