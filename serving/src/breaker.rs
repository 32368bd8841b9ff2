use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Keeps requests away from a store that has failed several times in a row. While it is open, one request per period
/// tries; its success closes it.
#[derive(Debug)]
pub(crate) struct Breaker {
    threshold: u32,
    open_for: Duration,
    begun: Instant,
    failures: AtomicU32,
    /// When the next try is allowed, in ms since `begun`.
    next_try_ms: AtomicU64,
}

impl Breaker {
    pub(crate) fn new(threshold: u32, open_for: Duration) -> Self {
        Self {
            threshold,
            open_for,
            begun: Instant::now(),
            failures: AtomicU32::new(0),
            next_try_ms: AtomicU64::new(0),
        }
    }

    /// Whether the store may be asked now. Whoever is told yes reports with `succeeded` or `failed`; one that never does
    /// (because it was cancelled) only costs a period.
    pub(crate) fn allows(&self) -> bool {
        if self.failures.load(Ordering::Relaxed) < self.threshold {
            return true;
        }
        let now = self.now_ms();
        let due = self.next_try_ms.load(Ordering::Relaxed);
        now >= due
            && self
                .next_try_ms
                .compare_exchange(due, now + self.open_ms(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    pub(crate) fn succeeded(&self) {
        // Mostly it is 0 already; a load leaves the cache line shared between the cores.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn failed(&self) {
        self.next_try_ms.store(self.now_ms() + self.open_ms(), Ordering::Relaxed);
        // Wrapping around would take four billion failures without a single success.
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    fn open_ms(&self) -> u64 {
        self.open_for.as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_the_last_allowed_failure_and_closes_on_success() {
        let breaker = Breaker::new(2, Duration::from_secs(3600));
        breaker.failed();
        assert!(breaker.allows());
        breaker.failed();
        assert!(!breaker.allows());
        breaker.succeeded();
        assert!(breaker.allows());
    }

    #[test]
    fn lets_a_single_request_try_when_the_period_is_over() {
        let breaker = Breaker::new(1, Duration::from_secs(3600));
        breaker.failed();
        breaker.next_try_ms.store(0, Ordering::Relaxed);
        assert!(breaker.allows());
        assert!(!breaker.allows());
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let breaker = Breaker::new(2, Duration::from_secs(3600));
        for _ in 0..5 {
            breaker.failed();
            breaker.succeeded();
        }
        assert!(breaker.allows());
    }
}
