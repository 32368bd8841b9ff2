use super::{Admin, store_problem};
use crate::dead_letter::list::{self, Position};
use crate::dead_letter::{DeadLetter, Place, Redriven};
use crate::outcome::DeadReason;
use crate::redrive::{Redrive, RedriveError};
use crate::topology::Processor;
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use event_log::TopicPartition;
use prost::Message;
use schemas::proto::{EventRecord, EventType, event_record};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service_runtime::Problem;
use service_runtime::http::ProblemBody;
use service_runtime::keys::{self, Authorized};
use stores::{StateStore, StoreError, Table};
use utoipa::{IntoParams, ToSchema};

/// Letters of one answer at most.
const MOST: usize = 1_000;
/// Bytes of a key or a value that a list shows.
const SHOWN_BYTES: usize = 4_096;
/// Letters read at a time: a record of another producer may have a megabyte.
const READ_AT_ONCE: usize = 20;
/// Letters of one order to redrive at most: it has to be done within the time for a request.
const MOST_REDRIVEN: usize = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// How many at most, 1 to 1000.
    #[serde(default = "default_limit")]
    limit: usize,
    /// Only letters of this reason: `undecodable`, `bad_key`, `incomplete` or `bad_time`.
    reason: Option<String>,
    /// Only older ones, from where an answer's `next` says; without it from the newest on.
    before: Option<String>,
}

fn default_limit() -> usize {
    100
}

/// Answer of `GET /admin/dead-letters`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Letters {
    /// The newest first.
    items: Vec<LetterView>,
    /// Whether there are older ones than these.
    more: bool,
    /// Given as `before`, it leads to the older ones; `null` where there are none.
    next: Option<String>,
}

/// A dead letter as JSON.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LetterView {
    partition: u32,
    offset: u64,
    reason: String,
    /// When the log took the record, milliseconds since 1970 UTC.
    append_time_ms: i64,
    /// What is not UTF-8 shows as replacement characters; likewise in `value`.
    key: String,
    value: String,
    /// Whether only the beginning of key or value is shown, as lists do with long ones; ask for the one letter then.
    shortened: bool,
    /// The value as bytes; only where one letter is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    /// The event, where the value is one and is not shortened.
    #[schema(value_type = Option<Object>)]
    event: Option<Value>,
    /// Where it was appended again, as `partition/offset`.
    redriven_to: Option<String>,
    /// The `traceparent` that it came with, where the log still has it; only where one letter is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

impl LetterView {
    fn of(letter: DeadLetter, redriven: Option<Redriven>) -> Self {
        Self {
            partition: letter.partition,
            offset: letter.offset,
            reason: letter.reason,
            append_time_ms: letter.append_time_ms,
            key: String::from_utf8_lossy(&letter.key).into_owned(),
            event: event_of(&letter.value),
            value: String::from_utf8_lossy(&letter.value).into_owned(),
            shortened: false,
            value_base64: None,
            redriven_to: redriven.map(|to| format!("{}/{}", to.partition, to.offset)),
            traceparent: None,
        }
    }

    /// As it stands among others.
    fn in_list(mut letter: DeadLetter, redriven: Option<Redriven>) -> Self {
        let value_is_long = letter.value.len() > SHOWN_BYTES;
        let shortened = value_is_long || letter.key.len() > SHOWN_BYTES;
        letter.key.truncate(SHOWN_BYTES);
        letter.value.truncate(SHOWN_BYTES);
        let mut view = Self::of(letter, redriven);
        if value_is_long {
            view.event = None;
        }
        Self { shortened, ..view }
    }
}

/// The event in a value, for people.
fn event_of(value: &[u8]) -> Option<Value> {
    let Some(event_record::Record::Event(event)) = EventRecord::decode(value).ok()?.record else {
        return None;
    };
    let kind = EventType::try_from(event.event_type);
    let kind = kind.map_or_else(|_| event.event_type.to_string(), |kind| kind.as_str_name().to_owned());
    Some(json!({
        "event_id": event.event_id,
        "event_type": kind,
        "product_id": event.product_id,
        "timestamp_ms": event.timestamp_ms,
        "received_at_ms": event.received_at_ms,
        "category_id": event.category_id,
        "session_id": event.session_id,
        "quantity": event.quantity,
        "price": event.price,
        "currency": event.currency,
        "order_id": event.order_id,
        "recommendation_id": event.recommendation_id,
        "metadata": event.metadata,
    }))
}

/// Records that could not be applied
///
/// The newest first, a page at a time.
#[utoipa::path(get, path = "/admin/dead-letters", tag = "operations", params(ListQuery),
    security(("bearer" = []), ("api_key" = [])), responses(
    (status = 200, body = Letters),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The processor or its state store is not there yet", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(admin): State<Admin>,
    _: Authorized<keys::Read>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Letters>, Problem> {
    let refused = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail);
    let Query(query) = query.map_err(|error| refused(error.body_text()))?;
    let reasons = match query.reason.as_deref() {
        None => DeadReason::ALL.to_vec(),
        Some(name) => vec![DeadReason::from_name(name).ok_or_else(|| {
            let known = DeadReason::ALL.map(DeadReason::as_str).join(", ");
            refused(format!("the reason {name:?} is not known; allowed are {known}"))
        })?],
    };
    let before = query.before.map(|text| text.parse::<Position>()).transpose().map_err(|_| {
        refused("`before` is not what an answer gave as `next`; without it the list begins anew".to_owned())
    })?;
    let letters = page(admin.processor()?, &reasons, before, query.limit.clamp(1, MOST)).await;
    letters.map(Json).map_err(|error| store_problem(&error))
}

