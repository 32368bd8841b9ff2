use crate::shop::{GENERATION, NOW_MS, Shop, config, ids, position, read_after};
use schemas::EventKind::View;
use schemas::published::Marker;
use schemas::{Position, Version, names};
use serde_json::json;
use service_runtime::keys::Keys;
use serving::ServingConfig;
use stores::ServingStore;

async fn shop(config: ServingConfig) -> Shop {
    let shop = Shop::with(config, Keys::open()).await;
    shop.shopper("7", 40, &[("a", View, 2)]).await;
    shop.popular("", &[("a", ""), ("b", ""), ("c", "")]).await;
    shop.serving.warm_up().await;
    shop
}

fn ask(user: &str, position: Position) -> String {
    format!("/recommendations?user_id={user}&min_position={position}")
}

#[tokio::test]
async fn a_position_that_is_reflected_does_not_wait() {
    let shop = shop(ServingConfig { position_wait_ms: 0, ..config() }).await;
    for offset in [0, 39, 40] {
        let answer = shop.ok(&ask("7", position("7", offset))).await;
        assert_eq!(answer["freshness"]["reached"], true);
    }
    assert_eq!(shop.ok("/recommendations?user_id=7").await["freshness"]["reached"], json!(null));
}

#[tokio::test]
async fn an_answer_waits_for_the_shoppers_own_event() {
    let shop = shop(config()).await;
    let before = shop.store.faults().reads();
    let publish = async {
        // Only after the first read has found the row as it was.
        read_after(&shop, before + 1).await;
        shop.shopper("7", 41, &[("b", View, 1), ("a", View, 2)]).await;
    };
    let path = ask("7", position("7", 41));
    let (answer, ()) = tokio::join!(shop.ok(&path), publish);
    assert_eq!(answer["freshness"]["reached"], true);
    assert_eq!(answer["freshness"]["position"], position("7", 41).to_string());
    assert_eq!(ids(&answer), ["c"], "the new event is reflected: b is seen");
}

#[tokio::test]
async fn an_event_that_changed_no_row_is_reached_by_the_partitions_marker() {
    let shop = shop(config()).await;
    let until = position("stranger", 55);
    let before = shop.store.faults().reads();
    let publish = async {
        read_after(&shop, before + 1).await;
        let marker = Marker {
            version: Version::of(GENERATION, 60),
            published_at_ms: NOW_MS,
            complete: true,
            ..Marker::default()
        };
        let key = names::marker_key(GENERATION, "shopper", until.partition);
        shop.store.put_marker(&key, marker.encode().into()).await.unwrap();
    };
    let path = ask("stranger", until);
    let (answer, ()) = tokio::join!(shop.ok(&path), publish);
    assert_eq!(answer["freshness"]["reached"], true);
}

#[tokio::test]
async fn a_position_that_does_not_come_is_not_reached_but_answered() {
    let shop = shop(ServingConfig { position_wait_ms: 20, ..config() }).await;
    let answer = shop.ok(&ask("7", position("7", 1_000))).await;
    assert_eq!(answer["freshness"]["reached"], false);
    assert_eq!(ids(&answer), ["b", "c"]);
    let history = shop.ok(&format!("/users/7/history?min_position={}", position("7", 1_000))).await;
    assert_eq!(history["freshness"]["reached"], false);
}

#[tokio::test]
async fn a_row_says_nothing_about_a_position_of_another_partition() {
    let shop = shop(ServingConfig { position_wait_ms: 0, ..config() }).await;
    let own = position("7", 5);
    let other = Position { partition: (own.partition + 1) % 3, ..own };
    assert_eq!(shop.ok(&ask("7", other)).await["freshness"]["reached"], false);
}

#[tokio::test]
async fn nobody_waits_for_a_store_that_is_down() {
    let shop = shop(config()).await;
    shop.store.faults().fail_until_told();
    let answer = shop.ok(&ask("7", position("7", 1_000))).await;
    assert_eq!(answer["freshness"]["reached"], false);
    assert_eq!(answer["freshness"]["degraded"], true);
}
