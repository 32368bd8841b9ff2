//! Which generation answers are made from, and how that changes while requests go on.
//!
//! An operator makes a generation live by one record (`shopsmart promote`), which lies in both stores. Every copy looks for
//! it as often as for markers. It reads everything of the new generation that it keeps in memory before it answers from it,
//! and a request ends with the generation that it began with: no answer is made from two, or from one that is not loaded.

use crate::engine::Engine;
use schemas::published::LiveGeneration;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// For how long a copy that starts waits for the stores to say which generation is live, and a running one for the new one to
/// have trends where the old one has.
const PATIENCE: Duration = Duration::from_secs(5);

/// The engine of the live generation.
pub(crate) struct Live {
    engine: RwLock<Arc<Engine>>,
    /// The newest record seen: an older one is out of a store that was restored.
    newest: Mutex<Option<LiveGeneration>>,
    settled: CancellationToken,
}

impl Live {
    /// Answers from the generation of `engine` until a record says otherwise.
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine: RwLock::new(Arc::new(engine)),
            newest: Mutex::default(),
            settled: CancellationToken::new(),
        }
    }

    /// The engine for a request, to be used for all of it.
    pub(crate) fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Done once the stores said which generation is live, or did not for too long.
    pub(crate) async fn settled(&self) {
        self.settled.cancelled().await;
    }

    /// Keeps the snapshots fresh and changes over to what becomes live, until `token` is cancelled.
    pub(crate) async fn follow(&self, token: &CancellationToken) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let engine = self.engine();
            let next = tokio::select! {
                biased;
                () = engine.snapshots.keep_fresh(token) => return,
                next = self.next(&engine, deadline) => next,
            };
            let (from, to) = (engine.reader.generation(), next.reader.generation());
            *self.engine.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
            tracing::info!(from, to, "answering from another generation");
            self.settled.cancel();
        }
    }

    /// Waits until another generation than that of `engine` is live, and gives an engine that has read what it needs of it.
    async fn next(&self, engine: &Engine, deadline: Instant) -> Engine {
        let mut rhythm = interval(engine.config.marker_refresh());
        rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut passed_over, mut waiting) = (None, None);
        loop {
            rhythm.tick().await;
            let found = engine.reader.live_generation().await;
            let is_known = found.is_ok();
            let live = self.newer(found.unwrap_or_default());
            let Some(live) = live.filter(|live| live.generation != engine.reader.generation()) else {
                if is_known || Instant::now() >= deadline {
                    self.settle(is_known);
                }
                continue;
            };
            let next = engine.of(live.generation);
            next.snapshots.reload().await;
            // What trends is published a moment after the rows are there; a generation that began later may have nothing to say.
            let since = match waiting {
                Some((awaited, since)) if awaited == live => since,
                _ => Instant::now(),
            };
            waiting = Some((live, since));
            let is_filled = next.snapshots.trends_cover(&engine.snapshots) || since.elapsed() >= PATIENCE;
            if next.snapshots.are_loaded() && is_filled {
                return next;
            }
            if passed_over != Some(live) {
                tracing::warn!(
                    generation = live.generation,
                    answering_from = engine.reader.generation(),
                    "the live generation cannot be read yet"
                );
                passed_over = Some(live);
            }
            if Instant::now() >= deadline {
                self.settle(false);
            }
        }
    }

    fn settle(&self, is_known: bool) {
        if !self.settled.is_cancelled() {
            if !is_known {
                tracing::warn!("no store says which generation is live: beginning with the configured one");
            }
            self.settled.cancel();
        }
    }

    /// The newest record, after `found` was seen.
    fn newer(&self, found: Option<LiveGeneration>) -> Option<LiveGeneration> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if found.map(|record| record.version) > newest.map(|record| record.version) {
            *newest = found;
        }
        *newest
    }
}
