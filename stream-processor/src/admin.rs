//! The processor's HTTP endpoints for operators.

use crate::dead_letter::DeadLetter;
use crate::outcome::OutcomeCounts;
use crate::status::PartitionReport;
use crate::topology::Processor;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use service_runtime::Problem;
use std::sync::{Arc, OnceLock};
use stores::Table;

/// Answer of `GET /admin/lag`.
#[derive(Debug, Serialize)]
pub struct LagReport {
    /// Records that wait, over all partitions of this process.
    pub lag_records: u64,
    /// The longest wait of any partition, in ms.
    pub lag_ms: u64,
    /// What became of the events, as counted by this process's partitions of the product stage.
    pub outcomes: Outcomes,
    /// Each partition that this process owns.
    pub partitions: Vec<PartitionReport>,
}

/// Counts of outcomes by name.
#[derive(Debug, Serialize, Default, Clone, Copy, PartialEq, Eq)]
pub struct Outcomes {
    /// Applied events.
    pub applied: u64,
    /// Events whose id was seen before.
    pub duplicate: u64,
    /// Events more than 30 days behind their partition.
    pub too_late: u64,
    /// Records that could not be applied.
    pub dead_lettered: u64,
    /// Users forgotten on request.
    pub forgotten: u64,
}

impl From<OutcomeCounts> for Outcomes {
    fn from(counts: OutcomeCounts) -> Self {
        use schemas::proto::Outcome::{Applied, DeadLettered, Duplicate, Forgotten, TooLate};
        Self {
            applied: counts.get(Applied),
            duplicate: counts.get(Duplicate),
            too_late: counts.get(TooLate),
            dead_lettered: counts.get(DeadLettered),
            forgotten: counts.get(Forgotten),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeadLettersQuery {
    #[serde(default = "default_limit")]
    limit: usize,
}

fn default_limit() -> usize {
    100
}

/// The processor, once it is there: the endpoints answer 503 until then.
pub type Pending = Arc<OnceLock<Processor>>;

/// `GET /admin/lag` and `GET /admin/dead-letters`.
pub fn router(processor: Pending) -> Router {
    Router::new()
        .route("/admin/lag", get(lag))
        .route("/admin/dead-letters", get(dead_letters))
        .with_state(processor)
}

fn starting() -> Response {
    let detail = "the processor waits for its log and stores; see /health/ready";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail).into_response()
}

async fn lag(State(processor): State<Pending>) -> Response {
    let Some(processor) = processor.get() else { return starting() };
    let partitions = processor.registry().report();
    Json(LagReport {
        lag_records: partitions.iter().map(|partition| partition.lag_records).sum(),
        lag_ms: partitions.iter().map(|partition| partition.lag_ms).max().unwrap_or(0),
        outcomes: processor.registry().outcomes().into(),
        partitions,
    })
    .into_response()
}

async fn dead_letters(State(processor): State<Pending>, Query(query): Query<DeadLettersQuery>) -> Response {
    let Some(processor) = processor.get() else { return starting() };
    match read_dead_letters(processor, query.limit.min(1_000)).await {
        Ok(letters) => Json(letters).into_response(),
        Err(error) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Problem::new(status, "state_store_unavailable", error.to_string()).into_response()
        }
    }
}

/// A dead letter as JSON; what is not UTF-8 shows as replacement characters.
#[derive(Debug, Serialize)]
struct DeadLetterView {
    partition: u32,
    offset: u64,
    reason: String,
    append_time_ms: i64,
    key: String,
    value: String,
}

async fn read_dead_letters(
    processor: &Processor,
    limit: usize,
) -> Result<Vec<DeadLetterView>, stores::StoreError> {
    let context = processor.context();
    let mut rows = context.parts.state.scan(Table::DeadLetters, context.config.generation).await?;
    let mut letters = Vec::new();
    while let Some(row) = rows.recv().await {
        let Ok(letter) = DeadLetter::decode(&row?.state) else { continue };
        letters.push(DeadLetterView {
            partition: letter.partition,
            offset: letter.offset,
            reason: letter.reason,
            append_time_ms: letter.append_time_ms,
            key: String::from_utf8_lossy(&letter.key).into_owned(),
            value: String::from_utf8_lossy(&letter.value).into_owned(),
        });
        if letters.len() == limit {
            break;
        }
    }
    letters.sort_by_key(|letter| (letter.partition, letter.offset));
    Ok(letters)
}
