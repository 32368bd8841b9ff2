use super::support::{Dev, append_by_hand, post};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::process::Output;
use system_tests::have;
use system_tests::program::{get, proven_digest, run, until};

const NEEDED: [&str; 1] = ["SHOPSMART_TEST_BIN"];

async fn letters(dev: &Dev, count: usize) -> Result<Vec<Value>> {
    until("the dead letters", &dev.url("/admin/dead-letters"), |answer| {
        answer["items"].as_array().filter(|letters| letters.len() == count).cloned()
    })
    .await
}

fn place(letter: &Value) -> (u64, u64) {
    let number = |name: &str| letter[name].as_u64().unwrap_or_default();
    (number("partition"), number("offset"))
}

fn outcome(report: &Value, name: &str) -> u64 {
    report["outcomes"][name].as_u64().unwrap_or_default()
}

/// The program with `arguments` on this server.
fn shopsmart(dev: &Dev, arguments: &[&str]) -> Result<Output> {
    run("shopsmart", &[arguments, &["--url", &dev.url("")]].concat())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn a_redriven_record_has_one_outcome_however_often_it_is_asked_for() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    append_by_hand(scratch.path(), &[("ada", b"\xff no event")]).await?;
    let mut dev = Dev::start(scratch.path()).await?;
    let letter = letters(&dev, 1).await?.remove(0);
    assert_eq!(
        (&letter["reason"], &letter["key"], &letter["redriven_to"]),
        (&json!("undecodable"), &json!("ada"), &Value::Null)
    );
    let (partition, offset) = place(&letter);

    let url = dev.url("/admin/dead-letters/redrive");
    let order = json!({ "partition": partition, "offset": offset });
    let (status, first) = post(&url, &order, None).await?;
    assert_eq!((status, &first["items"][0]["result"]), (200, &json!("redriven")), "{first}");
    let (_, second) = post(&url, &order, None).await?;
    assert_eq!(second["items"][0]["result"], "redriven_before");
    assert_eq!(second["items"][0]["redriven_to"], first["items"][0]["redriven_to"]);
    let several = json!({ "letters": [order, { "partition": partition, "offset": 9_999 }] });
    let (_, third) = post(&url, &several, None).await?;
    assert_eq!(
        (&third["items"][0]["result"], &third["items"][1]["result"]),
        (&json!("redriven_before"), &json!("unknown"))
    );

    // The same junk again: one new letter, and the old one says where it went.
    let both = letters(&dev, 2).await?;
    let old = both.iter().find(|letter| place(letter) == (partition, offset)).context("the letter stays")?;
    let new = both.iter().find(|letter| place(letter) != (partition, offset)).context("a new one")?;
    let (new_partition, new_offset) = place(new);
    assert_eq!(old["redriven_to"], format!("{new_partition}/{new_offset}"));
    assert_eq!(new["redriven_to"], Value::Null);
    let report = get(&dev.url("/admin/lag")).await.unwrap_or_default();
    assert_eq!((outcome(&report, "dead_lettered"), outcome(&report, "applied")), (2, 0), "{report}");

    for wrong in [json!({}), json!({ "letters": [] }), json!({ "partition": -1, "offset": 0 })] {
        let (status, answer) = post(&url, &wrong, None).await?;
        assert_eq!(status, 400, "{wrong}: {answer}");
    }
    dev.server.stop()?;
    let data = scratch.path().join("data").to_string_lossy().into_owned();
    proven_digest(&["--data", &data])?;
    // A mark outlives a restart.
    let dev = Dev::start(scratch.path()).await?;
    let (_, again) = post(&dev.url("/admin/dead-letters/redrive"), &order, None).await?;
    assert_eq!(again["items"][0]["result"], "redriven_before");
    Ok(())
}

