//! What the processor counts. What belongs to a partition is read from its status when somebody asks: a partition that
//! left is in no answer.

use crate::outcome::{DeadReason, OutcomeCounts};
use crate::progress::StageName;
use crate::status::{PartitionReport, Registry};
use metrics::{Counter, counter, describe_counter, describe_histogram, histogram};
use service_runtime::telemetry::{Exposition, Family, Kind};
use std::time::Duration;

const FRESHNESS_SECONDS: &str = "processor_freshness_seconds";
const DEAD_LETTERS: &str = "processor_dead_letters_total";
const REDRIVEN: &str = "processor_redriven_total";
const FLUSH_SECONDS: &str = "processor_flush_seconds";
const FLUSHED_ROWS: &str = "processor_flushed_rows_total";
const STORE_RETRIES: &str = "processor_store_retries_total";
const REBALANCES: &str = "processor_rebalances_total";
const STALLS: &str = "processor_stalls_total";

macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal = $help:literal;)*) => {
        $(const $constant: Family = Family { name: $name, kind: Kind::$kind, help: $help };)*
        const FAMILIES: &[Family] = &[$($constant),*];
    };
}

families! {
    LAG_RECORDS: Gauge "processor_lag_records" =
        "Records whose effects are not visible yet, by `stage` and `partition`. No alert: seconds say more";
    LAG_SECONDS: Gauge "processor_lag_seconds" =
        "How long the oldest record has waited whose effects are not visible yet, by `stage` and `partition`. Alert when \
         above 30 for 2 minutes";
    CATCH_UP_SECONDS: Gauge "processor_catch_up_seconds" =
        "When a `stage` will have caught up at the present rates; infinite while it falls further behind. Alert when above \
         1800 for 10 minutes";
    LAG_AGE_SECONDS: Gauge "processor_lag_age_seconds" =
        "How long ago the log last told where a partition ends, by `stage` and `partition`. Alert when above 30 for 2 \
         minutes: the log does not answer, and the lag is a guess";
    WATERMARK_SECONDS: Gauge "processor_watermark_timestamp_seconds" =
        "Highest event time so far, since 1970 UTC, by `stage` and `partition`. No alert: a shop may be quiet";
    PROGRESS_SECONDS: Gauge "processor_progress_timestamp_seconds" =
        "When a record was last processed, since 1970 UTC, by `stage` and `partition`. No alert: `processor_stalled` says \
         when it matters";
    IDLE: Gauge "processor_partition_idle" =
        "1 when nothing waits and nothing came for a minute, by `stage` and `partition`. Alert when every partition of \
         `shopper` is idle for 15 minutes in a shop that is never quiet: events do not arrive";
    RUNNING: Gauge "processor_partition_running" =
        "1 when the partition is worked on, 0 while it loads or waits to try again, by `stage` and `partition`. Alert when \
         0 for 2 minutes";
    STALLED: Gauge "processor_stalled" =
        "1 when records wait and none was processed for `processor.stall_after_ms`, by `stage` and `partition`; readiness \
         is red then. Alert when 1 for 1 minute";
    RESTARTS: Counter "processor_partition_restarts_total" =
        "How often work on a partition began anew from its stored progress after a failure, by `stage` and `partition`. \
         Alert when above 3 within 10 minutes";
    RECORDS: Counter "processor_records_total" =
        "Records processed since the partition was assigned, by `stage` and `partition`. No alert: lag says whether it is \
         enough";
    OUTCOMES: Counter "processor_outcomes_total" =
        "What became of the events since the generation began, each counted once, by `outcome` (`applied`, `duplicate`, \
         `too_late`, `dead_lettered`, `forgotten`) and `partition` of the product stage. Alert when the share of \
         `duplicate` or `too_late` stays above 20 % for 15 minutes";
    CACHED_ROWS: Gauge "processor_cached_rows" =
        "Users or products in memory, by `stage` and `partition`. No alert: `processor.cached_users` and `cached_products` \
         bound it";
    CHANGED_ROWS: Gauge "processor_changed_rows" =
        "Rows in memory that wait to be stored, by `stage` and `partition`. Alert when above `processor.flush_rows` for 5 \
         minutes: the state store does not keep up, and reading is held back";
    UNSTORED_RECORDS: Gauge "processor_unstored_records" =
        "Records that a crash would make this process read again, by `stage` and `partition`. No alert: it grows and \
         shrinks with every flush";
    PUBLISHING: Gauge "processor_publish_queue_values" =
        "Values on their way to the serving store, by `stage` and `partition`. Alert when above 50000 for 2 minutes: the \
         serving store does not keep up; beyond 100000 all are dropped and published again later";
    REFILLING: Gauge "processor_refilling" =
        "1 while the serving store lacks data of the partition and is filled again, by `stage` and `partition`. Alert when \
         1 for 15 minutes";
    HOTTEST_SHARE: Gauge "processor_hottest_key_share" =
        "Share of the most frequent user (`shopper`) or product (`product`) among the last records, by `stage` and \
         `partition`; `GET /admin/lag` names it. Alert when above 0.5 for 15 minutes: a bot, or one product that takes a \
         partition for itself";
}

