//! Callers who mean no good: keys that are not theirs, limits that they would pass by, bodies that should break something.

use axum::body::Body;
use axum::http::Request;
use ingest::IngestConfig;
use service_runtime::keys::{KeyConfig, Keys, Scope, hash_of};
use std::net::SocketAddr;

use crate::support::{Answer, Log, Service, post, view};

const WRITE: &str = "write-3f9c";
const ADMIN: &str = "admin-a71e";

fn keys() -> Keys {
    let key =
        |name: &str, key, scope| KeyConfig { name: name.into(), hash: hash_of(key), scopes: vec![scope] };
    let keys = vec![key("shop", WRITE, Scope::Write), key("office", ADMIN, Scope::Admin)];
    Keys::load(keys, None, "ingest").unwrap()
}

fn guarded() -> Service {
    Service::with(&Log::working(), IngestConfig::default(), keys())
}

async fn send(service: &Service, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    service.send(request.body(Body::from(view("a", "u"))).unwrap()).await
}

#[tokio::test]
async fn nothing_but_the_very_key_opens() {
    let service = guarded();
    let hash = hash_of(WRITE);
    let upper = WRITE.to_uppercase();
    let longer = format!("{WRITE}0");
    for wrong in ["", " ", "shop", &WRITE[..9], &longer, &upper, &hash, "null", "*", "' OR 1=1"] {
        for headers in [[("x-api-key", wrong)], [("authorization", &*format!("Bearer {wrong}"))]] {
            let answer = send(&service, "POST", "/events", &headers).await.expect(401);
            assert!(!answer.body.to_string().contains(&hash), "an answer gives nothing away");
        }
    }
    for scheme in ["Basic", "Token", "Bearer:", ""] {
        let value = format!("{scheme} {WRITE}");
        send(&service, "POST", "/events", &[("authorization", &value)]).await.expect(401);
    }
    send(&service, "POST", "/events", &[("authorization", &format!("bEARER  {WRITE}"))]).await.expect(202);
}

#[tokio::test]
async fn a_second_key_adds_nothing_to_the_first() {
    let service = guarded();
    // Whichever counts, it is one of them alone: never the better one after the other has failed.
    let both = [("x-api-key", "wrong"), ("authorization", &*format!("Bearer {WRITE}"))];
    send(&service, "POST", "/events", &both).await.expect(401);
    let both = [("x-api-key", "wrong"), ("x-api-key", WRITE)];
    send(&service, "POST", "/events", &both).await.expect(401);
    let path = format!("/events?api_key={WRITE}");
    send(&service, "POST", &path, &[("x-api-key", "wrong")]).await.expect(401);
}

#[tokio::test]
async fn a_key_in_an_address_opens_nothing_but_sending_events() {
    let service = guarded();
    for (method, path) in [("PUT", "/products/p"), ("DELETE", "/products/p"), ("DELETE", "/users/u")] {
        send(&service, method, &format!("{path}?api_key={ADMIN}"), &[]).await.expect(401);
    }
    for name in ["API_KEY", "Api_Key", "api-key", "apikey", "key", "access_token"] {
        send(&service, "POST", &format!("/events?{name}={WRITE}"), &[]).await.expect(401);
    }
    // An admin's key that stands in an address is worth no more than a page's.
    let import = [("x-import", "true")];
    send(&service, "POST", &format!("/events?api_key={ADMIN}"), &import).await.expect(403);
}

#[tokio::test]
async fn no_way_of_writing_an_address_passes_by_its_scope() {
    let service = guarded();
    let page = [("x-api-key", WRITE)];
    for path in [
        "//users/u",
        "/users//u",
        "/./users/u",
        "/events/../users/u",
        "/events/%2e%2e/users/u",
        "/%75sers/u",
        "/USERS/u",
        "/users/u/",
        "/users/u;x=1",
        "/users/u?api_key=&",
        "/users/..%2fusers%2fu",
        "/users/%00",
        "/events%2f..%2fusers/u",
    ] {
        let answer = send(&service, "DELETE", path, &page).await;
        assert!(matches!(answer.status.as_u16(), 403..=405), "{path}: {answer:?}");
    }
    for header in ["x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url"] {
        let value = if header.ends_with("url") { "/users/u" } else { "DELETE" };
        send(&service, "GET", "/users/u", &[page[0], (header, value)]).await.expect(405);
    }
}

#[tokio::test]
async fn the_limit_of_an_address_holds_whatever_headers_say() {
    let config = IngestConfig { caller_events_per_minute: 1, caller_burst: 1_000, ..IngestConfig::default() };
    let service = Service::with(&Log::working(), config, Keys::open());
    let from = async |address: &str, headers: &[(&str, &str)], body: String| {
        let mut request = post("/events/batch", headers, body);
        let peer: SocketAddr = address.parse().unwrap();
        request.extensions_mut().insert(service_runtime::http::Connection::new(peer));
        service.send(request).await
    };
    let batch = || format!("[{}]", vec![view("a", "u"); 1_000].join(","));
    let one = || format!("[{}]", view("a", "u"));
    from("192.0.2.1:1000", &[], batch()).await.expect(200);
    for header in ["x-forwarded-for", "forwarded", "x-real-ip", "true-client-ip", "x-api-key"] {
        let answer = from("192.0.2.1:2000", &[(header, "192.0.2.99")], one()).await.expect(429);
        assert_eq!(answer.code(), "rate_limited", "{header}");
    }
    from("[2001:db8::1]:1000", &[], batch()).await.expect(200);
    from("[2001:db8::2]:1000", &[], one()).await.expect(429);
    from("192.0.2.2:1000", &[], one()).await.expect(200);
}

