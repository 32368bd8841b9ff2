//! Waking a thread that serves a Kafka client.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A flag that one thread sleeps on. Setting it is cheap and never blocks for long, so that client callbacks may.
#[derive(Debug, Default)]
pub(super) struct Signal {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    pub(super) fn wake(&self) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Sleeps until woken (also before this call), at most `longest`.
    pub(super) fn wait(&self, longest: Duration) {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut set, _) = self
            .changed
            .wait_timeout_while(set, longest, |set| !*set)
            .unwrap_or_else(PoisonError::into_inner);
        *set = false;
    }
}
