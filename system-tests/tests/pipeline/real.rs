use super::embedded::{MADE_ROWS, folded, made_digest, much_is_unread, undisturbed_digest};
use anyhow::{Result, ensure};
use bytes::Bytes;
use event_log::{EventLog, NewRecord, ProducerMode};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use system_tests::dataset::{self, DirectCount};
use system_tests::have;
use system_tests::program::{PATIENCE, Program, get, proven_digest, run, until};
use system_tests::servers::{Installation, NEEDED, NEEDED_WITH_CLUSTER, Redis, kafka};

const KILLS: u64 = 5;
/// Of the producer of the poison.
const TRACE: &[u8; 55] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
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

/// Rows are soon stored, leave memory and are read again: so the processor does not read everything before it is killed, it is
/// killed between more steps, and it gets on although it is killed soon.
const SHORT_OF_MEMORY: [(&str, &str); 3] = [
    ("SHOPSMART__PROCESSOR__FLUSH_ROWS", "50"),
    ("SHOPSMART__PROCESSOR__CACHED_USERS", "20"),
    ("SHOPSMART__PROCESSOR__CACHED_PRODUCTS", "20"),
];

#[tokio::test]
async fn kafka_redis_and_cassandra_end_with_the_embedded_state_whatever_is_killed() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let events = dataset::events(scratch.path())?;
    let direct = DirectCount::of(&events)?;
    let names = format!("real{}", unique());
    let installation = Installation::new(scratch.path(), &names, &names, unique(), Redis::Single)?;

    // The first start makes the topics. Everything is acknowledged before the processor reads on.
    let mut processor = installation.start_ready("stream-processor").await?;
    let _ingest = installation.start_ready("ingest").await?;
    processor.stop()?;
    replay(&installation, &events, scratch.path())?;

    let lag = format!("http://{}/admin/lag", installation.processor);
    processor = installation.start_with("stream-processor", &SHORT_OF_MEMORY)?;
    let mut in_time = 0;
    for kill in 1..=KILLS {
        // Early, and not each in time: how much a processor reads until the first look at it is the machine's affair.
        let goal = direct.events * kill / (6 * KILLS);
        let read =
            until("the processor to go on", &lag, |report| Some(folded(report)).filter(|read| *read >= goal))
                .await?;
        processor.kill()?;
        in_time += u64::from(much_is_unread(direct.events, read).is_ok());
        processor = installation.start_with("stream-processor", &SHORT_OF_MEMORY)?;
    }
    ensure!(in_time >= 2, "of {KILLS} kills only {in_time} came while there was much to do");
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

    processor.stop()?;
    let digest = proven_digest(&["--config", &installation.config_argument()])?;
    assert_eq!(&digest, undisturbed_digest().await?, "the kills have changed nothing");

    processor = installation.start_ready("stream-processor").await?;
    let _serving = installation.start_ready("serving").await?;
    windows_equal_a_direct_count(&installation, &direct).await?;
    something_rises_above_its_usual_demand(&installation).await?;
    known_users_get_their_own_recommendations(&installation, &events).await?;
    poison_is_kept_once_and_stalls_nobody(&installation, &processor, &lag).await?;
    processor.stop()?;
    proven_digest(&["--config", &installation.config_argument()])?;
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

async fn something_rises_above_its_usual_demand(installation: &Installation) -> Result<()> {
    let url = format!("http://{}/trending?rank=rising&k=50", installation.serving);
    let rises: Vec<f64> = until("products that rise", &url, |answer| {
        let items = answer["items"].as_array().filter(|items| !items.is_empty())?;
        items.iter().map(|item| item["score"].as_f64()).collect()
    })
    .await?;
    assert!(rises.is_sorted_by(|a, b| a >= b), "the best first: {rises:?}");
    assert!(rises.iter().all(|rise| (1.0..18.0).contains(rise)), "times the usual demand: {rises:?}");
    Ok(())
}

