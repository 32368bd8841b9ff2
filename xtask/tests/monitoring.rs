//! Alerts and the dashboard speak of metrics that there are, and each alert is explained.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_yaml_ng::Value;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rules() -> Vec<Value> {
    let file: Value = serde_yaml_ng::from_str(&read("deploy/prometheus/alerts.yml")).unwrap();
    let groups = file["groups"].as_sequence().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_sequence().unwrap().clone()).collect()
}

/// Metrics of the table in the documentation, which another test keeps equal to the code.
fn known_metrics() -> BTreeSet<String> {
    let text = read("docs/operations.md");
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | ").map(|(name, _)| name.to_owned()));
    names.collect()
}

/// Names in an expression that look like metrics of ours.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let prefixes = ["processor_", "serving_", "ingest_", "store_", "event_log_", "http_"];
    words
        .filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)))
        .map(|word| {
            word.strip_suffix("_bucket").or_else(|| word.strip_suffix("_count")).unwrap_or(word).to_owned()
        })
        .collect()
}

#[test]
fn alerts_and_panels_ask_for_metrics_that_exist() {
    let known = known_metrics();
    assert!(known.len() > 20, "{known:?}");
    let dashboard: Value =
        serde_yaml_ng::from_str(&read("deploy/grafana/dashboards/shopsmart.json")).unwrap();
    let panels = dashboard["panels"].as_sequence().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_sequence().cloned().unwrap_or_default());
    let expressions =
        rules().into_iter().chain(targets).map(|asked| asked["expr"].as_str().unwrap().to_owned());
    for expression in expressions {
        let asked = metrics_in(&expression);
        assert!(!asked.is_empty() || expression.starts_with("up{"), "{expression} asks for nothing of ours");
        assert!(asked.is_subset(&known), "{expression} asks for {:?}", asked.difference(&known));
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_has_its_section() {
    let text = read("docs/operations.md");
    let sections: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut names = BTreeSet::new();
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap().to_owned();
        assert!(sections.contains(name.as_str()), "docs/operations.md has no section {name}");
        let severity = rule["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("page" | "ticket")), "{name} is {severity:?}");
        assert!(rule["annotations"]["summary"].is_string(), "{name} says nothing");
        assert!(names.insert(name), "two alerts have one name");
    }
}

#[test]
fn panels_have_ids_and_places_of_their_own() {
    let dashboard: Value =
        serde_yaml_ng::from_str(&read("deploy/grafana/dashboards/shopsmart.json")).unwrap();
    let panels = dashboard["panels"].as_sequence().unwrap();
    let places: BTreeSet<(u64, u64)> = panels
        .iter()
        .map(|panel| (panel["gridPos"]["x"].as_u64().unwrap(), panel["gridPos"]["y"].as_u64().unwrap()))
        .collect();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!((places.len(), ids.len()), (panels.len(), panels.len()));
}