/// Tells what this service's metrics mean.
pub fn describe_metrics() {
    FAMILIES.iter().for_each(Family::describe);
    describe_histogram!(
        FRESHNESS_SECONDS,
        "From an event's receipt until its effects were visible in the serving store, by `stage` that made them; the \
         oldest event of a batch counts for all of it. Alert when the 99th percentile stays above 5 s for 5 minutes"
    );
    describe_counter!(
        DEAD_LETTERS,
        "Records that could not be applied, by `reason`, as this process met them. Alert on any: somebody sends what \
         cannot be read, and `shopsmart dead-letters list` shows it"
    );
    describe_counter!(REDRIVEN, "Dead letters that were appended to the log again. No alert: people do that");
    describe_histogram!(
        FLUSH_SECONDS,
        "Time of a flush (rows and progress to the state store) by `stage`. Alert when the 99th percentile stays above 10 s \
         for 5 minutes"
    );
    describe_counter!(
        FLUSHED_ROWS,
        "Rows written to the state store, by `stage`. No alert: it follows the load"
    );
    describe_counter!(
        STORE_RETRIES,
        "Requests to the state store that are tried again because it did not answer, by `action`. Alert when it grows for \
         2 minutes"
    );
    describe_counter!(
        REBALANCES,
        "Changes of what this process owns, by `kind` (`assigned`, `revoked`, `lost`). Alert when `lost` grows, or when \
         any is above 5 within 10 minutes: copies come and go"
    );
    describe_counter!(
        STALLS,
        "How often a partition stalled, by `stage`. No alert: `processor_stalled` is the alert"
    );
}

/// Makes the series whose first increase is an alert: one that begins with 1 has not increased, as Prometheus sees it.
pub(crate) fn begin() {
    for reason in DeadReason::ALL {
        counter!(DEAD_LETTERS, "reason" => reason.as_str()).increment(0);
    }
    for kind in ["assigned", "revoked", "lost"] {
        counter!(REBALANCES, "kind" => kind).increment(0);
    }
}

pub(crate) fn became_visible(stage: StageName, after: Duration, records: usize) {
    histogram!(FRESHNESS_SECONDS, "stage" => stage.as_str()).record_many(after, records);
}

pub(crate) fn dead_letter(reason: String) {
    counter!(DEAD_LETTERS, "reason" => reason).increment(1);
}

pub(crate) fn redriven() -> Counter {
    counter!(REDRIVEN)
}

pub(crate) fn flushed(stage: StageName, took: Duration) {
    histogram!(FLUSH_SECONDS, "stage" => stage.as_str()).record(took);
}

pub(crate) fn flushed_rows(stage: StageName, rows: usize) {
    counter!(FLUSHED_ROWS, "stage" => stage.as_str()).increment(rows as u64);
}

pub(crate) fn store_retry(action: &'static str) {
    counter!(STORE_RETRIES, "action" => action).increment(1);
}

pub(crate) fn rebalance(kind: &'static str) {
    counter!(REBALANCES, "kind" => kind).increment(1);
}

pub(crate) fn stall(stage: StageName) {
    counter!(STALLS, "stage" => stage.as_str()).increment(1);
}

/// Adds the figures of every partition that this process owns.
pub(crate) fn collect(registry: &Registry, now_ms: i64, exposition: &mut Exposition) {
    let reports: Vec<(String, PartitionReport)> =
        registry.report(now_ms).into_iter().map(|report| (report.partition.to_string(), report)).collect();
    let mut add = |family: &Family, value: &dyn Fn(&PartitionReport) -> Option<f64>| {
        let series = reports.iter().filter_map(|(partition, report)| {
            Some(([("stage", report.stage), ("partition", partition.as_str())], value(report)?))
        });
        exposition.add(family, series);
    };
    let flag = |set: bool| Some(f64::from(u8::from(set)));
    let seconds = |ms: u64| Some(ms as f64 / 1000.0);
    add(&LAG_RECORDS, &|report| Some(report.lag_records as f64));
    add(&LAG_SECONDS, &|report| seconds(report.lag_ms));
    add(&LAG_AGE_SECONDS, &|report| seconds(report.lag_age_ms));
    add(&WATERMARK_SECONDS, &|report| Some(report.stream_time_ms? as f64 / 1000.0));
    add(&PROGRESS_SECONDS, &|report| Some(report.last_progress_ms? as f64 / 1000.0));
    add(&IDLE, &|report| flag(report.idle));
    add(&RUNNING, &|report| flag(report.running));
    add(&STALLED, &|report| flag(report.stalled));
    add(&RESTARTS, &|report| Some(report.restarts as f64));
    add(&RECORDS, &|report| Some(report.records as f64));
    add(&CACHED_ROWS, &|report| Some(report.cached_rows as f64));
    add(&CHANGED_ROWS, &|report| Some(report.changed_rows as f64));
    add(&UNSTORED_RECORDS, &|report| Some(report.processed.saturating_sub(report.stored) as f64));
    add(&PUBLISHING, &|report| Some(report.publishing as f64));
    add(&REFILLING, &|report| flag(report.refilling));
    add(&HOTTEST_SHARE, &|report| Some(report.hottest.as_ref().map_or(0.0, |hottest| hottest.share)));

    let counted = registry.outcomes_by_partition();
    let names: Vec<(String, OutcomeCounts)> =
        counted.into_iter().map(|(partition, counts)| (partition.to_string(), counts)).collect();
    let series = names.iter().flat_map(|(partition, counts)| {
        OutcomeCounts::NAMED.iter().map(move |(outcome, name)| {
            ([("outcome", *name), ("partition", partition.as_str())], counts.get(*outcome) as f64)
        })
    });
    exposition.add(&OUTCOMES, series);
}

/// Adds when each stage will have caught up, in ms; `None` = not at the present rates.
pub(crate) fn collect_catch_up(stages: &[(StageName, Option<u64>)], exposition: &mut Exposition) {
    let series = stages.iter().map(|(stage, in_ms)| {
        ([("stage", stage.as_str())], in_ms.map_or(f64::INFINITY, |ms| ms as f64 / 1000.0))
    });
    exposition.add(&CATCH_UP_SECONDS, series);
}
