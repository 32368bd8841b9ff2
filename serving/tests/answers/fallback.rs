use crate::shop::{self, Shop, ids};
use schemas::EventKind::View;
use serde_json::{Value, json};
use service_runtime::keys::Keys;
use serving::ServingConfig;
use std::time::Duration;

const ASK: &str = "/recommendations?user_id=7&k=3";

/// Nothing is kept of neighbour lists: what is read matters here.
fn config() -> ServingConfig {
    ServingConfig { near_cache_mb: 0, ..shop::config() }
}

async fn fill(shop: &Shop) {
    shop.shopper("7", 40, &[("a", View, 1)]).await;
    shop.neighbours("a", "pans", &[("x", 0.9, 12), ("y", 0.5, 1)]).await;
    shop.popular("", &[("t", "toys"), ("u", "toys")]).await;
}

async fn shop(config: ServingConfig) -> Shop {
    let shop = Shop::with(config, Keys::open()).await;
    fill(&shop).await;
    shop.serving.warm_up().await;
    shop
}

fn degraded(answer: &Value) -> (&Value, &Value) {
    (&answer["freshness"]["degraded"], &answer["freshness"]["reason"])
}

#[tokio::test]
async fn without_the_serving_store_the_state_store_answers_the_same() {
    let shop = shop(config()).await;
    let usual = shop.ok(ASK).await;
    assert_eq!(degraded(&usual), (&json!(false), &json!(null)));
    shop.store.faults().fail_until_told();
    let answer = shop.ok(ASK).await;
    assert_eq!(answer["items"], usual["items"]);
    assert_eq!(degraded(&answer), (&json!(true), &json!("serving_store_unavailable")));
    assert_eq!(answer["freshness"]["position"], usual["freshness"]["position"]);
    assert_eq!(answer["freshness"]["lag_ms"], json!(null), "the state store's lag is not known");
    for path in ["/products/a/similar", "/users/7/history"] {
        let answer = shop.ok(path).await;
        assert!(!ids(&answer).is_empty(), "{path}");
        assert_eq!(answer["freshness"]["degraded"], true, "{path}");
    }
}

#[tokio::test]
async fn a_store_that_is_back_is_used_again() {
    let config = ServingConfig { breaker_open_ms: 1, ..config() };
    let shop = shop(config).await;
    shop.store.faults().fail_until_told();
    for _ in 0..10 {
        assert_eq!(degraded(&shop.ok(ASK).await).0, true);
    }
    shop.store.faults().recover();
    while degraded(&shop.ok(ASK).await).0 == true {}
}

#[tokio::test]
async fn trends_come_from_the_state_store_when_they_are_read_again() {
    let shop = shop(config()).await;
    shop.store.faults().fail_until_told();
    shop.serving.warm_up().await;
    let answer = shop.ok("/trending").await;
    assert_eq!(ids(&answer), ["t", "u"]);
    assert_eq!(degraded(&answer), (&json!(true), &json!("serving_store_unavailable")));
}

#[tokio::test]
async fn without_any_store_the_last_good_lists_answer() {
    let shop = shop(config()).await;
    shop.store.faults().fail_until_told();
    shop.state.faults().fail_until_told();
    shop.serving.warm_up().await;
    for path in [ASK, "/recommendations?k=2", "/trending"] {
        let answer = shop.ok(path).await;
        assert_eq!(ids(&answer), ["t", "u"], "{path}");
        assert_eq!(degraded(&answer), (&json!(true), &json!("stores_unavailable")), "{path}");
    }
    for path in ["/products/a/similar", "/users/7/history"] {
        assert_eq!(shop.ok(path).await["freshness"]["degraded"], true, "{path}");
    }
}

#[tokio::test]
async fn a_process_that_never_saw_a_store_still_answers() {
    let shop = Shop::empty(config(), Keys::open());
    shop.store.faults().fail_until_told();
    shop.state.faults().fail_until_told();
    let answer = shop.ok(ASK).await;
    assert_eq!(ids(&answer), [""; 0]);
    assert_eq!(answer["freshness"]["degraded"], true);
}

