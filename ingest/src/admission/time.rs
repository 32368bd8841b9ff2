//! When something happened: reading times, and correcting them for clocks that are wrong.

use schemas::event::{MAX_AHEAD_MS, MAX_LATE_MS, MAX_TIME_MS};
use serde_json::value::RawValue;

use super::fields::Field;
use super::{Circumstances, Code, Rejection};

/// Whole numbers in this range are seconds since 1970 sent by mistake: read as milliseconds they would all lie in 1970.
const LOOKS_LIKE_SECONDS: std::ops::Range<i64> = 1_000_000_000..100_000_000_000;

/// The time of an event, and whether it had to be moved.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EventTime {
    pub(super) ms: i64,
    pub(super) clamped: bool,
}

/// When the event happened. With `sent_at`, what the sender's clock is wrong by is taken out: the time between the event
/// and its sending is right even on a clock that is not.
pub(super) fn event_time(
    timestamp: Field<'_>,
    sent_at: Field<'_>,
    given: &Circumstances,
) -> Result<EventTime, Rejection> {
    let received = given.received_at_ms;
    let sent_at = parse(sent_at, Code::InvalidSentAt, "sent_at")?.or(given.sent_at_ms);
    let Some(timestamp) = parse(timestamp, Code::InvalidTimestamp, "timestamp")? else {
        return Ok(EventTime { ms: received, clamped: false });
    };
    // Both lie within the years 1970 to 9999, so nothing can overflow.
    let corrected = sent_at.map_or(timestamp, |sent_at| received - (sent_at - timestamp));
    if corrected - received > MAX_AHEAD_MS {
        return Ok(EventTime { ms: received, clamped: true });
    }
    if received - corrected > MAX_LATE_MS && !given.import {
        let detail =
            "the event is more than 30 days old; older ones are taken from imports only (`X-Import: true`)";
        return Err(Rejection::new(Code::TooOld, detail));
    }
    if corrected < 0 {
        return Err(Rejection::new(Code::InvalidTimestamp, "the corrected `timestamp` lies before 1970"));
    }
    Ok(EventTime { ms: corrected, clamped: false })
}

/// The `sent_at` of a batch, in epoch milliseconds.
pub(crate) fn batch_sent_at(value: Option<&RawValue>) -> Result<Option<i64>, Rejection> {
    let field = value.map_or(Ok(Field::Absent), |value| serde_json::from_str(value.get()));
    let field = field.map_err(|_| Rejection::new(Code::InvalidSentAt, "`sent_at` cannot be read"))?;
    parse(field, Code::InvalidSentAt, "sent_at")
}

fn parse(field: Field<'_>, code: Code, name: &'static str) -> Result<Option<i64>, Rejection> {
    let ms = match &field {
        Field::Absent => return Ok(None),
        Field::Integer(ms) => i64::try_from(*ms).ok(),
        // Browsers' high-resolution clocks give fractions of a millisecond.
        Field::Fraction(ms) => Some(*ms as i64),
        Field::Text(text) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
        _ => None,
    };
    let refuse = |detail: String| Err(Rejection::new(code, detail));
    match ms {
        Some(ms) if !matches!(field, Field::Text(_)) && LOOKS_LIKE_SECONDS.contains(&ms) => {
            refuse(format!("`{name}` looks like seconds, expected milliseconds since 1970 or RFC 3339"))
        }
        Some(ms) if (0..=MAX_TIME_MS).contains(&ms) => Ok(Some(ms)),
        _ => {
            refuse(format!("`{name}` is neither RFC 3339 (2026-01-31T12:00:00Z) nor milliseconds since 1970"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const DAY: i64 = 24 * 3600 * 1000;

    fn given(sent_at_ms: Option<i64>) -> Circumstances {
        Circumstances { received_at_ms: NOW, sent_at_ms, import: false }
    }

    fn at(timestamp: i64, sent_at: Option<i64>) -> Result<EventTime, Code> {
        event_time(Field::Integer(timestamp.into()), Field::Absent, &given(sent_at)).map_err(|r| r.code)
    }

    fn exactly(ms: i64) -> Result<EventTime, Code> {
        Ok(EventTime { ms, clamped: false })
    }

    #[test]
    fn a_wrong_clock_is_corrected_by_the_time_of_sending() {
        let (wrong, minute) = (NOW - 400 * DAY, 60_000);
        assert_eq!(at(wrong - minute, Some(wrong)), exactly(NOW - minute));
        let wrong = NOW + 400 * DAY;
        assert_eq!(at(wrong - minute, Some(wrong)), exactly(NOW - minute));
    }

    #[test]
    fn an_events_own_time_of_sending_comes_before_the_batchs() {
        let time =
            event_time(Field::Integer((NOW - 50).into()), Field::Integer(NOW.into()), &given(Some(NOW - 9)));
        assert_eq!(time.unwrap().ms, NOW - 50);
    }

    #[test]
    fn more_than_five_minutes_ahead_becomes_now_and_is_told() {
        assert_eq!(at(NOW + MAX_AHEAD_MS, None), exactly(NOW + MAX_AHEAD_MS));
        assert_eq!(at(NOW + MAX_AHEAD_MS + 1, None), Ok(EventTime { ms: NOW, clamped: true }));
    }

    #[test]
    fn more_than_thirty_days_ago_is_for_imports_only() {
        assert_eq!(at(NOW - MAX_LATE_MS, None), exactly(NOW - MAX_LATE_MS));
        assert_eq!(at(NOW - MAX_LATE_MS - 1, None), Err(Code::TooOld));
        let import = Circumstances { import: true, ..given(None) };
        let time = event_time(Field::Integer((NOW - 4_000 * DAY).into()), Field::Absent, &import).unwrap();
        assert_eq!(time.ms, NOW - 4_000 * DAY);
    }

    #[test]
    fn times_are_rfc_3339_or_epoch_milliseconds() {
        let read = |field| parse(field, Code::InvalidTimestamp, "timestamp").map_err(|r| r.code);
        let text = |text: &'static str| read(Field::Text(text.into()));
        assert_eq!(text("2026-01-31T12:00:00.250Z"), Ok(Some(1_769_860_800_250)));
        assert_eq!(text("2026-01-31T13:00:00+01:00"), Ok(Some(1_769_860_800_000)));
        assert_eq!(read(Field::Fraction(1_769_860_800_000.7)), Ok(Some(1_769_860_800_000)));
        assert_eq!(read(Field::Absent), Ok(None));
        for bad in [
            Field::Text("yesterday".into()),
            Field::Text("2026-01-31T12:00:00".into()),
            Field::Integer(1_769_860_800),
            Field::Integer(-1),
            Field::Integer(i128::from(MAX_TIME_MS) + 1),
            Field::Fraction(1e300),
            Field::Boolean(true),
            Field::Compound,
        ] {
            assert_eq!(read(bad.clone()), Err(Code::InvalidTimestamp), "{bad:?}");
        }
    }
}
