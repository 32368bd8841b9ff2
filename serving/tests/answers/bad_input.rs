use crate::shop::{Shop, config};
use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use service_runtime::keys::{KeyConfig, Keys, Scope, hash_of};

#[tokio::test]
async fn bad_input_is_a_problem_with_a_code() {
    let shop = Shop::open().await;
    for (path, status, code) in [
        ("/recommendations?k=0", 422, "invalid_k"),
        ("/recommendations?min_position=junk", 422, "invalid_min_position"),
        ("/recommendations?limit=3", 422, "unknown_parameter"),
        ("/trending?window=2h", 422, "invalid_window"),
        ("/trending?rank=falling", 422, "invalid_rank"),
        ("/trending?rank=rising&window=7d", 422, "invalid_window"),
        ("/products/7/similar?user_id=7", 422, "unknown_parameter"),
        ("/users/7/history?anonymous=perhaps", 422, "invalid_anonymous"),
        ("/users/%ff/history", 400, "malformed_path"),
        ("/nowhere", 404, "not_found"),
        ("/recommendations/cart", 405, "method_not_allowed"),
    ] {
        let (found, body) = shop.get(path).await;
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{path}: {body}");
    }
    let (status, body) = shop.get("/recommendations?k=101").await;
    assert_eq!(status, 422);
    assert_eq!(
        (&body["parameter"], &body["detail"]),
        (&json!("k"), &json!("`k` has to be a number from 1 to 100"))
    );
}

#[tokio::test]
async fn bad_bodies_are_problems_too() {
    let shop = Shop::open().await;
    let long = json!({"exclude": ["x".repeat(600_000)]}).to_string();
    for (body, status, code) in [
        ("{", 400, "malformed_json"),
        (long.as_str(), 413, "body_too_large"),
        ("{\"k\":0}", 422, "invalid_k"),
    ] {
        for path in ["/recommendations", "/recommendations/cart"] {
            let request = Request::post(path).body(Body::from(body.to_owned())).unwrap();
            let (found, answer) = shop.send(request).await;
            assert_eq!((found, &answer["code"]), (status, &json!(code)), "{path}");
        }
    }
}

#[tokio::test]
async fn reading_takes_a_key_with_the_scope_for_it() {
    let key = |name: &str, scope| KeyConfig {
        name: name.to_owned(),
        hash: hash_of(&format!("{name}-key")),
        scopes: vec![scope],
    };
    let keys = vec![key("page", Scope::Write), key("backend", Scope::Read)];
    let shop = Shop::with(config(), Keys::load(keys, None, "serving").unwrap()).await;
    let ask = async |path: &str, key: Option<&str>| {
        let mut request = Request::get(path);
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        shop.send(request.body(Body::empty()).unwrap()).await.0
    };
    for path in ["/recommendations", "/trending", "/users/7/history", "/products/7/similar"] {
        assert_eq!(ask(path, None).await, 401, "{path}");
        assert_eq!(ask(path, Some("page-key")).await, 403, "{path}");
        assert_eq!(ask(path, Some("backend-key")).await, 200, "{path}");
    }
}
