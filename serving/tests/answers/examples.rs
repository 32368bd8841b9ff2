//! Every example of a refused read gets the status and the code that it names.

use crate::shop::Shop;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

fn examples() -> Vec<(String, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/examples/rejected_reads");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
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
    let kind = request["headers"]["content-type"].as_str().unwrap_or("application/json");
    let built = Request::builder().method(text("method")).uri(text("path")).header("content-type", kind);
    built.body(body(request).into()).unwrap()
}

#[tokio::test]
async fn rejected_reads_are_refused_as_they_say() {
    let shop = Shop::open().await;
    for (name, example) in examples() {
        let (status, body) = shop.send(request(&example)).await;
        let expect = &example["expect"];
        assert_eq!(json!(status), expect["status"], "{name}: {body}");
        assert_eq!((&body["code"], &body["status"]), (&expect["code"], &expect["status"]), "{name}");
        assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{name}: {body}");
    }
}

#[test]
fn every_parameter_has_an_example_of_its_refusal() {
    let shown: BTreeSet<String> = examples()
        .iter()
        .map(|(_, example)| example["expect"]["code"].as_str().unwrap().to_owned())
        .collect();
    let description: Value = serde_json::from_str(&serving::openapi().to_json().unwrap()).unwrap();
    let operations = description["paths"].as_object().unwrap().values().filter_map(|path| path.get("get"));
    let parameters = operations.flat_map(|operation| operation["parameters"].as_array().unwrap());
    let in_query: BTreeSet<&str> = parameters
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| parameter["name"].as_str().unwrap())
        .collect();
    assert!(in_query.contains("min_position") && in_query.contains("anonymous"), "{in_query:?}");
    for parameter in in_query {
        let code = format!("invalid_{parameter}");
        assert!(shown.contains(&code), "examples/rejected_reads/{code}.json is missing");
    }
}
