//! How fast operators see things: printed, not asserted, because it depends on the machine. With `--nocapture`, and
//! `SHOPSMART_TEST_MEASURE=1`:
//!
//! ```text
//! SHOPSMART_TEST_MEASURE=1 cargo xtask test -p system-tests how_soon -- --nocapture
//! ```

use super::lag::{installation, series};
use super::support::{now_ms, post, variant};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use system_tests::program::{free_address, get, until};
use system_tests::servers::{Installation, NEEDED, Redis};
use system_tests::{given, have};
use tokio::task::JoinHandle;

/// How long nobody processes.
const STANDSTILL: Duration = Duration::from_secs(30);
/// Events of which the time until they are seen is taken.
const SEEN: usize = 30;

fn is_asked_for() -> bool {
    if given("SHOPSMART_TEST_MEASURE").is_some() {
        return true;
    }
    println!("SKIPPED: it measures for a minute and asserts little; set SHOPSMART_TEST_MEASURE=1");
    false
}

fn view(user: &str, product: &str) -> Value {
    json!({ "event_type": "view", "user_id": user, "product_id": product })
}

/// Some hundred events a second.
fn load(ingest: SocketAddr, stop: Arc<AtomicBool>) -> JoinHandle<Result<u64>> {
    tokio::spawn(async move {
        let client = reqwest::Client::new();
        let url = format!("http://{ingest}/events/batch");
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            let events: Vec<Value> =
                (0..50).map(|n| view(&format!("user{}", sent + n), &format!("product{}", n % 20))).collect();
            let answer = client.post(&url).json(&events).send().await?;
            ensure!(answer.status() == 200, "{}", answer.status());
            sent += 50;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(sent)
    })
}

#[tokio::test]
async fn how_soon_lag_is_right_and_gone_and_the_series_of_a_killed_copy_with_it() -> Result<()> {
    if !have(&NEEDED) || !is_asked_for() {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let first = installation(scratch.path(), "bars", 6_500)?;
    let mut processor = first.start_ready("stream-processor").await?;
    let _ingest = first.start_ready("ingest").await?;
    let stop = Arc::<AtomicBool>::default();
    let load = load(first.ingest, Arc::clone(&stop));
    let lag = format!("http://{}/admin/lag", first.processor);
    until("some events", &lag, |report| report["outcomes"]["applied"].as_u64().filter(|n| *n > 500)).await?;
    processor.stop()?;
    let stopped_ms = now_ms();
    tokio::time::sleep(STANDSTILL).await;
    let mut processor = first.start("stream-processor")?;
    let (mut worst_ms, mut told) = (0, 0);
    let gone_ms = loop {
        let Some(report) = get(&lag).await else { continue };
        let told_ms = report["lag_ms"].as_i64().unwrap_or_default();
        if told_ms > told {
            (told, worst_ms) = (told_ms, now_ms() - stopped_ms);
        }
        if told > 0 && report["lag_records"] == 0 && report["lag_ms"] == 0 {
            break now_ms() - stopped_ms - worst_ms;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    println!(
        "after a standstill: told {told} ms when it was {worst_ms} ms; nothing waited {gone_ms} ms later"
    );

    let other = free_address()?;
    let text = std::fs::read_to_string(&first.config)?;
    let instance = text.lines().find(|line| line.starts_with("instance_id")).context("instance_id")?;
    let changes = [
        (format!("listen = \"{}\"", first.processor), format!("listen = \"{other}\"")),
        (instance.to_owned(), "instance_id = \"second\"".to_owned()),
    ];
    let mut second = variant(&first, scratch.path(), "second", &changes)?;
    second.processor = other;
    let mut two = second.start_ready("stream-processor").await?;
    while series(other).await.is_empty() || series(first.processor).await.len() == 8 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    two.kill()?;
    let killed = Instant::now();
    while series(first.processor).await.len() < 8 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "all partitions of a killed copy had a new owner, who tells of them, after {:?}",
        killed.elapsed()
    );
    stop.store(true, Ordering::Relaxed);
    ensure!(load.await?? > 0, "nothing was sent");
    processor.stop()
}

#[tokio::test]
async fn how_soon_an_event_is_seen() -> Result<()> {
    if !have(&NEEDED) || !is_asked_for() {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let unique = std::process::id() % 500;
    let names = format!("seen{unique}");
    let installation =
        Installation::new(scratch.path(), &names, &names, (3_000 + unique) as u16, Redis::Single)?;
    let _processor = installation.start_ready("stream-processor").await?;
    let _ingest = installation.start_ready("ingest").await?;
    let _serving = installation.start_ready("serving").await?;
    let events = format!("http://{}/events", installation.ingest);
    for (what, path) in [("trending", "trending?window=1h&k=50"), ("a history", "users/ada/history?k=50")] {
        let url = format!("http://{}/{path}", installation.serving);
        let mut took = Vec::new();
        for number in 0..SEEN {
            let product = format!("{what}{number}").replace(' ', "-");
            let (status, answer) = post(&events, &view("ada", &product), None).await?;
            ensure!(status == 202, "{answer}");
            let begun = Instant::now();
            until(what, &url, |answer| {
                let items = answer["items"].as_array()?;
                items.iter().any(|item| item["product_id"] == product).then_some(())
            })
            .await?;
            took.push(begun.elapsed().as_millis());
        }
        took.sort_unstable();
        println!(
            "{what} showed an event after {} ms in the middle and {} ms at most",
            took[SEEN / 2],
            took[SEEN - 1]
        );
    }
    Ok(())
}
