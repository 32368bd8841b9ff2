use crate::shop::{GENERATION, NOW_MS, Shop, config, ids};
use bytes::Bytes;
use schemas::Version;
use schemas::names::{self, NO_GENERATION};
use schemas::published::{Layout, LiveGeneration, Marker, TrendingEntry, TrendingList, Window};
use serde_json::Value;
use service_runtime::keys::Keys;
use serving::ServingConfig;
use stores::{Row, ServingStore, StateStore, Table};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const OTHER: u16 = GENERATION + 1;

fn following() -> ServingConfig {
    ServingConfig { marker_refresh_ms: 10, ..config() }
}

/// A shop whose generation trends with `old`.
async fn shop() -> (Shop, AbortOnDropHandle<()>) {
    let shop = Shop::with(following(), Keys::open()).await;
    shop.trending(Window::Day, "", &[("old", "")]).await;
    let serving = shop.serving.clone();
    let following = tokio::spawn(async move { serving.refresh(CancellationToken::new()).await });
    (shop, AbortOnDropHandle::new(following))
}

/// Publishes another generation, of one partition, which trends with `new`.
async fn publish_other(shop: &Shop) {
    let version = Version::of(OTHER, 0);
    let layout = Layout { version, events_partitions: 1, activity_partitions: 1 };
    let new = TrendingEntry { product_id: "new".to_owned(), score: 1, count: 1, category: String::new() };
    let list = TrendingList { version, as_of_ms: NOW_MS, entries: vec![new] };
    let values = vec![
        (names::layout_key(OTHER), Bytes::from(layout.encode())),
        (names::trending_key(OTHER, Window::Day, "", 0), list.encode().into()),
    ];
    shop.store.put_many(values).await.unwrap();
    let marker = Marker { version, published_at_ms: NOW_MS, complete: true, ..Marker::default() };
    for stage in ["shopper", "product"] {
        shop.store.put_marker(&names::marker_key(OTHER, stage, 0), marker.encode().into()).await.unwrap();
    }
}

fn live(changes: u64, generation: u16) -> LiveGeneration {
    LiveGeneration { version: Version(changes), generation, previous: GENERATION }
}

async fn tell_serving_store(shop: &Shop, live: LiveGeneration) {
    shop.store.put_many(vec![(names::live_key(""), live.encode().into())]).await.unwrap();
}

async fn tell_state_store(shop: &Shop, live: LiveGeneration) {
    let row = Row { key: names::live_key(""), version: live.version, state: live.encode().into() };
    shop.state.put_many(Table::Published, NO_GENERATION, vec![row]).await.unwrap();
}

/// Asks until the answer is from a generation; none before may be empty.
async fn answer_from(shop: &Shop, generation: u16) -> Value {
    loop {
        let answer = shop.ok("/trending?window=24h").await;
        assert_eq!(ids(&answer).len(), 1, "{answer}");
        if answer["freshness"]["generation"] == generation {
            return answer;
        }
        tokio::task::yield_now().await;
    }
}

/// Waits until the record of the live generation was looked for some more times.
async fn looks(shop: &Shop) {
    let goal = shop.state.faults().reads() + 3;
    while shop.state.faults().reads() < goal {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn answers_follow_the_live_generation_there_and_back_and_name_it() {
    let (shop, _following) = shop().await;
    assert_eq!(ids(&answer_from(&shop, GENERATION).await), ["old"]);
    publish_other(&shop).await;
    tell_serving_store(&shop, live(1, OTHER)).await;
    assert_eq!(ids(&answer_from(&shop, OTHER).await), ["new"]);
    tell_serving_store(&shop, live(2, GENERATION)).await;
    assert_eq!(ids(&answer_from(&shop, GENERATION).await), ["old"]);
}

#[tokio::test]
async fn an_emptied_serving_store_does_not_bring_the_configured_generation_back() {
    let (shop, _following) = shop().await;
    publish_other(&shop).await;
    tell_state_store(&shop, live(1, OTHER)).await;
    assert_eq!(ids(&answer_from(&shop, OTHER).await), ["new"]);
}

#[tokio::test]
async fn the_record_that_was_changed_last_counts_wherever_it_is() {
    let (shop, _following) = shop().await;
    publish_other(&shop).await;
    tell_state_store(&shop, live(3, OTHER)).await;
    tell_serving_store(&shop, live(2, GENERATION)).await;
    answer_from(&shop, OTHER).await;
}

#[tokio::test]
async fn a_live_generation_that_cannot_be_read_yet_is_waited_for() {
    let (shop, _following) = shop().await;
    tell_state_store(&shop, live(1, OTHER)).await;
    looks(&shop).await;
    assert_eq!(ids(&answer_from(&shop, GENERATION).await), ["old"]);
    publish_other(&shop).await;
    assert_eq!(ids(&answer_from(&shop, OTHER).await), ["new"]);
}

#[tokio::test]
async fn a_copy_that_starts_is_settled_once_it_answers_from_the_live_generation() {
    let shop = Shop::with(following(), Keys::open()).await;
    publish_other(&shop).await;
    tell_state_store(&shop, live(1, OTHER)).await;
    let serving = shop.serving.clone();
    let following = tokio::spawn(async move { serving.refresh(CancellationToken::new()).await });
    let _following = AbortOnDropHandle::new(following);
    shop.serving.settled().await;
    let answer = shop.ok("/trending?window=24h").await;
    assert_eq!(answer["freshness"]["generation"], OTHER);
}
