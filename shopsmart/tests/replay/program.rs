//! The program as people call it: exit codes, and what it prints.

use std::process::Output;

use tokio::process::Command;

use super::server::{Reaction, Server};
use super::{Events, read};

pub async fn replay(events: &Events, url: &str, further: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_shopsmart"));
    program.arg("replay").arg(events.path("events.csv")).args(["--to", url]).args(further);
    program.env("XDG_STATE_HOME", events.path("state")).output().await.unwrap()
}

pub fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[tokio::test]
async fn exit_codes_tell_taken_from_rejected_from_failed() {
    let server = Server::start(|_| Reaction::Take).await;
    let good = replay(&Events::of(10, 1_000), &server.url(), &[]).await;
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    assert!(text(&good.stdout).contains("Replayed the whole file"), "{}", text(&good.stdout));

    let events = Events::typed(10, 1_000, |row| if row == 3 { "wish" } else { "view" });
    let rejected = events.path("rejected.csv");
    let some = replay(&events, &server.url(), &["--rejected", rejected.to_str().unwrap()]).await;
    assert_eq!(some.status.code(), Some(2));
    assert!(text(&some.stdout).contains("row 3 rejected: unknown_event_type"), "{}", text(&some.stdout));
    assert!(read(&rejected).contains("3,unknown_event_type"));

    server.now(|_| Reaction::Refuse(401));
    let failed = replay(&events, &server.url(), &["--from-start"]).await;
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stdout).contains("401"), "{}", text(&failed.stdout));
}

#[tokio::test]
async fn an_interrupted_program_says_how_to_go_on() {
    let (reached, mut requests) = tokio::sync::mpsc::channel(1);
    let server = Server::start(move |_| {
        let _ = reached.try_send(());
        Reaction::Take
    })
    .await;
    let events = Events::of(500, 1_000);
    // A second of real time for each event: it cannot end by itself.
    let mut program = Command::new(env!("CARGO_BIN_EXE_shopsmart"));
    program.arg("replay").arg(events.path("events.csv")).args(["--to", &server.url(), "--speed", "1"]);
    program.env("XDG_STATE_HOME", events.path("state")).stdout(std::process::Stdio::piped());
    let child = program.spawn().unwrap();
    requests.recv().await.unwrap();
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(text(&output.stdout).contains("The same command goes on from here"), "{}", text(&output.stdout));
    let resumed = replay(&events, &server.url(), &[]).await;
    assert_eq!(resumed.status.code(), Some(0));
    assert!(text(&resumed.stdout).contains("in an earlier run"), "{}", text(&resumed.stdout));
    assert_eq!(server.seen.lock().unwrap().taken.len(), 500);
}

#[tokio::test]
async fn a_bad_file_is_refused_in_one_line() {
    let server = Server::start(|_| Reaction::Take).await;
    let events = Events::of(1, 1_000);
    std::fs::write(events.path("events.csv"), "timestamp_ms,user_id,product,event_type,category_id\n")
        .unwrap();
    let refused = replay(&events, &server.url(), &[]).await;
    assert_eq!(refused.status.code(), Some(1));
    let message = text(&refused.stderr);
    assert!(message.contains("has no column item_id: needed are timestamp_ms"), "{message}");
    assert!(message.contains("found are timestamp_ms, user_id, product"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}
