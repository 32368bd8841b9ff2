use super::TaskError;
use crate::stage::Stage;
use event_log::Append;
use std::future::Future;

/// Connects a stage's fold with what comes after it: the log, the serving store.
pub(crate) trait Driver: Send + 'static {
    /// The stage it drives.
    type Stage: Stage;

    /// The stage.
    fn stage(&mut self) -> &mut Self::Stage;

    /// Hands on what a fold led to. Gives the appends that the next flush has to wait for.
    fn hand_on(
        &mut self,
        output: <Self::Stage as Stage>::Output,
    ) -> impl Future<Output = Result<Vec<Append>, TaskError>> + Send;

    /// Publishes what has become due. Called often.
    fn tick(&mut self) -> impl Future<Output = Result<(), TaskError>> + Send;

    /// Whether more than enough waits for a flush.
    fn is_overfull(&mut self) -> bool;

    /// Highest event time so far.
    fn stream_time_ms(&mut self) -> i64;
}
