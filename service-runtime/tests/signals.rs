//! Signals reach every lifecycle of a process, so this test has one of its own.

use std::process::Command;
use std::time::Duration;

use service_runtime::{Health, Lifecycle};

#[tokio::test]
async fn sigterm_drops_readiness_and_stops_in_order() {
    let health = Health::new();
    let mut lifecycle = Lifecycle::new(health.clone());
    let (started, is_started) = tokio::sync::oneshot::channel();
    lifecycle.spawn("worker", Duration::from_secs(60), |stop| async move {
        // The handlers are set before components first run: both happen on this one thread, `run` first.
        started.send(()).ok();
        stop.cancelled().await;
        Ok(())
    });
    let (run, ()) = tokio::join!(lifecycle.run(), async {
        is_started.await.unwrap();
        let sent = Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status().unwrap();
        assert!(sent.success());
    });
    run.unwrap();
    assert!(!health.is_ready());
}
