//! Who may call the admin endpoints, and the operations page, before there is a processor.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use service_runtime::keys::{KeyConfig, Keys, Scope, hash_of};
use stream_processor::{Admin, ProcessorConfig};
use tower::ServiceExt;

fn router(keys: &[(&str, Scope)], serving_url: &str) -> Router {
    let keys = keys.iter().map(|(key, scope)| KeyConfig {
        name: (*key).to_owned(),
        hash: hash_of(key),
        scopes: vec![*scope],
    });
    let keys = Keys::load(keys.collect(), None, "processor").unwrap();
    let config = ProcessorConfig { serving_url: serving_url.to_owned(), ..ProcessorConfig::default() };
    Admin::new(keys, &config).router()
}

async fn call(router: &Router, method: &str, path: &str, key: Option<&str>) -> (StatusCode, String) {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let body = Body::from(r#"{"partition":0,"offset":0}"#);
    let response = router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn looking_takes_a_key_to_read_and_redriving_one_of_an_admin() {
    let router = router(&[("looks", Scope::Read), ("acts", Scope::Admin), ("sends", Scope::Write)], "");
    let looking =
        ["/admin/lag", "/admin/live", "/admin/products/x", "/admin/dead-letters", "/admin/dead-letters/0/0"];
    for path in looking {
        assert_eq!(call(&router, "GET", path, None).await.0, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(call(&router, "GET", path, Some("sends")).await.0, StatusCode::FORBIDDEN, "{path}");
        for key in ["looks", "acts"] {
            let (status, body) = call(&router, "GET", path, Some(key)).await;
            assert!(status == StatusCode::SERVICE_UNAVAILABLE && body.contains("starting"), "{path}: {body}");
        }
    }
    let redrive = "/admin/dead-letters/redrive";
    assert_eq!(call(&router, "POST", redrive, None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(call(&router, "POST", redrive, Some("looks")).await.0, StatusCode::FORBIDDEN);
    assert_eq!(call(&router, "POST", redrive, Some("acts")).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_page_itself_needs_no_key_and_may_ask_serving_only() {
    let router = router(&[("looks", Scope::Read)], "https://shop.example/api");
    let (status, config) = call(&router, "GET", "/ops/config.json", None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(config.contains(r#""serving_url":"https://shop.example/api""#), "{config}");
    assert!(config.contains(r#""keys_required":true"#), "{config}");
    assert_eq!(call(&router, "GET", "/ops", None).await.0, StatusCode::PERMANENT_REDIRECT);
    for path in ["/ops/", "/ops/ops.js", "/ops/ops.css"] {
        assert_eq!(call(&router, "GET", path, None).await.0, StatusCode::OK, "{path}");
    }
    let page = Request::get("/ops/").body(Body::empty()).unwrap();
    let page = router.clone().oneshot(page).await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("default-src 'none'")
            && policy.contains("connect-src 'self' https://shop.example/api/;")
    );
    let tag = page.headers()["etag"].clone();
    let again = Request::get("/ops/").header("if-none-match", tag).body(Body::empty()).unwrap();
    assert_eq!(router.oneshot(again).await.unwrap().status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn no_way_of_writing_an_address_passes_by_its_scope() {
    let router = router(&[("looks", Scope::Read), ("acts", Scope::Admin)], "");
    let closed = |status: StatusCode| {
        matches!(status, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
    };
    for path in [
        "//admin/lag",
        "/./admin/lag",
        "/ops/../admin/lag",
        "/ops/%2e%2e/admin/lag",
        "/ops/..%2fadmin/lag",
        "/%61dmin/lag",
        "/ADMIN/LAG",
        "/admin//lag",
        "/admin/lag/",
        "/admin/lag;x=1",
        "/admin/lag?api_key=looks",
        "/admin/dead-letters?api_key=acts",
        "/admin/dead-letters/0/%00",
    ] {
        let (status, body) = call(&router, "GET", path, None).await;
        assert!(closed(status), "{path}: {status} {body}");
    }
    let redrive = "/admin/dead-letters/redrive";
    for method in ["GET", "HEAD", "PUT", "PATCH", "post"] {
        assert!(closed(call(&router, method, redrive, Some("looks")).await.0), "{method}");
    }
    assert!(closed(call(&router, "POST", "/admin/dead-letters/redrive?api_key=acts", None).await.0));
}

#[test]
fn every_endpoint_for_operators_is_described() {
    let description = serde_json::to_value(stream_processor::openapi()).expect("it is JSON");
    let paths: Vec<&String> = description["paths"].as_object().expect("an object").keys().collect();
    let expected = [
        "/admin/dead-letters",
        "/admin/dead-letters/redrive",
        "/admin/dead-letters/{partition}/{offset}",
        "/admin/lag",
        "/admin/live",
        "/admin/products/{id}",
    ];
    assert_eq!(paths, expected);
    let lag = &description["components"]["schemas"]["LagReport"]["properties"];
    assert!(lag["partitions"]["items"].is_object(), "{lag}");
}
