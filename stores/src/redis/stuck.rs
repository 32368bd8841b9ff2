//! When a driver has to be given up.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// For how long nothing but silence is borne. Longer than a failover's own pauses, so that these do not count.
const BORNE: Duration = Duration::from_secs(3);

/// Notices that a driver answers nothing any more.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    /// When the first operation timed out after which none was answered.
    silent_since: Mutex<Option<Instant>>,
}

impl Stuck {
    pub(super) fn answered(&self) {
        *self.silent_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether to replace the driver now; the next one is given as much time again.
    pub(super) fn timed_out(&self, now: Instant) -> bool {
        let mut silent_since = self.silent_since.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *silent_since.get_or_insert(now);
        let is_stuck = now.saturating_duration_since(since) >= BORNE;
        if is_stuck {
            *silent_since = Some(now);
        }
        is_stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_only_times_out_is_given_up_again_and_again() {
        let (stuck, begun) = (Stuck::default(), Instant::now());
        assert!(!stuck.timed_out(begun));
        assert!(!stuck.timed_out(begun + BORNE / 2));
        assert!(stuck.timed_out(begun + BORNE));
        assert!(!stuck.timed_out(begun + BORNE * 3 / 2), "the next one has its time");
        assert!(stuck.timed_out(begun + BORNE * 2));
    }

    #[test]
    fn a_driver_that_answers_now_and_then_is_kept() {
        let (stuck, begun) = (Stuck::default(), Instant::now());
        for number in 0..10 {
            assert!(!stuck.timed_out(begun + BORNE * number));
            stuck.answered();
        }
    }
}
