use crate::shop::{Shop, ids, sources};
use schemas::EventKind::{AddToCart, Purchase, View};
use schemas::published::{Trend, Window};
use serde_json::json;
use std::collections::HashSet;

const EVERYWHERE: [(&str, &str); 6] =
    [("t1", "pans"), ("t2", "toys"), ("x1", "pans"), ("t3", "pans"), ("seen", "pans"), ("t4", "toys")];

/// One shopper with a session, neighbours of all its products, and trends.
async fn shop() -> Shop {
    let shop = Shop::open().await;
    shop.shopper("7", 40, &[("seen", View, 1), ("bought", Purchase, 2), ("old", View, 300)]).await;
    shop.neighbours("seen", "pans", &[("x1", 0.9, 12), ("x2", 0.4, 0), ("old", 0.3, 1)]).await;
    shop.neighbours("bought", "pans", &[("x3", 0.9, 1), ("seen", 0.1, 2)]).await;
    shop.popular("", &EVERYWHERE).await;
    shop.popular("pans", &[("t1", "pans"), ("x1", "pans"), ("t3", "pans")]).await;
    shop
}

#[tokio::test]
async fn personalized_when_at_least_half_of_the_items_are() {
    let shop = shop().await;
    let answer = shop.ok("/recommendations?user_id=7&k=6&category_id=").await;
    assert_eq!(answer["strategy"], "personalized");
    assert_eq!(answer["user_id"], "7");
    assert_eq!(answer["k"], 6);
    assert_eq!(&ids(&answer)[..3], ["x1", "x3", "x2"]);
    assert_eq!(&sources(&answer)[..3], ["personalized"; 3]);
    assert!(uuid::Uuid::parse_str(answer["recommendation_id"].as_str().unwrap()).is_ok());
    assert!(answer["took_ms"].as_f64().unwrap() >= 0.0);
}

