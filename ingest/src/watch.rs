//! Readiness: whether the log and its topics are there.

use std::sync::Arc;
use std::time::Duration;

use event_log::EventLog;
use schemas::names::Topics;
use service_runtime::Component;
use tokio_util::sync::CancellationToken;

/// How often to look while the log is not there.
const RETRY: Duration = Duration::from_secs(1);

/// Waits until both topics are there, says what weakens the log's durability, and makes `ready` ready. From then on
/// callers learn from their answers how the log does: if readiness followed it, every copy would drop out at once, and
/// callers would be told less, not more. Returns at `stop`.
///
/// # Errors
/// Never; the type is what a lifecycle asks for.
pub async fn watch_log(
    log: Arc<impl EventLog + ?Sized>,
    topics: Topics,
    ready: Component,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let topics = [topics.events, topics.products];
    let appear = async {
        for topic in &topics {
            while let Err(error) = log.describe(topic).await {
                ready.not_ready(error.to_string());
                tokio::time::sleep(RETRY).await;
            }
        }
        for warning in log.durability_warnings(&topics).await {
            tracing::warn!("{warning}");
        }
        ready.ready();
    };
    if stop.run_until_cancelled(appear).await.is_some() {
        stop.cancelled().await;
    }
    Ok(())
}
