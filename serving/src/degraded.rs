use serde::Serialize;
use utoipa::ToSchema;

/// Why an answer was not made the usual way, the lesser evil first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Degraded {
    /// The serving store lost data and is being filled again: what it lacks came from the state store.
    ServingStoreIncomplete,
    /// The serving store did not answer in time: the state store was asked, which is some seconds behind.
    ServingStoreUnavailable,
    /// What was needed is in no store that answered: the last good lists of this process were used.
    StoresUnavailable,
}

impl Degraded {
    /// The name used in JSON and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ServingStoreIncomplete => "serving_store_incomplete",
            Self::ServingStoreUnavailable => "serving_store_unavailable",
            Self::StoresUnavailable => "stores_unavailable",
        }
    }
}
