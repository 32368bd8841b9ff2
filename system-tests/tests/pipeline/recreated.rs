//! A log that is no longer the one that the state was made from, on a real Kafka.

use anyhow::{Result, ensure};
use event_log::{EventLog, TopicPartition};
use serde_json::{Value, json};
use system_tests::have;
use system_tests::program::{Program, run, until};
use system_tests::servers::{Installation, NEEDED, Redis, kafka};

const EVENTS: u64 = 200;
const PARTITIONS: u32 = 4;

/// An installation whose processor has stored [`EVENTS`] events and is stopped. `ingest` goes on.
async fn having_processed(scratch: &std::path::Path, name: &str) -> Result<(Installation, Program)> {
    let number = (std::process::id() % 4_000) as u16 + 1;
    let names = format!("{name}{number}");
    let installation = Installation::new(scratch, &names, &names, number, Redis::Single)?;
    let mut processor = installation.start_ready("stream-processor").await?;
    let ingest = installation.start_ready("ingest").await?;
    send(&installation).await?;
    let lag = format!("http://{}/admin/lag", installation.processor);
    until("every event to be applied", &lag, |report| {
        (report["lag_records"] == 0 && report["outcomes"]["applied"] == EVENTS).then_some(())
    })
    .await?;
    processor.stop()?;
    Ok((installation, ingest))
}

/// Sends [`EVENTS`] events, each time as many to each partition.
async fn send(installation: &Installation) -> Result<()> {
    let event = |number: u64| {
        let (user, product) = (format!("u{}", number % 40), format!("p{}", number % 17));
        json!({ "event_type": "view", "user_id": user, "product_id": product })
    };
    let events: Vec<Value> = (0..EVENTS).map(event).collect();
    let url = format!("http://{}/events/batch", installation.ingest);
    let answer = reqwest::Client::new().post(url).json(&json!({ "events": events })).send().await?;
    let answer: Value = answer.json().await?;
    ensure!(answer["accepted"] == EVENTS, "not accepted: {answer}");
    Ok(())
}

fn partitions(installation: &Installation) -> impl Iterator<Item = TopicPartition> {
    let topic: std::sync::Arc<str> = installation.events_topic().into();
    (0..PARTITIONS).map(move |partition| TopicPartition { topic: topic.clone(), partition })
}

/// What the processor says when it refuses to work.
fn refusal(installation: &Installation) -> Result<String> {
    let mut processor = installation.start("stream-processor")?;
    ensure!(!processor.wait()?.success(), "it should have been refused");
    Ok(processor.said())
}

#[tokio::test]
async fn a_topic_made_anew_with_as_many_records_is_refused() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let (installation, mut ingest) = having_processed(scratch.path(), "anew").await?;
    ingest.stop()?;
    let log = kafka()?;
    let mut before = Vec::new();
    for partition in partitions(&installation) {
        before.push(log.bounds(&partition).await?);
    }
    log.delete_topic(&installation.events_topic()).await?;
    let created = run("shopsmart", &["topics", "create", "--config", &installation.config_argument()])?;
    ensure!(created.status.success(), "not created: {}", String::from_utf8_lossy(&created.stderr));
    // Fewer records than were processed.
    let said = refusal(&installation)?;
    assert!(said.contains("recreated or truncated"), "{said}");

    let _ingest = installation.start_ready("ingest").await?;
    send(&installation).await?;
    for (partition, before) in partitions(&installation).zip(before) {
        assert_eq!(log.bounds(&partition).await?, before, "only the checksum can tell");
    }
    let said = refusal(&installation)?;
    assert!(said.contains("is not the one that the stored progress was made from"), "{said}");
    assert!(said.contains("the topic was recreated") && said.contains("processor.generation"), "{said}");
    Ok(())
}

#[tokio::test]
async fn records_deleted_before_they_were_processed_are_refused() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let (installation, _ingest) = having_processed(scratch.path(), "gone").await?;
    let log = kafka()?;
    for partition in partitions(&installation) {
        log.truncate_before(&partition, 1).await?;
    }
    let verify = run("shopsmart", &["state", "verify", "--config", &installation.config_argument()])?;
    let said = String::from_utf8_lossy(&verify.stderr);
    assert_eq!(verify.status.code(), Some(3), "{said}");
    assert!(said.contains("cannot prove") && said.contains("begins at offset 1"), "{said}");

    // What is gone had been processed: there is nothing to refuse.
    let mut processor = installation.start_ready("stream-processor").await?;
    let lag = format!("http://{}/admin/lag", installation.processor);
    until("all partitions to run", &lag, |report| {
        let partitions = report["partitions"].as_array()?;
        let run = partitions.iter().filter(|partition| partition["running"] == true).count();
        (run == 2 * PARTITIONS as usize).then_some(())
    })
    .await?;
    processor.stop()?;

    send(&installation).await?;
    for partition in partitions(&installation) {
        log.truncate_before(&partition, log.bounds(&partition).await?.end).await?;
    }
    let said = refusal(&installation)?;
    assert!(said.contains("records were deleted unread"), "{said}");
    assert!(said.contains("processor.generation"), "{said}");
    Ok(())
}
