//! What this service counts.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram};
use metrics::{gauge, histogram};

use crate::admission::Code;

const EVENTS: &str = "ingest_events_total";
const APPEND_SECONDS: &str = "ingest_append_seconds";
const IN_FLIGHT_BYTES: &str = "ingest_in_flight_bytes";

/// Tells what this service's metrics mean.
pub fn describe_metrics() {
    describe_counter!(
        EVENTS,
        "Events and products by `outcome`: `accepted`, `adjusted` (accepted with another time), `rejected` (with the \
         `code`), `retry` (to be sent again). Alert when `retry` lasts for 2 minutes (the log is slow or gone), or the \
         share of `rejected` stays above 5 % for 15 minutes (a tracker was changed)"
    );
    describe_histogram!(
        APPEND_SECONDS,
        "From handing a request's records to the log until the last was acknowledged. Alert when the 99th percentile \
         stays above half of `ingest.ack_timeout_ms` for 5 minutes: callers are about to see 503"
    );
    describe_gauge!(
        IN_FLIGHT_BYTES,
        "Bytes of records that await acknowledgement. Alert when it stays above half of `ingest.max_in_flight_bytes` for \
         2 minutes: the log does not keep up"
    );
}

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
        describe_metrics();
        event_log::describe_metrics();
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
