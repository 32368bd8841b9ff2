//! How many records of a producer have no outcome yet.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct InFlight {
    records: AtomicUsize,
    none_left: Notify,
}

impl InFlight {
    pub(crate) fn add(&self) {
        self.records.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn done(&self) {
        if self.records.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.none_left.notify_waiters();
        }
    }

    /// Waits until every record has its outcome, at most `deadline_ms`; the number left.
    pub(crate) async fn drain(&self, deadline_ms: u64) -> usize {
        let _ = tokio::time::timeout(Duration::from_millis(deadline_ms), self.wait_for_none()).await;
        self.count()
    }

    async fn wait_for_none(&self) {
        loop {
            let none_left = self.none_left.notified();
            if self.count() == 0 {
                return;
            }
            none_left.await;
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.records.load(Ordering::Acquire)
    }
}
