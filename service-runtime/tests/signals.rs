//! Signals reach every lifecycle of a process, so these tests have a process of their own and take turns.

use std::process::Command;
use std::time::Duration;

use service_runtime::{Health, Lifecycle};
use tokio::sync::{Mutex, oneshot};

static TURN: Mutex<()> = Mutex::const_new(());

const AMPLE: Duration = Duration::from_secs(60);

fn send_sigterm() {
    let sent = Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[tokio::test]
async fn sigterm_drops_readiness_and_stops_in_order() {
    let _turn = TURN.lock().await;
    let health = Health::new();
    let mut lifecycle = Lifecycle::new(health.clone());
    let (started, is_started) = oneshot::channel();
    lifecycle.spawn("worker", AMPLE, |stop| async move {
        // `run` sets the handlers before it first waits, and on this one thread only then does a component run.
        started.send(()).ok();
        stop.cancelled().await;
        Ok(())
    });
    let (run, ()) = tokio::join!(lifecycle.run(), async {
        is_started.await.unwrap();
        send_sigterm();
    });
    run.unwrap();
    assert!(!health.is_ready());
}

#[tokio::test]
async fn a_second_signal_stops_waiting() {
    let _turn = TURN.lock().await;
    let mut lifecycle = Lifecycle::new(Health::new());
    let shutdown = lifecycle.shutdown();
    let (stopping, is_stopping) = oneshot::channel();
    lifecycle.spawn("stuck", AMPLE, |stop| async move {
        stop.cancelled().await;
        stopping.send(()).ok();
        std::future::pending().await
    });
    let (run, ()) = tokio::join!(lifecycle.run(), async {
        shutdown.trigger();
        is_stopping.await.unwrap();
        send_sigterm();
    });
    let message = run.unwrap_err().to_string();
    assert!(message.starts_with("stuck did not stop within"), "{message}");
}