#[tokio::test]
async fn the_limit_of_a_key_holds_however_the_key_is_sent() {
    let config = IngestConfig { caller_events_per_minute: 1, caller_burst: 1_000, ..IngestConfig::default() };
    let service = Service::with(&Log::working(), config, keys());
    let batch = format!("[{}]", vec![view("a", "u"); 1_000].join(","));
    service.send(post("/events/batch", &[("x-api-key", WRITE)], batch)).await.expect(200);
    let bearer = format!("Bearer  {WRITE} ");
    send(&service, "POST", "/events", &[("authorization", &bearer)]).await.expect(429);
    send(&service, "POST", "/events", &[("x-api-key", &format!(" {WRITE} "))]).await.expect(429);
    send(&service, "POST", &format!("/events?api_key={WRITE}"), &[]).await.expect(429);
    send(&service, "POST", &format!("/events?api_key=x&api_key={WRITE}"), &[]).await.expect(401);
}

#[tokio::test]
async fn foreign_pages_are_let_in_nowhere_and_no_page_with_cookies() {
    let origins = vec!["https://shop.example".to_owned()];
    let config = IngestConfig { cors_origins: origins, ..IngestConfig::default() };
    let service = Service::with(&Log::working(), config, Keys::open());
    let allowed = async |method: &str, origin: &str| {
        let asks = [("origin", origin), ("access-control-request-method", "POST")];
        let answer = send(&service, method, "/events", &asks).await;
        assert_eq!(answer.header("access-control-allow-credentials"), "", "{origin}");
        answer.header("access-control-allow-origin").to_owned()
    };
    for method in ["OPTIONS", "POST"] {
        assert_eq!(allowed(method, "https://shop.example").await, "https://shop.example");
        for origin in [
            "null",
            "https://evil.example",
            "http://shop.example",
            "https://shop.example.evil.example",
            "https://evil-shop.example",
            "https://shop.example:8443",
            "https://shop.example, https://evil.example",
            "HTTPS://SHOP.EXAMPLE/",
            "*",
        ] {
            assert_eq!(allowed(method, origin).await, "", "{origin}");
        }
    }
}

#[tokio::test]
async fn bodies_made_to_break_parsers_are_refused_with_a_reason() {
    let log = Log::working();
    let service = Service::on(&log);
    let with = |field: &str| view("a", "u").replace('}', &format!(",{field}}}"));
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(30_000), close.repeat(30_000));
    let bodies: Vec<(Vec<u8>, u16, &str)> = vec![
        (deep("[", "]").into(), 422, "not_an_object"),
        (format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)).into(), 422, "missing_event_type"),
        (with(&format!("\"metadata\":{{\"a\":{}}}", deep("[", "]"))).into(), 422, "invalid_metadata"),
        (with(&format!("\"order_id\":{}", deep("[", "]"))).into(), 422, "invalid_order_id"),
        (with("\"user_id\":\"v\"").into(), 422, "duplicate_field"),
        (with("\"product_id\":\"p\"").into(), 422, "duplicate_field"),
        (with("\"price\":1e999").into(), 400, "malformed_json"),
        (with(&format!("\"price\":{}", "9".repeat(1_000))).into(), 400, "malformed_json"),
        (with(&format!("\"quantity\":{}", "9".repeat(30))).into(), 422, "invalid_quantity"),
        (with("\"timestamp\":99999999999999999999999").into(), 422, "invalid_timestamp"),
        (with(&format!("\"session_id\":\"{}\"", "x".repeat(60_000))).into(), 422, "invalid_session_id"),
        (with(&format!("\"metadata\":{{\"a\":\"{}\"}}", "x".repeat(65_536))).into(), 413, "too_large"),
        (with("\"session_id\":\"\\ud800\"").into(), 400, "malformed_json"),
        (with("\"session_id\":\"\\u0000\"").into(), 422, "invalid_session_id"),
        ([&b"{\"event_type\":\"view\",\"user_id\":\"\xff\xfe\"}"[..]].concat(), 400, "malformed_json"),
        (b"\xef\xbb\xbf{}".to_vec(), 400, "malformed_json"),
        (b"\x1f\x8b\x08".to_vec(), 400, "malformed_json"),
        (Vec::new(), 400, "malformed_json"),
    ];
    for (body, status, code) in bodies {
        let start = String::from_utf8_lossy(&body[..body.len().min(90)]).into_owned();
        let answer = service.post("/events", body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{start}: {answer:?}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.len() < 600, "an answer is not as long as what was sent: {detail}");
        // As a line of many it sinks nobody else.
        if !body.is_empty() {
            let sound = view("b", "u");
            let lines = [&body[..], b"\n", sound.as_bytes()].concat();
            let request = post("/events/batch", &[("content-type", "application/x-ndjson")], lines);
            assert_eq!(service.send(request).await.expect(200).results(), ["rejected", "ok"], "{start}");
        }
    }
    assert!(log.events().iter().all(|(_, event)| event.event_id == "b"), "nothing else got into the log");
}

#[tokio::test]
async fn a_batch_may_nest_as_deep_as_it_likes_and_gets_nowhere() {
    let service = Service::on(&Log::working());
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    for body in [deep.clone(), format!("{{\"events\":{deep}}}"), format!("[{{\"a\":{deep}}}]")] {
        let answer = service.post("/events/batch", body).await.expect(200);
        assert_eq!(answer.body["results"][0]["code"], "too_large");
    }
    let twice = format!("{{\"events\":[{0}],\"events\":[{0}]}}", view("a", "u"));
    assert_eq!(service.post("/events/batch", twice).await.expect(422).code(), "not_a_batch");
}
