//! `shopsmart state`, as people call it: what it prints, and with which exit code.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use bytes::Bytes;
use event_log::{NewRecord, ProducerMode};
use serde_json::{Value, json};
use shopsmart::embedded;
use stores::{Row, Table};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

const EVENTS: u64 = 60;

fn program(arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_shopsmart"));
    program.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    program
}

/// Lets `shopsmart dev` fill a folder, and ends it in order.
async fn fill(data: &Path) {
    let data = data.to_str().expect("the folder's name is text");
    let mut dev = program(&["dev", "--listen", "127.0.0.1:0", "--data", data]);
    let mut dev = dev.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(dev.stderr.take().unwrap()).lines();
    let url = loop {
        let line = said.next_line().await.unwrap().expect("it says where it listens");
        if let Some((_, rest)) = line.split_once("listens on ") {
            break rest.split_whitespace().next().unwrap().to_owned();
        }
    };
    let event = |number: u64| {
        let (user, product) = (format!("u{}", number % 5), format!("p{}", number % 11));
        json!({ "event_type": "view", "user_id": user, "product_id": product })
    };
    let events: Vec<Value> = (0..EVENTS).map(event).collect();
    let client = reqwest::Client::new();
    let sent = client.post(format!("{url}/events/batch")).json(&events).send().await.unwrap();
    assert_eq!(sent.json::<Value>().await.unwrap()["accepted"], EVENTS);
    loop {
        let lag = client.get(format!("{url}/admin/lag")).send().await.unwrap();
        if lag.json::<Value>().await.unwrap()["outcomes"]["applied"] == EVENTS {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = dev.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    assert!(dev.wait().await.unwrap().success());
}

async fn verify(data: &Path) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        program(&["state", "verify", "--data", data.to_str().unwrap()]).output().await.unwrap();
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

/// Overwrites a stored user row, under its own version.
async fn put(data: &Path, row: Row) {
    let parts = embedded::open_existing(data).await.unwrap();
    parts.state.put_many(Table::UserHistory, embedded::GENERATION, vec![row]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_names_a_damaged_row_and_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path()).await;
    let (code, said) = verify(folder.path()).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("folded 60 events") && said.lines().any(|line| line == "equal"), "{said}");

    let sound = {
        let parts = embedded::open_existing(folder.path()).await.unwrap();
        let keys = ["u3".to_owned()];
        let rows = parts.state.get_many(Table::UserHistory, embedded::GENERATION, &keys).await.unwrap();
        rows.into_iter().next().flatten().expect("the row is stored")
    };
    let mut damaged = sound.state.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    put(folder.path(), Row { state: Bytes::from(damaged), ..sound.clone() }).await;
    let (code, said) = verify(folder.path()).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("shopper row \"u3\": its content at version"), "{said}");
    assert!(said.lines().any(|line| line == "different"), "{said}");

    put(folder.path(), sound).await;
    let (code, said) = verify(folder.path()).await;
    assert_eq!(code, Some(0), "{said}");
}

/// Puts an event on the log that no processor works on.
async fn append(data: &Path) {
    let parts = embedded::open_existing(data).await.unwrap();
    let mode = ProducerMode::Bounded { ack_timeout_ms: 10_000, linger_ms: 0 };
    let record = NewRecord {
        topic: parts.topics.events.as_str().into(),
        partition: None,
        key: Bytes::from_static(b"u:late"),
        value: Bytes::from_static(b"nobody has looked at it"),
        traceparent: None,
    };
    parts.log.producer(mode).unwrap().append(record).unwrap().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_stored_yet_is_told_beside_digest_and_proof() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path()).await;
    let data = folder.path().to_str().unwrap();
    let said = async |command: &str| {
        let Output { status, stdout, stderr } =
            program(&["state", command, "--data", data]).output().await.unwrap();
        assert!(status.success());
        (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    };
    let (digest, warning) = said("digest").await;
    assert!(digest.starts_with("exact=") && warning.is_empty(), "{digest}{warning}");
    append(folder.path()).await;
    for command in ["digest", "verify"] {
        let (_, warning) = said(command).await;
        assert!(
            warning.contains("1 events and 0 updates of the log are not in the stored state"),
            "{warning}"
        );
    }
    assert_eq!(said("digest").await.0, digest, "the state is what it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_the_folder_does_not_have_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path()).await;
    let data = folder.path().to_str().unwrap();
    let arguments = ["dev", "--listen", "127.0.0.1:0", "--data", data, "--partitions", "8"];
    let refused = program(&arguments).output().await.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("--partitions is 8, but ") && said.contains(" has 4, which cannot be changed"),
        "{said}"
    );
}

#[tokio::test]
async fn misuse_has_an_exit_code_of_its_own() {
    for (arguments, code) in
        [(&["lag", "--max-seconds", "abc"][..], 64), (&["nonsense"], 64), (&[], 64), (&["lag", "--help"], 0)]
    {
        assert_eq!(program(arguments).output().await.unwrap().status.code(), Some(code), "{arguments:?}");
    }
}

#[tokio::test]
async fn who_cannot_be_reached_is_named() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    let refused = program(&["lag", "--url", &url]).output().await.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains(&format!("{url} cannot be reached: ")) && said.contains("port 8082"), "{said}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    let (code, said) = verify(&absent).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("does not exist"), "{said}");
    assert!(!absent.exists());
}

#[tokio::test]
async fn dev_listens_on_loopback_only_because_it_has_no_keys() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["dev", "--listen", "0.0.0.0:0", "--data", data.to_str().unwrap()];
    let refused = program(&arguments).output().await.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("--listen is 0.0.0.0:0: allowed is a loopback address"), "{said}");
}
