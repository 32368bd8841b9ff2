//! The examples are complete and well-formed. That the service treats them so is tested where the service is.

use std::path::Path;

use schemas::EventKind;
use serde_json::Value;

/// Name of the file without its extension, and the example.
fn examples(kind: &str) -> Vec<(String, Value)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(kind);
    let mut examples: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let example =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), example)
        })
        .collect();
    examples.sort_by(|a, b| a.0.cmp(&b.0));
    examples
}

#[test]
fn every_kind_of_event_has_an_accepted_example() {
    let examples = examples("accepted");
    for kind in EventKind::ALL {
        let shows = |(name, example): &(String, Value)| {
            name == kind.name() && example["request"]["body"]["event_type"] == kind.name()
        };
        assert!(examples.iter().any(shows), "examples/accepted/{}.json is missing", kind.name());
    }
}

#[test]
fn every_example_says_what_is_sent_and_what_is_expected() {
    let rejected = examples("rejected").into_iter().chain(examples("rejected_reads"));
    for (name, example) in examples("accepted").into_iter().chain(rejected) {
        assert!(example["name"].is_string(), "{name}: name");
        let request = &example["request"];
        assert!(request["method"].is_string() && request["path"].is_string(), "{name}: method and path");
        let bodies =
            ["body", "body_text", "body_repeat"].iter().filter(|form| request.get(**form).is_some()).count();
        let has_none = request["method"] == "DELETE" || request["method"] == "GET";
        assert!(bodies == 1 || has_none && bodies == 0, "{name}: one body");
        assert!(example["expect"]["status"].is_u64(), "{name}: status");
    }
}

#[test]
fn accepted_examples_succeed_and_say_which_records_they_become() {
    for (name, example) in examples("accepted") {
        let expect = &example["expect"];
        assert!(matches!(expect["status"].as_u64(), Some(200 | 202)), "{name}: status");
        assert!(expect["records"].as_array().is_some_and(|records| !records.is_empty()), "{name}: records");
        assert!(example["received_at"].is_string(), "{name}: the clock");
    }
}

#[test]
fn rejected_examples_fail_with_the_code_that_names_them() {
    for (name, example) in examples("rejected").into_iter().chain(examples("rejected_reads")) {
        let expect = &example["expect"];
        assert!(
            expect["status"].as_u64().is_some_and(|status| (400..500).contains(&status)),
            "{name}: status"
        );
        let code = expect["code"].as_str().unwrap_or_default();
        let rest = name.strip_prefix(code).filter(|_| !code.is_empty());
        assert!(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_')), "{name}: code {code:?}");
    }
}
