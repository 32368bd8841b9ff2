//! What `replay` says of the processor's outcomes, and what it remembers of a finished file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value, json};
use shopsmart::client::{Accepted, Client};
use shopsmart::dev::{self, Dev, DevOptions};
use shopsmart::replay::{Ending, Outcomes, ReplayOptions};
use tokio_util::sync::CancellationToken;

use super::program::{replay as program, text};
use super::server::{Reaction, Server};
use super::{Events, replay};

/// What a processor with one partition a stage says.
fn lag(outcomes: [u64; 3], waiting: u64, running: bool) -> Value {
    let [applied, duplicate, too_late] = outcomes;
    json!({
        "lag_records": waiting,
        "outcomes": {"applied": applied, "duplicate": duplicate, "too_late": too_late, "dead_lettered": 0, "forgotten": 9},
        "partitions": [{"stage": "shopper", "stream_time_ms": 5, "log_end": 7, "running": running}],
        "others": [],
    })
}

#[tokio::test]
async fn outcomes_of_a_replay_are_what_came_after_its_start_once_nothing_waits() {
    let server = Server::start(|_| Reaction::Take).await;
    // Not ready at first; and of what was taken, three more are done each time it is asked.
    let (mut asked, mut done) = (0, 0);
    server.tells(move |taken| {
        asked += 1;
        done = taken.min(done + 3);
        lag([100 + done - done / 2, 20, 3 + done / 2], taken - done, asked > 2)
    });
    let report = replay(Events::of(10, 1_000).to(&server)).await;
    let processed = report.processed.unwrap();
    let outcomes = Outcomes { applied: 5, duplicate: 0, too_late: 5, dead_lettered: 0 };
    assert_eq!((processed.sent, processed.outcomes), (10, outcomes));
    let text = report.to_string();
    assert!(text.contains("Of the 10 events sent:\n  applied              5\n"), "{text}");
    assert!(text.contains("too late             5   (not applied: more than 30 days behind"), "{text}");
}

#[tokio::test]
async fn outcomes_of_events_that_a_replay_has_not_sent_are_said_to_be() {
    let server = Server::start(|_| Reaction::Take).await;
    server.tells(|taken| lag([100 + taken * 3, 0, 0], 0, true));
    let report = replay(Events::of(10, 1_000).to(&server)).await;
    let text = report.to_string();
    assert!(
        text.contains("Of all events meanwhile (10 sent by this run, 20 further ones or repeats)"),
        "{text}"
    );
}

#[tokio::test]
async fn outcomes_that_do_not_come_are_not_waited_for() {
    let server = Server::start(|_| Reaction::Take).await;
    server.tells(|taken| lag([100 + taken / 2, 0, 0], taken / 2, true));
    let events = Events::of(10, 1_000);
    let output = program(&events, &server.url(), &[]).await;
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stdout);
    assert!(said.contains("as far as they have outcomes (5 or more have none yet):"), "{said}");
}

#[tokio::test]
async fn a_finished_replay_is_not_sent_again_unless_it_is_asked_for() {
    let server = Server::start(|_| Reaction::Take).await;
    let events = Events::of(10, 1_000);
    let taken = || server.seen.lock().unwrap().taken.len();
    assert_eq!(program(&events, &server.url(), &[]).await.status.code(), Some(0));
    let again = program(&events, &server.url(), &[]).await;
    assert_eq!((again.status.code(), taken()), (Some(0), 10));
    let said = text(&again.stdout);
    assert!(said.contains("Already sent completely; --from-start sends it again"), "{said}");
    let forced = program(&events, &server.url(), &["--from-start"]).await;
    assert_eq!((forced.status.code(), taken()), (Some(0), 20));

    // Another server, and another content, make another replay.
    let other = Server::start(|_| Reaction::Take).await;
    assert_eq!(program(&events, &other.url(), &[]).await.status.code(), Some(0));
    assert_eq!(other.seen.lock().unwrap().taken.len(), 10);
    let longer = super::read(&events.path("events.csv")) + "1750000020000,user-1,11,view,\n";
    std::fs::write(events.path("events.csv"), longer).unwrap();
    assert_eq!(program(&events, &server.url(), &[]).await.status.code(), Some(0));
    assert_eq!(taken(), 31);
}

#[tokio::test]
async fn a_finished_replay_with_rejected_rows_keeps_its_exit_code() {
    let server = Server::start(|_| Reaction::Take).await;
    let events = Events::typed(10, 1_000, |row| if row == 3 { "wish" } else { "view" });
    assert_eq!(program(&events, &server.url(), &[]).await.status.code(), Some(2));
    let again = program(&events, &server.url(), &[]).await;
    assert_eq!(again.status.code(), Some(2));
    let said = text(&again.stdout);
    assert!(
        said.contains("Already sent") && said.contains("rejected             1\n  row 3 rejected"),
        "{said}"
    );
}

async fn dev(data: PathBuf, listen: SocketAddr) -> (Dev, CancellationToken) {
    let stop = CancellationToken::new();
    let dev = dev::start(DevOptions { listen, data, partitions: Some(4) }, stop.clone()).await.unwrap();
    (dev, stop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_old_events_behind_new_ones_warns_and_says_what_was_too_late() {
    let events = Events::of(400, 1_000);
    let (server, stop) = dev(events.path("used"), (Ipv4Addr::LOCALHOST, 0).into()).await;
    let url = format!("http://{}", server.addr);
    let view = json!({"event_type": "view", "user_id": "ada", "product_id": "kettle"});
    let client = Client::new(&url, None).unwrap();
    let _: Accepted = client.post("/events", &view).await.unwrap();
    while client.get::<Value>("/admin/lag", &[]).await.unwrap()["outcomes"]["applied"] != 1 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    let output = program(&events, &url, &[]).await;
    assert_eq!(output.status.code(), Some(0));
    let warned = text(&output.stderr);
    assert!(warned.contains("warning: the first event to send is of 2025-06-15"), "{warned}");
    assert!(warned.contains("in 1 of 4 partitions") && warned.contains("fresh folder"), "{warned}");
    let said = text(&output.stdout);
    assert!(said.contains("Of the 400 events sent:") && said.contains("(not applied:"), "{said}");
    stop.cancel();
    let listen = server.addr;
    server.wait().await.unwrap();

    // A fresh folder at the same address has nothing of what an earlier run has sent there, finished as that is.
    let (server, stop) = dev(events.path("fresh"), listen).await;
    let output = program(&events, &url, &[]).await;
    let (said, warned) = (text(&output.stdout), text(&output.stderr));
    assert!(said.contains("Of the 400 events sent:\n  applied            400\n"), "{said}");
    assert!(warned.contains("from its start") && !warned.contains("warning"), "{warned}");
    let output = program(&events, &url, &[]).await;
    assert!(text(&output.stdout).contains("Already sent"), "{}", text(&output.stdout));

    // Sent again all the same: each user's last events are known.
    let options = ReplayOptions::new(events.path("events.csv"), url);
    let report = replay(options).await;
    assert_eq!(report.ending, Ending::Complete);
    assert_eq!(report.processed.unwrap().outcomes, Outcomes { duplicate: 400, ..Outcomes::default() });
    stop.cancel();
    server.wait().await.unwrap();
}
