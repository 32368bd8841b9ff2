//! Who may call, from where, and how often.

use axum::body::Body;
use axum::http::Request;
use ingest::IngestConfig;
use service_runtime::keys::{KeyConfig, Keys, Scope, hash_of};

use crate::support::{Log, Service, post, view};

fn keys() -> Keys {
    let key = |name: &str, scope| KeyConfig { name: name.into(), hash: hash_of(name), scopes: vec![scope] };
    let keys = vec![key("write", Scope::Write), key("read", Scope::Read), key("admin", Scope::Admin)];
    Keys::load(keys, None, "ingest").unwrap()
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.to_owned().into()).unwrap()
}

#[tokio::test]
async fn each_address_asks_for_its_scope() {
    let service = Service::with(&Log::working(), IngestConfig::default(), keys());
    let event = view("a", "u");
    let list = format!("[{event}]");
    for (method, path, body, none, read, write, admin) in [
        ("POST", "/events", event.as_str(), 401, 403, 202, 202),
        ("POST", "/events/batch", &list, 401, 403, 200, 200),
        ("POST", "/products/batch", "[]", 401, 403, 403, 200),
        ("PUT", "/products/1", "{}", 401, 403, 403, 202),
        ("DELETE", "/products/1", "", 401, 403, 403, 202),
        ("DELETE", "/users/1", "", 401, 403, 403, 202),
    ] {
        for (key, expected) in
            [("", none), ("unknown", 401), ("read", read), ("write", write), ("admin", admin)]
        {
            let headers: &[_] = if key.is_empty() { &[] } else { &[("x-api-key", key)] };
            let answer = service.send(request(method, path, headers, body)).await;
            assert_eq!(answer.status.as_u16(), expected, "{method} {path} with {key:?}: {answer:?}");
            let code = [(401, "unauthorized"), (403, "forbidden")]
                .into_iter()
                .find(|(status, _)| *status == expected);
            assert_eq!(answer.code(), code.map_or("", |(_, code)| code));
        }
    }
}

#[tokio::test]
async fn an_import_takes_an_admin_key() {
    let service = Service::with(&Log::working(), IngestConfig::default(), keys());
    let import = |key| post("/events", &[("x-api-key", key), ("x-import", "true")], view("a", "u"));
    assert_eq!(service.send(import("write")).await.expect(403).code(), "forbidden");
    service.send(import("admin")).await.expect(202);
    let off = post("/events", &[("x-api-key", "write"), ("x-import", "false")], view("a", "u"));
    service.send(off).await.expect(202);
}

#[tokio::test]
async fn a_beacon_brings_its_key_in_the_address() {
    let service = Service::with(&Log::working(), IngestConfig::default(), keys());
    let beacon =
        |key| post(&format!("/events?api_key={key}"), &[("content-type", "text/plain")], view("a", "u"));
    service.send(beacon("write")).await.expect(202);
    service.send(beacon("wrong")).await.expect(401);
}

fn cors(origin: &str) -> IngestConfig {
    IngestConfig { cors_origins: vec![origin.to_owned()], ..IngestConfig::default() }
}

#[tokio::test]
async fn configured_pages_pass_the_preflight() {
    let service = Service::with(&Log::working(), cors("https://shop.example"), keys());
    let preflight = |origin| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-api-key"),
        ];
        request("OPTIONS", "/events/batch", &headers, "")
    };
    let answer = service.send(preflight("https://shop.example")).await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example");
    assert_eq!(answer.header("access-control-allow-methods"), "POST");
    assert!(answer.header("access-control-allow-headers").contains("x-api-key"));
    let answer = service.send(preflight("https://evil.example")).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_page_can_read_why_it_was_refused() {
    let service = Service::with(&Log::working(), cors("*"), keys());
    let answer = service.send(post("/events", &[("origin", "https://any.example")], "{}")).await.expect(401);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(answer.header("access-control-expose-headers").contains("retry-after"));
}

#[tokio::test]
async fn pages_may_not_change_the_catalog() {
    let service = Service::with(&Log::working(), cors("*"), Keys::open());
    let headers = [("origin", "https://any.example"), ("access-control-request-method", "DELETE")];
    let answer = service.send(request("OPTIONS", "/users/1", &headers, "")).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_caller_over_its_limit_is_told_when_to_come_again() {
    let config = IngestConfig { caller_events_per_minute: 1, caller_burst: 1_000, ..IngestConfig::default() };
    let service = Service::with(&Log::working(), config, keys());
    let batch = format!("[{}]", vec![view("a", "u"); 999].join(","));
    let by = |key: &'static str, path, body| service.send(post(path, &[("x-api-key", key)], body));
    let answer = by("write", "/events/batch", batch).await.expect(200);
    assert_eq!((answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining")), ("1", "1"));
    by("write", "/events", view("a", "u")).await.expect(202);
    let answer = by("write", "/events", view("a", "u")).await.expect(429);
    assert_eq!(answer.code(), "rate_limited");
    assert_eq!((answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining")), ("1", "0"));
    assert!(answer.header("retry-after").parse::<u32>().unwrap() > 1);
    assert!(answer.header("x-ratelimit-reset").parse::<u32>().unwrap() > 1);
    by("admin", "/events", view("a", "u")).await.expect(202);
}

#[tokio::test]
async fn a_user_over_the_limit_holds_up_nobody_else() {
    let config = IngestConfig { user_events_per_minute: 1, user_burst: 2, ..IngestConfig::default() };
    let log = Log::working();
    let service = Service::with(&log, config, Keys::open());
    let events = [("a", "bot"), ("b", "bot"), ("c", "bot"), ("d", "human"), ("e", "bot")];
    let batch = format!("[{}]", events.map(|(id, user)| view(id, user)).join(","));
    let answer = service.post("/events/batch", batch.clone()).await.expect(200);
    assert_eq!(answer.results(), ["ok", "ok", "retry", "ok", "retry"]);
    assert_eq!(answer.body["results"][2]["code"], "user_rate_limited");

    let answer = service.post("/events", view("f", "bot")).await.expect(429);
    assert_eq!(answer.code(), "user_rate_limited");
    let answer = service.post("/events/batch", format!("[{}]", view("f", "bot"))).await.expect(429);
    assert_eq!(answer.body["event_ids"], serde_json::json!(["f"]));
    let import = post("/events/batch", &[("x-import", "true")], batch);
    assert_eq!(service.send(import).await.expect(200).body["accepted"], 5, "imports are exempt");
}
