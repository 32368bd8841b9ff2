//! When something happened: reading times, and correcting them for clocks that are wrong.

use jiff::fmt::temporal::Pieces;
use schemas::event::{MAX_AHEAD_MS, MAX_LATE_MS};
use serde_json::value::RawValue;

use super::fields::Field;
use super::{Circumstances, Code, Rejection};

/// Whole numbers in this range are seconds since 1970 sent by mistake: read as milliseconds they would all lie in 1970.
const LOOKS_LIKE_SECONDS: std::ops::Range<i64> = 1_000_000_000..100_000_000_000;

/// The latest time that is accepted, which is the latest that jiff has: in every offset it lies within the year 9999.
const LATEST_MS: i64 = 253_402_207_200_999;
/// What is accepted, in words.
const ACCEPTED: &str = "1970-01-01T00:00:00Z to 9999-12-30T22:00:00Z";

/// RFC 3339 has offsets of less than a day. jiff takes some that are longer, and no place on earth has one.
const OFFSETS_BELOW_S: u32 = 24 * 3600;

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
        Field::Integer(ms) => Some(i64::try_from(*ms).unwrap_or(i64::MAX)),
        // Browsers' high-resolution clocks give fractions of a millisecond.
        Field::Fraction(ms) => Some(*ms as i64),
        Field::Text(text) => rfc_3339(text),
        _ => None,
    };
    let is_text = matches!(field, Field::Text(_));
    let refuse = |detail: String| Err(Rejection::new(code, detail));
    match ms {
        Some(ms) if !is_text && LOOKS_LIKE_SECONDS.contains(&ms) => {
            refuse(format!("`{name}` looks like seconds, expected milliseconds since 1970 or RFC 3339"))
        }
        Some(ms) if (0..=LATEST_MS).contains(&ms) => Ok(Some(ms)),
        Some(_) => {
            let unit = if is_text { "" } else { "; numbers are milliseconds since 1970" };
            refuse(format!("`{name}` lies outside the times that are accepted, {ACCEPTED}{unit}"))
        }
        None => {
            refuse(format!("`{name}` is neither RFC 3339 (2026-01-31T12:00:00Z) nor milliseconds since 1970"))
        }
    }
}

/// A text's time in epoch milliseconds. One that jiff cannot express is the largest number, which nothing accepts.
fn rfc_3339(text: &str) -> Option<i64> {
    let pieces = Pieces::parse(text).ok()?;
    let offset =
        pieces.to_numeric_offset().filter(|offset| offset.seconds().unsigned_abs() < OFFSETS_BELOW_S)?;
    let time = offset.to_timestamp(pieces.date().to_datetime(pieces.time()?));
    Some(time.map_or(i64::MAX, jiff::Timestamp::as_millisecond))
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
            Field::Integer(i128::from(LATEST_MS) + 1),
            Field::Integer(u64::MAX.into()),
            Field::Fraction(1e300),
            Field::Boolean(true),
            Field::Compound,
        ] {
            assert_eq!(read(bad.clone()), Err(Code::InvalidTimestamp), "{bad:?}");
        }
    }

    #[test]
    fn an_offset_is_shorter_than_a_day() {
        let read = |offset: &str| {
            let text = format!("2026-01-31T12:00:00{offset}");
            parse(Field::Text(text.into()), Code::InvalidTimestamp, "timestamp")
        };
        assert_eq!(read("+23:59").unwrap(), Some(1_769_860_800_000 - DAY + 60_000));
        assert_eq!(read("-23:59").unwrap(), Some(1_769_860_800_000 + DAY - 60_000));
        for bad in ["+24:00", "-24:00", "+25:00", "-25:00", "+25:59", "+99:00", "+01:60"] {
            let refused = read(bad).unwrap_err();
            assert_eq!(refused.code, Code::InvalidTimestamp);
            assert!(refused.detail.contains("neither RFC 3339"), "{bad}: {refused:?}");
        }
    }

    #[test]
    fn a_time_outside_the_range_is_told_the_range() {
        assert_eq!(LATEST_MS, jiff::Timestamp::MAX.as_millisecond());
        let read = |field| parse(field, Code::InvalidSentAt, "sent_at");
        let text = |text: &'static str| Field::Text(text.into());
        assert_eq!(read(text("1970-01-01T00:00:00Z")).unwrap(), Some(0));
        assert_eq!(read(text("9999-12-30T22:00:00.999Z")).unwrap(), Some(LATEST_MS));
        assert_eq!(read(Field::Integer(LATEST_MS.into())).unwrap(), Some(LATEST_MS));
        for bad in [
            text("1969-12-31T23:59:59Z"),
            text("1970-01-01T00:00:00+00:01"),
            text("0000-01-01T00:00:00Z"),
            text("9999-12-30T22:00:01Z"),
            text("9999-12-31T23:59:59Z"),
            Field::Integer(-1),
            Field::Integer(i128::from(LATEST_MS) + 1),
            Field::Fraction(1e300),
        ] {
            let refused = read(bad.clone()).unwrap_err();
            assert_eq!(refused.code, Code::InvalidSentAt, "{bad:?}");
            let says = format!("`sent_at` lies outside the times that are accepted, {ACCEPTED}");
            assert!(refused.detail.starts_with(&says), "{bad:?}: {refused:?}");
            assert_eq!(refused.detail.contains("milliseconds"), !matches!(bad, Field::Text(_)), "{bad:?}");
        }
    }
}
