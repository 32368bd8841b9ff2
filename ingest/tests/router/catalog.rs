//! Products, and forgetting users.

use axum::body::Body;
use axum::http::Request;
use event_log::AppendError;
use prost::Message;
use schemas::proto::{EventRecord, Product, event_record};

use crate::support::{Fate, Log, NOW, Service};

fn request(method: &str, path: &str, body: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(body.to_owned().into()).unwrap()
}

#[tokio::test]
async fn a_product_is_kept_under_its_id() {
    let log = Log::working();
    let answer =
        Service::on(&log).send(request("PUT", "/products/a%2Fb", r#"{"name":"Kettle"}"#)).await.expect(202);
    assert_eq!((&answer.body["status"], &answer.body["product_id"]), (&"accepted".into(), &"a/b".into()));
    let records = log.records.lock().unwrap();
    assert_eq!((&*records[0].topic, &records[0].key[..]), ("products", &b"a/b"[..]));
    let product = Product::decode(records[0].value.clone()).unwrap();
    let expected = Product {
        product_id: "a/b".into(),
        name: "Kettle".into(),
        active: true,
        updated_at_ms: NOW,
        ..Product::default()
    };
    assert_eq!(product, expected);
}

#[tokio::test]
async fn a_removed_product_stays_known_as_inactive() {
    let log = Log::working();
    Service::on(&log).send(request("DELETE", "/products/7", "")).await.expect(202);
    let records = log.records.lock().unwrap();
    let product = Product::decode(records[0].value.clone()).unwrap();
    assert_eq!(&records[0].key[..], b"7");
    assert_eq!(product, Product { product_id: "7".into(), updated_at_ms: NOW, ..Product::default() });
}

#[tokio::test]
async fn products_come_in_batches_too() {
    let log = Log::working();
    let body = r#"{"products":[{"product_id":1},{"name":"nameless"},{"product_id":"2","active":0}]}"#;
    let answer = Service::on(&log).post("/products/batch", body).await.expect(200);
    assert_eq!(answer.results(), ["ok", "rejected", "rejected"]);
    assert_eq!(answer.body["results"][1]["code"], "missing_product_id");
    assert_eq!(answer.body["results"][2]["product_id"], "2");
    assert_eq!(log.records.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_catalog_that_the_log_does_not_take_is_to_be_sent_again() {
    let service = Service::on(&Log::new(|_| Fate::Fails(AppendError::NotAcknowledged("gone".into()))));
    service.send(request("PUT", "/products/1", "{}")).await.expect(503);
    service.send(request("DELETE", "/products/1", "")).await.expect(503);
    service.send(request("DELETE", "/users/1", "")).await.expect(503);
    let answer = service.post("/products/batch", r#"[{"product_id":1}]"#).await.expect(503);
    assert_eq!(answer.body["product_ids"], serde_json::json!(["1"]));
}

#[tokio::test]
async fn forgetting_a_user_is_a_record_among_the_users_own() {
    let log = Log::working();
    let service = Service::on(&log);
    let answer = service.send(request("DELETE", "/users/u%201", "")).await.expect(202);
    assert_eq!(answer.body["user_id"], "u 1");
    assert!(answer.body["position"].as_str().unwrap().parse::<schemas::Position>().is_ok());
    service.send(request("DELETE", "/users/b?anonymous=true", "")).await.expect(202);

    let records = log.records.lock().unwrap();
    let keys: Vec<_> = records.iter().map(|record| (&*record.topic, &record.key[..])).collect();
    assert_eq!(keys, [("events", &b"u 1"[..]), ("events", &b"~a:b"[..])]);
    let record = EventRecord::decode(records[0].value.clone()).unwrap().record;
    assert!(matches!(record, Some(event_record::Record::ForgetUser(forget)) if forget.received_at_ms == NOW));
}

#[tokio::test]
async fn a_misspelt_parameter_forgets_nobody_and_changes_no_product() {
    let log = Log::working();
    let service = Service::on(&log);
    for (method, path, parameter) in [
        ("DELETE", "/users/b?anonymus=true", "anonymus"),
        ("DELETE", "/users/b?anonymous=true&dry_run=1", "dry_run"),
        ("DELETE", "/users/b?api_key=k", "api_key"),
        ("PUT", "/products/1?active=false", "active"),
        ("DELETE", "/products/1?if_unchanged", "if_unchanged"),
    ] {
        let answer = service.send(request(method, path, "{}")).await.expect(422);
        assert_eq!(answer.code(), "unknown_parameter", "{method} {path}");
        assert_eq!(answer.body["parameter"], parameter, "{method} {path}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("there is no parameter `{parameter}` here; ")), "{detail}");
    }
    for query in ["anonymous=perhaps", "anonymous=true&anonymous=false"] {
        let answer = service.send(request("DELETE", &format!("/users/b?{query}"), "")).await.expect(422);
        assert_eq!((answer.code(), &answer.body["parameter"]), ("invalid_anonymous", &"anonymous".into()));
    }
    assert!(log.records.lock().unwrap().is_empty());
    let event = r#"{"event_type": "view", "anonymous_id": "b", "product_id": "1"}"#;
    service.send(request("POST", "/events?_=1767225600000", event)).await.expect(202);
    log.records.lock().unwrap().clear();
    service.send(request("DELETE", "/users/b?anonymous=1", "")).await.expect(202);
    assert_eq!(&log.records.lock().unwrap()[0].key[..], b"~a:b");
}
