//! `replay` against an ingest that fails in every way it may.

mod outcomes;
mod program;
mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shopsmart::replay::{Ending, ReplayOptions, Report, run};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use self::server::{Reaction, Server};

/// An event file in a folder of its own. Products are numbered as rows are, so that the server can tell them.
struct Events {
    dir: TempDir,
    rows: usize,
}

const USERS: usize = 40;
const START_MS: i64 = 1_750_000_000_000;

impl Events {
    fn of(rows: usize, every_ms: i64) -> Self {
        Self::typed(rows, every_ms, |_| "view")
    }

    fn typed(rows: usize, every_ms: i64, kind: impl Fn(usize) -> &'static str) -> Self {
        let mut text = "timestamp_ms,user_id,item_id,event_type,category_id\n".to_owned();
        for row in 1..=rows {
            let (time, user) = (START_MS + row as i64 * every_ms, row * row % USERS);
            text += &format!("{time},user-{user},{row},{},c{}\n", kind(row), row % 3);
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("events.csv"), text).unwrap();
        Self { dir, rows }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn to(&self, server: &Server) -> ReplayOptions {
        ReplayOptions {
            state: Some(self.path("state.json")),
            ..ReplayOptions::new(self.path("events.csv"), server.url())
        }
    }
}

async fn replay(options: ReplayOptions) -> Report {
    run(options, CancellationToken::new()).await.unwrap()
}

/// All rows once, each user's in the file's order, and no rule broken on the way.
fn assert_all_in_order(server: &Server, events: &Events) {
    let seen = server.seen.lock().unwrap();
    assert!(seen.broken.is_empty(), "{:?}", seen.broken);
    let mut rows = 0;
    for (user, products) in seen.per_user() {
        let numbers: Vec<usize> = products.iter().map(|product| product.parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{user}: {numbers:?}");
        rows += numbers.len();
    }
    assert_eq!(rows, events.rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn per_user_order_survives_refusals_lost_answers_and_partial_answers() {
    use Reaction::{BreakOff, LoseAnswer, Refuse, Take, TakeHalf};
    let reactions = [Take, Refuse(503), TakeHalf, LoseAnswer, Take, BreakOff, Refuse(429), Take, Refuse(502)];
    let mut next = reactions.into_iter().cycle();
    let server = Server::start(move |_| next.next().unwrap()).await;
    let events = Events::of(3_000, 1_000);
    let report = replay(events.to(&server)).await;
    assert_eq!(report.ending, Ending::Complete);
    assert_eq!((report.totals.accepted, report.totals.rejected), (3_000, 0));
    assert!(report.retries > 0);
    assert_all_in_order(&server, &events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_is_waited_for() {
    let restarted = Arc::new(tokio::sync::Notify::new());
    let reached = restarted.clone();
    let mut requests = 0;
    let server = Server::start(move |_| {
        requests += 1;
        if requests == 5 {
            reached.notify_one();
        }
        Reaction::Take
    })
    .await;
    let events = Events::of(6_000, 1_000);
    let options = events.to(&server);
    let replayed = tokio::spawn(replay(options));
    restarted.notified().await;
    let server = server.restart().await;
    let report = replayed.await.unwrap();
    assert_eq!((report.ending, report.totals.accepted), (Ending::Complete, 6_000));
    let seen = server.seen.lock().unwrap();
    let rows: usize = seen.per_user().values().map(Vec::len).sum();
    assert_eq!(rows, 6_000);
}

#[tokio::test]
async fn what_was_acknowledged_is_not_sent_by_the_next_run() {
    let server = Server::start(first_requests(7, Reaction::Refuse(403))).await;
    let events = Events::of(4_000, 1_000);
    let report = replay(events.to(&server)).await;
    let Ending::Failed(reason) = &report.ending else { panic!("{report}") };
    assert!(reason.contains("403") && reason.contains("as the test wants it"), "{reason}");

    server.now(|_| Reaction::Take);
    let report = replay(events.to(&server)).await;
    assert_eq!((report.ending, report.totals.rows()), (Ending::Complete, 4_000));
    let mut rows = server.seen.lock().unwrap().rows();
    rows.sort_unstable();
    assert!(rows.iter().copied().eq(1..=4_000), "each row was taken once");
    let report = replay(events.to(&server)).await;
    assert_eq!((report.ending, report.totals.accepted), (Ending::SentBefore, 4_000));
    assert_eq!(server.seen.lock().unwrap().taken.len(), 4_000, "a finished replay is remembered");
}

#[tokio::test]
async fn a_replay_told_to_stop_finishes_what_is_in_flight_and_goes_on_later() {
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    let server = Server::start(move |events| {
        if events.iter().any(|event| event.product_id == "1500") {
            stopper.cancel();
        }
        Reaction::Take
    })
    .await;
    let events = Events::of(20_000, 1_000);
    let report = run(events.to(&server), stop).await.unwrap();
    assert_eq!(report.ending, Ending::Interrupted);
    let taken = server.seen.lock().unwrap().taken.len() as u64;
    assert_eq!(report.totals.accepted, taken, "everything that was taken is accounted for");
    assert!(taken < 20_000);

    let report = replay(events.to(&server)).await;
    assert_eq!((report.resumed_rows, report.totals.accepted), (taken, 20_000));
    assert_eq!(server.seen.lock().unwrap().taken.len(), 20_000, "nothing was sent twice");
    assert_all_in_order(&server, &events);
}

#[tokio::test]
async fn a_second_replay_sends_the_same_ids() {
    let server = Server::start(|_| Reaction::Take).await;
    let events = Events::of(1_000, 1_000);
    replay(events.to(&server)).await;
    let report = replay(ReplayOptions { from_start: true, ..events.to(&server) }).await;
    assert_eq!(report.resumed_rows, 0);
    assert_eq!(server.seen.lock().unwrap().taken.len(), 2_000);
    assert_all_in_order(&server, &events);
}

#[tokio::test]
async fn events_arrive_as_an_import_with_what_the_file_says() {
    let server = Server::start(|_| Reaction::Take).await;
    let events = Events::typed(2, 1_000, |row| ["purchase", "view"][row % 2]);
    let options = ReplayOptions { api_key: Some("secret".to_owned()), ..events.to(&server) };
    replay(options).await;
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.headers["x-import"], "true");
    assert_eq!(seen.headers["authorization"], "Bearer secret");
    let second = seen.taken.iter().find(|event| event.product_id == "2").unwrap();
    assert_eq!((&second.event_type[..], &second.user_id[..]), ("purchase", "user-4"));
    assert_eq!((second.timestamp, second.category_id.as_deref()), (START_MS + 2_000, Some("c2")));
}

#[tokio::test]
async fn rejected_rows_are_named_and_written_down() {
    let server = Server::start(|_| Reaction::Take).await;
    let kinds = |row| match row {
        _ if row % 50 == 0 => "wish",
        7 => "add_to_cart",
        _ => "view",
    };
    let events = Events::typed(1_000, 1_000, kinds);
    let rejected = events.path("rejected.csv");
    let report = replay(ReplayOptions { rejected: Some(rejected.clone()), ..events.to(&server) }).await;
    assert_eq!((report.totals.accepted, report.totals.adjusted, report.totals.rejected), (980, 1, 20));
    let named: Vec<u64> = report.totals.first_rejected.iter().map(|rejection| rejection.row).collect();
    assert_eq!(named, (1..=10).map(|i| i * 50).collect::<Vec<_>>());
    let text = report.to_string();
    assert!(text.contains("row 50 rejected: unknown_event_type: wish is no event type"), "{text}");
    assert!(text.contains("and 10 more"), "{text}");
    let written = read(&rejected);
    assert_eq!(written.lines().count(), 21);
    assert_eq!(
        written.lines().next(),
        Some("row,code,detail,timestamp_ms,user_id,item_id,event_type,category_id")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lane_runs_ahead_of_the_window() {
    // The first row's lane is refused for a while; the others could send the rest of the file meanwhile.
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let server = Server::start(move |events| {
        let held = events.iter().any(|event| event.product_id == "1");
        if held && count.fetch_add(1, Ordering::SeqCst) < 3 { Reaction::Refuse(503) } else { Reaction::Take }
    })
    .await;
    let events = Events::of(12_000, 1_000);
    let report = replay(events.to(&server)).await;
    assert_eq!((report.ending, report.totals.accepted), (Ending::Complete, 12_000));
    assert!(refused.load(Ordering::SeqCst) >= 3);
    assert_all_in_order(&server, &events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lane_runs_ahead_in_event_time() {
    // A row a day: while row 1 is refused, nothing that happened over a week later may arrive.
    let mut refused = 0;
    let (mut answered, mut too_early) = (false, Vec::new());
    let (report_early, early) = std::sync::mpsc::channel();
    let server = Server::start(move |events| {
        let first = events.iter().any(|event| event.product_id == "1");
        if !answered {
            let limit = START_MS + 24 * 3600 * 1000 + shopsmart::replay::WINDOW_MS;
            too_early
                .extend(events.iter().filter(|event| event.timestamp > limit).map(|event| event.timestamp));
        }
        if first && refused < 3 {
            refused += 1;
            return Reaction::Refuse(503);
        }
        if first {
            answered = true;
            report_early.send(std::mem::take(&mut too_early)).unwrap();
        }
        Reaction::Take
    })
    .await;
    let events = Events::of(200, 24 * 3600 * 1000);
    let report = replay(events.to(&server)).await;
    assert_eq!(report.totals.accepted, 200);
    assert_eq!(early.recv().unwrap(), Vec::<i64>::new());
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_given_up() {
    let server = Server::start(|_| Reaction::Refuse(503)).await;
    let events = Events::of(100, 1_000);
    let report = replay(ReplayOptions { give_up_after: Duration::ZERO, ..events.to(&server) }).await;
    let Ending::Failed(reason) = report.ending else { panic!("it went on") };
    assert!(reason.contains("nothing was taken") && reason.contains("503"), "{reason}");
    assert_eq!(report.totals.rows(), 0);
}

#[tokio::test]
async fn a_file_that_cannot_be_replayed_sends_nothing() {
    let server = Server::start(|_| Reaction::Take).await;
    let events = Events::of(1, 1_000);
    let file = events.path("other.csv");
    std::fs::write(&file, "time,who\n1,2\n").unwrap();
    let error =
        run(ReplayOptions { file, ..events.to(&server) }, CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("no column timestamp_ms"), "{error}");
    let absent = ReplayOptions { file: events.path("absent.csv"), ..events.to(&server) };
    let error = run(absent, CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("absent.csv"), "{error}");
    assert!(server.seen.lock().unwrap().taken.is_empty());
}

/// Takes the first `n` requests, then reacts with `then`.
fn first_requests(n: usize, then: Reaction) -> impl FnMut(&[server::Event]) -> Reaction + Send {
    let mut requests = 0;
    move |_| {
        requests += 1;
        if requests <= n { Reaction::Take } else { then }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
