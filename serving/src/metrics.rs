//! What serving counts. `http_requests_total` and `http_request_duration_seconds` of the runtime cover every route; these
//! tell how the answers came about.

use crate::degraded::Degraded;
use metrics::{Counter, Histogram, describe_counter, describe_histogram};
use service_runtime::telemetry::{Family, Kind, Series};
use std::time::Duration;

const ANSWERS: &str = "serving_answers_total";
const ANSWER_SECONDS: &str = "serving_answer_seconds";
const DEGRADED: &str = "serving_degraded_total";
const STORE_READS: &str = "serving_store_reads_total";
const STORE_READ_SECONDS: &str = "serving_store_read_seconds";
const CACHE: &str = "serving_cache_total";
const UNREADABLE: &str = "serving_unreadable_values_total";
const POSITION_WAITS: &str = "serving_position_waits_total";

/// Read when it is asked for, so that it grows while nothing new comes.
pub(crate) const DATA_AGE: Family = Family {
    name: "serving_data_age_seconds",
    kind: Kind::Gauge,
    help: "How far what is served is behind the log: the age of the processor's oldest marker and the wait of its oldest \
           event. It grows on when the processor is gone. Alert when above 60 for 2 minutes",
};

/// Which generation this copy answers from.
pub(crate) const GENERATION: Family = Family {
    name: "serving_generation",
    kind: Kind::Gauge,
    help: "The generation that answers are made from. Alert when copies differ for a minute after `shopsmart promote`: \
           one of them reaches neither store",
};

/// Tells what this service's metrics mean.
pub fn describe_metrics() {
    describe_counter!(
        ANSWERS,
        "Answers by `route` and `strategy` (the tier that carried them; `none` for routes without tiers). Alert when the \
         share of `personalized` among `recommendations` halves within an hour: histories or neighbour lists are no \
         longer published"
    );
    describe_histogram!(
        ANSWER_SECONDS,
        "Time to make an answer by `route` and `strategy`, without the HTTP around it. Alert when the 99th percentile \
         stays above 50 ms for 5 minutes: a store is slow, or there are too few copies"
    );
    describe_counter!(
        DEGRADED,
        "Answers that could not be made the usual way, by `reason`. Alert when it grows for 2 minutes: \
         `serving_store_unavailable` and `stores_unavailable` mean a store is down, `serving_store_incomplete` that it \
         lost data and is being filled again"
    );
    describe_counter!(
        STORE_READS,
        "Reads by `store` and `outcome` (`ok`, `error`, `timeout`, `open`: not tried because the breaker is open, `no_time`: \
         not tried because other reads took all of `serving.answer_budget_ms`). Alert when anything but `ok` stays above 1 % for 5 minutes"
    );
    describe_histogram!(
        STORE_READ_SECONDS,
        "Time of the reads that were tried, by `store`. Alert when the 99th percentile of the serving store comes near \
         `serving.store_timeout_ms`"
    );
    describe_counter!(
        CACHE,
        "Look-ups of cached lists by `cache` (`category`, `neighbours`) and `outcome` (`fresh`, `stale`: used while a newer \
         one is on its way, `miss`). Alert when `miss` of `category` is above a tenth for an hour: `serving.category_cache` is \
         too small. Of `neighbours`, half may be missed where many products are hot: see `serving.near_cache_mb`"
    );
    describe_counter!(
        UNREADABLE,
        "Values of a store that could not be decoded and were passed over. Alert when above 0: the processor writes a \
         format that this version does not know"
    );
    describe_counter!(
        POSITION_WAITS,
        "Requests with `min_position` by `reached` (`true`, `false`). Alert when `false` is above a tenth for 10 \
         minutes: the processor is behind what shoppers do"
    );
    DATA_AGE.describe();
    GENERATION.describe();
}

static ANSWERS_BY: Series<Counter, 2> = Series::counters(ANSWERS, ["route", "strategy"]);
static ANSWER_SECONDS_BY: Series<Histogram, 2> = Series::histograms(ANSWER_SECONDS, ["route", "strategy"]);
static DEGRADED_BY: Series<Counter, 1> = Series::counters(DEGRADED, ["reason"]);
static STORE_READS_BY: Series<Counter, 2> = Series::counters(STORE_READS, ["store", "outcome"]);
static STORE_READ_SECONDS_BY: Series<Histogram, 1> = Series::histograms(STORE_READ_SECONDS, ["store"]);
static CACHE_BY: Series<Counter, 2> = Series::counters(CACHE, ["cache", "outcome"]);
static UNREADABLE_ALL: Series<Counter, 0> = Series::counters(UNREADABLE, []);
static POSITION_WAITS_BY: Series<Counter, 1> = Series::counters(POSITION_WAITS, ["reached"]);

pub(crate) fn answered(
    route: &'static str,
    strategy: &'static str,
    degraded: Option<Degraded>,
    took: Duration,
) {
    ANSWERS_BY.of([route, strategy]).increment(1);
    ANSWER_SECONDS_BY.of([route, strategy]).record(took);
    if let Some(degraded) = degraded {
        DEGRADED_BY.of([degraded.code()]).increment(1);
    }
}

pub(crate) fn store_read(store: &'static str, outcome: &'static str) {
    STORE_READS_BY.of([store, outcome]).increment(1);
}

pub(crate) fn store_read_took(store: &'static str, took: Duration) {
    STORE_READ_SECONDS_BY.of([store]).record(took);
}

pub(crate) fn cache(cache: &'static str, outcome: &'static str, look_ups: usize) {
    CACHE_BY.of([cache, outcome]).increment(look_ups as u64);
}

pub(crate) fn unreadable() {
    UNREADABLE_ALL.of([]).increment(1);
}

pub(crate) fn position_wait(reached: bool) {
    POSITION_WAITS_BY.of([if reached { "true" } else { "false" }]).increment(1);
}
