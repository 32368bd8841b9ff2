use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Far more than any test takes.
const AMPLE: Duration = Duration::from_secs(60);

async fn until_stopped(stop: CancellationToken) -> anyhow::Result<()> {
    stop.cancelled().await;
    Ok(())
}

fn failures(result: Result<(), LifecycleError>) -> Vec<Failure> {
    match result {
        Err(LifecycleError::Components(failures)) => failures,
        other => panic!("expected failed components, got {other:?}"),
    }
}

#[tokio::test]
async fn an_orderly_shutdown_succeeds() {
    let mut lifecycle = Lifecycle::new(Health::new());
    lifecycle.spawn("a", AMPLE, until_stopped);
    lifecycle.spawn("b", AMPLE, until_stopped);
    lifecycle.shutdown().trigger();
    lifecycle.run().await.unwrap();
}

#[tokio::test]
async fn readiness_drops_before_components_are_told_to_stop() {
    let health = Health::new();
    let ready_at_stop = Arc::new(AtomicBool::new(true));
    let mut lifecycle = Lifecycle::new(health.clone()).with_notice(Duration::from_millis(1));
    let (seen, observer) = (ready_at_stop.clone(), health.clone());
    lifecycle.spawn("observer", AMPLE, |stop| async move {
        stop.cancelled().await;
        seen.store(observer.is_ready(), Ordering::SeqCst);
        Ok(())
    });
    assert!(health.is_ready());
    lifecycle.shutdown().trigger();
    lifecycle.run().await.unwrap();
    assert!(!ready_at_stop.load(Ordering::SeqCst));
}

#[tokio::test]
async fn an_early_end_stops_everything_and_fails() {
    let health = Health::new();
    let stopped = Arc::new(AtomicBool::new(false));
    let mut lifecycle = Lifecycle::new(health.clone());
    let seen = stopped.clone();
    lifecycle.spawn("other", AMPLE, |stop| async move {
        stop.cancelled().await;
        seen.store(true, Ordering::SeqCst);
        Ok(())
    });
    lifecycle.spawn("short", AMPLE, |_| async { Ok(()) });
    let error = lifecycle.run().await.unwrap_err();
    assert_eq!(error.to_string(), "short ended before the shutdown");
    assert!(stopped.load(Ordering::SeqCst));
    assert!(!health.is_ready());
}

#[tokio::test]
async fn an_error_is_reported_with_its_causes() {
    let mut lifecycle = Lifecycle::new(Health::new());
    lifecycle.spawn("publisher", AMPLE, |_| async {
        Err(anyhow::anyhow!("refused").context("connect to the log"))
    });
    let error = lifecycle.run().await.unwrap_err();
    assert_eq!(error.to_string(), "publisher failed: connect to the log: refused");
}

#[tokio::test]
async fn a_panic_is_reported_with_its_message() {
    let mut lifecycle = Lifecycle::new(Health::new());
    lifecycle.spawn("flusher", AMPLE, |_| async { panic!("row {} vanished", 7) });
    let failures = failures(lifecycle.run().await);
    assert_eq!(failures[0].to_string(), "flusher panicked: row 7 vanished");
}

#[tokio::test]
async fn an_error_during_shutdown_is_a_failure() {
    let mut lifecycle = Lifecycle::new(Health::new());
    lifecycle.spawn("flusher", AMPLE, |stop| async move {
        stop.cancelled().await;
        anyhow::bail!("the last flush failed")
    });
    lifecycle.shutdown().trigger();
    assert_eq!(lifecycle.run().await.unwrap_err().to_string(), "flusher failed: the last flush failed");
}

#[tokio::test(start_paused = true)]
async fn who_misses_the_budget_is_named_and_the_others_are_waited_for() {
    let mut lifecycle = Lifecycle::new(Health::new());
    lifecycle.spawn("stuck", Duration::from_secs(2), |_| std::future::pending());
    lifecycle.spawn("slow", Duration::from_secs(10), |stop| async move {
        stop.cancelled().await;
        tokio::time::sleep(Duration::from_secs(9)).await;
        Ok(())
    });
    lifecycle.shutdown().trigger();
    let failures = failures(lifecycle.run().await);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].to_string(), "stuck did not stop within 2s");
}

#[tokio::test]
async fn a_component_may_ask_for_the_shutdown_and_return() {
    let mut lifecycle = Lifecycle::new(Health::new());
    let shutdown = lifecycle.shutdown();
    lifecycle.spawn("other", AMPLE, until_stopped);
    lifecycle.spawn("demo", AMPLE, |_| async move {
        shutdown.trigger();
        Ok(())
    });
    lifecycle.run().await.unwrap();
}