#[tokio::test]
async fn letters_are_listed_page_by_page_and_long_ones_shortened() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let long = vec![0xff; 100_000];
    let junk: [&[u8]; 5] = [b"\xff 1", b"\xff 2", &long, b"\xff 4", b"\xff 5"];
    append_by_hand(scratch.path(), &junk.map(|value| ("ada", value))).await?;
    let dev = Dev::start(scratch.path()).await?;
    // All of one user, so of one partition: the newest has the highest offset.
    let all: Vec<(u64, u64)> = letters(&dev, 5).await?.iter().map(place).collect();
    assert_eq!(all.iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), [4, 3, 2, 1, 0]);

    let (mut found, mut next) = (Vec::new(), String::new());
    loop {
        let path = format!("/admin/dead-letters?limit=2&reason=undecodable{next}");
        let page = get(&dev.url(&path)).await.context("a page")?;
        let items = page["items"].as_array().context("items")?;
        for letter in items {
            let is_long = place(letter) == all[2];
            assert_eq!(letter["shortened"], is_long, "{}", letter["value"].as_str().unwrap_or("").len());
            found.push(place(letter));
        }
        assert_eq!(page["more"], page["next"].is_string());
        let Some(token) = page["next"].as_str() else { break };
        assert_eq!(items.len(), 2);
        next = format!("&before={token}");
    }
    assert_eq!(found, all);
    let (partition, offset) = all[2];
    let whole =
        get(&dev.url(&format!("/admin/dead-letters/{partition}/{offset}"))).await.context("the letter")?;
    assert_eq!(
        (whole["shortened"].as_bool(), whole["value"].as_str().map(str::len)),
        (Some(false), Some(300_000))
    );

    let first = shopsmart(&dev, &["dead-letters", "list", "--limit", "3"])?;
    let token = text(&first)
        .lines()
        .last()
        .and_then(|line| line.split_once("--before "))
        .map(|(_, token)| token.to_owned());
    let token = token.with_context(|| text(&first))?;
    let rest = shopsmart(&dev, &["dead-letters", "list", "--before", &token])?;
    let names: Vec<String> = all.iter().map(|(partition, offset)| format!("{partition}/{offset} ")).collect();
    for (at, name) in names.iter().enumerate() {
        assert_eq!((text(&first).contains(name), text(&rest).contains(name)), (at < 3, at >= 3), "{name}");
    }
    assert!(!text(&rest).contains("--before"), "{rest:?}");

    for (query, named) in
        [("before=yesterday", "`before`"), ("before=", "`before`"), ("reason=none", "undecodable, bad_key")]
    {
        let answer = reqwest::get(dev.url(&format!("/admin/dead-letters?{query}"))).await?;
        let (status, problem) = (answer.status().as_u16(), answer.json::<Value>().await?);
        assert_eq!((status, &problem["code"]), (400, &json!("invalid_query")), "{query}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(named)), "{problem}");
    }
    let refused = shopsmart(&dev, &["dead-letters", "list", "--before", "yesterday"])?;
    assert!(refused.status.code() == Some(1) && text(&refused).contains("`before`"), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn the_program_lists_shows_and_redrives_and_its_exit_codes_tell() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    append_by_hand(scratch.path(), &[("bob", b"\xff no event")]).await?;
    let dev = Dev::start(scratch.path()).await?;
    let letter = letters(&dev, 1).await?.remove(0);
    let (partition, offset) = place(&letter);
    let name = format!("{partition}/{offset}");

    let list = shopsmart(&dev, &["dead-letters", "list"])?;
    assert!(
        list.status.success() && text(&list).contains(&name) && text(&list).contains("undecodable"),
        "{list:?}"
    );
    let other = shopsmart(&dev, &["dead-letters", "list", "--reason", "bad_time"])?;
    assert!(text(&other).contains("no dead letters"), "{other:?}");
    let show = shopsmart(&dev, &["dead-letters", "show", &name])?;
    assert!(text(&show).contains("\"value_base64\": \"/yBubyBldmVudA==\""), "{show:?}");
    let missing = shopsmart(&dev, &["dead-letters", "show", "0/999"])?;
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing).contains("unknown_dead_letter"), "{missing:?}");

    let redrive = shopsmart(&dev, &["dead-letters", "redrive", &name])?;
    assert_eq!(redrive.status.code(), Some(0));
    assert!(text(&redrive).contains(&format!("{name}: redriven, now {partition}/")), "{redrive:?}");
    let again = shopsmart(&dev, &["dead-letters", "redrive", &name, "0/999"])?;
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again).contains("redriven before") && text(&again).contains("0/999: unknown"), "{again:?}");

    letters(&dev, 2).await?;
    let lag = shopsmart(&dev, &["lag", "--max-seconds", "30", "--max-records", "100"])?;
    assert_eq!(lag.status.code(), Some(0), "{lag:?}");
    assert!(text(&lag).contains("shopper") && text(&lag).contains("Nothing waits."), "{lag:?}");
    let as_json = shopsmart(&dev, &["lag", "--json"])?;
    let answer: Value = serde_json::from_slice(&as_json.stdout)?;
    assert_eq!(answer["lag_records"], 0);
    let address = dev.url("");
    drop(dev);
    let gone = run("shopsmart", &["lag", "--url", &address])?;
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    Ok(())
}
