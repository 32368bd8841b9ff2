//! How far the processor is behind, as a table or for scripts.

use std::fmt::Write;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::client::{CallError, Client};

/// Exit code when the pipeline is behind.
const BEHIND: u8 = 2;
/// Copies report twice a second: a partition of which nothing was heard for so long has no owner that works.
const SILENT_MS: u64 = 15_000;
/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);

/// How to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// For people.
    Table,
    /// The server's answer, on one line.
    Json,
}

/// What counts as behind; without limits only work that stands still does.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// The longest wait of a record.
    pub seconds: Option<f64>,
    /// Records that wait.
    pub records: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Report {
    partitions: Vec<Owned>,
    #[serde(default)]
    others: Vec<Other>,
}

#[derive(Debug, Deserialize)]
struct Owned {
    stage: String,
    partition: u32,
    lag_records: u64,
    lag_ms: u64,
    running: bool,
    stalled: bool,
}

#[derive(Debug, Deserialize)]
struct Other {
    stage: String,
    partition: u32,
    lag_records: u64,
    lag_ms: u64,
    reported_ms_ago: u64,
}

/// Asks once and prints.
///
/// # Errors
/// When the server does not answer.
pub async fn once(client: &Client, show: Show, limits: Limits) -> Result<ExitCode> {
    let (answer, report) = ask(client).await.context(
        "the lag is known to `shopsmart dev` and to each copy of the stream processor (by default on port 8082): give the \
         address of one with --url",
    )?;
    match show {
        Show::Json => println!("{answer}"),
        Show::Table => print!("{}", table(&report)),
    }
    Ok(match behind(&report, limits) {
        None => ExitCode::SUCCESS,
        Some(why) => {
            eprintln!("behind: {why}");
            ExitCode::from(BEHIND)
        }
    })
}

/// Asks and prints again and again until `stop`. A server that does not answer for a while is asked again.
///
/// # Errors
/// When the server refuses.
pub async fn watch(client: &Client, show: Show, stop: &CancellationToken) -> Result<()> {
    let clear = if std::io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
    loop {
        let asked = stop.run_until_cancelled(ask(client)).await;
        match (asked, show) {
            (None, _) => return Ok(()),
            (Some(Ok((answer, _))), Show::Json) => println!("{answer}"),
            (Some(Ok((_, report))), Show::Table) => print!("{clear}{}", table(&report)),
            (Some(Err(error @ CallError::Unavailable { .. })), _) => eprintln!("{error}"),
            (Some(Err(refused)), _) => return Err(refused.into()),
        }
        if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return Ok(());
        }
    }
}

async fn ask(client: &Client) -> Result<(Value, Report), CallError> {
    let answer: Value = client.get("/admin/lag", &[]).await?;
    let report = Report::deserialize(&answer).map_err(|error| CallError::Unexpected(error.to_string()))?;
    Ok((answer, report))
}

/// Why it is behind; `None` when it is not.
fn behind(report: &Report, limits: Limits) -> Option<String> {
    if let Some(stalled) = report.partitions.iter().find(|partition| partition.stalled) {
        return Some(format!("{} {} makes no progress", stalled.stage, stalled.partition));
    }
    if let Some(silent) = report.others.iter().find(|other| other.reported_ms_ago > SILENT_MS) {
        let seconds = silent.reported_ms_ago / 1_000;
        return Some(format!("no copy has worked on {} {} for {seconds} s", silent.stage, silent.partition));
    }
    let (records, lag_ms) = total(report);
    let seconds = lag_ms as f64 / 1_000.0;
    if limits.seconds.is_some_and(|most| seconds > most) {
        return Some(format!("a record has waited for {seconds:.1} s"));
    }
    if limits.records.is_some_and(|most| records > most) {
        return Some(format!("{records} records wait"));
    }
    None
}

/// Records that wait, and the longest wait in ms, over all copies.
fn total(report: &Report) -> (u64, u64) {
    let owned = report.partitions.iter().map(|partition| (partition.lag_records, partition.lag_ms));
    // What another copy said a while ago has waited since then, too.
    let others = report.others.iter().map(|other| {
        (other.lag_records, if other.lag_records > 0 { other.lag_ms + other.reported_ms_ago } else { 0 })
    });
    owned.chain(others).fold((0, 0), |(sum, longest), (records, lag_ms)| (sum + records, longest.max(lag_ms)))
}

fn table(report: &Report) -> String {
    let mut text = String::from("stage    partition  state         waiting      behind\n");
    let mut row = |stage: &str, partition: u32, state: &str, records: u64, lag_ms: u64| {
        let seconds = format!("{:.1} s", lag_ms as f64 / 1_000.0);
        writeln!(text, "{stage:<8} {partition:>9}  {state:<12} {records:>8}  {seconds:>10}")
            .expect("a string takes everything");
    };
    for partition in &report.partitions {
        let Owned { stage, partition, lag_records, lag_ms, running, stalled } = partition;
        let state = match (stalled, running) {
            (true, _) => "stalled",
            (false, false) => "loading",
            (false, true) => "working",
        };
        row(stage, *partition, state, *lag_records, *lag_ms);
    }
    for other in &report.others {
        let silent = other.reported_ms_ago > SILENT_MS;
        let state = if silent { "nobody's" } else { "other copy" };
        row(&other.stage, other.partition, state, other.lag_records, other.lag_ms);
    }
    let (records, lag_ms) = total(report);
    match records {
        0 => text.push_str("Nothing waits.\n"),
        _ => {
            let seconds = lag_ms as f64 / 1_000.0;
            writeln!(text, "{records} records wait, the oldest for {seconds:.1} s.")
                .expect("a string takes everything");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(stalled: bool, reported_ms_ago: u64) -> Report {
        let answer = json!({
            "partitions": [
                {"stage": "shopper", "partition": 0, "lag_records": 7, "lag_ms": 1500, "running": true, "stalled": stalled},
            ],
            "others": [
                {"stage": "product", "partition": 1, "lag_records": 3, "lag_ms": 100, "reported_ms_ago": reported_ms_ago},
            ],
        });
        serde_json::from_value(answer).unwrap()
    }

    #[test]
    fn the_table_has_every_partition_and_the_sum() {
        let text = table(&report(false, 200));
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["shopper", "0", "working", "7", "1.5", "s"]);
        assert_eq!(lines[2], ["product", "1", "other", "copy", "3", "0.1", "s"]);
        assert_eq!(text.lines().last(), Some("10 records wait, the oldest for 1.5 s."));
    }

    #[test]
    fn behind_is_what_the_limits_say_and_what_stands_still() {
        let why = |report, seconds, records| behind(&report, Limits { seconds, records });
        assert_eq!(why(report(false, 200), None, None), None);
        assert_eq!(why(report(false, 200), Some(2.0), Some(10)), None);
        assert!(why(report(false, 200), Some(1.0), None).unwrap().contains("1.5 s"));
        assert!(why(report(false, 200), None, Some(9)).unwrap().contains("10 records"));
        assert!(why(report(true, 200), None, None).unwrap().contains("shopper 0"));
        assert!(why(report(false, 60_000), None, None).unwrap().contains("product 1"));
    }
}
