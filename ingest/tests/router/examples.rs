//! Every example is treated as it says.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use event_log::NewRecord;
use ingest::IngestConfig;
use ingest::admission::Code;
use prost::Message;
use schemas::EventKind;
use schemas::proto::{Event, EventRecord, Product, event_record};
use serde_json::{Map, Value, json};
use service_runtime::keys::Keys;

use crate::support::{Log, NOW, Service};

fn examples(kind: &str) -> Vec<(String, Value)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/examples").join(kind);
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    };
    files.map(read).collect()
}

fn body(request: &Value) -> String {
    if let Some(text) = request["body_text"].as_str() {
        return text.to_owned();
    }
    if let Some(parts) = request.get("body_repeat") {
        let text = |part: &str| parts[part].as_str().unwrap();
        let times = parts["times"].as_u64().unwrap() as usize;
        return format!("{}{}{}", text("before"), text("repeat").repeat(times), text("after"));
    }
    request.get("body").map(Value::to_string).unwrap_or_default()
}

fn request(example: &Value) -> Request<Body> {
    let request = &example["request"];
    let text = |field: &str| request[field].as_str().unwrap();
    let mut built = Request::builder().method(text("method")).uri(text("path"));
    let headers = request["headers"].as_object().cloned().unwrap_or_default();
    if !headers.contains_key("content-type") {
        built = built.header("content-type", "application/json");
    }
    for (name, value) in &headers {
        built = built.header(name, value.as_str().unwrap());
    }
    built.body(body(request).into()).unwrap()
}

fn service(example: &Value, log: &Arc<Log>) -> Service {
    let clock = example["received_at"].as_str().map(|time| time.parse::<jiff::Timestamp>().unwrap());
    let now = clock.map_or(NOW, jiff::Timestamp::as_millisecond);
    Service::at(now, log, IngestConfig::default(), Keys::open())
}

/// The fields that are not zero.
fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let zero = |value: &Value| match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(flag) => !flag,
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    let fields = fields.into_iter().filter(|(_, value)| !zero(value));
    Value::Object(Map::from_iter(fields.map(|(name, value)| (name.to_owned(), value))))
}

fn event(event: Event) -> Value {
    object([
        ("event_id", json!(event.event_id)),
        ("event_type", json!(EventKind::from_code(event.event_type as u32).unwrap().name())),
        ("product_id", json!(event.product_id)),
        ("timestamp_ms", json!(event.timestamp_ms)),
        ("category_id", json!(event.category_id)),
        ("session_id", json!(event.session_id)),
        ("quantity", json!(event.quantity)),
        ("price", json!(event.price)),
        ("currency", json!(event.currency)),
        ("order_id", json!(event.order_id)),
        ("recommendation_id", json!(event.recommendation_id)),
        ("metadata", json!(event.metadata)),
    ])
}

fn product(product: Product) -> Value {
    object([
        ("product_id", json!(product.product_id)),
        ("name", json!(product.name)),
        ("category_path", json!(product.category_path)),
        ("price", json!(product.price)),
        ("currency", json!(product.currency)),
        ("image_url", json!(product.image_url)),
        ("active", json!(product.active)),
        ("attributes", json!(product.attributes)),
        ("updated_at_ms", json!(product.updated_at_ms)),
    ])
}

/// A record as the examples write it.
fn record(record: &NewRecord) -> Value {
    let (kind, content) = match &*record.topic {
        "products" => ("product", product(Product::decode(record.value.clone()).unwrap())),
        _ => match EventRecord::decode(record.value.clone()).unwrap().record.unwrap() {
            event_record::Record::Event(content) => ("event", event(content)),
            event_record::Record::ForgetUser(_) => ("forget_user", json!(true)),
        },
    };
    json!({ "topic": &*record.topic, "key": String::from_utf8(record.key.to_vec()).unwrap(), kind: content })
}

#[tokio::test]
async fn accepted_examples_reach_the_log_as_they_say() {
    for (name, example) in examples("accepted") {
        let log = Log::working();
        let answer = service(&example, &log).send(request(&example)).await;
        let expect = &example["expect"];
        assert_eq!(answer.status.as_u16(), expect["status"], "{name}: {answer:?}");
        let records: Vec<_> = log.records.lock().unwrap().iter().map(record).collect();
        assert_eq!(json!(records), expect["records"], "{name}");
        assert_eq!(answer.code(), expect["code"].as_str().unwrap_or_default(), "{name}");
        if let Some(results) = expect.get("results") {
            assert_eq!(&json!(answer.results()), results, "{name}");
            assert_eq!(answer.body["accepted"], expect["accepted"], "{name}");
        }
    }
}

#[tokio::test]
async fn rejected_examples_are_refused_as_they_say_and_reach_nothing() {
    for (name, example) in examples("rejected") {
        let log = Log::working();
        let answer = service(&example, &log).send(request(&example)).await;
        let expect = &example["expect"];
        assert_eq!(answer.status.as_u16(), expect["status"], "{name}: {answer:?}");
        assert_eq!(answer.code(), expect["code"], "{name}: {answer:?}");
        assert_eq!(answer.body["status"], expect["status"], "{name}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{name}");
        assert!(answer.body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{name}");
        assert!(log.records.lock().unwrap().is_empty(), "{name}");
    }
}

#[test]
fn every_reason_for_a_refusal_has_an_example() {
    let examples = examples("rejected");
    for code in Code::ALL {
        let shows = |(_, example): &(String, Value)| {
            example["expect"] == json!({ "status": code.status(), "code": code.name() })
        };
        assert!(examples.iter().any(shows), "examples/rejected/{}.json is missing", code.name());
    }
}
