use serde::Deserialize;

/// The answer to a single event.
#[derive(Debug, Clone, Deserialize)]
pub struct Accepted {
    /// Opaque; reads that are given it as `min_position` reflect the event.
    pub position: String,
}

/// The answer to a batch of events or products.
#[derive(Debug, Clone, Deserialize)]
pub struct BatchAnswer {
    /// One per element of the batch.
    pub results: Vec<BatchResult>,
}

/// What became of one element of a batch.
#[derive(Debug, Clone, Deserialize)]
pub struct BatchResult {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Taken, or not.
    pub result: Verdict,
    /// Stable name of the reason; absent where all is well.
    #[serde(default)]
    pub code: Option<String>,
    /// The reason in words.
    #[serde(default)]
    pub detail: Option<String>,
}

/// Taken, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The log holds it.
    Ok,
    /// The log holds it, with something put right.
    Adjusted,
    /// Not taken; sending it again would not help.
    Rejected,
    /// Not taken this time: send it again.
    Retry,
}
