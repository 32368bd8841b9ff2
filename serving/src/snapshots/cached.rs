use crate::budget;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// After a load that came to nothing no answer tries again for this long: whoever asks gets what there is.
const PAUSE: Duration = Duration::from_millis(250);

/// A value that is loaded again from time to time, by one caller at a time. A load that fails leaves the last good value.
#[derive(Debug)]
pub(crate) struct Cached<T> {
    current: RwLock<Current<T>>,
    flight: Mutex<()>,
}

#[derive(Debug)]
struct Current<T> {
    held: Option<(Instant, Arc<T>)>,
    /// Whether the last load failed.
    failed: bool,
    /// When a load last came to nothing.
    in_vain: Option<Instant>,
}

/// A cached value and how old it is.
#[derive(Debug)]
pub(crate) struct Held<T> {
    pub(crate) value: Arc<T>,
    pub(crate) age: Duration,
    /// Whether the last try to load a newer one failed.
    pub(crate) failed: bool,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self {
            current: RwLock::new(Current { held: None, failed: false, in_vain: None }),
            flight: Mutex::default(),
        }
    }
}

impl<T> Cached<T> {
    /// What there is, however old.
    pub(crate) fn peek(&self) -> Option<Held<T>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let (at, value) = current.held.as_ref()?;
        Some(Held { value: Arc::clone(value), age: at.elapsed(), failed: current.failed })
    }

    /// A value of at most `max_age` where `load` can give one in the answer's time, else the last good one.
    pub(crate) async fn within(
        &self,
        max_age: Duration,
        load: impl Future<Output = Option<T>>,
    ) -> Option<Held<T>> {
        let young = |held: &Held<T>| held.age <= max_age;
        if let Some(held) = self.peek().filter(young) {
            return Some(held);
        }
        let Some(_alone) = budget::wait(self.flight.lock()).await else { return self.peek() };
        if self.peek().is_none_or(|held| !young(&held)) && !self.tried_in_vain() {
            self.store(load.await);
        }
        self.peek()
    }

    /// Loads now, whatever there is.
    pub(crate) async fn reload(&self, load: impl Future<Output = Option<T>>) {
        let _alone = self.flight.lock().await;
        self.store(load.await);
    }

    fn tried_in_vain(&self) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.in_vain.is_some_and(|at| at.elapsed() < PAUSE)
    }

    fn store(&self, loaded: Option<T>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Some(value) => {
                let held = Some((Instant::now(), Arc::new(value)));
                *current = Current { held, failed: false, in_vain: None };
            }
            None => {
                // An answer that had no more time says nothing about the store: others are not told that it failed.
                current.failed |= !budget::is_over();
                current.in_vain = Some(Instant::now());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn many_callers_load_once() {
        let (cached, loads) = (Cached::default(), AtomicU32::new(0));
        let load = || async {
            tokio::task::yield_now().await;
            Some(loads.fetch_add(1, Ordering::Relaxed))
        };
        let answers = futures::future::join_all((0..10).map(|_| cached.within(LONG, load()))).await;
        assert!(answers.iter().all(|held| *held.as_ref().unwrap().value == 0));
        assert_eq!(loads.into_inner(), 1);
    }

    #[tokio::test]
    async fn a_failed_load_keeps_the_last_good_value_and_is_not_repeated_at_once() {
        let cached = Cached::default();
        cached.reload(async { Some(1) }).await;
        let held = cached.within(Duration::ZERO, async { None }).await.unwrap();
        assert_eq!((*held.value, held.failed), (1, true));
        let again = cached.within(Duration::ZERO, async { unreachable!("it failed just now") });
        assert_eq!(*again.await.unwrap().value, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_time_left_says_nothing_about_the_value() {
        let (cached, budget_of_one) = (Cached::default(), Duration::from_millis(90));
        cached.reload(async { Some(1) }).await;
        let slow = async {
            tokio::time::sleep(budget::left(LONG)).await;
            None
        };
        let held = budget::within(budget_of_one, cached.within(Duration::ZERO, slow)).await.unwrap();
        assert_eq!((*held.value, held.failed), (1, false));
        let held =
            cached.within(Duration::ZERO, async { unreachable!("it was tried just now") }).await.unwrap();
        assert!(!held.failed);
        cached.reload(async { None }).await;
        assert!(cached.peek().unwrap().failed, "the one who reads it regularly has no budget");
    }
}
