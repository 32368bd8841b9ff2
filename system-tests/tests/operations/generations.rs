use super::support::{now_ms, post, variant};
use anyhow::{Context, Result, ensure};
use schemas::names::marker_key;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use system_tests::program::{Program, free_address, run, until};
use system_tests::servers::{Installation, NEEDED, Redis, Servers};
use system_tests::{given, have};
use tokio::task::JoinHandle;

/// Runs a command of ours and gives its exit code and all that it said.
async fn shopsmart(arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let work = move || run("shopsmart", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(work).await??;
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    Ok((output.status.code(), said))
}

/// What is listed once the generations are as `wanted`.
async fn listed(config: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let begun = std::time::Instant::now();
    loop {
        let (_, said) = shopsmart(&["generations", "--json", "--config", config]).await?;
        let listed: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
        if wanted(&listed["generations"]) {
            return Ok(listed);
        }
        ensure!(begun.elapsed() < system_tests::program::PATIENCE, "waited in vain: {said}");
    }
}

/// Names that no run had before, because which generation is live outlives a run; and the first of two generations.
fn unique(what: &str, first: u16) -> (String, u16) {
    let now_ms = now_ms();
    (format!("{what}{now_ms}"), first + 2 * (now_ms / 1_000 % 250) as u16)
}

/// New events all the time, from shoppers whose sessions hold a kettle and a teapot.
fn keep_shopping(url: String, stop: Arc<AtomicBool>) -> JoinHandle<Result<u64>> {
    tokio::spawn(async move {
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            for product in ["kettle", "teapot", "toaster"] {
                let event =
                    json!({ "event_type": "view", "user_id": format!("user{sent}"), "product_id": product });
                let (status, answer) = post(&url, &event, None).await?;
                ensure!(status == 202, "{status}: {answer}");
            }
            sent += 1;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(sent)
    })
}

/// Asks for recommendations, similar and trending products all the time. Gives the generations that answered, in their
/// order and each once in a row.
fn keep_asking(serving: std::net::SocketAddr, stop: Arc<AtomicBool>) -> JoinHandle<Result<Vec<u64>>> {
    tokio::spawn(async move {
        let client = reqwest::Client::new();
        let mut generations = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            for path in
                ["recommendations?user_id=ada&k=2", "products/kettle/similar?k=1", "trending?window=1h&k=2"]
            {
                let answer = client.get(format!("http://{serving}/{path}")).send().await?;
                ensure!(answer.status() == 200, "{path}: {}", answer.status());
                let answer: Value = answer.json().await?;
                let is_filled = answer["items"].as_array().is_some_and(|items| !items.is_empty());
                ensure!(is_filled, "an empty answer to {path}: {answer}");
                let generation = answer["freshness"]["generation"].as_u64().context("generation")?;
                if generations.last() != Some(&generation) {
                    generations.push(generation);
                }
            }
        }
        Ok(generations)
    })
}

