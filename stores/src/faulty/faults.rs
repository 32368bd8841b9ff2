use crate::StoreError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// Reads, scans, checks.
    Read,
    /// Writes, markers, migrations.
    Write,
}

/// What makes a store fail. Clones steer the same store. A call that fails has not reached the store inside.
#[derive(Debug, Clone)]
pub struct Faults {
    store: &'static str,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    failing: Failing,
    delay: Duration,
    reads: u64,
    writes: u64,
    failures: u64,
}

#[derive(Debug, Default, Clone, Copy)]
enum Failing {
    #[default]
    Never,
    /// The next calls, this many.
    Next(u64),
    UntilTold,
    /// Writes only, as a store that is full or has lost its quorum.
    WritesUntilTold,
}

impl Faults {
    pub(super) fn new(store: &'static str) -> Self {
        Self { store, state: Arc::default() }
    }

    /// The next `calls` calls fail as unavailable.
    pub fn fail_next(&self, calls: u64) {
        self.state().failing = Failing::Next(calls);
    }

    /// Every call fails as unavailable until [`Faults::recover`].
    pub fn fail_until_told(&self) {
        self.state().failing = Failing::UntilTold;
    }

    /// Every write fails as unavailable until [`Faults::recover`]; reads go on.
    pub fn fail_writes_until_told(&self) {
        self.state().failing = Failing::WritesUntilTold;
    }

    /// No call fails any more.
    pub fn recover(&self) {
        self.state().failing = Failing::Never;
    }

    /// Every call, failing or not, takes this much longer from now on.
    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Reads, scans and checks so far, those that failed included.
    pub fn reads(&self) -> u64 {
        self.state().reads
    }

    /// Writes, markers and migrations so far, those that failed included.
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    /// Calls that were made to fail so far.
    pub fn failures(&self) -> u64 {
        self.state().failures
    }

    /// Counts a call, holds it up and says whether it fails.
    pub(super) async fn before(&self, call: Call, action: &'static str) -> Result<(), StoreError> {
        let (fails, delay) = self.state().count(call);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if fails {
            let reason = "it was told to fail".to_owned();
            return Err(StoreError::Unavailable { store: self.store, action, reason });
        }
        Ok(())
    }

    /// The state is whole after every statement: a test that panicked elsewhere spoils nothing.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, call: Call) -> (bool, Duration) {
        match call {
            Call::Read => self.reads += 1,
            Call::Write => self.writes += 1,
        }
        let fails = match self.failing {
            Failing::Never | Failing::Next(0) => false,
            Failing::Next(calls) => {
                self.failing = Failing::Next(calls - 1);
                true
            }
            Failing::UntilTold => true,
            Failing::WritesUntilTold => call == Call::Write,
        };
        self.failures += u64::from(fails);
        (fails, self.delay)
    }
}
