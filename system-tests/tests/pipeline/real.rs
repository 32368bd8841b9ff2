use super::embedded::{digest_after, folded};
use anyhow::{Result, ensure};
use bytes::Bytes;
use event_log::kafka::{KafkaLog, KafkaSettings};
use event_log::{EventLog, NewRecord, ProducerMode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use system_tests::dataset::{self, DirectCount};
use system_tests::program::{get, proven_digest, run, until};
use system_tests::servers::{Installation, NEEDED};
use system_tests::{given, have};

const KILLS: u64 = 5;
const HOUR_MS: i64 = 3_600_000;

/// Sends a file through HTTP and checks that every row was acknowledged.
fn replay(installation: &Installation, events: &Path, scratch: &Path) -> Result<()> {
    let (file, to) = (events.to_string_lossy(), format!("http://{}", installation.ingest));
    let state = scratch.join("replay-state").to_string_lossy().into_owned();
    let replayed = run("shopsmart", &["replay", &file, "--to", &to, "--state", &state, "--from-start"])?;
    ensure!(replayed.status.success(), "not replayed: {}", String::from_utf8_lossy(&replayed.stderr));
    Ok(())
}

fn outcome(report: &Value, name: &str) -> u64 {
    report["outcomes"][name].as_u64().unwrap_or_default()
}

/// A number of this run's own, so that runs share servers without meeting.
fn unique() -> u16 {
    (std::process::id() % 4_000) as u16 + 1
}

#[tokio::test]
async fn kafka_redis_and_cassandra_end_with_the_embedded_state_whatever_is_killed() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let events = dataset::events(scratch.path())?;
    let direct = DirectCount::of(&events)?;
    let names = format!("real{}", unique());
    let installation = Installation::new(scratch.path(), &names, &names, unique())?;

    // The first start makes the topics. Everything is acknowledged before the processor reads on.
    let mut processor = installation.start_ready("stream-processor").await?;
    let _ingest = installation.start_ready("ingest").await?;
    processor.stop()?;
    replay(&installation, &events, scratch.path())?;

    let lag = format!("http://{}/admin/lag", installation.processor);
    processor = installation.start_ready("stream-processor").await?;
    for kill in 1..=KILLS {
        let goal = direct.events * kill / (KILLS + 3);
        until("the processor to go on", &lag, |report| (folded(report) >= goal).then_some(())).await?;
        processor.kill()?;
        processor = installation.start_ready("stream-processor").await?;
    }
    let report = until("every event to have an outcome", &lag, |report| {
        let sum: u64 = ["applied", "duplicate", "too_late", "dead_lettered"]
            .map(|name| outcome(report, name))
            .iter()
            .sum();
        (report["lag_records"] == 0 && sum >= direct.events).then(|| report.clone())
    })
    .await?;
    let sum: u64 =
        ["applied", "duplicate", "too_late", "dead_lettered"].map(|name| outcome(&report, name)).iter().sum();
    assert_eq!(sum, direct.events, "each acknowledged event has one outcome");

    let _serving = installation.start_ready("serving").await?;
    windows_equal_a_direct_count(&installation, &direct).await?;
    known_users_get_their_own_recommendations(&installation, &events).await?;
    poison_is_kept_once_and_stalls_nobody(&installation, &names, &lag).await?;
    processor.stop()?;
    let config = installation.config.to_string_lossy().into_owned();
    proven_digest(&["--config", &config])?;
    Ok(())
}

async fn windows_equal_a_direct_count(installation: &Installation, direct: &DirectCount) -> Result<()> {
    let windows =
        [("1h", 60, HOUR_MS / 60), ("24h", 24, HOUR_MS), ("7d", 7 * 24, HOUR_MS), ("30d", 30 * 24, HOUR_MS)];
    for (window, buckets, width_ms) in windows {
        let expected = direct.top(buckets, width_ms, 50);
        let url = format!("http://{}/trending?window={window}&k=50", installation.serving);
        until(&format!("the window {window} to equal a direct count"), &url, |answer| {
            let items = answer["items"].as_array()?.iter().map(|item| {
                let score = item["score"].as_f64().unwrap_or_default() as u64;
                let id = item["product_id"].as_str().unwrap_or_default().to_owned();
                (id, score, item["count"].as_u64().unwrap_or_default())
            });
            (items.collect::<Vec<_>>() == expected).then_some(())
        })
        .await?;
    }
    Ok(())
}

