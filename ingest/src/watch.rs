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
/// When `producer_dead` is cancelled: only a new process helps then.
pub async fn watch_log(
    log: Arc<impl EventLog + ?Sized>,
    topics: Topics,
    ready: Component,
    producer_dead: CancellationToken,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let watch = async {
        check(&*log, &[topics.events, topics.products], &ready).await;
        ready.ready();
        std::future::pending().await
    };
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        () = producer_dead.cancelled() => anyhow::bail!("the log producer is of no more use"),
        never = watch => never,
    }
}

async fn check(log: &(impl EventLog + ?Sized), topics: &[String], ready: &Component) {
    for topic in topics {
        while let Err(error) = log.describe(topic).await {
            ready.not_ready(error.to_string());
            tokio::time::sleep(RETRY).await;
        }
    }
    for warning in log.durability_warnings(topics).await {
        tracing::warn!("{warning}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event_log::TopicSpec;
    use event_log::scripted::ScriptedLog;
    use service_runtime::Health;

    async fn create(log: &ScriptedLog, name: &str) {
        let spec = TopicSpec { name: name.to_owned(), partitions: 1, compacted: false, retention_ms: None };
        log.ensure_topics(&[spec]).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn ready_once_both_topics_are_there() {
        let (log, health) = (Arc::new(ScriptedLog::new()), Health::new());
        let (dead, stop) = (CancellationToken::new(), CancellationToken::new());
        let ready = health.component("log");
        let watch = watch_log(log.clone(), Topics::new("", 1), ready, dead, stop.clone());
        let script = async {
            create(&log, "events").await;
            tokio::time::sleep(3 * RETRY).await;
            assert!(!health.is_ready(), "products is missing");
            create(&log, "products").await;
            tokio::time::sleep(3 * RETRY).await;
            assert!(health.is_ready());
            stop.cancel();
        };
        let (ended, ()) = tokio::join!(watch, script);
        ended.unwrap();
    }

    #[tokio::test]
    async fn a_dead_producer_ends_the_process() {
        let (log, ready) = (Arc::new(ScriptedLog::new()), Health::new().component("log"));
        let (dead, stop) = (CancellationToken::new(), CancellationToken::new());
        dead.cancel();
        assert!(watch_log(log, Topics::new("", 1), ready, dead, stop).await.is_err());
    }
}
