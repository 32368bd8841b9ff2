//! Events: from JSON to what the log keeps.

use schemas::EventKind;
use schemas::proto::{Event, EventType};
use schemas::user::UserKey;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::{Field, read_object};
use super::{Code, Rejection, ids, object, time};

/// What is known of an event beside its JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// When the request came, milliseconds since 1970 UTC.
    pub received_at_ms: i64,
    /// When the sender says it sent the batch, by its own clock; an event's own `sent_at` comes first.
    pub sent_at_ms: Option<i64>,
    /// Whether the 30-day limit is lifted.
    pub import: bool,
}

/// An event that may go into the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    /// Whose it is: the record's key.
    pub user: UserKey,
    /// The record. `event_id` is empty where the caller gave none: making one takes randomness.
    pub event: Event,
    /// Whether its time was too far ahead and became the time of receipt.
    pub clamped: bool,
}

/// Unknown fields are passed over: trackers send many, and what should be kept goes into `metadata`.
#[derive(Deserialize)]
struct Json<'a> {
    #[serde(borrow, default)]
    event_id: Field<'a>,
    #[serde(borrow, default)]
    event_type: Field<'a>,
    #[serde(borrow, default)]
    user_id: Field<'a>,
    #[serde(borrow, default)]
    anonymous_id: Field<'a>,
    #[serde(borrow, default)]
    session_id: Field<'a>,
    #[serde(borrow, default)]
    product_id: Field<'a>,
    #[serde(borrow, default)]
    quantity: Field<'a>,
    #[serde(borrow, default)]
    price: Field<'a>,
    #[serde(borrow, default)]
    currency: Field<'a>,
    #[serde(borrow, default)]
    order_id: Field<'a>,
    #[serde(borrow, default)]
    category_id: Field<'a>,
    #[serde(borrow, default)]
    recommendation_id: Field<'a>,
    #[serde(borrow, default)]
    timestamp: Field<'a>,
    #[serde(borrow, default)]
    sent_at: Field<'a>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

/// An event's JSON as a record, or why not.
///
/// # Errors
/// The first rule that it breaks, with its `event_id` where that could be read.
pub fn admit_event(json: &str, given: &Circumstances) -> Result<Admitted, Rejection> {
    let mut json: Json<'_> = read_object(json)?;
    let event_id = ids::event_id(std::mem::take(&mut json.event_id))?;
    match admit(json, given) {
        Ok(mut admitted) => {
            admitted.event.event_id = event_id;
            Ok(admitted)
        }
        Err(rejection) => Err(rejection.about(event_id)),
    }
}

fn admit(json: Json<'_>, given: &Circumstances) -> Result<Admitted, Rejection> {
    let kind = kind(&json.event_type)?;
    let user = ids::user(json.user_id, json.anonymous_id)?;
    let time = time::event_time(json.timestamp, json.sent_at, given)?;
    let event = Event {
        event_id: String::new(),
        event_type: EventType::from(kind).into(),
        product_id: ids::product_id(json.product_id)?,
        timestamp_ms: time.ms,
        received_at_ms: given.received_at_ms,
        category_id: ids::optional(json.category_id, Code::InvalidCategoryId, "category_id")?,
        session_id: ids::optional(json.session_id, Code::InvalidSessionId, "session_id")?,
        quantity: quantity(&json.quantity)?,
        price: price(&json.price)?,
        currency: currency(&json.currency)?,
        order_id: ids::optional(json.order_id, Code::InvalidOrderId, "order_id")?,
        recommendation_id: ids::optional(
            json.recommendation_id,
            Code::InvalidRecommendationId,
            "recommendation_id",
        )?,
        metadata: object::text(json.metadata, Code::InvalidMetadata, "metadata")?,
    };
    Ok(Admitted { user, event, clamped: time.clamped })
}

fn kind(field: &Field<'_>) -> Result<EventKind, Rejection> {
    let known = || EventKind::ALL.map(EventKind::name).join(", ");
    match field {
        Field::Absent => Err(Rejection::new(
            Code::MissingEventType,
            format!("`event_type` is missing: one of {}", known()),
        )),
        Field::Text(name) => EventKind::from_name(name).ok_or_else(|| {
            let name: String = name.chars().take(64).collect();
            Rejection::new(Code::UnknownEventType, format!("`event_type` is {name:?}, known are {}", known()))
        }),
        other => {
            let detail = format!("`event_type` is {}, expected one of {}", other.kind(), known());
            Err(Rejection::new(Code::UnknownEventType, detail))
        }
    }
}

/// 0 where it is not given.
fn quantity(field: &Field<'_>) -> Result<u32, Rejection> {
    let number = match *field {
        Field::Absent => return Ok(0),
        Field::Integer(number) => u32::try_from(number).ok(),
        // Some languages have one number type only, and write 2.0.
        Field::Fraction(number) if number.fract() == 0.0 && number <= f64::from(u32::MAX) => {
            Some(number as u32)
        }
        _ => None,
    };
    let detail = "`quantity` is not a whole number from 1 to 4294967295";
    number.filter(|&number| number >= 1).ok_or_else(|| Rejection::new(Code::InvalidQuantity, detail))
}

/// 0 where it is not given.
pub(super) fn price(field: &Field<'_>) -> Result<f64, Rejection> {
    let number = match *field {
        Field::Absent => return Ok(0.0),
        Field::Integer(number) => number as f64,
        Field::Fraction(number) => number,
        _ => f64::NAN,
    };
    // `-0.0` is at least 0 too, but should not reach the log.
    let price = (number.is_finite() && number >= 0.0).then_some(number.abs());
    price.ok_or_else(|| Rejection::new(Code::InvalidPrice, "`price` is not a number of at least 0"))
}

/// In capitals; empty where it is not given.
pub(super) fn currency(field: &Field<'_>) -> Result<String, Rejection> {
    match field {
        Field::Absent => Ok(String::new()),
        Field::Text(code) if code.len() == 3 && code.bytes().all(|b| b.is_ascii_alphabetic()) => {
            Ok(code.to_ascii_uppercase())
        }
        _ => Err(Rejection::new(Code::InvalidCurrency, "`currency` is not a three-letter code like EUR")),
    }
}

#[cfg(test)]
mod tests;
