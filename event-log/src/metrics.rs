//! What the adapters count.

use metrics::{describe_counter, describe_histogram};

pub(crate) const GROUP_COMMIT_RECORDS: &str = "event_log_group_commit_records";
pub(crate) const STALLED_READS: &str = "event_log_kafka_stalled_reads_total";

/// Tells what this crate's metrics mean.
pub fn describe_metrics() {
    describe_histogram!(
        GROUP_COMMIT_RECORDS,
        "Records that shared one fsync of the embedded log. No alert: it grows with the load, which is what it is for"
    );
    describe_counter!(
        STALLED_READS,
        "Reads of Kafka that were silent for too long and were begun anew. Alert when it grows for 10 minutes: the \
         consumer and the brokers do not get on"
    );
}
