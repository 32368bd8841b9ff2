//! What this service counts. Each description says when to alert.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram};
use metrics::{gauge, histogram};

use crate::admission::Code;

/// Events and products by what became of them: `accepted`, `adjusted` (accepted with another time), `rejected` (with
/// the code), `retry` (to be sent again). Alert on a rising share of `rejected` (a tracker was changed) and on any
/// lasting `retry` (the log is slow or gone).
const EVENTS: &str = "ingest_events_total";

/// From handing a request's records to the log until the last was acknowledged. Alert when the 99th percentile nears
/// `ingest.ack_timeout_ms`: callers are about to see 503.
const APPEND_SECONDS: &str = "ingest_append_seconds";

/// Bytes of records that await acknowledgement. Alert when it stays above half of `ingest.max_in_flight_bytes`: the log
/// does not keep up.
const IN_FLIGHT_BYTES: &str = "ingest_in_flight_bytes";

/// Handles made once, so that counting allocates nothing. Clones count into the same series.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) accepted: Counter,
    pub(crate) adjusted: Counter,
    pub(crate) retry: Counter,
    rejected: Vec<Counter>,
    append_seconds: Histogram,
    pub(crate) in_flight_bytes: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        // Handles made before the recorder would count into nothing for ever.
        service_runtime::telemetry::install_metrics();
        describe_counter!(
            EVENTS,
            "Events and products by outcome; alert on lasting `retry` or rising `rejected`"
        );
        describe_histogram!(APPEND_SECONDS, "Wait for the log; alert when p99 nears ingest.ack_timeout_ms");
        describe_gauge!(
            IN_FLIGHT_BYTES,
            "Bytes awaiting the log; alert above half of ingest.max_in_flight_bytes"
        );
        let outcome = |outcome: &'static str| counter!(EVENTS, "outcome" => outcome, "code" => "");
        let rejected = |code: &Code| counter!(EVENTS, "outcome" => "rejected", "code" => code.name());
        Self {
            accepted: outcome("accepted"),
            adjusted: outcome("adjusted"),
            retry: outcome("retry"),
            rejected: Code::ALL.iter().map(rejected).collect(),
            append_seconds: histogram!(APPEND_SECONDS),
            in_flight_bytes: gauge!(IN_FLIGHT_BYTES),
        }
    }

    pub(crate) fn rejected(&self, code: Code) {
        self.rejected[code as usize].increment(1);
    }

    pub(crate) fn appended(&self, took: Duration) {
        self.append_seconds.record(took);
    }
}
