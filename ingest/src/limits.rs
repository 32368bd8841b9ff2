//! Rate limits: events per caller and per user.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

/// How many checks pass between two looks at the number of keys.
const LOOK_AFTER: usize = 1_024;

/// How many keys are kept before those that have been idle are dropped.
const SWEEP_AT: usize = 10_000;

/// A limit per key, whatever the keys are: only their hashes are kept, so that long ones cost no memory. Two keys that
/// share a hash share a limit, which nobody can arrange.
pub(crate) struct Limit<C: Clock = DefaultClock> {
    limiter: RateLimiter<u64, DashMapStateStore<u64>, C, StateInformationMiddleware>,
    clock: C,
    hasher: RandomState,
    per_minute: u32,
    checks: AtomicUsize,
    sweep_at: AtomicUsize,
}

/// What a caller may still send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) per_minute: u32,
    pub(crate) remaining: u32,
}

/// Too much was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) per_minute: u32,
    pub(crate) retry_after: Duration,
}

impl Limit {
    /// `None` where `per_minute` is 0: no limit.
    pub(crate) fn new(per_minute: u32, burst: u32) -> Option<Self> {
        Self::with_clock(per_minute, burst, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limit<C> {
    fn with_clock(per_minute: u32, burst: u32, clock: C) -> Option<Self> {
        let quota = Quota::per_minute(NonZeroU32::new(per_minute)?).allow_burst(NonZeroU32::new(burst)?);
        Some(Self {
            limiter: RateLimiter::new(quota, DashMapStateStore::default(), clock.clone()),
            clock,
            hasher: RandomState::new(),
            per_minute,
            checks: AtomicUsize::new(0),
            sweep_at: AtomicUsize::new(SWEEP_AT),
        })
    }

    /// Takes `events` from what `key` may send: all of them or none.
    pub(crate) fn take(&self, key: impl Hash, events: usize) -> Result<Allowance, Exceeded> {
        let per_minute = self.per_minute;
        let exceeded = |retry_after| Exceeded { per_minute, retry_after };
        let Some(events) = u32::try_from(events).ok().and_then(NonZeroU32::new) else {
            return Ok(Allowance { per_minute, remaining: per_minute });
        };
        self.sweep_now_and_then();
        match self.limiter.check_key_n(&self.hasher.hash_one(key), events) {
            Ok(Ok(state)) => Ok(Allowance { per_minute, remaining: state.remaining_burst_capacity() }),
            Ok(Err(not_until)) => Err(exceeded(not_until.wait_time_from(self.clock.now()))),
            // More than the burst: no waiting helps, but the validated configuration allows whole batches.
            Err(_) => Err(exceeded(Duration::from_secs(60))),
        }
    }

    /// Drops idle keys when their number has doubled since the last time, so that each insertion pays for a constant
    /// share of the sweeps.
    fn sweep_now_and_then(&self) {
        if !self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK_AFTER)
            || self.limiter.len() < self.sweep_at.load(Ordering::Relaxed)
        {
            return;
        }
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
        self.sweep_at.store(SWEEP_AT.max(2 * self.limiter.len()), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    #[test]
    fn a_burst_passes_and_the_rest_waits_its_turn() {
        let clock = FakeRelativeClock::default();
        let limit = Limit::with_clock(60, 5, clock.clone()).unwrap();
        assert_eq!(limit.take("a", 3), Ok(Allowance { per_minute: 60, remaining: 2 }));
        let exceeded = limit.take("a", 3).unwrap_err();
        assert_eq!(exceeded, Exceeded { per_minute: 60, retry_after: Duration::from_secs(1) });
        assert!(limit.take("b", 5).is_ok(), "others are not concerned");
        clock.advance(exceeded.retry_after);
        assert!(limit.take("a", 3).is_ok());
    }

    #[test]
    fn idle_keys_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let limit = Limit::with_clock(60, 5, clock.clone()).unwrap();
        for key in 0..3 * SWEEP_AT {
            clock.advance(Duration::from_secs(1));
            limit.take(key, 1).unwrap();
        }
        let most = SWEEP_AT + LOOK_AFTER;
        assert!(limit.limiter.len() <= most, "{} keys are kept", limit.limiter.len());
    }

    #[test]
    fn zero_means_no_limit() {
        assert!(Limit::new(0, 5).is_none());
    }
}