/// An applied event is in the state, but the lists of the products beside it are ranked later: most users have their own
/// recommendations soon, not at once. (Who saw only products that nobody else saw has none.)
async fn known_users_get_their_own_recommendations(installation: &Installation, events: &Path) -> Result<()> {
    let users = dataset::some_users(events, 20)?;
    let begun = Instant::now();
    let answers = loop {
        let answers = recommendations_of(installation, &users).await?;
        let personal = answers.iter().filter(|answer| answer["strategy"] == "personalized").count();
        if personal * 2 > answers.len() {
            break answers;
        }
        ensure!(begun.elapsed() < PATIENCE, "only {personal} of {} are personalised", answers.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let first = &answers[0]["items"];
    assert!(answers.iter().any(|answer| &answer["items"] != first), "everybody gets the same");
    Ok(())
}

async fn recommendations_of(installation: &Installation, users: &[String]) -> Result<Vec<Value>> {
    let mut answers = Vec::new();
    for user in users {
        let url = format!("http://{}/recommendations?user_id={user}&k=10", installation.serving);
        let answer = until("recommendations from Redis", &url, |answer| {
            (answer["freshness"]["degraded"] == false).then(|| answer.clone())
        })
        .await?;
        let items = answer["items"].as_array();
        assert!(items.is_some_and(|items| !items.is_empty()), "user {user} gets nothing: {answer}");
        answers.push(answer);
    }
    Ok(answers)
}

async fn poison_is_kept_once_and_stalls_nobody(
    installation: &Installation,
    processor: &Program,
    lag: &str,
) -> Result<()> {
    let before = get(lag).await.unwrap_or_default();
    let producer = kafka()?.producer(ProducerMode::Bounded { ack_timeout_ms: 10_000, linger_ms: 0 })?;
    let user = "after-the-poison";
    producer
        .append(NewRecord {
            topic: installation.events_topic().into(),
            partition: None,
            key: Bytes::from(user),
            value: Bytes::from_static(b"\xff\xff no event \xff"),
            traceparent: Some(*TRACE),
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
        letters["items"].as_array().filter(|letters| !letters.is_empty()).cloned()
    })
    .await?;
    let ours: Vec<&Value> = letters.iter().filter(|letter| letter["key"] == user).collect();
    assert_eq!(ours.len(), 1, "{letters:?}");
    assert_eq!(ours[0]["reason"], "undecodable");
    let url = format!("{url}/{}/{}", ours[0]["partition"], ours[0]["offset"]);
    let letter = get(&url).await.unwrap_or_default();
    assert_eq!(letter["traceparent"].as_str().map(str::as_bytes), Some(&TRACE[..]), "{letter}");
    until("a log line about it, with its trace", &url, |_| {
        let line = |line: &str| line.contains("dead letter") && line.contains(TRACE_ID);
        processor.said().lines().any(line).then_some(())
    })
    .await
}

#[tokio::test]
async fn the_digest_is_the_same_on_real_servers_and_embedded() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let names = format!("same{}", unique());
    equal_to_the_embedded_state(&names, unique() + 4_000, Redis::Single).await
}

#[tokio::test]
async fn the_whole_pipeline_works_on_a_redis_cluster() -> Result<()> {
    if !have(&NEEDED_WITH_CLUSTER) {
        return Ok(());
    }
    let names = format!("cluster{}", unique());
    equal_to_the_embedded_state(&names, unique(), Redis::Cluster).await
}

/// Replays the smaller file while the processor runs. Serving has to answer out of Redis, and the state has to be that of
/// the embedded parts.
async fn equal_to_the_embedded_state(names: &str, generation: u16, redis: Redis) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let events = scratch.path().join("events.csv");
    dataset::write_made(&events, MADE_ROWS)?;
    let installation = Installation::new(scratch.path(), names, names, generation, redis)?;
    let mut processor = installation.start_ready("stream-processor").await?;
    let _ingest = installation.start_ready("ingest").await?;
    let _serving = installation.start_ready("serving").await?;
    replay(&installation, &events, scratch.path())?;
    let lag = format!("http://{}/admin/lag", installation.processor);
    until("every event to be applied", &lag, |report| {
        (report["lag_records"] == 0 && outcome(report, "applied") >= MADE_ROWS).then_some(())
    })
    .await?;
    windows_equal_a_direct_count(&installation, &DirectCount::of(&events)?).await?;
    known_users_get_their_own_recommendations(&installation, &events).await?;
    processor.stop()?;
    assert_eq!(&proven_digest(&["--config", &installation.config_argument()])?, made_digest().await?);
    Ok(())
}
