//! An orderly start and stop.
//!
//! Components run until told to stop. One that ends, fails or panics before that is a failure of the process: it stops
//! everything else, and [`Lifecycle::run`] returns an error, so that `main` exits non-zero and something restarts it.
//! On SIGTERM or SIGINT readiness drops first, then every component has its own budget to finish.

mod failure;

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use self::failure::panic_message;
pub use self::failure::{Failure, FailureCause, LifecycleError};
use crate::health::Health;

/// Runs a process's components until shutdown or the first failure.
pub struct Lifecycle {
    health: Health,
    requested: CancellationToken,
    stop: CancellationToken,
    notice: Duration,
    tasks: JoinSet<anyhow::Result<()>>,
    running: HashMap<Id, Running>,
}

struct Running {
    name: String,
    budget: Duration,
}

type Ended = Result<(Id, anyhow::Result<()>), JoinError>;

/// Asks for a shutdown from code: tests, or a program that has finished its work. Clones are equal.
#[derive(Clone, Debug)]
pub struct Shutdown {
    health: Health,
    requested: CancellationToken,
}

impl Shutdown {
    /// Drops readiness and begins the shutdown. Asking again changes nothing.
    pub fn trigger(&self) {
        self.health.begin_shutdown();
        self.requested.cancel();
    }

    /// Whether a shutdown has been asked for.
    pub fn is_triggered(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Waits until a shutdown has been asked for.
    pub async fn triggered(&self) {
        self.requested.cancelled().await;
    }
}

impl Lifecycle {
    /// A lifecycle without components, which takes `health`'s readiness away at shutdown.
    pub fn new(health: Health) -> Self {
        Self {
            health,
            requested: CancellationToken::new(),
            stop: CancellationToken::new(),
            notice: Duration::ZERO,
            tasks: JoinSet::new(),
            running: HashMap::new(),
        }
    }

    /// Time between dropping readiness and telling the components to stop, so that load balancers notice. None by
    /// default; not observed after a failure.
    #[must_use]
    pub fn with_notice(mut self, notice: Duration) -> Self {
        self.notice = notice;
        self
    }

    /// A handle that begins the shutdown.
    pub fn shutdown(&self) -> Shutdown {
        Shutdown { health: self.health.clone(), requested: self.requested.clone() }
    }

    /// Starts a component. `work` is given the token that tells it to stop; after that it has `budget` to return.
    /// Must be called within a tokio runtime.
    pub fn spawn<F>(
        &mut self,
        name: impl Into<String>,
        budget: Duration,
        work: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let task = self.tasks.spawn(work(self.stop.clone()));
        self.running.insert(task.id(), Running { name: name.into(), budget });
    }

    /// Waits for SIGTERM, SIGINT, [`Shutdown::trigger`] or the first failure, then stops everything within the budgets.
    /// A second signal stops waiting.
    ///
    /// # Errors
    /// Every component that ended early, failed, panicked or missed its budget; also when no signal handler can be set.
    pub async fn run(mut self) -> Result<(), LifecycleError> {
        let mut signals = Signals::listen()?;
        let mut failures = Vec::new();
        tokio::select! {
            // First the request: a component may ask for the shutdown and return at once.
            biased;
            () = self.requested.cancelled() => tracing::info!("shutdown was asked for"),
            name = signals.next() => tracing::info!(signal = name, "shutdown begins"),
            Some(ended) = self.tasks.join_next_with_id() => failures.extend(self.ended(ended, true)),
        }
        self.shutdown().trigger();
        let mut hurry = false;
        if failures.is_empty() && !self.notice.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(self.notice) => {}
                _ = signals.next() => hurry = true,
            }
        }
        self.stop.cancel();
        self.drain(&mut signals, hurry, &mut failures).await;
        for failure in &failures {
            tracing::error!(component = %failure.component, "{failure}");
        }
        if failures.is_empty() { Ok(()) } else { Err(LifecycleError::Components(failures)) }
    }

    /// Waits for each component within its budget, all budgets beginning now.
    async fn drain(&mut self, signals: &mut Signals, mut hurry: bool, failures: &mut Vec<Failure>) {
        let begun = Instant::now();
        while !self.running.is_empty() {
            // Who has finished is not late, however late we look.
            while let Some(ended) = self.tasks.try_join_next_with_id() {
                failures.extend(self.ended(ended, false));
            }
            let passed = begun.elapsed();
            self.running.retain(|_, r| {
                let late = hurry || passed >= r.budget;
                if late {
                    failures.push(Failure::new(&r.name, FailureCause::MissedBudget(r.budget.min(passed))));
                }
                !late
            });
            let Some(next) = self.running.values().map(|r| r.budget).min() else { break };
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next_with_id() => failures.extend(self.ended(ended, false)),
                _ = signals.next() => hurry = true,
                () = tokio::time::sleep_until(begun + next) => {}
            }
        }
        self.tasks.abort_all();
    }

    fn ended(&mut self, ended: Ended, early: bool) -> Option<Failure> {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        // Absent: it missed its budget and was reported.
        let name = self.running.remove(&id)?.name;
        let cause = match ended {
            Ok((_, Ok(()))) if early => FailureCause::EndedEarly,
            Ok((_, Ok(()))) => return None,
            Ok((_, Err(error))) => FailureCause::Failed(error),
            Err(error) => FailureCause::panicked(error),
        };
        Some(Failure::new(&name, cause))
    }
}

struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn listen() -> Result<Self, LifecycleError> {
        let on = |kind| signal(kind).map_err(LifecycleError::Signals);
        Ok(Self { term: on(SignalKind::terminate())?, int: on(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests;
