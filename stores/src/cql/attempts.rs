//! How often and how long a statement is tried. Every statement here is idempotent: rows are written with their version
//! as the timestamp.

use super::{unavailable, unusable};
use crate::StoreError;
use ::scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Repeats statements until a limit of time. (The driver itself repeats at once, on other nodes, where that is safe;
/// these repetitions come after it has given up.)
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempts {
    limit: Duration,
}

impl Attempts {
    pub(super) fn within(limit: Duration) -> Self {
        Self { limit }
    }

    /// Runs `statement` until it succeeds, cannot succeed, or the time is over.
    pub(super) async fn run<T, F>(
        &self,
        action: &'static str,
        statement: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, ExecutionError>>,
    {
        let deadline = Instant::now() + self.limit;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match timeout_at(deadline, statement()).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => error,
                Err(_) => return Err(self.too_late(action)),
            };
            if let Some(reason) = hopeless(&error) {
                return Err(unusable(reason));
            }
            let next = Instant::now() + pause;
            if next >= deadline {
                return Err(unavailable(action, &error));
            }
            tracing::debug!(action, %error, "trying a statement again");
            sleep_until(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Bounds something that is tried once.
    pub(super) async fn once<T>(
        &self,
        action: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        timeout(self.limit, work).await.unwrap_or_else(|_| Err(self.too_late(action)))
    }

    fn too_late(&self, action: &'static str) -> StoreError {
        unavailable(action, &format_args!("no answer within {} ms", self.limit.as_millis()))
    }
}

/// Why trying again cannot help, if so.
fn hopeless(error: &ExecutionError) -> Option<String> {
    match error {
        ExecutionError::BadQuery(error) => Some(error.to_string()),
        ExecutionError::LastAttemptError(attempt)
        | ExecutionError::PrepareError(PrepareError::AllAttemptsFailed { first_attempt: attempt }) => {
            refused(attempt)
        }
        _ => None,
    }
}

/// What a database says that it will say again.
pub(super) fn refused(attempt: &RequestAttemptError) -> Option<String> {
    let RequestAttemptError::DbError(error, message) = attempt else { return None };
    match error {
        DbError::Invalid
        | DbError::SyntaxError
        | DbError::Unauthorized
        | DbError::AuthenticationError
        | DbError::ConfigError => Some(message.clone()),
        _ => None,
    }
}
