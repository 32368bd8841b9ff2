use super::Admin;
use crate::outcome::OutcomeCounts;
use crate::status::PartitionReport;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use service_runtime::Problem;
use service_runtime::http::ProblemBody;
use service_runtime::keys::{Authorized, Read};
use utoipa::ToSchema;

/// Answer of `GET /admin/lag`.
#[derive(Debug, Serialize, ToSchema)]
pub struct LagReport {
    /// Records that wait, over all partitions of this process.
    pub lag_records: u64,
    /// The longest wait of any partition, in ms.
    pub lag_ms: u64,
    /// What became of the events, as counted by this process's partitions of the product stage.
    pub outcomes: Outcomes,
    /// Each partition that this process owns.
    pub partitions: Vec<PartitionReport>,
    /// Each partition that another process owns, as that one said last.
    pub others: Vec<OtherPartition>,
}

/// A partition of another process, as its marker in the serving store tells.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OtherPartition {
    /// `shopper` or `product`.
    pub stage: &'static str,
    /// The partition.
    pub partition: u32,
    /// Records that wait.
    pub lag_records: u64,
    /// How long the oldest of these has waited, in ms.
    pub lag_ms: u64,
    /// Highest event time so far, milliseconds since 1970 UTC.
    pub stream_time_ms: Option<i64>,
    /// How long ago that was said, in ms.
    pub reported_ms_ago: u64,
}

/// Counts of outcomes by name.
#[derive(Debug, Serialize, Default, Clone, Copy, PartialEq, Eq, ToSchema)]
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

/// How far the processor is behind
///
/// Each partition of this copy, and of the others as these last said.
#[utoipa::path(get, path = "/admin/lag", tag = "operations",
    security(("bearer" = []), ("api_key" = [])), responses(
    (status = 200, body = LagReport),
    (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "The processor or its state store is not there yet", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn lag(State(admin): State<Admin>, _: Authorized<Read>) -> Result<Json<LagReport>, Problem> {
    let processor = admin.processor()?;
    // Outcomes first: events that are counted there and not visible yet are then among those that wait.
    let outcomes = processor.registry().outcomes().into();
    let partitions = processor.registry().report(processor.context().parts.clock.now_ms());
    Ok(Json(LagReport {
        lag_records: partitions.iter().map(|partition| partition.lag_records).sum(),
        lag_ms: partitions.iter().map(|partition| partition.lag_ms).max().unwrap_or(0),
        outcomes,
        partitions,
        others: super::figures::others(processor).await,
    }))
}
