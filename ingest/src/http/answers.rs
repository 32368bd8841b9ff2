//! What callers are told.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use service_runtime::Problem;
use utoipa::ToSchema;

use crate::admission::Rejection;
use crate::publisher::Unpublished;

/// When to come again while too much is on its way.
const OVERLOADED_FOR: Duration = Duration::from_secs(1);
/// When to come again after the log did not acknowledge.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(2);

/// Bytes that an answer to one event has at most, unless its id is a long one.
const ROOM: usize = 256;

pub(super) const OVERLOADED: &str = "overloaded";
pub(super) const LOG_UNAVAILABLE: &str = "log_unavailable";
/// The code of an event whose time was moved.
pub(super) const CLAMPED: &str = "timestamp_ahead";
pub(super) const CLAMPED_DETAIL: &str =
    "`timestamp` was more than 5 minutes ahead; the time of receipt was taken instead";

/// The answer to one event: the log holds it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    /// Always `accepted`.
    #[schema(example = "accepted")]
    pub(super) status: &'static str,
    /// The event's id, or the one that was made for it.
    pub(super) event_id: String,
    /// When it was received, RFC 3339.
    pub(super) received_at: String,
    /// Opaque; `min_position` of a read that must reflect this event.
    pub(super) position: String,
    /// Present when the event was adjusted: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<&'static str>,
    /// Present when the event was adjusted: how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<&'static str>,
}

impl Accepted {
    /// As an answer with these headers. There is one for each event, so it is put together in one piece: as a tuple of its
    /// parts its headers are copied three times.
    pub(super) fn into_response(self, headers: HeaderMap) -> Response {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() = StatusCode::ACCEPTED;
        *response.headers_mut() = headers;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    /// What serde would write, in a third of the instructions.
    fn to_json(&self) -> Vec<u8> {
        let Self { status, event_id, received_at, position, code, detail } = self;
        let mut json = Vec::with_capacity(ROOM);
        put_member(&mut json, "{\"status\":", status);
        put_member(&mut json, ",\"event_id\":", event_id);
        put_member(&mut json, ",\"received_at\":", received_at);
        put_member(&mut json, ",\"position\":", position);
        if let Some(code) = code {
            put_member(&mut json, ",\"code\":", code);
        }
        if let Some(detail) = detail {
            put_member(&mut json, ",\"detail\":", detail);
        }
        json.push(b'}');
        json
    }
}

/// `name`, with what stands around it, and a text.
fn put_member(json: &mut Vec<u8>, name: &str, text: &str) {
    json.extend_from_slice(name.as_bytes());
    // Nearly no text has anything to escape. Without a way out of the loop, it takes many bytes at once.
    let is_to_be_escaped = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if text.bytes().fold(false, |found, byte| found | is_to_be_escaped(byte)) {
        serde_json::to_writer(json, text).expect("text and nothing else");
    } else {
        json.push(b'"');
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
    }
}

/// What became of one item of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// The log holds it.
    Ok,
    /// The log holds it, with another time than was sent.
    Adjusted,
    /// It breaks a rule: sending it again will not help.
    Rejected,
    /// The log did not acknowledge it: send it again, with this id.
    Retry,
}

/// The answer to a batch of events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventsAnswer {
    /// How many the log holds.
    pub(super) accepted: usize,
    /// One per event, in their order.
    pub(super) results: Vec<EventResult>,
}

/// What became of one event of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventResult {
    /// Its place in the batch, from 0.
    pub(super) index: usize,
    /// Its id, or the one that was made for it; `null` where a rejected event's id could not be read.
    pub(super) event_id: Option<String>,
    /// What became of it.
    pub(super) result: Outcome,
    /// Why, for programs; absent with `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<&'static str>,
    /// Why, for people; absent with `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<Cow<'static, str>>,
}

/// The answer to a batch of products.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductsAnswer {
    /// How many the log holds.
    pub(super) accepted: usize,
    /// One per product, in their order.
    pub(super) results: Vec<ProductResult>,
}

/// What became of one product of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductResult {
    /// Its place in the batch, from 0.
    pub(super) index: usize,
    /// Its id; `null` where a rejected product's id could not be read.
    pub(super) product_id: Option<String>,
    /// What became of it.
    pub(super) result: Outcome,
    /// Why, for programs; absent with `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<&'static str>,
    /// Why, for people; absent with `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<Cow<'static, str>>,
}

/// The answer to a change of one product: the log holds it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductAccepted {
    /// Always `accepted`.
    #[schema(example = "accepted")]
    pub(super) status: &'static str,
    /// The product's id.
    pub(super) product_id: String,
    /// When it was received, RFC 3339.
    pub(super) received_at: String,
}

/// The answer to forgetting a user: the log holds the order to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserForgotten {
    /// Always `accepted`.
    #[schema(example = "accepted")]
    pub(super) status: &'static str,
    /// The user's id.
    pub(super) user_id: String,
    /// When it was received, RFC 3339.
    pub(super) received_at: String,
    /// Opaque: the receipt, and `min_position` of a read that must reflect it.
    pub(super) position: String,
}

pub(super) const ACCEPTED: &str = "accepted";

/// RFC 3339 of an epoch time.
pub(super) fn rfc_3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default()
}

/// A request whose content is refused.
pub(super) fn refused(rejection: Rejection) -> Problem {
    let Rejection { code, detail, .. } = rejection;
    let status = StatusCode::from_u16(code.status()).expect("the table of codes holds valid statuses");
    Problem::new(status, code.name(), detail).title(code.title())
}

/// A request that comes while too much is on its way.
pub(super) fn overloaded() -> Problem {
    let detail = "too much is on its way to the log; send the same again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, OVERLOADED, detail).retry_after(OVERLOADED_FOR)
}

/// A record that the log does not, or perhaps does not, hold.
pub(super) fn unpublished(reason: &Unpublished) -> Problem {
    match reason {
        Unpublished::Overloaded => overloaded(),
        Unpublished::TooLarge => refused(Unpublished::too_large()),
        Unpublished::NotAcknowledged => {
            let detail = "the log did not acknowledge in time; send the same again";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, LOG_UNAVAILABLE, detail)
                .retry_after(UNAVAILABLE_FOR)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accepted_event_is_answered_as_serde_would() {
        let ids = ["e-1", "", "é\u{1F600}\u{7f}", "a\"b\\c\u{1}\n", "0198c5d6-7e9a-7000-8000-00000000000a"];
        for (event_id, is_clamped) in ids.into_iter().flat_map(|id| [(id, false), (id, true)]) {
            let answer = Accepted {
                status: ACCEPTED,
                event_id: event_id.to_owned(),
                received_at: rfc_3339(1_769_860_800_250),
                position: "AQOsAg".to_owned(),
                code: is_clamped.then_some(CLAMPED),
                detail: is_clamped.then_some(CLAMPED_DETAIL),
            };
            let expected = serde_json::to_string(&answer).unwrap();
            assert_eq!(String::from_utf8(answer.to_json()).unwrap(), expected);
        }
    }
}
