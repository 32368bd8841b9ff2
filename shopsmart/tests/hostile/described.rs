//! Requests made from the descriptions of the API, sound and unsound, and whether the answers are as described.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use reqwest::header::{ALLOW, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::Server;
use crate::generate::{broken, junk, valid};
use crate::schema::Description;

/// Requests of each kind for each operation.
const REQUESTS: usize = 120;

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "trace", "propfind"];

/// One operation of the description.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    content: &'a Value,
}

fn operations(description: &Description) -> Vec<Operation<'_>> {
    let paths = description.0["paths"].as_object().unwrap();
    let mut operations = Vec::new();
    for (path, methods) in paths {
        for (method, content) in methods.as_object().unwrap() {
            operations.push(Operation { method, path, content });
        }
    }
    operations
}

/// A request for an operation.
struct Request {
    address: String,
    headers: Vec<(String, String)>,
    body: Option<(String, Vec<u8>)>,
}

fn request(
    description: &Description,
    operation: &Operation<'_>,
    is_sound: bool,
    random: &mut Rng,
) -> Request {
    let breaks = |random: &mut Rng| !is_sound && random.u32(0..3) == 0;
    let mut address = operation.path.to_owned();
    let (mut query, mut headers) = (Vec::new(), Vec::new());
    for parameter in operation.content["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        if parameter["required"] != true && random.bool() {
            continue;
        }
        let value = valid(description, &parameter["schema"], random);
        let value = if breaks(random) { junk(random) } else { value };
        let values = match value {
            Value::Array(values) => values,
            other => vec![other],
        };
        for value in values.iter().map(text_of).filter(|value| is_sound || !value.is_empty()) {
            match parameter["in"].as_str().unwrap() {
                "path" => address = address.replace(&format!("{{{name}}}"), &escaped(&value)),
                "query" => query.push(format!("{name}={}", escaped(&value))),
                "header" => {
                    headers.push((name.to_owned(), value.chars().filter(char::is_ascii_graphic).collect()))
                }
                other => panic!("a parameter in {other}"),
            }
        }
    }
    if !is_sound && random.u32(0..10) == 0 {
        query.push(["nonsense=1", "=", "%", "%ff=%fe", "k=1&k=2"][random.usize(0..5)].to_owned());
    }
    // Where nothing was put in, a parameter of the path stands for itself.
    let address = address.replace(['{', '}'], "");
    let address = if query.is_empty() { address } else { format!("{address}?{}", query.join("&")) };
    Request { address, headers, body: body(description, operation, is_sound, random) }
}

fn body(
    description: &Description,
    operation: &Operation<'_>,
    is_sound: bool,
    random: &mut Rng,
) -> Option<(String, Vec<u8>)> {
    let content = operation.content["requestBody"]["content"].as_object()?;
    let (kind, schema) = random.choice(content)?;
    let schema = &schema["schema"];
    let mut value = if kind == "application/x-ndjson" {
        // Lines of what a batch holds: the description can only call them a text.
        let (_, json) = content.iter().find(|(kind, _)| *kind == "application/json").unwrap();
        let batch = description.resolve(&json["schema"])["properties"].as_object().unwrap();
        valid(description, batch.values().find(|list| list["type"] == "array").unwrap(), random)
    } else {
        valid(description, schema, random)
    };
    if !is_sound {
        value = broken(value, random);
    }
    let mut bytes = match (kind.as_str(), &value) {
        ("application/x-ndjson", Value::Array(items)) => {
            items.iter().map(|item| format!("{item}\n")).collect::<String>().into_bytes()
        }
        _ => value.to_string().into_bytes(),
    };
    if !is_sound && random.u32(0..6) == 0 && !bytes.is_empty() {
        let place = random.usize(0..bytes.len());
        match random.u32(0..3) {
            0 => bytes.truncate(place),
            1 => bytes[place] = random.u8(..),
            _ => bytes.insert(place, b'['),
        }
    }
    Some((kind.clone(), bytes))
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02x}") })
        .collect()
}

/// Statuses that an operation answered with, and how often.
type Statuses = BTreeMap<u16, usize>;

