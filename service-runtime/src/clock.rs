//! Wall-clock time as a port, so that tests and replays can move it.
//!
//! This is the only place that reads the system's clock. Nothing that decides a state may use it: stream time comes
//! from the records themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock shared between components.
pub type SharedClock = Arc<dyn Clock>;

/// Tells the wall-clock time.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch; negative before it. May step back when the machine's clock is corrected.
    fn now_ms(&self) -> i64;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The system clock behind the shared pointer that components take.
    pub fn shared() -> SharedClock {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        }
    }
}

/// A clock that moves only when told to. Clone the `Arc` around it to keep a hand on it.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock standing at `now_ms` (epoch milliseconds).
    pub fn new(now_ms: i64) -> Self {
        Self(AtomicI64::new(now_ms))
    }

    /// Moves to `now_ms`, which may lie in the past.
    pub fn set(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }

    /// Moves on by `by_ms` milliseconds and returns the new time.
    pub fn advance(&self, by_ms: i64) -> i64 {
        self.0.fetch_add(by_ms, Ordering::SeqCst) + by_ms
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clock_moves_only_when_told() {
        let clock = Arc::new(ManualClock::new(1_000));
        let shared: SharedClock = clock.clone();
        assert_eq!(shared.now_ms(), 1_000);
        assert_eq!(clock.advance(500), 1_500);
        assert_eq!(shared.now_ms(), 1_500);
        clock.set(10);
        assert_eq!(shared.now_ms(), 10);
    }

    #[test]
    fn system_clock_tells_epoch_milliseconds() {
        let first_commit_of_this_file = 1_700_000_000_000;
        assert!(SystemClock.now_ms() > first_commit_of_this_file);
    }
}
