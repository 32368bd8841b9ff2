//! Many events at a time.

use std::sync::atomic::Ordering;

use event_log::AppendError;
use schemas::proto::EventType;

use crate::support::{Fate, Log, NOW, Service, post, view};

fn batch(events: &[String]) -> String {
    format!(r#"{{"events":[{}]}}"#, events.join(","))
}

#[tokio::test]
async fn every_form_of_a_batch_is_read() {
    let events = [view("a", "u"), view("b", "u")];
    let json = "application/json";
    let lines = "application/x-ndjson";
    for (kind, body) in [
        (json, batch(&events)),
        (json, format!(" [{}]", events.join(","))),
        ("text/plain;charset=UTF-8", batch(&events)),
        (lines, format!("{}\r\n\n{}\n", events[0], events[1])),
        (lines, events.join("\n")),
    ] {
        let log = Log::working();
        let request = post("/events/batch", &[("content-type", kind)], body);
        let answer = Service::on(&log).send(request).await.expect(200);
        assert_eq!(answer.body["accepted"], 2);
        assert_eq!(answer.results(), ["ok", "ok"]);
        let ids: Vec<_> = log.events().into_iter().map(|(_, event)| event.event_id).collect();
        assert_eq!(ids, ["a", "b"], "{kind}");
    }
}

#[tokio::test]
async fn an_empty_batch_is_a_batch() {
    let service = Service::on(&Log::working());
    for body in ["[]", r#"{"events":[]}"#] {
        let answer = service.post("/events/batch", body).await.expect(200);
        assert_eq!((answer.body["accepted"].as_u64(), answer.results().len()), (Some(0), 0));
    }
}

#[tokio::test]
async fn a_bad_event_does_not_sink_its_batch() {
    let log = Log::working();
    let mut lines = view("a", "u").into_bytes();
    lines.extend_from_slice(b"\n{\"event_id\": nonsense\n\xff\xfe\n");
    lines.extend_from_slice(view("b", "guest").as_bytes());
    lines.push(b'\n');
    lines.extend_from_slice(view("c", "u").as_bytes());
    let request = post("/events/batch", &[("content-type", "application/x-ndjson")], lines);
    let answer = Service::on(&log).send(request).await.expect(200);
    assert_eq!(answer.results(), ["ok", "rejected", "rejected", "rejected", "ok"]);
    assert_eq!(answer.body["accepted"], 2);
    let results = &answer.body["results"];
    assert_eq!(results[1]["code"], "malformed_json");
    assert_eq!(results[2]["code"], "malformed_json");
    assert_eq!(
        (results[3]["code"].as_str(), results[3]["event_id"].as_str()),
        (Some("junk_user_id"), Some("b"))
    );
    assert_eq!((results[4]["index"].as_u64(), results[4]["event_id"].as_str()), (Some(4), Some("c")));
    assert_eq!(log.events().len(), 2);
}

#[tokio::test]
async fn records_are_handed_over_in_the_order_of_the_batch() {
    let log = Log::working();
    let events: Vec<_> = (0..1000).map(|i| view(&format!("e{i}"), &format!("u{}", i % 7))).collect();
    let answer = Service::on(&log).post("/events/batch", batch(&events)).await.expect(200);
    assert_eq!(answer.body["accepted"], 1000);
    for (i, (user, event)) in log.events().into_iter().enumerate() {
        assert_eq!((event.event_id, user), (format!("e{i}"), format!("u{}", i % 7)));
    }
}

#[tokio::test]
async fn only_events_of_a_batch_may_wait_for_those_of_others() {
    let log = Log::working();
    let service = Service::on(&log);
    service.post("/events", view("a", "u")).await.expect(202);
    assert_eq!(log.among_others.load(Ordering::Relaxed), 0);
    service.post("/events/batch", batch(&[view("b", "u"), view("c", "u")])).await.expect(200);
    assert_eq!(log.among_others.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_thousand_events_and_no_more() {
    let service = Service::on(&Log::working());
    let events: Vec<_> = (0..1001).map(|i| view(&i.to_string(), "u")).collect();
    let answer = service.post("/events/batch", batch(&events)).await.expect(413);
    assert_eq!(answer.code(), "too_many_items");
    let zeros = format!("[{}0]", "0,".repeat(900_000));
    assert_eq!(service.post("/events/batch", zeros).await.expect(413).code(), "too_many_items");
    let lines = post("/events/batch", &[("content-type", "application/x-ndjson")], events.join("\n"));
    assert_eq!(service.send(lines).await.expect(413).code(), "too_many_items");
}

#[tokio::test]
async fn a_batchs_time_of_sending_corrects_its_events() {
    let log = Log::working();
    let wrong = NOW - 86_400_000_000;
    let event = view("a", "u").replace('}', &format!(r#","timestamp":{}}}"#, wrong - 5_000));
    let body = format!(r#"{{"sent_at":{wrong},"events":[{event}]}}"#);
    let answer = Service::on(&log).post("/events/batch", body).await.expect(200);
    assert_eq!(answer.results(), ["ok"]);
    assert_eq!(log.events()[0].1.timestamp_ms, NOW - 5_000);
}

#[tokio::test]
async fn an_adjusted_event_is_accepted_and_says_how() {
    let ahead = view("a", "u").replace('}', r#","timestamp":"2030-01-01T00:00:00Z"}"#);
    let answer = Service::on(&Log::working()).post("/events/batch", batch(&[ahead])).await.expect(200);
    assert_eq!((answer.results(), answer.body["accepted"].as_u64()), (vec!["adjusted"], Some(1)));
    assert_eq!(answer.body["results"][0]["code"], "timestamp_ahead");
}

fn fails(id: &'static [u8]) -> impl Fn(&event_log::NewRecord) -> Fate + Send + Sync + 'static {
    move |record| match record.value.windows(id.len()).any(|window| window == id) {
        true => Fate::Fails(AppendError::NotAcknowledged("timed out".into())),
        false => Fate::Acknowledged,
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_is_named_for_another_try() {
    let log = Log::new(fails(b"event-b"));
    let events = ["event-a", "event-b", "event-c"].map(|id| view(id, "u"));
    let answer = Service::on(&log).post("/events/batch", batch(&events)).await.expect(200);
    assert_eq!(answer.results(), ["ok", "retry", "ok"]);
    assert_eq!(answer.body["accepted"], 2);
    assert_eq!(answer.body["results"][1]["code"], "log_unavailable");
}

#[tokio::test]
async fn a_batch_of_which_nothing_was_acknowledged_is_503_with_the_ids() {
    let log = Log::new(|_| Fate::Fails(AppendError::NotAcknowledged("timed out".into())));
    let events = [view("a", "u"), view("b", "guest"), view("c", "u")];
    let answer = Service::on(&log).post("/events/batch", batch(&events)).await.expect(503);
    assert_eq!(answer.code(), "log_unavailable");
    assert_eq!(answer.body["event_ids"], serde_json::json!(["a", "c"]));
    assert_eq!(answer.results(), ["retry", "rejected", "retry"], "the rejected one is told apart");
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn made_ids_are_told_so_that_another_try_is_no_second_event() {
    let log = Log::new(|_| Fate::Fails(AppendError::NotAcknowledged("timed out".into())));
    let body = r#"[{"event_type":"view","user_id":"u","product_id":"p"}]"#;
    let answer = Service::on(&log).post("/events/batch", body).await.expect(503);
    assert_eq!(answer.body["event_ids"][0], log.events()[0].1.event_id.as_str());
}

#[tokio::test]
async fn once_the_log_is_full_nothing_later_is_handed_over() {
    let log = Log::new(|record| match record.value.windows(2).any(|window| window == b"e2") {
        true => Fate::Refused(AppendError::QueueFull),
        false => Fate::Acknowledged,
    });
    let events = ["e1", "e2", "e3"].map(|id| view(id, "u"));
    let answer = Service::on(&log).post("/events/batch", batch(&events)).await.expect(200);
    assert_eq!(answer.results(), ["ok", "retry", "retry"]);
    assert_eq!(log.events().len(), 1, "e3 would have come before e2");
}

#[tokio::test]
async fn all_kinds_of_events_are_known() {
    let log = Log::working();
    let events = schemas::EventKind::ALL.map(|kind| view("e", "u").replace("view", kind.name()));
    Service::on(&log).post("/events/batch", batch(&events)).await.expect(200);
    let kinds: Vec<_> = log.events().into_iter().map(|(_, event)| event.event_type).collect();
    assert_eq!(kinds, [EventType::View, EventType::AddToCart, EventType::Purchase].map(|kind| kind as i32));
}