async fn known_users_get_their_own_recommendations(installation: &Installation, events: &Path) -> Result<()> {
    let mut answers = Vec::new();
    for user in dataset::some_users(events, 20)? {
        let url = format!("http://{}/recommendations?user_id={user}&k=10", installation.serving);
        let answer = until("recommendations", &url, |answer| Some(answer.clone())).await?;
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        assert!(!items.is_empty(), "user {user} gets nothing: {answer}");
        answers.push((answer["strategy"] == "personalized", items));
    }
    let personal = answers.iter().filter(|(personal, _)| *personal).count();
    assert!(personal * 2 > answers.len(), "only {personal} of {} are personalised", answers.len());
    let first = &answers[0].1;
    assert!(answers.iter().any(|(_, items)| items != first), "everybody gets the same");
    Ok(())
}

async fn poison_is_kept_once_and_stalls_nobody(
    installation: &Installation,
    names: &str,
    lag: &str,
) -> Result<()> {
    let before = get(lag).await.unwrap_or_default();
    let log = KafkaLog::connect(KafkaSettings {
        brokers: given("SHOPSMART_TEST_KAFKA").expect("checked by the test"),
        client_id: "system-test".to_owned(),
        properties: BTreeMap::new(),
        replication_factor: -1,
    })?;
    let producer = log.producer(ProducerMode::Bounded { ack_timeout_ms: 10_000, linger_ms: 0 })?;
    let user = "after-the-poison";
    producer
        .append(NewRecord {
            topic: format!("{names}-events").into(),
            partition: None,
            key: Bytes::from(user),
            value: Bytes::from_static(b"\xff\xff no event \xff"),
        })?
        .await?;
    let event = json!({ "event_type": "view", "user_id": user, "product_id": "poison-test" });
    let url = format!("http://{}/events", installation.ingest);
    let answer = reqwest::Client::new().post(url).json(&event).send().await?;
    assert_eq!(answer.status(), 202);
    until("the event behind the poison to be applied", lag, |report| {
        let applied = outcome(report, "applied") == outcome(&before, "applied") + 1;
        (applied && outcome(report, "dead_lettered") == outcome(&before, "dead_lettered") + 1).then_some(())
    })
    .await?;
    let url = format!("http://{}/admin/dead-letters", installation.processor);
    let letters = until("the dead letter", &url, |letters| {
        letters.as_array().filter(|letters| !letters.is_empty()).cloned()
    })
    .await?;
    let ours: Vec<&Value> = letters.iter().filter(|letter| letter["key"] == user).collect();
    assert_eq!(ours.len(), 1, "{letters:?}");
    assert_eq!(ours[0]["reason"], "undecodable");
    Ok(())
}

#[tokio::test]
async fn the_digest_is_the_same_on_real_servers_and_embedded() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let events = scratch.path().join("events.csv");
    let rows = 20_000;
    dataset::write_made(&events, rows)?;
    let embedded = digest_after(&events, rows, scratch.path(), 0).await?;

    let names = format!("same{}", unique());
    let installation = Installation::new(scratch.path(), &names, &names, unique() + 4_000)?;
    let mut processor = installation.start_ready("stream-processor").await?;
    let _ingest = installation.start_ready("ingest").await?;
    replay(&installation, &events, scratch.path())?;
    let lag = format!("http://{}/admin/lag", installation.processor);
    until("every event to be applied", &lag, |report| {
        (report["lag_records"] == 0 && outcome(report, "applied") >= rows).then_some(())
    })
    .await?;
    processor.stop()?;
    let config = installation.config.to_string_lossy().into_owned();
    assert_eq!(proven_digest(&["--config", &config])?, embedded);

    // The same state with other topics: as if these had been deleted and made anew.
    let recreated = Installation::new(scratch.path(), &format!("{names}x"), &names, unique() + 4_000)?;
    let mut processor = recreated.start("stream-processor")?;
    let status = processor.wait()?;
    assert!(!status.success());
    assert!(processor.said().contains("recreated or truncated"), "{}", processor.said());
    Ok(())
}
