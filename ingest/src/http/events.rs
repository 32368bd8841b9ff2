//! `POST /events` and `POST /events/batch`.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use prost::Message;
use schemas::proto::{Event, EventRecord, event_record};
use service_runtime::Problem;
use service_runtime::http::{Connection, ProblemBody};
use service_runtime::keys::Write;
use tokio::time::Instant;
use uuid::{NoContext, Timestamp, Uuid};

use super::answers::{self, Accepted, EventResult, EventsAnswer};
use super::app::App;
use super::batch::{Batch, Finished, Offer, USER_RATE_LIMITED};
use super::body::Body;
use super::call::{Call, rate_limited};
use super::docs::{BatchInput, EventInput};
use super::items::Items;
use crate::admission::{self, Admitted, Circumstances, Rejection};
use crate::publisher::{Company, Unpublished};

/// Send one event.
///
/// Answers once the log holds the event durably. Sending the same `event_id` again changes nothing, so after 429, 502,
/// 503, 504 or a broken connection just send the same again. `navigator.sendBeacon` works: the body may be `text/plain`, and a key
/// with the scope `write` may stand in the query as `api_key`.
#[utoipa::path(
    post, path = "/events", tag = "ingest", operation_id = "postEvent",
    params(("X-Import" = Option<bool>, Header, description = "Lifts the 30-day limit and rate limits; needs the scope `admin`")),
    request_body(content = EventInput, content_type = "application/json"),
    responses(
        (status = 202, description = "The log holds the event", body = Accepted),
        (status = "4XX", description = "Refused; `code` says why. Only 429 is worth sending again", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The log did not acknowledge; send the same again after `Retry-After` seconds", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("api_key" = []), ("api_key_query" = [])),
)]
pub(super) async fn post_event(
    State(app): State<App>,
    connection: Connection,
    request: Request,
) -> Result<Response, Problem> {
    let call = Call::<Write>::of(&app, request.headers(), request.uri(), connection)?;
    let limits = call.take(&app, 1)?;
    let body = Body::read(&app, request, false).await?;
    let received_at_ms = app.clock.now_ms();
    let given = Circumstances { received_at_ms, sent_at_ms: None, import: call.import };
    let admitted = body.text().and_then(|json| admission::admit_event(json, &given));
    drop(body);
    let Admitted { user, event, clamped } = admitted.map_err(|rejection| refused(&app, rejection))?;
    let key = Bytes::from(user.into_bytes());
    if let Some(limit) = app.user_limit.as_ref().filter(|_| !call.import) {
        limit.take(&key, 1).map_err(|exceeded| rate_limited(USER_RATE_LIMITED, exceeded))?;
    }
    let (value, event_id) = encode(event);
    let unpublished = |reason: Unpublished| {
        app.metrics.retry.increment(1);
        answers::unpublished(&reason).member("event_id", event_id.as_str())
    };
    let begun = Instant::now();
    let handed = app.publisher.hand_over(&app.events, key, value, Company::Alone).map_err(unpublished)?;
    let deadline = app.publisher.deadline(begun);
    let outcome = app.publisher.acknowledged(handed, deadline, &call.connection).await;
    app.metrics.appended(begun.elapsed());
    let position = outcome.map_err(unpublished)?.to_string();
    if clamped { &app.metrics.adjusted } else { &app.metrics.accepted }.increment(1);
    let answer = Accepted {
        status: answers::ACCEPTED,
        event_id,
        received_at: answers::rfc_3339(received_at_ms),
        position,
        code: clamped.then_some(answers::CLAMPED),
        detail: clamped.then_some(answers::CLAMPED_DETAIL),
    };
    Ok(answer.into_response(limits))
}

/// Send up to 1,000 events.
///
/// As `{"events":[…]}`, as a plain list, or as lines (`application/x-ndjson`). Each event is answered on its own, in order: a bad
/// one never sinks its batch. Send those answered `retry` again, with the `event_id` of their result. When nothing could be accepted
/// the answer is 503 (or 429), and `event_ids` names those to send again.
#[utoipa::path(
    post, path = "/events/batch", tag = "ingest", operation_id = "postEvents",
    params(("X-Import" = Option<bool>, Header, description = "Lifts the 30-day limit and rate limits; needs the scope `admin`")),
    request_body(content((BatchInput = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "What became of each event", body = EventsAnswer),
        (status = "4XX", description = "Refused as a whole; `code` says why. Only 429 is worth sending again", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The log acknowledged none; send those named in `event_ids` again after `Retry-After` seconds", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("api_key" = []), ("api_key_query" = [])),
)]
pub(super) async fn post_events(
    State(app): State<App>,
    call: Call<Write>,
    request: Request,
) -> Result<(HeaderMap, Json<EventsAnswer>), Problem> {
    let body = Body::read(&app, request, true).await?;
    let items = Items::of(&body).map_err(answers::refused)?;
    let limits = call.take(&app, items.items.len())?;
    let sent_at_ms = admission::batch_sent_at(items.sent_at).map_err(answers::refused)?;
    let given = Circumstances { received_at_ms: app.clock.now_ms(), sent_at_ms, import: call.import };
    let user_limit = app.user_limit.as_ref().filter(|_| !call.import);

    let mut batch = Batch::new(&app, items.items.len());
    for item in items.items {
        match item.and_then(|json| admission::admit_event(json, &given)) {
            Err(rejection) => batch.reject(rejection),
            Ok(Admitted { user, event, clamped }) => {
                let key = Bytes::from(user.into_bytes());
                let (value, id) = encode(event);
                batch.offer(Offer { topic: &app.events, key, value, id, clamped }, user_limit);
            }
        }
    }
    drop(body);
    let finished = batch.finish(&call.connection).await;
    let problem = finished.problem("event_ids");
    let answer = answer(finished);
    match problem {
        None => Ok((limits, Json(answer))),
        Some(problem) => Err(problem.member("results", serde_json::json!(answer.results))),
    }
}

fn answer(finished: Finished) -> EventsAnswer {
    let results = finished.items.into_iter().enumerate().map(|(index, (event_id, settled))| EventResult {
        index,
        event_id,
        result: settled.outcome,
        code: settled.code,
        detail: settled.detail,
    });
    EventsAnswer { accepted: finished.accepted, results: results.collect() }
}

fn refused(app: &App, rejection: Rejection) -> Problem {
    app.metrics.rejected(rejection.code);
    let id = rejection.id.clone();
    let problem = answers::refused(rejection);
    match id {
        Some(id) => problem.member("event_id", id),
        None => problem,
    }
}

/// The record's value, and the event's id, which is made where there is none.
pub(super) fn encode(mut event: Event) -> (Bytes, String) {
    if event.event_id.is_empty() {
        event.event_id = new_event_id(event.received_at_ms);
    }
    let record = EventRecord { record: Some(event_record::Record::Event(event)) };
    let value = record.encode_to_vec().into();
    match record.record {
        Some(event_record::Record::Event(event)) => (value, event.event_id),
        _ => unreachable!("it was put in above"),
    }
}

/// A UUIDv7 of the time of receipt.
fn new_event_id(received_at_ms: i64) -> String {
    let ms = received_at_ms.max(0) as u64;
    let nanos = (ms % 1_000) as u32 * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(NoContext, ms / 1_000, nanos)).to_string()
}