#[tokio::test]
async fn a_generation_is_built_beside_the_live_one_promoted_and_rolled_back_without_an_empty_answer()
-> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let (names, old) = unique("generations", 7_000);
    let new = old + 1;
    let installation = Installation::new(scratch.path(), &names, &names, old, Redis::Single)?;
    let config = installation.config_argument();
    let _processor = installation.start_ready("stream-processor").await?;
    let _ingest = installation.start_ready("ingest").await?;
    let _serving = installation.start_ready("serving").await?;
    let (done_shopping, done_asking) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    for product in ["kettle", "teapot"] {
        let event = json!({ "event_type": "view", "user_id": "ada", "product_id": product });
        post(&format!("http://{}/events", installation.ingest), &event, None).await?;
    }
    let shopping =
        keep_shopping(format!("http://{}/events", installation.ingest), Arc::clone(&done_shopping));
    let answered = |path: &str| format!("http://{}/{path}", installation.serving);
    let filled = |answer: &Value| answer["items"].as_array().filter(|items| !items.is_empty()).map(|_| ());
    until("similar products", &answered("products/kettle/similar?k=2"), filled).await?;
    until("what trends", &answered("trending?window=1h&k=2"), filled).await?;
    until("recommendations", &answered("recommendations?user_id=ada&k=2"), filled).await?;

    let (code, said) = shopsmart(&["rollback", "--config", &config]).await?;
    assert_eq!(code, Some(1), "nothing was promoted yet: {said}");
    let asking = keep_asking(installation.serving, Arc::clone(&done_asking));
    // It ends once it has caught up, though events go on.
    let (code, said) = shopsmart(&["replay-log", "--from", "beginning", "--config", &config]).await?;
    assert_eq!(code, Some(0), "{said}");
    let (promote, target) = (format!("shopsmart promote {new}"), new.to_string());
    assert!(said.contains(&promote), "it says what to type next: {said}");

    let changes = [
        (format!("listen = \"{}\"", installation.processor), format!("listen = \"{}\"", free_address()?)),
        (format!("generation = {old}\nevents"), format!("generation = {new}\nevents")),
    ];
    let second = variant(&installation, scratch.path(), "second", &changes)?;
    let mut second_processor = second.start("stream-processor")?;
    // Refused as long as the new one is behind or nobody works on it.
    let mut promoted = shopsmart(&["promote", &target, "--config", &config]).await?;
    let begun = std::time::Instant::now();
    while promoted.0 != Some(0) {
        ensure!(begun.elapsed() < system_tests::program::PATIENCE, "{}", promoted.1);
        promoted = shopsmart(&["promote", &target, "--config", &config]).await?;
    }
    let from = |generation: u16| {
        move |answer: &Value| (answer["freshness"]["generation"] == generation).then_some(())
    };
    until("the new generation", &answered("trending"), from(new)).await?;
    let (_, listed) = shopsmart(&["generations", "--json", "--config", &config]).await?;
    let listed: Value = serde_json::from_str(&listed)?;
    assert_eq!((&listed["live"], &listed["previous"]), (&json!(new), &json!(old)), "{listed}");
    let (code, said) = shopsmart(&["rollback", "--config", &config]).await?;
    assert_eq!(code, Some(0), "{said}");
    until("the old generation", &answered("trending"), from(old)).await?;

    done_asking.store(true, Ordering::Relaxed);
    let (old, new) = (u64::from(old), u64::from(new));
    assert_eq!(
        asking.await??,
        [old, new, old],
        "each answer was filled, and none came late from another one"
    );
    done_shopping.store(true, Ordering::Relaxed);
    ensure!(shopping.await?? > 0, "nobody shopped");
    // What was built beside is as provable as what was there.
    second_processor.stop()?;
    let (code, said) = shopsmart(&["state", "verify", "--config", &second.config_argument()]).await?;
    assert_eq!(code, Some(0), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_generation_that_begins_later_knows_nothing_of_what_was_before_and_can_be_proven() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let (names, old) = unique("later", 7_500);
    let installation = Installation::new(scratch.path(), &names, &names, old, Redis::Single)?;
    let config = installation.config_argument();
    let mut processor = installation.start_ready("stream-processor").await?;
    let _ingest = installation.start_ready("ingest").await?;
    let events = format!("http://{}/events", installation.ingest);
    for product in ["kettle", "teapot", "toaster"] {
        let event = json!({ "event_type": "view", "user_id": "ada", "product_id": product });
        ensure!(post(&events, &event, None).await?.0 == 202, "not accepted");
    }
    let lag = format!("http://{}/admin/lag", installation.processor);
    until("the events", &lag, |report| (report["outcomes"]["applied"] == 3).then_some(())).await?;
    // Its markers are what is left of it.
    listed(&config, |generations| generations[0]["events_done"] == 3).await?;
    processor.stop()?;
    let new = (old + 1).to_string();
    let build = ["replay-log", "--from", "2", "--generation", &new, "--config", &config];
    let (code, said) = shopsmart(&build).await?;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = shopsmart(&build).await?;
    assert!(code == Some(1) && said.contains("has begun already"), "{said}");
    let listed = listed(&config, |generations| generations[1]["events_done"] == 1).await?;
    assert_eq!(listed["generations"][0]["events_done"], 3, "{listed}");
    let changes = [(format!("generation = {old}\nevents"), format!("generation = {new}\nevents"))];
    let second = variant(&installation, scratch.path(), "proven", &changes)?;
    let (code, said) = shopsmart(&["state", "verify", "--config", &second.config_argument()]).await?;
    assert!(code == Some(0) && said.contains("folded 1 events"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_replay_that_follows_goes_on_until_it_is_stopped_and_only_force_promotes_what_nobody_works_on()
-> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let (names, old) = unique("follows", 6_500);
    let new = old + 1;
    let installation = Installation::new(scratch.path(), &names, &names, old, Redis::Single)?;
    let config = installation.config_argument();
    let _processor = installation.start_ready("stream-processor").await?;
    let _ingest = installation.start_ready("ingest").await?;
    let _serving = installation.start_ready("serving").await?;
    let view = async |product: &str| {
        let event = json!({ "event_type": "view", "user_id": "ada", "product_id": product });
        let (status, answer) = post(&format!("http://{}/events", installation.ingest), &event, None).await?;
        ensure!(status == 202, "{status}: {answer}");
        Ok(())
    };
    for product in ["kettle", "teapot"] {
        view(product).await?;
    }

    let arguments = ["replay-log", "--follow", "--config", &config];
    let mut replay = Program::start_as("replay", "shopsmart", &arguments, &[], scratch.path())?;
    listed(&config, |generations| generations[1]["events_done"] == 2).await?;
    // What comes after it has caught up is taken as well.
    let begun = std::time::Instant::now();
    while !replay.said().contains("it has caught up and goes on until Ctrl-C") {
        ensure!(begun.elapsed() < system_tests::program::PATIENCE, "{}", replay.said());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    view("toaster").await?;
    let going = listed(&config, |generations| generations[1]["events_done"] == 3).await?;
    assert_eq!((&going["live"], &going["generations"][1]["running"]), (&json!(old), &json!(true)), "{going}");
    assert_eq!(replay.ended()?, None, "{}", replay.said());
    replay.interrupt()?;

    // Nobody works on it any more: its markers grow old.
    listed(&config, |generations| generations[1]["running"] == false).await?;
    let target = new.to_string();
    let (code, said) = shopsmart(&["promote", &target, "--config", &config]).await?;
    assert!(code == Some(1) && said.contains("no processor works on") && said.contains("--force"), "{said}");
    let (code, said) = shopsmart(&["promote", &target, "--force", "--config", &config]).await?;
    assert!(code == Some(0) && said.contains("warning: no processor works on"), "{said}");
    let answers = format!("http://{}/trending", installation.serving);
    let from = |generation: u16| {
        move |answer: &Value| (answer["freshness"]["generation"] == generation).then_some(())
    };
    until("the new generation", &answers, from(new)).await?;
    let (code, said) = shopsmart(&["rollback", "--config", &config]).await?;
    assert_eq!(code, Some(0), "{said}");
    until("the old generation", &answers, from(old)).await
}

#[tokio::test]
async fn only_force_rolls_back_to_a_generation_of_which_redis_lost_data() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let (names, old) = unique("lost", 5_500);
    let new = old + 1;
    let installation = Installation::new(scratch.path(), &names, &names, old, Redis::Single)?;
    let config = installation.config_argument();
    let mut processor = installation.start_ready("stream-processor").await?;
    let _serving = installation.start_ready("serving").await?;
    let (code, said) = shopsmart(&["replay-log", "--from", "beginning", "--config", &config]).await?;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = shopsmart(&["promote", &new.to_string(), "--force", "--config", &config]).await?;
    assert_eq!(code, Some(0), "{said}");
    let answers = format!("http://{}/trending", installation.serving);
    let from = |generation: u16| {
        move |answer: &Value| (answer["freshness"]["generation"] == generation).then_some(())
    };
    until("the new generation", &answers, from(new)).await?;
    // Nobody is there to publish again what is lost.
    processor.stop()?;
    let marker = marker_key(old, "shopper", 0);
    assert_eq!(Servers::of(given, Redis::Single).redis_command(&format!("DEL {marker}"))?, "1", "{marker}");

    let (code, said) = shopsmart(&["rollback", "--config", &config]).await?;
    assert!(code == Some(1) && said.contains("Redis lacks data of 1") && said.contains("--force"), "{said}");
    until("still the new generation", &answers, from(new)).await?;
    let (code, said) = shopsmart(&["rollback", "--force", "--config", &config]).await?;
    assert!(
        code == Some(0) && said.contains("warning: generation") && said.contains("not complete"),
        "{said}"
    );
    until("the old generation", &answers, from(old)).await
}