#[tokio::test]
async fn a_shop_without_events_is_not_degraded() {
    let shop = Shop::empty(config(), Keys::open());
    for path in [ASK, "/trending", "/users/7/history", "/products/a/similar"] {
        let answer = shop.ok(path).await;
        assert_eq!(ids(&answer), [""; 0], "{path}");
        assert_eq!(degraded(&answer), (&json!(false), &json!(null)), "{path}");
    }
}

#[tokio::test]
async fn a_serving_store_that_lost_its_data_is_noticed_by_its_missing_markers() {
    let shop = shop(config()).await;
    let usual = shop.ok(ASK).await;
    shop.store.inner().clear();
    shop.serving.warm_up().await;
    let answer = shop.ok(ASK).await;
    assert_eq!(answer["items"], usual["items"]);
    assert_eq!(degraded(&answer), (&json!(true), &json!("serving_store_incomplete")));
}

#[tokio::test]
async fn lists_that_were_lost_everywhere_do_not_replace_the_last_good_ones() {
    let shop = shop(config()).await;
    shop.store.inner().clear();
    shop.state.faults().fail_until_told();
    shop.serving.warm_up().await;
    for path in [ASK, "/trending"] {
        let answer = shop.ok(path).await;
        assert_eq!(ids(&answer), ["t", "u"], "{path}");
        assert_eq!(degraded(&answer), (&json!(true), &json!("stores_unavailable")), "{path}");
    }
}

#[tokio::test]
async fn absence_is_believed_while_the_markers_stand() {
    let shop = shop(config()).await.without_state();
    let before = shop.state.faults().reads();
    shop.ok("/recommendations?user_id=stranger").await;
    shop.ok("/products/unknown/similar").await;
    assert_eq!(shop.state.faults().reads(), before);
}

#[tokio::test]
async fn a_store_that_hangs_is_left_alone_after_a_few_tries() {
    let config =
        ServingConfig { store_timeout_ms: 5, breaker_failures: 2, breaker_open_ms: 60_000, ..config() };
    let shop = shop(config).await;
    shop.store.faults().delay(Duration::from_secs(3600));
    let before = shop.store.faults().reads();
    for _ in 0..5 {
        let answer = shop.ok(ASK).await;
        assert_eq!(ids(&answer), ["x", "y", "t"]);
        assert_eq!(answer["freshness"]["degraded"], true);
    }
    assert_eq!(shop.store.faults().reads() - before, 2);
}

/// The clock stands still but for what is waited for, so the times are exact.
#[tokio::test]
async fn stores_that_all_hang_keep_no_answer_longer_than_its_budget() {
    let config =
        ServingConfig { answer_budget_ms: 90, store_timeout_ms: 80, breaker_failures: 1_000, ..config() };
    let shop = shop(config).await;
    shop.store.faults().delay(Duration::from_secs(3600));
    shop.state.faults().delay(Duration::from_secs(3600));
    tokio::time::pause();
    for (path, items) in [(ASK, &["t", "u"][..]), ("/products/a/similar", &[]), ("/users/7/history", &[])] {
        let begun = tokio::time::Instant::now();
        let answer = shop.ok(path).await;
        let took = begun.elapsed();
        assert!((Duration::from_millis(90)..Duration::from_millis(100)).contains(&took), "{path}: {took:?}");
        assert_eq!((ids(&answer), degraded(&answer).0), (items.to_vec(), &json!(true)), "{path}");
    }
}

#[tokio::test]
async fn exclusions_hold_in_every_fallback() {
    let shop = shop(config()).await;
    shop.product("t", &["toys"], false);
    let path = format!("{ASK}&exclude=x");
    let expected = ["y", "u"];
    assert_eq!(ids(&shop.ok(&path).await), expected);
    shop.store.faults().fail_until_told();
    assert_eq!(ids(&shop.ok(&path).await), expected);
    shop.state.faults().fail_until_told();
    assert_eq!(ids(&shop.ok(&path).await), ["u"]);
}
