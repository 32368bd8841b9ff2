use crate::shop::{Shop, ids, sources};
use schemas::EventKind::View;
use serde_json::json;

async fn shop() -> Shop {
    let shop = Shop::open().await;
    shop.neighbours("pan", "pans", &[("lid", 0.5, 3), ("spoon", 0.4, 2), ("pot", 0.3, 1)]).await;
    shop.neighbours("pot", "pans", &[("spoon", 0.4, 2), ("pan", 0.3, 1)]).await;
    shop.popular("", &[("pot", ""), ("top", "")]).await;
    shop
}

#[tokio::test]
async fn every_product_of_the_cart_counts_the_same_and_none_is_offered_again() {
    let shop = shop().await;
    for seen in ["exclude", "include"] {
        let cart = json!({"product_id": ["pot", "pan", "pot"], "k": 3, "seen": seen, "explain": true});
        let (status, answer) = shop.post("/recommendations/cart", cart).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(ids(&answer), ["spoon", "lid", "top"], "spoon goes with both");
        assert_eq!(sources(&answer)[2], "trending");
        let text = answer["items"][1]["reason"]["text"].as_str().unwrap();
        assert_eq!(text, "seen 3 times in one session with pan, which is in the cart");
    }
}

#[tokio::test]
async fn the_shopper_may_be_named_and_what_they_saw_stays_excluded() {
    let shop = shop().await;
    shop.shopper("7", 1, &[("spoon", View, 1)]).await;
    let cart = json!({"user_id": "7", "product_id": ["pan"]});
    let (_, answer) = shop.post("/recommendations/cart", cart).await;
    assert_eq!(ids(&answer), ["lid", "pot", "top"]);
}