/// Sends a request, holds the answer against the description, and gives its status.
async fn ask(server: &Server, description: &Description, operation: &Operation<'_>, request: Request) -> u16 {
    let method = Method::from_bytes(operation.method.to_uppercase().as_bytes()).unwrap();
    let shown = format!(
        "{method} {} {:?} {:?}",
        request.address,
        request.headers,
        request.body.as_ref().map(|(kind, body)| { format!("{kind} {}", String::from_utf8_lossy(body)) })
    );
    let shown: String = shown.chars().take(1_500).collect();
    let mut sent = reqwest::Client::new().request(method, format!("{}{}", server.url, request.address));
    for (name, value) in request.headers {
        sent = sent.header(name, value);
    }
    if let Some((kind, body)) = request.body {
        sent = sent.header(CONTENT_TYPE, kind).body(body);
    }
    let answer = sent.send().await.unwrap_or_else(|error| panic!("{shown}: no answer: {error}"));
    let status = answer.status();
    assert!(!status.is_server_error(), "{shown}: {status}");
    let responses = &operation.content["responses"];
    let described =
        responses.get(status.as_str()).or_else(|| responses.get(format!("{}XX", status.as_u16() / 100)));
    let described = described.unwrap_or_else(|| panic!("{shown}: {status} is not described"));
    let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    let schema = described["content"]
        .get(&kind)
        .unwrap_or_else(|| panic!("{shown}: {status} is described without {kind}"));
    let body: Value = answer.json().await.unwrap_or_else(|error| panic!("{shown}: no JSON: {error}"));
    if let Some(violation) = description.violation(&schema["schema"], &body, "$") {
        panic!("{shown}: {status} is not as described: {violation}");
    }
    if status.is_client_error() {
        assert_eq!(body["status"], status.as_u16(), "{shown}");
        assert!(!body["code"].as_str().unwrap().is_empty(), "{shown}");
    }
    status.as_u16()
}

async fn every_operation(description: Description, seed: u64) {
    let server = Server::start().await;
    let mut random = Rng::with_seed(seed);
    for operation in operations(&description) {
        let mut statuses = [Statuses::new(), Statuses::new()];
        for number in 0..2 * REQUESTS {
            let is_sound = number % 2 == 0;
            let request = request(&description, &operation, is_sound, &mut random);
            let status = ask(&server, &description, &operation, request).await;
            *statuses[usize::from(!is_sound)].entry(status).or_default() += 1;
        }
        let Operation { method, path, content } = operation;
        println!("{method} {path}: sound {:?}, unsound {:?}", statuses[0], statuses[1]);
        let succeeded = statuses[0].keys().any(|status| (200..300).contains(status));
        assert!(succeeded, "{method} {path}: no request that follows the description succeeds");
        let takes_anything = content.get("parameters").is_none() && content.get("requestBody").is_none();
        let refused = statuses[1].keys().any(|status| (400..500).contains(status));
        assert!(refused || takes_anything, "{method} {path}: nothing is refused");
    }
    undescribed_methods(&server, &description).await;
    server.still_serves("after-all").await;
    server.stop().await;
}

/// A method that the description does not have for a path is refused, with those that there are.
async fn undescribed_methods(server: &Server, description: &Description) {
    let everywhere = server_methods(server).await;
    for path in description.0["paths"].as_object().unwrap().keys() {
        let described = &everywhere[path.as_str()];
        for method in METHODS.iter().filter(|method| !described.contains(**method)) {
            let address = format!("{}{}", server.url, path.replace(['{', '}'], ""));
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = reqwest::Client::new().request(method.clone(), address).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert!(answer.headers().contains_key(ALLOW), "{method} {path}");
            assert_eq!(answer.json::<Value>().await.unwrap()["code"], "method_not_allowed");
        }
    }
}

/// The methods of each path over all services.
async fn server_methods(server: &Server) -> BTreeMap<String, BTreeSet<String>> {
    let all: Value =
        reqwest::get(format!("{}/openapi.json", server.url)).await.unwrap().json().await.unwrap();
    let paths = all["paths"].as_object().unwrap().iter();
    paths
        .map(|(path, methods)| (path.clone(), methods.as_object().unwrap().keys().cloned().collect()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ingest_answers_any_request_as_it_describes() {
    every_operation(Description(serde_json::to_value(ingest::openapi()).unwrap()), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serving_answers_any_request_as_it_describes() {
    every_operation(Description(serde_json::to_value(serving::openapi()).unwrap()), 2).await;
}
