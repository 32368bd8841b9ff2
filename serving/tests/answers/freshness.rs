use crate::shop::{NOW_MS, Shop, position};
use schemas::EventKind::View;
use schemas::Version;
use schemas::published::{Marker, Window};
use serde_json::json;

#[tokio::test]
async fn an_answer_says_what_it_reflects_and_how_long_the_rest_waits() {
    let shop = Shop::open().await;
    shop.shopper("7", 40, &[("a", View, 1)]).await;
    let marker = Marker {
        version: Version::of(1, 90),
        lag_records: 5,
        lag_ms: 1_500,
        published_at_ms: NOW_MS,
        complete: true,
        ..Marker::default()
    };
    shop.publish_markers(marker).await;
    let freshness = shop.ok("/recommendations?user_id=7").await["freshness"].clone();
    assert_eq!(
        freshness,
        json!({
            "generation": 1,
            "as_of": "2023-11-14T22:13:18.5Z",
            "lag_ms": 1_500,
            "position": position("7", 40).to_string(),
            "degraded": false,
        })
    );
    let stranger = shop.ok("/recommendations?user_id=stranger").await["freshness"].clone();
    assert_eq!((&stranger["position"], &stranger["lag_ms"]), (&json!(null), &json!(1_500)));
}

#[tokio::test]
async fn a_processor_that_stopped_shows_as_growing_lag() {
    let shop = Shop::open().await;
    shop.trending(Window::Day, "", &[("t", "")]).await;
    let lag = async || shop.ok("/trending").await["freshness"]["lag_ms"].as_u64().unwrap();
    assert_eq!(lag().await, 0);
    shop.clock.advance(3_600_000);
    let after_an_hour = lag().await;
    assert!(after_an_hour > 3_000_000, "{after_an_hour}");
    shop.clock.advance(1_000);
    assert_eq!(lag().await, after_an_hour + 1_000);
}
