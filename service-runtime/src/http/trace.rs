//! Which chain of requests a request belongs to, by the header `traceparent` of W3C Trace Context.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::traces;

/// The header that carries a trace, in requests and answers.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

tokio::task_local! {
    static CURRENT: Trace;
}

/// A request's place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    trace_id: u128,
    /// Of this request; the caller's where it was read from a header.
    span_id: u64,
    /// What this request is a part of; 0 where the trace begins here.
    parent_id: u64,
    flags: u8,
}

impl Trace {
    /// The place of a request with these headers: in the caller's trace, or where there is none or no valid one, in a new
    /// trace.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match headers.get(TRACEPARENT).and_then(|value| Self::parse(value.as_bytes())) {
            Some(caller) => caller.part(),
            None => Self::begin(),
        }
    }

    fn begin() -> Self {
        let trace_id = (u128::from(random()) << 64) | u128::from(random());
        // Where no caller decided whether it is recorded, the configuration does.
        let flags = u8::from(traces::chooses(trace_id));
        Self { trace_id, span_id: random(), parent_id: 0, flags }
    }

    /// A new place below this one.
    pub fn part(self) -> Self {
        Self { span_id: random(), parent_id: self.span_id, ..self }
    }

    /// Whether it is recorded: its spans go to a collector.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// The ids of the trace, of this place in it, and of the place above.
    #[cfg(feature = "otel")]
    pub(crate) fn ids(&self) -> (u128, u64, u64) {
        (self.trace_id, self.span_id, self.parent_id)
    }

    /// Reads the value of a header; a later version may say more behind what is known of it.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let is_hex = |part: &str, length| {
            part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let mut parts = text.split('-');
        let (version, trace_id, span_id, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let whole = is_hex(version, 2) && is_hex(trace_id, 32) && is_hex(span_id, 16) && is_hex(flags, 2);
        if !whole || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let trace = Self {
            trace_id: u128::from_str_radix(trace_id, 16).ok()?,
            span_id: u64::from_str_radix(span_id, 16).ok()?,
            parent_id: 0,
            flags: u8::from_str_radix(flags, 16).ok()? & 1,
        };
        (trace.trace_id != 0 && trace.span_id != 0).then_some(trace)
    }

    /// Runs `work` as part of this trace: [`current_trace`] gives it there.
    pub(crate) async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// As the value of a header.
    pub fn to_bytes(&self) -> [u8; 55] {
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
        put_hex(&mut value[3..35], self.trace_id);
        put_hex(&mut value[36..52], self.span_id.into());
        put_hex(&mut value[53..], self.flags.into());
        value
    }

    /// As a header.
    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.to_bytes()).expect("hexadecimal digits are legal in a header")
    }
}

/// The last digits of a number in hexadecimal, as many as there is room for: each request and record has one, and the formatter
/// takes ten times as long.
fn put_hex(digits: &mut [u8], mut number: u128) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// That nobody can guess them is not needed.
fn random() -> u64 {
    fastrand::u64(1..)
}

/// The trace's id, as log lines name it.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.trace_id)
    }
}

/// The trace of the request that is being handled; `None` outside of one.
pub fn current_trace() -> Option<Trace> {
    CURRENT.try_with(|trace| *trace).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(header: &'static str) -> Trace {
        Trace::of(&HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_static(header))]))
    }

    #[test]
    fn a_callers_trace_goes_on_with_a_span_of_its_own() {
        let trace = of(GIVEN);
        assert_eq!(trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let header = trace.header();
        let parts: Vec<&str> = header.to_str().unwrap().split('-').collect();
        assert_eq!((parts[0], parts[1], parts[3]), ("00", "4bf92f3577b34da6a3ce929d0e0e4736", "01"));
        assert_ne!(parts[2], "00f067aa0ba902b7");
        assert_eq!(trace.parent_id, 0x00f0_67aa_0ba9_02b7);
        assert!(trace.is_sampled());
        assert!(Trace::parse(header.as_bytes()).is_some());
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = of("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-09-more");
        assert_eq!(later.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(later.flags, 1);
    }

    #[test]
    fn without_a_valid_header_a_new_trace_begins() {
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(Trace::parse(wrong.as_bytes()), None, "{wrong}");
            let (one, other) = (of(wrong), of(wrong));
            assert_ne!(one.trace_id, other.trace_id);
        }
    }
}
