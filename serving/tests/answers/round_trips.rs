use crate::shop::{Shop, config, ids};
use schemas::EventKind::View;
use service_runtime::keys::Keys;
use serving::ServingConfig;

/// Nothing is kept of neighbour lists, so that each request costs what the first one would.
async fn shop() -> Shop {
    let config = ServingConfig { near_cache_mb: 0, ..config() };
    let shop = Shop::with(config, Keys::open()).await;
    shop.shopper("7", 40, &[("a", View, 1), ("b", View, 2)]).await;
    shop.neighbours("a", "pans", &[("x", 0.9, 12)]).await;
    shop.neighbours("b", "pans", &[("y", 0.9, 12)]).await;
    shop.popular("", &[("t", "pans")]).await;
    shop.popular("pans", &[("t", "pans")]).await;
    shop.serving.warm_up().await;
    shop
}

#[tokio::test]
async fn an_answer_costs_at_most_two_round_trips() {
    let shop = shop().await;
    shop.ok("/trending?category_id=pans").await;
    for (path, most) in [
        ("/recommendations?user_id=7", 2),
        ("/recommendations?user_id=7&category_id=pans&explain=true", 2),
        ("/recommendations?user_id=stranger", 1),
        ("/recommendations?product_id=a&product_id=b", 1),
        ("/recommendations", 0),
        ("/products/a/similar", 1),
        ("/users/7/history", 1),
        ("/trending", 0),
        ("/trending?category_id=pans", 0),
    ] {
        let before = shop.store.faults().reads();
        assert!(!ids(&shop.ok(path).await).is_empty(), "{path}");
        assert_eq!(shop.store.faults().reads() - before, most, "{path}");
    }
}

#[tokio::test]
async fn a_category_is_read_once_however_many_ask() {
    let shop = shop().await;
    let before = shop.store.faults().reads();
    let asked = (0..20).map(|_| shop.ok("/trending?category_id=pans"));
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(|answer| ids(answer) == ["t"]));
    assert_eq!(shop.store.faults().reads() - before, 1);
}

#[tokio::test]
async fn the_refresh_reads_categories_that_were_not_at_hand() {
    let shop = shop().await;
    shop.popular("pans", &[("t", "pans"), ("late", "pans")]).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let refresh = tokio::spawn({
        let (serving, stop) = (shop.serving.clone(), stop.clone());
        async move { serving.refresh(stop).await }
    });
    // The category is known from the neighbour list only: not waited for, but read in the background.
    let path = "/recommendations?user_id=7";
    assert_eq!(ids(&shop.ok(path).await), ["x", "y", "t"]);
    while !ids(&shop.ok(path).await).contains(&"late") {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    refresh.await.unwrap();
}

#[tokio::test]
async fn lists_are_read_again_only_when_they_changed() {
    let shop = Shop::open().await;
    shop.shopper("7", 40, &[("a", View, 1), ("b", View, 2)]).await;
    shop.neighbours("a", "pans", &[("x", 0.9, 12)]).await;
    shop.serving.warm_up().await;
    let path = "/recommendations?user_id=7&seen=exclude";
    assert_eq!(ids(&shop.ok(path).await), ["x"]);
    let before = shop.store.faults().reads();
    assert_eq!(ids(&shop.ok(path).await), ["x"]);
    assert_eq!(shop.store.faults().reads() - before, 1, "the history only");
    shop.neighbours("b", "pans", &[("y", 0.9, 12)]).await;
    assert_eq!(ids(&shop.ok(path).await), ["x", "y"]);
    assert_eq!(shop.store.faults().reads() - before, 3);
}
