use std::time::Duration;

use tokio::task::JoinError;

/// Why a process did not run and stop as it should.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// Components failed, in the order in which it was noticed.
    #[error("{}", list(.0))]
    Components(Vec<Failure>),
    /// The handlers for SIGTERM and SIGINT could not be set.
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] std::io::Error),
}

/// One component's failure.
#[derive(Debug, thiserror::Error)]
#[error("{component} {cause}")]
pub struct Failure {
    /// The name it was spawned under.
    pub component: String,
    /// What became of it.
    pub cause: FailureCause,
}

/// What became of a failed component.
#[derive(Debug, thiserror::Error)]
pub enum FailureCause {
    /// Returned without an error, but nobody had asked it to stop.
    #[error("ended before the shutdown")]
    EndedEarly,
    /// Returned an error, before or during the shutdown.
    #[error("failed: {0:#}")]
    Failed(anyhow::Error),
    /// Panicked, with this message.
    #[error("panicked: {0}")]
    Panicked(String),
    /// Was still running when its time to stop was over.
    #[error("did not stop within {0:?}")]
    MissedBudget(Duration),
}

impl Failure {
    pub(super) fn new(component: &str, cause: FailureCause) -> Self {
        Self { component: component.to_owned(), cause }
    }
}

impl FailureCause {
    pub(super) fn panicked(error: JoinError) -> Self {
        let message = match error.try_into_panic() {
            Ok(payload) => panic_message(payload.as_ref()).to_owned(),
            Err(cancelled) => cancelled.to_string(),
        };
        Self::Panicked(message)
    }
}

/// The text of a panic, where it has one.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}

fn list(failures: &[Failure]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
