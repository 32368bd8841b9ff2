use anyhow::{Result, ensure};
use serde_json::Value;
use std::path::Path;
use system_tests::dataset::{self, DirectCount};
use system_tests::have;
use system_tests::program::{Program, free_address, proven_digest, until};
use tokio::sync::OnceCell;

const NEEDED: [&str; 1] = ["SHOPSMART_TEST_BIN"];
const KILLS: u64 = 5;

/// Runs `dev` on `data`, replays `events` through HTTP, kills the server `kills` times on the way, and gives the digest.
pub async fn digest_after(events: &Path, rows: u64, scratch: &Path, kills: u64) -> Result<String> {
    let data = scratch.join("data");
    let (data_text, address) = (data.to_string_lossy().into_owned(), free_address()?);
    let listen = address.to_string();
    let start = || Program::start("shopsmart", &["dev", "--listen", &listen, "--data", &data_text], scratch);
    let lag = format!("http://{address}/admin/lag");
    let mut server = start()?;
    until("the server", &lag, |_| Some(())).await?;
    let (file, to) = (events.to_string_lossy(), format!("http://{address}"));
    let state = scratch.join("replay-state").to_string_lossy().into_owned();
    let client_scratch = scratch.join("client");
    std::fs::create_dir_all(&client_scratch)?;
    let mut client =
        Program::start("shopsmart", &["replay", &file, "--to", &to, "--state", &state], &client_scratch)?;
    for kill in 1..=kills {
        let goal = rows * kill / (kills + 1);
        let read =
            until("the replay to go on", &lag, |report| Some(folded(report)).filter(|read| *read >= goal))
                .await?;
        server.kill()?;
        much_is_unread(rows, read)?;
        server = start()?;
    }
    let status = client.wait()?;
    ensure!(status.success(), "the replay ended with {status}: {}", client.said());
    until("every event to have an outcome", &lag, |report| {
        let outcomes = &report["outcomes"];
        let sum: u64 = ["applied", "duplicate", "too_late", "dead_lettered"]
            .iter()
            .filter_map(|name| outcomes[name].as_u64())
            .sum();
        (report["lag_records"] == 0 && sum >= rows).then_some(())
    })
    .await?;
    server.stop()?;
    proven_digest(&["--data", &data_text])
}

/// A kill tells something only while there is still much to do.
pub fn much_is_unread(rows: u64, read: u64) -> Result<()> {
    let unread = rows - read;
    ensure!(unread >= rows / 10, "killed too late: of {rows} events only {unread} are unread");
    Ok(())
}

/// What an undisturbed run over the whole event file ends with. Worked out once.
pub async fn undisturbed_digest() -> Result<&'static String> {
    static DIGEST: OnceCell<String> = OnceCell::const_new();
    DIGEST
        .get_or_try_init(async || {
            let scratch = tempfile::tempdir()?;
            let events = dataset::events(scratch.path())?;
            let rows = DirectCount::of(&events)?.events;
            digest_after(&events, rows, scratch.path(), 0).await
        })
        .await
}

/// Rows of the smaller file, which is always a made one.
pub const MADE_ROWS: u64 = 20_000;

/// What an undisturbed run over the smaller file ends with. Worked out once.
pub async fn made_digest() -> Result<&'static String> {
    static DIGEST: OnceCell<String> = OnceCell::const_new();
    DIGEST
        .get_or_try_init(async || {
            let scratch = tempfile::tempdir()?;
            let events = scratch.path().join("events.csv");
            dataset::write_made(&events, MADE_ROWS)?;
            digest_after(&events, MADE_ROWS, scratch.path(), 0).await
        })
        .await
}

/// Events that the shopper stage has read.
pub fn folded(report: &Value) -> u64 {
    let partitions = report["partitions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shoppers = partitions.iter().filter(|partition| partition["stage"] == "shopper");
    shoppers.filter_map(|partition| partition["processed"].as_u64()).sum()
}

#[tokio::test]
async fn a_server_killed_five_times_ends_with_the_state_of_one_that_was_not() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let events = dataset::events(scratch.path())?;
    let rows = DirectCount::of(&events)?.events;
    let disturbed = digest_after(&events, rows, scratch.path(), KILLS).await?;
    assert_eq!(&disturbed, undisturbed_digest().await?);
    Ok(())
}