#[tokio::test]
async fn a_short_answer_is_topped_up_from_the_category_and_then_from_everywhere() {
    let shop = shop().await;
    shop.product("seen", &["home", "pans"], true);
    let answer = shop.ok("/recommendations?user_id=7&k=10").await;
    assert_eq!(answer["strategy"], "cold_start_category", "three of ten are not half");
    assert_eq!(ids(&answer), ["x1", "x3", "x2", "t1", "t3", "t2", "t4"]);
    let expected = ["personalized", "personalized", "personalized", "cold_start_category"];
    assert_eq!(&sources(&answer)[..4], expected);
    assert_eq!(&sources(&answer)[4..], ["cold_start_category", "trending", "trending"]);
    let ranks: Vec<_> = answer["items"].as_array().unwrap().iter().map(|item| item["rank"].clone()).collect();
    assert_eq!(ranks, (1..=7).map(|rank| json!(rank)).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_category_that_only_the_lists_know_is_used_too() {
    let shop = shop().await;
    let answer = shop.ok("/recommendations?user_id=7&k=10").await;
    assert_eq!(ids(&answer), ["x1", "x3", "x2", "t1", "t3", "t2", "t4"]);
    assert_eq!(sources(&answer)[3], "cold_start_category");
}

#[tokio::test]
async fn a_stranger_gets_what_trends() {
    let shop = shop().await;
    for path in [
        "/recommendations?user_id=stranger&k=3",
        "/recommendations?k=3",
        "/recommendations?anonymous_id=7&k=3",
    ] {
        let answer = shop.ok(path).await;
        assert_eq!(answer["strategy"], "trending");
        assert_eq!(ids(&answer), ["t1", "t2", "x1"]);
    }
}

#[tokio::test]
async fn a_stranger_in_a_category_gets_what_trends_there() {
    let answer = shop().await.ok("/recommendations?user_id=stranger&k=4&category_id=pans").await;
    assert_eq!(answer["strategy"], "cold_start_category");
    assert_eq!(ids(&answer), ["t1", "x1", "t3", "seen"], "the last one from the list of everywhere");
    assert_eq!(sources(&answer)[3], "trending");
}

#[tokio::test]
async fn longer_windows_fill_up_what_the_last_hour_lacks() {
    let shop = Shop::open().await;
    shop.trending(Window::Hour, "", &[("a", "")]).await;
    shop.trending(Window::Week, "", &[("b", ""), ("a", "")]).await;
    shop.trending(Window::Month, "", &[("c", ""), ("a", "")]).await;
    assert_eq!(ids(&shop.ok("/recommendations?k=2").await), ["a", "b"]);
    assert_eq!(ids(&shop.ok("/recommendations").await), ["a", "b", "c"]);
    assert_eq!(ids(&shop.ok("/recommendations?window=7d").await), ["b", "a"]);
}

#[tokio::test]
async fn the_category_is_strict_in_every_tier() {
    let shop = shop().await;
    shop.product("x2", &["home", "toys"], true);
    shop.product("t3", &["toys"], true);
    let answer = shop.ok("/recommendations?user_id=7&k=10&category_id=pans").await;
    assert_eq!(ids(&answer), ["x1", "x3", "t1"]);
    let answer = shop.ok("/recommendations?user_id=7&k=10&category_id=toys").await;
    assert_eq!(ids(&answer), ["x2", "t2", "t3", "t4"]);
    let answer = shop.ok("/trending?category_id=pans").await;
    assert_eq!(ids(&answer), ["t1", "x1"]);
}

#[tokio::test]
async fn what_the_caller_excludes_is_in_no_tier() {
    let shop = shop().await;
    let answer = shop.ok("/recommendations?user_id=7&k=10&exclude=x1&exclude=t1&exclude=t2").await;
    assert_eq!(ids(&answer), ["x3", "x2", "t3", "t4"]);
    let (status, twin) =
        shop.post("/recommendations", json!({"user_id": 7, "k": 10, "exclude": ["x1", "t1", "t2"]})).await;
    assert_eq!((status, ids(&twin)), (200, ids(&answer)));
}

#[tokio::test]
async fn seen_products_come_back_only_when_asked_for() {
    let shop = shop().await;
    let found = async |seen: &str| {
        let answer = shop.ok(&format!("/recommendations?user_id=7&k=20&seen={seen}")).await;
        let known = ["seen", "bought", "old"].map(|id| ids(&answer).contains(&id));
        let distinct: HashSet<_> = ids(&answer).into_iter().collect();
        assert_eq!(distinct.len(), ids(&answer).len(), "no product twice: {answer}");
        known
    };
    assert_eq!(found("exclude").await, [false, false, false]);
    assert_eq!(found("purchased").await, [true, false, true]);
    assert_eq!(found("include").await, [true, true, true]);
}

#[tokio::test]
async fn an_inactive_product_leaves_every_answer_at_once() {
    let shop = shop().await;
    let paths =
        ["/recommendations?user_id=7&k=10", "/recommendations?k=10", "/trending", "/products/seen/similar"];
    for path in paths {
        assert!(ids(&shop.ok(path).await).contains(&"x1"), "{path}");
    }
    shop.product("x1", &["pans"], false);
    for path in paths {
        assert!(!ids(&shop.ok(path).await).contains(&"x1"), "{path}");
    }
}

#[tokio::test]
async fn a_session_given_by_the_caller_takes_the_place_of_the_history() {
    let shop = shop().await;
    let answer = shop.ok("/recommendations?product_id=other&product_id=bought&k=2").await;
    assert_eq!(ids(&answer), ["x3", "seen"]);
    assert_eq!(answer["user_id"], json!(null));
    let answer = shop.ok("/recommendations?user_id=7&product_id=bought&k=1").await;
    assert_eq!(ids(&answer), ["x3"], "and what the history knows stays excluded");
}

#[tokio::test]
async fn reasons_are_facts_that_are_stored() {
    let shop = shop().await;
    let answer = shop.ok("/recommendations?user_id=7&k=10&explain=true").await;
    let reason = |id: &str| {
        let items = answer["items"].as_array().unwrap();
        items.iter().find(|item| item["product_id"] == id).unwrap()["reason"].clone()
    };
    assert_eq!(
        reason("x1"),
        json!({
            "code": "seen_together",
            "text": "seen 12 times in one session with seen, viewed in this session",
            "product_id": "seen",
            "event_type": "view",
            "at": "2023-11-14T22:12:20Z",
            "count": 12,
        })
    );
    assert_eq!(reason("x2")["code"], "similar");
    assert_eq!(reason("x3")["text"], "seen once in one session with bought, bought in this session");
    assert_eq!(reason("t2")["text"], "10 events within 7d in the shop");
    assert_eq!(reason("t1")["category_id"], "pans");
    let plain = shop.ok("/recommendations?user_id=7").await;
    assert_eq!(plain["items"][0]["reason"], json!(null));
}

#[tokio::test]
async fn similar_trending_and_history_answer_from_what_is_published() {
    let shop = shop().await;
    shop.shopper("8", 3, &[("b", AddToCart, 1), ("a", View, 2)]).await;
    let similar = shop.ok("/products/seen/similar?k=2&exclude=x2").await;
    assert_eq!(ids(&similar), ["x1", "old"]);
    assert_eq!(similar["items"][0]["count"], 12);
    assert_eq!(ids(&shop.ok("/products/unknown/similar").await), [""; 0]);
    let trending = shop.ok("/trending?window=24h&k=2").await;
    assert_eq!((ids(&trending), &trending["window"]), (vec!["t1", "t2"], &json!("24h")));
    assert_eq!(trending["items"][1]["score"], 999.0);
    assert_eq!(ids(&shop.ok("/trending?window=1h").await), [""; 0]);
    let history = shop.ok("/users/8/history").await;
    assert_eq!(
        history["items"],
        json!([
            {"product_id": "b", "event_type": "add_to_cart", "timestamp": "2023-11-14T22:12:20Z"},
            {"product_id": "a", "event_type": "view", "timestamp": "2023-11-14T22:11:20Z"},
        ])
    );
    assert_eq!(ids(&shop.ok("/users/8/history?k=1").await), ["b"]);
    assert_eq!(ids(&shop.ok("/users/8/history?anonymous=true").await), [""; 0]);
}

#[tokio::test]
async fn what_rises_is_a_list_of_its_own_in_the_shop_and_in_a_category() {
    let shop = shop().await;
    shop.trending(Trend::Rising, "", &[("new", "toys"), ("t3", "pans")]).await;
    shop.trending(Trend::Rising, "pans", &[("t3", "pans")]).await;
    let rising = shop.ok("/trending?rank=rising").await;
    assert_eq!((ids(&rising), &rising["rank"]), (vec!["new", "t3"], &json!("rising")));
    assert_eq!(rising["window"], json!(null), "it has none");
    assert_eq!((&rising["items"][1]["score"], &rising["items"][1]["count"]), (&json!(0.999), &json!(10)));
    assert_eq!(ids(&shop.ok("/trending?rank=rising&category_id=pans").await), ["t3"]);
    let popular = shop.ok("/trending?rank=popular&k=2").await;
    assert_eq!((ids(&popular), &popular["rank"]), (vec!["t1", "t2"], &json!("popular")));
    assert_eq!(ids(&popular), ids(&shop.ok("/trending?k=2").await), "which is the default");
    assert_eq!(ids(&shop.ok("/recommendations?k=2").await), ["t1", "t2"], "strangers get what is popular");
}
