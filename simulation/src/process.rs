//! One copy of the stream processor, which can die or stand still at any step.

use crate::coverage::Fault;
use crate::world::World;
use service_runtime::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What a copy is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask a store or the log for something.
    Read,
    /// Begin a write to the state store.
    Write,
    /// Write one more row of the same write.
    Row,
    /// Hand an update to the log.
    Append,
    /// Write to the serving store.
    Publish,
}

/// A copy, as its adapters see it: they ask it before they do anything.
pub(crate) struct Process {
    pub(crate) number: u32,
    pub(crate) world: Arc<World>,
    /// How far its clock is off, in ms.
    pub(crate) skew_ms: i64,
    /// It observes only: no faults and no pauses.
    pub(crate) calm: bool,
    dead: AtomicBool,
    frozen: AtomicBool,
    /// Steps that write something until it dies; 0 = it does not.
    dies_in: AtomicU64,
}

/// How often a frozen copy looks whether it may go on.
const FROZEN_TICK: Duration = Duration::from_millis(10);

impl Process {
    pub(crate) fn new(number: u32, world: Arc<World>, skew_ms: i64, calm: bool) -> Arc<Self> {
        let (dead, frozen, dies_in) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Self { number, world, skew_ms, calm, dead, frozen, dies_in })
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    pub(crate) fn freeze(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::Relaxed);
    }

    /// Nothing that it does from now on has any effect.
    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    /// It dies at the `steps`th step that writes something.
    pub(crate) fn dies_in(&self, steps: u64) {
        self.dies_in.store(steps, Ordering::Relaxed);
    }

    /// Returns when the step may be made; never, when the copy is dead or dies at it.
    pub(crate) async fn step(&self, step: Step) {
        self.alive().await;
        if self.calm {
            return;
        }
        match self.world.pause(step) {
            None => {}
            Some(Duration::ZERO) => tokio::task::yield_now().await,
            Some(pause) => tokio::time::sleep(pause).await,
        }
        self.alive().await;
        if self.dies_at(step) {
            std::future::pending::<()>().await;
        }
    }

    /// Returns once the copy may go on.
    pub(crate) async fn alive(&self) {
        while self.is_frozen() && !self.is_dead() {
            tokio::time::sleep(FROZEN_TICK).await;
        }
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    /// Counts a step that writes something, and says whether the copy died at it.
    pub(crate) fn dies_at(&self, step: Step) -> bool {
        if step == Step::Read || self.dies_in.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let left = self.dies_in.fetch_sub(1, Ordering::Relaxed) - 1;
        if left > 0 {
            return false;
        }
        self.kill();
        self.world.fault(match step {
            Step::Row => Fault::CrashBetweenRows,
            Step::Write => Fault::CrashBetweenWrites,
            Step::Append => Fault::CrashAtAppend,
            Step::Publish | Step::Read => Fault::CrashElsewhere,
        });
        self.world.note("dies", self.number, "", 0);
        true
    }
}

impl Clock for Process {
    fn now_ms(&self) -> i64 {
        self.world.now_ms() + self.skew_ms
    }
}
