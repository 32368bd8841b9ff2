//! The program's commands on the whole pipeline in one process: demo, and replay into dev.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shopsmart::client::Client;
use shopsmart::demo::{self, DemoOptions};
use shopsmart::dev::{self, DevOptions};
use shopsmart::replay::{self, Ending, ReplayOptions, Report};
use shopsmart::simulator::{Period, Shop, Size, write_csv};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

const EVENTS: u64 = 3_000;

fn free_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn demo_of(duration: Option<Duration>) -> DemoOptions {
    DemoOptions { listen: free_port(), data: None, duration, rate: 200.0, seed: 1 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_shows_what_the_real_services_answer() {
    let summary = demo::run(demo_of(Some(Duration::from_secs(4))), CancellationToken::new()).await.unwrap();
    assert!(!summary.interrupted);
    assert!(summary.acknowledged > 0, "{summary:?}");
    assert_eq!(summary.rejected, 0);
    assert!(summary.freshness.count > 0 && summary.freshness.missed == 0, "{summary:?}");
    assert!(!summary.recommended.is_empty());
    let named = |name: &String| name.contains(' ');
    assert!(summary.recommended.iter().all(named), "products are shown by name: {summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_without_end_ends_when_told_to() {
    let stop = CancellationToken::new();
    stop.cancel();
    let summary = demo::run(demo_of(None), stop).await.unwrap();
    assert!(summary.interrupted);
}

#[tokio::test]
async fn ctrl_c_ends_the_demo_program_without_a_failure() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_shopsmart"));
    program.args(["demo", "--duration", "0"]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut demo = program.spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().unwrap().contains("acknowledged"));
    let id = demo.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
    let mut rest = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        rest += &line;
    }
    assert!(demo.wait().await.unwrap().success());
    assert!(rest.contains("Try next"), "{rest}");
}

/// Outcomes of all events so far, once as many are counted as `events`.
async fn outcomes(client: &Client, events: u64) -> Value {
    loop {
        let lag: Value = client.get("/admin/lag", &[]).await.unwrap();
        let outcomes = &lag["outcomes"];
        let count = |name: &str| outcomes[name].as_u64().unwrap();
        if ["applied", "duplicate", "too_late", "dead_lettered"].map(count).iter().sum::<u64>() >= events {
            return outcomes.clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn replay(file: &Path, url: &str) -> Report {
    let report = replay::run(ReplayOptions::new(file, url), CancellationToken::new()).await.unwrap();
    assert_eq!((&report.ending, report.totals.accepted), (&Ending::Complete, EVENTS));
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_replayed_twice_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events.csv");
    // Few enough events a shopper to be remembered by their ids.
    let shop = Arc::new(Shop::new(1, Size { products: 300, shoppers: 2_000 }));
    let period = Period { start_ms: 1_735_689_600_000, days: 20, events: EVENTS };
    write_csv(shop, period, std::fs::File::create(&file).unwrap()).unwrap();

    let stop = CancellationToken::new();
    let options = DevOptions { listen: free_port(), data: dir.path().join("data"), partitions: Some(4) };
    let dev = dev::start(options, stop.clone()).await.unwrap();
    let url = format!("http://{}", dev.addr);
    let client = Client::new(&url, None).unwrap();
    replay(&file, &url).await;
    let first = outcomes(&client, EVENTS).await;
    assert_eq!((&first["applied"], &first["duplicate"]), (&EVENTS.into(), &0.into()));
    replay(&file, &url).await;
    let second = outcomes(&client, 2 * EVENTS).await;
    assert_eq!((&second["applied"], &second["duplicate"]), (&EVENTS.into(), &EVENTS.into()));
    stop.cancel();
    dev.wait().await.unwrap();
}
