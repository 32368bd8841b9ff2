//! `shopsmart evaluate`, as people run it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn evaluate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shopsmart"))
        .arg("evaluate")
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Sessions in which b follows a and d follows c.
fn sessions(folder: &Path) {
    let mut content = String::from("session_id,pos,item_id,split,timestamp_s\n");
    for session in 0..60 {
        let split = if session < 50 { "train" } else { "test" };
        let pair = if session % 2 == 0 { ["a", "b"] } else { ["c", "d"] };
        for (pos, item) in pair.iter().enumerate() {
            content += &format!("{session},{pos},{item},{split},\n");
        }
    }
    fs::write(folder.join("sessions.csv"), content).unwrap();
}

fn events(folder: &Path) {
    let mut content = String::from("timestamp_ms,user_id,item_id,event_type,category_id\n");
    for user in 0..30 {
        let at = 1_700_000_000_000i64 + user * 3_600_000;
        content += &format!("{at},u{user},lamp,view,\n{},u{user},bulb,purchase,\n", at + 60_000);
        content += &format!("{},v{user},lamp,view,\n{},v{user},bulb,view,\n", at + 120_000, at + 180_000);
    }
    fs::write(folder.join("events.csv"), content).unwrap();
}

#[test]
fn a_result_is_printed_and_written_as_json() {
    let folder = tempfile::tempdir().unwrap();
    sessions(folder.path());
    let (data, json) = (folder.path().to_str().unwrap(), folder.path().join("result.json"));
    let output = evaluate(&["static", "--data", data, "--json", json.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(
        table.contains("static on") && table.contains("10 targets") && table.contains("vstan"),
        "{table}"
    );

    let report: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    assert_eq!((&report["protocol"], &report["targets"]), (&"static".into(), &10.into()));
    let names: Vec<_> =
        report["algorithms"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["shopsmart", "echo", "popularity", "first_system", "ar", "sr", "sknn", "vstan"]);
    let ours = &report["algorithms"][0];
    assert_eq!((&ours["hr_at_20"], &ours["novel_hr_at_20"]), (&1.0.into(), &1.0.into()));
    assert!(ours["mrr_at_20"].as_f64().unwrap() >= 0.5 && ours["novel_share"].is_number());
}

#[test]
fn every_protocol_takes_the_format_that_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    events(folder.path());
    let data = folder.path().to_str().unwrap();
    for protocol in ["static", "live", "prequential", "heldout"] {
        let output = evaluate(&[protocol, "--data", data]);
        assert!(output.status.success(), "{protocol}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains("shopsmart"), "{protocol}");
    }
    let served = evaluate(&["prequential", "--through-pipeline", "--data", data]);
    assert!(served.status.success(), "{}", text(&served.stderr));
    assert!(text(&served.stdout).contains("shopsmart, served"), "{}", text(&served.stdout));
    let only = evaluate(&["heldout", "--data", data, "--algorithm", "ar", "--algorithm", "echo"]);
    let table = text(&only.stdout);
    assert!(table.contains("ar") && !table.contains("vstan"), "{table}");
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let refused = |arguments: &[&str], reason: &str| {
        let output = evaluate(arguments);
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(reason), "{}", text(&output.stderr));
    };
    refused(&["static", "--data", data], "neither sessions.csv nor events.csv");
    refused(&["static", "--data", data, "--algorithm", "magic"], "possible values: shopsmart, echo");
    refused(&["never", "--data", data], "possible values: static, live, prequential, heldout");
    sessions(folder.path());
    refused(&["heldout", "--data", data], "needs users and kinds of events");
    refused(&["static", "--data", data, "--through-pipeline"], "goes with `prequential` only");
    refused(&["live", "--data", data, "--algorithm", "ar"], "leave it out");
    fs::write(folder.path().join("sessions.csv"), "session_id,pos,item_id\n").unwrap();
    refused(&["static", "--data", data], "no column \"split\"");
}

/// Where real logs are: the folder beside the project, or the one that SHOPSMART_DATA names.
fn real_data(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    #[expect(clippy::disallowed_methods, reason = "a test reads where its data are")]
    let folder = std::env::var_os("SHOPSMART_DATA").map_or(beside, PathBuf::from).join(name);
    if !folder.is_dir() {
        // Past the capture of passing tests: who reads the log has to see it.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {} is not there", folder.display());
        return None;
    }
    Some(folder)
}

/// Guards what was reached: a change that costs quality shows here.
#[test]
fn purchases_held_out_of_a_real_log_are_found_as_often_as_before() {
    let Some(folder) = real_data("retailrocket_mb") else { return };
    let result = tempfile::tempdir().unwrap();
    let json = result.path().join("result.json");
    let arguments = ["heldout", "--data", folder.to_str().unwrap(), "--json", json.to_str().unwrap()];
    let output =
        evaluate(&[&arguments[..], &["--algorithm", "shopsmart", "--algorithm", "first_system"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let hit_rate = |at: usize| report["algorithms"][at]["hr_at_20"].as_f64().unwrap();
    assert_eq!(report["targets"], 2_174);
    assert!(hit_rate(0) > 0.38, "ours: {}", hit_rate(0));
    assert!(hit_rate(1) < 0.12, "the first system's: {}", hit_rate(1));
}
