//! How long an answer may wait for the stores, all its reads together: a limit for each read alone would add up.

use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Makes an answer, of which all reads together take `budget` at most.
pub(crate) async fn within<F: Future>(budget: Duration, answer: F) -> F::Output {
    DEADLINE.scope(Instant::now() + budget, answer).await
}

/// What a read may take that alone might take `limit`; outside of an answer that is all of it.
pub(crate) fn left(limit: Duration) -> Duration {
    DEADLINE
        .try_with(|deadline| limit.min(deadline.saturating_duration_since(Instant::now())))
        .unwrap_or(limit)
}

/// Whether this is an answer that may wait no longer.
pub(crate) fn is_over() -> bool {
    DEADLINE.try_with(|deadline| *deadline <= Instant::now()).unwrap_or(false)
}

/// Waits for what others do, for as long as the answer has time; outside of one until it is done.
pub(crate) async fn wait<F: Future>(work: F) -> Option<F::Output> {
    match DEADLINE.try_with(|deadline| *deadline) {
        Ok(deadline) => timeout_at(deadline, work).await.ok(),
        Err(_) => Some(work.await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, pause};

    #[tokio::test]
    async fn reads_share_what_an_answer_has() {
        pause();
        let limit = Duration::from_millis(80);
        assert_eq!(left(limit), limit);
        within(Duration::from_millis(90), async {
            assert_eq!(left(limit), limit);
            advance(limit).await;
            assert_eq!(left(limit), Duration::from_millis(10));
            assert!(!is_over());
            assert_eq!(wait(std::future::pending::<()>()).await, None);
            assert_eq!(left(limit), Duration::ZERO);
            assert!(is_over());
        })
        .await;
        assert!(!is_over());
        assert_eq!(wait(async { 7 }).await, Some(7));
    }
}