async fn page(
    processor: &Processor,
    reasons: &[DeadReason],
    before: Option<Position>,
    limit: usize,
) -> Result<Letters, StoreError> {
    let context = processor.context();
    let (state, generation) = (&*context.parts.state, context.config.generation);
    let page = list::page(state, generation, reasons, before, limit).await?;
    let mut items = Vec::with_capacity(page.letters.len());
    for places in page.letters.chunks(READ_AT_ONCE) {
        for (letter, redriven) in read(state, generation, places).await? {
            items.extend(letter.map(|letter| LetterView::in_list(letter, redriven)));
        }
    }
    Ok(Letters { items, more: page.next.is_some(), next: page.next.map(|next| next.to_string()) })
}

/// Letters, where they can be read, and what was done with them.
async fn read(
    state: &dyn StateStore,
    generation: u16,
    places: &[Place],
) -> Result<Vec<(Option<DeadLetter>, Option<Redriven>)>, StoreError> {
    let keys = places.iter().map(|place| place.letter_key());
    let keys: Vec<String> = keys.chain(places.iter().map(|place| place.mark_key())).collect();
    let mut letters = state.get_many(Table::DeadLetters, generation, &keys).await?;
    let marks = letters.split_off(places.len());
    let letters = letters.into_iter().map(|row| DeadLetter::decode(&row?.state).ok());
    let marks = marks.into_iter().map(|row| Redriven::decode(&row?.state).ok());
    Ok(letters.zip(marks).collect())
}

/// One dead letter, whole
#[utoipa::path(get, path = "/admin/dead-letters/{partition}/{offset}", tag = "operations", params(("partition" = u32, Path, description = "Of `events`"), ("offset" = u64, Path, description = "There")),
    security(("bearer" = []), ("api_key" = [])), responses(
    (status = 200, body = LetterView),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The processor or its state store is not there yet", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn show(
    State(admin): State<Admin>,
    _: Authorized<keys::Read>,
    place: Result<Path<Place>, PathRejection>,
) -> Result<Json<LetterView>, Problem> {
    let Path(place) =
        place.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed_path", error.body_text()))?;
    let context = admin.processor()?.context();
    let read = read(&*context.parts.state, context.config.generation, &[place]).await;
    let (letter, redriven) = read.map_err(|error| store_problem(&error))?.remove(0);
    let Some(letter) = letter else {
        let detail = format!("no dead letter of partition {}, offset {}", place.partition, place.offset);
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown_dead_letter", detail));
    };
    let value_base64 = Some(STANDARD.encode(&letter.value));
    let log_place =
        TopicPartition { topic: context.parts.topics.events.as_str().into(), partition: place.partition };
    // The letter is worth showing without it.
    let traceparent = context.parts.log.traceparent(&log_place, place.offset).await.ok().flatten();
    Ok(Json(LetterView { value_base64, traceparent, ..LetterView::of(letter, redriven) }))
}

/// What to redrive: one letter, or several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Order {
    One(Place),
    Several { letters: Vec<Place> },
}

/// Answer of `POST /admin/dead-letters/redrive`, in the order asked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RedriveAnswer {
    items: Vec<RedriveResult>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RedriveResult {
    #[serde(flatten)]
    place: Place,
    /// `redriven`, `redriven_before`, `unknown` or `failed`.
    result: &'static str,
    /// Where the record was appended again, as `partition/offset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    redriven_to: Option<String>,
    /// Why it failed; sending the same again is safe.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl RedriveResult {
    fn of(place: Place, outcome: Result<Redrive, RedriveError>) -> Self {
        let to = |redriven: Redriven| Some(format!("{}/{}", redriven.partition, redriven.offset));
        let (result, redriven_to, detail) = match outcome {
            Ok(Redrive::Done(redriven)) => ("redriven", to(redriven), None),
            Ok(Redrive::DoneBefore(redriven)) => ("redriven_before", to(redriven), None),
            Ok(Redrive::Unknown) => ("unknown", None, None),
            Err(error) => ("failed", None, Some(error.to_string())),
        };
        Self { place, result, redriven_to, detail }
    }
}

/// Append the records of dead letters to the log again
///
/// One letter, or up to 100. A letter that was redriven before is not appended again. Needs the scope `admin`.
#[utoipa::path(post, path = "/admin/dead-letters/redrive", tag = "operations", request_body = Order,
    security(("bearer" = []), ("api_key" = [])), responses(
    (status = 200, body = RedriveAnswer),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The processor or its state store is not there yet", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn redrive(
    State(admin): State<Admin>,
    _: Authorized<keys::Admin>,
    order: Result<Json<Order>, JsonRejection>,
) -> Result<Json<RedriveAnswer>, Problem> {
    let allowed = "send {\"partition\":…,\"offset\":…}, or {\"letters\":[…]} with up to 100 of these";
    let refused =
        |code, reason: String| Problem::new(StatusCode::BAD_REQUEST, code, format!("{reason}; {allowed}"));
    let Json(order) = order.map_err(|error| refused("malformed_body", error.body_text()))?;
    let places = match order {
        Order::One(place) => vec![place],
        Order::Several { letters } => letters,
    };
    if places.is_empty() || places.len() > MOST_REDRIVEN {
        return Err(refused("invalid_order", format!("{} letters were named", places.len())));
    }
    admin.processor()?;
    let work = async move {
        let context = admin.processor()?.context();
        let mut items = Vec::with_capacity(places.len());
        for place in places {
            items.push(RedriveResult::of(place, admin.0.redriver.redrive(context, place).await));
        }
        Ok(Json(RedriveAnswer { items }))
    };
    #[allow(
        clippy::disallowed_methods,
        reason = "a caller who hangs up must not come between an append and its mark"
    )]
    let work = tokio::spawn(work);
    work.await.unwrap_or_else(|error| {
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", error.to_string()))
    })
}
