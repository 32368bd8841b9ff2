use super::support::{now_ms, post, variant};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use system_tests::program::{PATIENCE, free_address, until};
use system_tests::proxy::Proxy;
use system_tests::servers::{Installation, NEEDED, Redis};
use system_tests::{given, have};

/// How long nobody processes.
const STANDSTILL: Duration = Duration::from_secs(6);
/// How far the figure may be from the truth.
const WITHIN_MS: i64 = 2_000;

pub fn installation(scratch: &Path, what: &str, offset: u32) -> Result<Installation> {
    let unique = std::process::id() % 500;
    let names = format!("{what}{unique}");
    Installation::new(scratch, &names, &names, (offset + unique) as u16, Redis::Single)
}

#[tokio::test]
async fn lag_in_seconds_counts_the_time_in_which_nobody_processed() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let redis = given("SHOPSMART_TEST_REDIS").context("checked above")?;
    let proxy = Proxy::start(redis.trim_start_matches("redis://").trim_end_matches('/').to_owned()).await?;
    let installation = installation(scratch.path(), "standstill", 5_000)?;
    let changes = [(redis, format!("redis://{}", proxy.address))];
    let behind = variant(&installation, scratch.path(), "behind", &changes)?;
    let mut processor = behind.start_ready("stream-processor").await?;
    let _ingest = installation.start_ready("ingest").await?;
    let view = |user: &str| json!({ "event_type": "view", "user_id": user, "product_id": "kettle" });
    let (events, lag) = (
        format!("http://{}/events", installation.ingest),
        format!("http://{}/admin/lag", installation.processor),
    );
    post(&events, &view("ada"), None).await?;
    until("the first event", &lag, |report| (report["outcomes"]["applied"] == 1).then_some(())).await?;
    processor.stop()?;

    let (status, _) = post(&events, &view("bob"), None).await?;
    ensure!(status == 202, "{status}");
    let waits_since_ms = now_ms();
    tokio::time::sleep(STANDSTILL).await;
    // It comes back and cannot publish, so that there is time to look.
    proxy.silence();
    let mut processor = behind.start("stream-processor")?;
    let told_ms =
        until("the lag", &lag, |report| report["lag_ms"].as_i64().filter(|told_ms| *told_ms > 0)).await?;
    let true_ms = now_ms() - waits_since_ms;
    assert!((told_ms - true_ms).abs() < WITHIN_MS, "told {told_ms} ms, and it is {true_ms} ms");
    proxy.resume();
    until("the lag to go", &lag, |report| {
        (report["lag_ms"] == 0 && report["outcomes"]["applied"] == 2).then_some(())
    })
    .await?;
    processor.stop()
}

/// (stage, partition) of every series of lag at this address.
pub async fn series(address: std::net::SocketAddr) -> BTreeSet<String> {
    let Ok(answer) = reqwest::get(format!("http://{address}/metrics")).await else { return BTreeSet::new() };
    let text = answer.text().await.unwrap_or_default();
    let lines =
        text.lines().filter_map(|line| line.strip_prefix("processor_lag_seconds{")?.split('}').next());
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_partition_takes_its_series_along_when_copies_come_and_go() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let first = installation(scratch.path(), "copies", 6_000)?;
    let other_address = free_address()?;
    let names = std::fs::read_to_string(&first.config)?;
    let instance =
        names.lines().find(|line| line.starts_with("instance_id")).context("instance_id")?.to_owned();
    let changes = [
        (format!("listen = \"{}\"", first.processor), format!("listen = \"{other_address}\"")),
        (instance, "instance_id = \"second\"".to_owned()),
    ];
    let mut second = variant(&first, scratch.path(), "second", &changes)?;
    second.processor = other_address;

    let mut one = first.start_ready("stream-processor").await?;
    let begun = std::time::Instant::now();
    let shared = async |wanted: &dyn Fn(&BTreeSet<String>, &BTreeSet<String>) -> bool| {
        loop {
            let (mine, theirs) = (series(first.processor).await, series(other_address).await);
            if wanted(&mine, &theirs) {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "{mine:?} and {theirs:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    shared(&|mine, theirs| mine.len() == 8 && theirs.is_empty()).await?;
    let mut two = second.start_ready("stream-processor").await?;
    shared(&|mine, theirs| {
        !mine.is_empty() && !theirs.is_empty() && mine.is_disjoint(theirs) && mine.len() + theirs.len() == 8
    })
    .await?;
    // Each copy tells of the other's partitions.
    until("the other's partitions", &format!("http://{}/admin/lag", first.processor), |report| {
        let count = |of: &Value| of.as_array().map_or(0, Vec::len);
        (count(&report["others"]) > 0 && count(&report["partitions"]) + count(&report["others"]) == 8)
            .then_some(())
    })
    .await?;
    two.kill()?;
    shared(&|mine, _| mine.len() == 8).await?;
    one.stop()
}
