//! From a request to the record for the log: the rules for one event, and the routes, on a log that acknowledges at once.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use event_log::{Append, AppendError, NewRecord, Producer};
use ingest::admission::{Circumstances, admit_event};
use ingest::{IngestConfig, IngestDeps, routes};
use prost::Message;
use schemas::Position;
use schemas::names::Topics;
use schemas::proto::{EventRecord, event_record};
use service_runtime::ManualClock;
use service_runtime::http::{Routes, with_fallbacks};
use service_runtime::keys::Keys;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{Path, measured};

pub(crate) const PATHS: [Path; 3] = [
    Path { name: "ingest-admit", unit: "event", run: admit },
    Path { name: "ingest-single", unit: "event", run: single },
    Path { name: "ingest-batch", unit: "event", run: batch },
];

/// 2026-11-01T00:00:00Z.
const NOW_MS: i64 = 1_793_491_200_000;
const EVENTS: usize = 1_000;
const BATCH: usize = 100;

/// Of a size and with the fields that trackers of shops send.
fn event(number: usize) -> String {
    format!(
        r#"{{"event_id":"5e0f3a52-{number:08}","event_type":"add_to_cart","user_id":"shopper-{}","session_id":"s-{}","product_id":"{:08}","quantity":1,"price":29.95,"currency":"EUR","category_id":"kitchen","timestamp":"2026-10-31T23:59:58.{:03}Z","metadata":{{"page":"/p/kettle","ab":"b"}}}}"#,
        number % 97,
        number % 97,
        number * 7_919 % 100_000,
        number % 1_000
    )
}

/// The rules, and the packing of what is admitted.
fn admit() -> u64 {
    let events: Vec<String> = (0..EVENTS).map(event).collect();
    let given = Circumstances { received_at_ms: NOW_MS, sent_at_ms: None, import: false };
    let pack = |json: &String| {
        let admitted = admit_event(json, &given).expect("the events keep the rules");
        let record = EventRecord { record: Some(event_record::Record::Event(admitted.event)) };
        admitted.user.as_str().len() + record.encode_to_vec().len()
    };
    pack(&events[0]);
    measured(|| events.iter().map(pack).sum::<usize>());
    EVENTS as u64
}

fn single() -> u64 {
    let bodies = (0..EVENTS).map(event).collect();
    posted("/events", bodies, StatusCode::ACCEPTED);
    EVENTS as u64
}

fn batch() -> u64 {
    let batch = |number: usize| {
        let events: Vec<String> = (number * BATCH..(number + 1) * BATCH).map(event).collect();
        format!(r#"{{"events":[{}]}}"#, events.join(","))
    };
    posted("/events/batch", (0..EVENTS / BATCH).map(batch).collect(), StatusCode::OK);
    EVENTS as u64
}

/// Sends the bodies one after the other, and the first one once before it counts.
fn posted(path: &str, bodies: Vec<String>, expected: StatusCode) {
    let (runtime, routes) = service();
    let first = bodies[0].clone();
    let send = async |body: String| {
        let request = Request::post(path).header("content-type", "application/json").body(Body::from(body));
        let request = request.expect("a request of constants");
        let answer = routes.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.expect("the answer is in memory");
        assert_eq!(status, expected, "{}", String::from_utf8_lossy(&bytes));
    };
    runtime.block_on(send(first));
    measured(|| {
        runtime.block_on(async {
            for body in bodies {
                send(body).await;
            }
        });
    });
}

fn service() -> (Runtime, Routes) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime of one thread");
    let deps = IngestDeps {
        config: IngestConfig::default(),
        producer: Arc::new(Acknowledging),
        clock: Arc::new(ManualClock::new(NOW_MS)),
        keys: Keys::open(),
        topics: Topics::new("", 1),
        producer_dead: CancellationToken::new(),
    };
    let _context = runtime.enter();
    let (router, events) = routes(deps);
    (runtime, Routes::from(with_fallbacks(router, "hot-paths")).with(events))
}

/// Keeps nothing and acknowledges everything.
struct Acknowledging;

#[async_trait]
impl Producer for Acknowledging {
    fn append(&self, _: NewRecord) -> Result<Append, AppendError> {
        let (sender, append) = Append::pending();
        // Whoever appends holds the other side.
        let _ = sender.send(Ok(Position { partition: 0, offset: 0 }));
        Ok(append)
    }

    async fn drain(&self, _: u64) -> usize {
        0
    }
}
