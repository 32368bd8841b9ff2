//! One event at a time.

use event_log::AppendError;
use futures::poll;
use schemas::proto::EventType;

use crate::support::{Fate, Log, NOW, Service, post, view};

#[tokio::test]
async fn an_event_becomes_a_record_keyed_by_its_user() {
    let log = Log::working();
    let answer = Service::on(&log).post("/events", view("e-1", "u-1")).await.expect(202);
    assert_eq!(answer.body["status"], "accepted");
    assert_eq!(answer.body["event_id"], "e-1");
    assert_eq!(answer.body["received_at"], "2026-11-01T00:00:00Z");
    let position: schemas::Position = answer.body["position"].as_str().unwrap().parse().unwrap();
    assert_eq!((position.partition, position.offset), (7, 0));

    let [(user, event)] = &log.events()[..] else { panic!("one event") };
    assert_eq!(user, "u-1");
    assert_eq!((event.event_type, event.product_id.as_str()), (EventType::View as i32, "p"));
    assert_eq!((event.timestamp_ms, event.received_at_ms), (NOW, NOW));
    assert_eq!(&*log.records.lock().unwrap()[0].topic, "events");
}

#[tokio::test]
async fn a_slash_at_the_end_makes_no_difference() {
    Service::on(&Log::working()).post("/events/", view("e", "u")).await.expect(202);
}

#[tokio::test]
async fn nothing_is_answered_before_the_log_acknowledged() {
    let log = Log::silent();
    let service = Service::on(&log);
    let mut call = Box::pin(service.post("/events", view("e", "u")));
    assert!(poll!(&mut call).is_pending());
    assert_eq!(log.events().len(), 1, "it was handed over");
    assert!(poll!(&mut call).is_pending());
    log.acknowledge();
    call.await.expect(202);
}

#[tokio::test]
async fn what_the_log_does_not_acknowledge_is_to_be_sent_again() {
    let gone = || AppendError::NotAcknowledged("gone".into());
    for (fate, code) in [
        (Fate::Fails(gone()), "log_unavailable"),
        (Fate::Refused(gone()), "log_unavailable"),
        (Fate::Refused(AppendError::QueueFull), "overloaded"),
        (Fate::Fails(AppendError::Fatal("dead".into())), "log_unavailable"),
    ] {
        let dead = matches!(fate, Fate::Fails(AppendError::Fatal(_)));
        let service = Service::on(&Log::new(move |_| fate.clone()));
        let answer = service.post("/events", view("e-1", "u")).await.expect(503);
        assert_eq!(answer.code(), code);
        assert_eq!(answer.body["event_id"], "e-1");
        assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(service.producer_dead.is_cancelled(), dead, "only a dead producer ends the process");
    }
}

#[tokio::test]
async fn what_the_log_finds_too_large_is_not_to_be_sent_again() {
    let log = Log::new(|_| Fate::Refused(AppendError::TooLarge));
    assert_eq!(Service::on(&log).post("/events", view("e", "u")).await.expect(413).code(), "too_large");
}

#[tokio::test]
async fn an_event_without_an_id_gets_a_uuid_of_its_time() {
    let log = Log::working();
    let body = r#"{"event_type":"view","user_id":"u","product_id":"p"}"#;
    let answer = Service::on(&log).post("/events", body).await.expect(202);
    let id: uuid::Uuid = answer.body["event_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    let (seconds, _) = id.get_timestamp().unwrap().to_unix();
    assert_eq!(seconds as i64, NOW / 1000);
    assert_eq!(log.events()[0].1.event_id, id.to_string());
}

#[tokio::test]
async fn a_time_ahead_is_accepted_as_now_and_told() {
    let log = Log::working();
    let body = view("e", "u").replace('}', &format!(r#","timestamp":{}}}"#, NOW + 3_600_000));
    let answer = Service::on(&log).post("/events", body).await.expect(202);
    assert_eq!(answer.code(), "timestamp_ahead");
    assert_eq!(log.events()[0].1.timestamp_ms, NOW);
}

#[tokio::test]
async fn old_events_come_in_by_imports_only() {
    let log = Log::working();
    let service = Service::on(&log);
    let old = view("e", "u").replace('}', r#","timestamp":"2015-05-01T00:00:00Z"}"#);
    assert_eq!(service.post("/events", old.clone()).await.expect(422).code(), "too_old");
    service.send(post("/events", &[("x-import", "true")], old)).await.expect(202);
    assert_eq!(log.events()[0].1.timestamp_ms, 1_430_438_400_000);
}

#[tokio::test]
async fn a_refusal_names_the_event() {
    let body = view("e-9", "guest");
    let answer = Service::on(&Log::working()).post("/events", body).await.expect(422);
    assert_eq!((answer.code(), answer.body["event_id"].as_str()), ("junk_user_id", Some("e-9")));
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems_too() {
    let service = Service::on(&Log::working());
    assert_eq!(service.post("/event", "{}").await.expect(404).code(), "not_found");
    let get = axum::http::Request::get("/events").body(axum::body::Body::empty()).unwrap();
    let answer = service.send(get).await.expect(405);
    assert_eq!((answer.code(), answer.header("allow")), ("method_not_allowed", "POST"));
}

#[tokio::test]
async fn records_carry_the_trace_that_the_answer_names() {
    let log = Log::working();
    let given = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let batch = format!("[{},{}]", view("b", "u"), view("c", "v"));
    for (path, body) in [("/events", view("a", "u")), ("/events/batch", batch)] {
        let answer = Service::on(&log).send(post(path, &[given], body)).await;
        let answered = answer.header("traceparent");
        assert!(answered.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{answered}");
        let records = std::mem::take(&mut *log.records.lock().unwrap());
        assert!(!records.is_empty());
        assert!(
            records
                .iter()
                .all(|record| record.traceparent.as_ref().map(|t| &t[..]) == Some(answered.as_bytes()))
        );
    }
}
