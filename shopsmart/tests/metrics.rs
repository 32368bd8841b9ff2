//! Metrics: that all are described, by the conventions of Prometheus, and as the documentation says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::{Value, json};
use shopsmart::client::Client;
use shopsmart::dev::{self, DevOptions};
use tokio_util::sync::CancellationToken;

/// Where the table of the documentation begins and ends.
const TABLE: [&str; 2] = [
    "<!-- The table of metrics: from the code, see shopsmart/tests/metrics.rs -->",
    "<!-- End of the table -->",
];

/// Collects what is described, as (kind, text) by name.
#[derive(Default)]
struct Descriptions(Mutex<BTreeMap<String, (&'static str, String)>>);

impl Descriptions {
    fn take(&self, kind: &'static str, name: &KeyName, text: &SharedString) {
        let mut described = self.0.lock().unwrap();
        let before = described.insert(name.as_str().to_owned(), (kind, text.to_string()));
        assert!(before.is_none(), "{} is described twice", name.as_str());
    }
}

impl Recorder for Descriptions {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, text: SharedString) {
        self.take("counter", &name, &text);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, text: SharedString) {
        self.take("gauge", &name, &text);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, text: SharedString) {
        self.take("histogram", &name, &text);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Every metric of every crate.
fn described() -> BTreeMap<String, (&'static str, String)> {
    let descriptions = Descriptions::default();
    metrics::with_local_recorder(&descriptions, || {
        service_runtime::telemetry::describe_metrics();
        event_log::describe_metrics();
        stores::describe_metrics();
        ingest::describe_metrics();
        stream_processor::describe_metrics();
        serving::describe_metrics();
    });
    descriptions.0.into_inner().unwrap()
}

/// What a metric means, and when to alert.
fn parts(text: &str) -> Option<(&str, String)> {
    let (meaning, alert) = text.split_once(". Alert ").or_else(|| text.split_once(". No alert"))?;
    let none = text.contains(". No alert");
    let alert = alert.strip_prefix("when ").unwrap_or(alert).trim_start_matches([':', ' ']);
    Some((meaning, if none { format!("never: {alert}") } else { alert.to_owned() }))
}

#[test]
fn names_follow_the_conventions_and_each_says_when_to_alert() {
    for (name, (kind, text)) in described() {
        assert!(parts(&text).is_some(), "{name} does not say when to alert: {text}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        let unit = ["_ms", "_millis", "_milliseconds", "_minutes", "_kb", "_percent"];
        assert!(!unit.iter().any(|unit| name.ends_with(unit)), "{name}: use seconds, bytes, ratios");
        assert!(!text.contains("  ") && !text.ends_with('.'), "{name}: {text:?}");
    }
}

#[test]
fn the_documentation_has_every_metric_as_the_code_describes_it() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(TABLE[0]).expect("the table's beginning is marked");
    let (table, after) = rest.split_once(TABLE[1]).expect("the table's end is marked");
    let mut expected =
        "\n\n| metric | kind | what it says | alert when |\n| --- | --- | --- | --- |\n".to_owned();
    for (name, (kind, text)) in described() {
        let (meaning, alert) = parts(&text).unwrap();
        expected += &format!(
            "| `{name}` | {kind} | {} | {} |\n",
            meaning.replace('|', "\\|"),
            alert.replace('|', "\\|")
        );
    }
    expected.push('\n');
    if update_wanted() {
        std::fs::write(&file, format!("{before}{}{expected}{}{after}", TABLE[0], TABLE[1])).unwrap();
        return;
    }
    assert!(
        table == expected,
        "docs/operations.md is behind: UPDATE_SNAPSHOTS=1 cargo test -p shopsmart --test metrics"
    );
}

#[allow(clippy::disallowed_methods, reason = "the same variable as for the API descriptions")]
fn update_wanted() -> bool {
    std::env::var_os("UPDATE_SNAPSHOTS").is_some()
}

/// Name and help of each family in an answer of `/metrics`.
fn families(text: &str) -> (BTreeSet<&str>, BTreeMap<&str, &str>) {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    (types.collect(), helps.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_a_running_server_counts_is_described() {
    let dir = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let options = DevOptions {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        data: dir.path().join("data"),
        partitions: Some(2),
    };
    let dev = dev::start(options, stop.clone()).await.unwrap();
    let url = format!("http://{}", dev.addr);
    let client = Client::new(&url, None).unwrap();
    let event = json!({"event_type": "view", "user_id": "ada", "product_id": "kettle"});
    let accepted: Value = client.post("/events", &event).await.unwrap();
    let position = accepted["position"].as_str().unwrap();
    loop {
        let query = [("min_position", position)];
        let history: Value = client.get("/users/ada/history", &query).await.unwrap();
        if history["freshness"]["reached"] == true {
            break;
        }
    }
    let wanted = [
        ("processor_records_total{stage=\"shopper\"", 2),
        ("processor_outcomes_total{outcome=\"applied\"", 2),
        ("processor_lag_seconds{stage=\"product\"", 2),
        ("processor_catch_up_seconds{stage=", 2),
        ("processor_freshness_seconds_count{stage=\"product\"}", 1),
        ("processor_flush_seconds_count{stage=\"product\"}", 1),
        ("ingest_events_total{outcome=\"accepted\"", 1),
        ("serving_data_age_seconds ", 1),
        ("store_request_seconds_count{store=\"state store\",operation=\"write\"}", 1),
        ("http_requests_total{service=\"ingest\",route=\"/events\",method=\"POST\",status=\"202\"} 1", 1),
    ];
    let complete = async {
        loop {
            let text = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
            let count = |series: &str| text.lines().filter(|line| line.starts_with(series)).count();
            let lacking: Vec<&str> = wanted
                .iter()
                .filter(|(series, wanted)| count(series) != *wanted)
                .map(|(series, _)| *series)
                .collect();
            if lacking.is_empty() {
                return text;
            }
            eprintln!("not there yet: {lacking:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let text = tokio::time::timeout(Duration::from_secs(60), complete).await.expect("all series come");
    let expected = described();
    let (types, helps) = families(&text);
    for name in types {
        let (_, meaning) = expected.get(name).unwrap_or_else(|| panic!("{name} is not described"));
        assert_eq!(helps.get(name).map(|help| help.replace("\\n", "\n")).as_ref(), Some(meaning), "{name}");
    }
    stop.cancel();
    dev.wait().await.unwrap();
}
