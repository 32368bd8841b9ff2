//! A log that is slow or gone fills no memory.

use futures::{FutureExt, poll};
use ingest::IngestConfig;
use service_runtime::keys::Keys;

use crate::support::{Log, Service, view};

fn small() -> IngestConfig {
    IngestConfig { max_in_flight_bytes: 1 << 20, ..IngestConfig::default() }
}

/// A batch whose records take nearly 64 KiB each.
fn large_event(id: usize) -> String {
    let event = view(&id.to_string(), "u");
    event.replace('}', &format!(r#","metadata":{{"x":"{}"}}}}"#, "x".repeat(64_000)))
}

#[tokio::test]
async fn a_silent_log_is_given_no_more_than_the_budget() {
    let log = Log::silent();
    let service = Service::with(&log, small(), Keys::open());
    let mut waiting = Vec::new();
    let mut refused = 0;
    for id in 0..100 {
        let mut call = Box::pin(service.post("/events", large_event(id)));
        match poll!(&mut call) {
            std::task::Poll::Pending => waiting.push(call),
            std::task::Poll::Ready(answer) => {
                let answer = answer.expect(503);
                assert_eq!(answer.code(), "overloaded", "told at once, not after a timeout");
                refused += 1;
            }
        }
    }
    // 1 MiB of budget, 64,000 bytes of metadata and some hundred around them each.
    assert_eq!((waiting.len(), refused), (16, 84));
    let held: usize = log.records.lock().unwrap().iter().map(|record| record.value.len()).sum();
    assert!(held <= 1 << 20);

    log.acknowledge();
    for call in waiting {
        call.await.expect(202);
    }
    let mut again = Box::pin(service.post("/events", large_event(0)));
    assert!(poll!(&mut again).is_pending(), "the budget was given back");
}

#[tokio::test]
async fn a_batch_beyond_the_budget_is_accepted_as_far_as_it_fits() {
    let log = Log::silent();
    let service = Service::with(&log, small(), Keys::open());
    let events: Vec<_> = (0..20).map(large_event).collect();
    let mut call = Box::pin(service.post("/events/batch", format!("[{}]", events.join(","))));
    assert!(poll!(&mut call).is_pending());
    log.acknowledge();
    let answer = call.await.expect(200);
    let results = answer.results();
    assert_eq!((&results[..16], &results[16..]), (&["ok"; 16][..], &["retry"; 4][..]));
    assert_eq!(answer.body["results"][19]["code"], "overloaded");
}

#[tokio::test]
async fn callers_that_hang_up_give_the_budget_back() {
    let service = Service::with(&Log::silent(), small(), Keys::open());
    for id in 0..100 {
        let call = service.post("/events", large_event(id));
        assert!(call.now_or_never().is_none(), "call {id} was taken, then dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_forgets_a_record_is_not_waited_for() {
    let service = Service::on(&Log::silent());
    let answer = service.post("/events", view("a", "u")).await.expect(503);
    assert_eq!(answer.code(), "log_unavailable");
    let batch = format!("[{},{}]", view("a", "u"), view("b", "v"));
    let answer = service.post("/events/batch", batch).await.expect(503);
    assert_eq!(answer.body["event_ids"], serde_json::json!(["a", "b"]));
}
