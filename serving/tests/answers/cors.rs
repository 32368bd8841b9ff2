use crate::shop::{Shop, config};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use service_runtime::keys::Keys;
use serving::ServingConfig;
use tower::ServiceExt;

/// What a browser asks before a page of `origin` may ask with a key; and the origin that is allowed.
async fn preflight(shop: &Shop, path: &str, origin: &str) -> (StatusCode, Option<String>) {
    let request = Request::options(path)
        .header("origin", origin)
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization");
    let response = shop.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let allowed = response.headers().get("access-control-allow-origin");
    (response.status(), allowed.map(|origin| origin.to_str().unwrap().to_owned()))
}

#[tokio::test]
async fn pages_of_allowed_origins_may_ask_with_a_key() {
    let origins = vec!["https://ops.example".to_owned()];
    let shop = Shop::empty(ServingConfig { cors_origins: origins, ..config() }, Keys::open());
    for path in ["/trending", "/recommendations", "/users/ada/history", "/products/kettle/similar"] {
        let (status, allowed) = preflight(&shop, path, "https://ops.example").await;
        assert!(status.is_success(), "{path}: {status}");
        assert_eq!(allowed.as_deref(), Some("https://ops.example"), "{path}");
        assert_eq!(preflight(&shop, path, "https://other.example").await.1, None, "{path}");
    }
    let closed = Shop::empty(config(), Keys::open());
    assert_eq!(preflight(&closed, "/trending", "https://ops.example").await.1, None);
}
