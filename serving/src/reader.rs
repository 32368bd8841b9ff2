//! Reading from the stores: the serving store first, the state store when it is late, gone or incomplete.

use crate::breaker::Breaker;
use crate::budget;
use crate::config::ServingConfig;
use crate::degraded::Degraded;
use crate::metrics;
use crate::near::{NearCache, Published, published};
use bytes::Bytes;
use schemas::DecodeError;
use schemas::names::{self, NO_GENERATION};
use schemas::published::{LiveGeneration, UserHistory};
use schemas::user::UserKey;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use stores::{Row, ServingStore, StateStore, StoreError, Table};
use tokio::time::Instant;

/// Something read, and whether that took a detour.
#[derive(Debug, Clone, Default)]
pub(crate) struct Read<T> {
    pub(crate) value: T,
    pub(crate) degraded: Option<Degraded>,
}

/// Between tries to connect the state store.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Reads one generation out of the stores. Cheap to make: those of all generations share the stores and their breakers.
#[derive(Clone)]
pub(crate) struct Reader {
    generation: u16,
    stores: Arc<Stores>,
}

/// The stores behind their time limits.
struct Stores {
    near: Option<NearCache>,
    serving: Guarded<dyn ServingStore>,
    state: Option<Guarded<dyn StateStore>>,
    /// What the record of the live generation is called.
    live_key: String,
}

/// A store did not answer, or was not asked because it has not been answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unavailable;

impl Reader {
    pub(crate) fn new(
        config: &ServingConfig,
        (topic_prefix, generation): (&str, u16),
        serving: Arc<dyn ServingStore>,
        state: Option<Arc<dyn StateStore>>,
    ) -> Self {
        let near = NearCache::new(&*serving, config.near_cache_mb * 1_000_000);
        let breaker = || Breaker::new(config.breaker_failures, Duration::from_millis(config.breaker_open_ms));
        let serving = Guarded {
            name: "serving",
            store: serving,
            timeout: Duration::from_millis(config.store_timeout_ms),
            breaker: breaker(),
        };
        let timeout = Duration::from_millis(config.fallback_timeout_ms);
        let state = state.map(|store| Guarded { name: "state", store, timeout, breaker: breaker() });
        let live_key = names::live_key(topic_prefix);
        Self { generation, stores: Arc::new(Stores { near, serving, state, live_key }) }
    }

    /// A reader of another generation.
    pub(crate) fn of(&self, generation: u16) -> Self {
        Self { generation, stores: Arc::clone(&self.stores) }
    }

    pub(crate) fn generation(&self) -> u16 {
        self.generation
    }

    /// Published values in the order of `keys`. Where the serving store has none, the state store is asked too, unless
    /// `complete` says of the key's index that "none" can be believed.
    pub(crate) async fn published(
        &self,
        keys: &[String],
        complete: impl Fn(usize) -> bool,
    ) -> Read<Vec<Option<Bytes>>> {
        if keys.is_empty() {
            return Read::default();
        }
        match self.stores.serving.ask(|store| async move { store.get_many(keys).await }).await {
            Ok(values) => self.completed(keys, values, complete).await,
            Err(Unavailable) => self.published_fallback(keys).await,
        }
    }

    /// Neighbour lists in the order of `products`: those kept in this process, the others as [`Self::published`] reads them.
    pub(crate) async fn lists(
        &self,
        products: &[&str],
        complete: impl Fn(usize) -> bool,
    ) -> Read<Vec<Published>> {
        let near = match &self.stores.near {
            Some(near) => self.near_lists(near, products).await,
            None => None,
        };
        // In doubt about one, all are read the other way: that does not last.
        if let Some(lists) = near
            && lists.iter().enumerate().all(|(index, list)| list.is_some() || complete(index))
        {
            return Read { value: lists, degraded: None };
        }
        let read = self.published(&self.neighbours_keys(products), complete).await;
        let lists = read.value.into_iter().map(|value| published(&value?)).collect();
        Read { value: lists, degraded: read.degraded }
    }

    fn neighbours_keys(&self, products: &[&str]) -> Vec<String> {
        products.iter().map(|product| names::neighbours_key(self.generation, product)).collect()
    }

    async fn near_lists(&self, near: &NearCache, products: &[&str]) -> Option<Vec<Published>> {
        let prefix = names::neighbours_key(self.generation, "");
        let found = match near.held(&prefix, products).complete() {
            Ok(lists) => return Some(lists),
            Err(found) => found,
        };
        if !near.is_following() {
            return None;
        }
        let keys = self.neighbours_keys(products);
        let read = async |_| match near.read(&keys, found).await {
            Ok(lists) => Ok(Some(lists)),
            // Keys have moved, say: that is no fault of the store, which can be asked the other way.
            Err(_) if !near.is_following() => Ok(None),
            Err(error) => Err(error),
        };
        self.stores.serving.ask(read).await.ok().flatten()
    }

    async fn published_fallback(&self, keys: &[String]) -> Read<Vec<Option<Bytes>>> {
        match self.published_state(keys).await {
            Ok(value) => Read { value, degraded: Some(Degraded::ServingStoreUnavailable) },
            Err(Unavailable) => {
                Read { value: vec![None; keys.len()], degraded: Some(Degraded::StoresUnavailable) }
            }
        }
    }

    /// Values of the serving store, with those of the state store where it has none and may lack some.
    async fn completed(
        &self,
        keys: &[String],
        mut values: Vec<Option<Bytes>>,
        complete: impl Fn(usize) -> bool,
    ) -> Read<Vec<Option<Bytes>>> {
        let doubtful: Vec<usize> =
            (0..keys.len()).filter(|&index| values[index].is_none() && !complete(index)).collect();
        if doubtful.is_empty() {
            return Read { value: values, degraded: None };
        }
        let missing: Vec<String> = doubtful.iter().map(|&index| keys[index].clone()).collect();
        let Ok(found) = self.published_state(&missing).await else {
            let degraded = self.stores.state.is_some().then_some(Degraded::StoresUnavailable);
            return Read { value: values, degraded };
        };
        let mut degraded = None;
        for (index, found) in doubtful.into_iter().zip(found).filter(|(_, found)| found.is_some()) {
            values[index] = found;
            degraded = Some(Degraded::ServingStoreIncomplete);
        }
        Read { value: values, degraded }
    }

    /// A user's history. `complete` says whether "none" of the serving store can be believed.
    pub(crate) async fn history(&self, user: &UserKey, complete: bool) -> Read<Option<UserHistory>> {
        let keys = [names::user_key(self.generation, user.as_str())];
        let keys = &keys;
        let asked = self.stores.serving.ask(|store| async move { store.get_many(keys).await }).await;
        let detour = match asked {
            Ok(mut values) => match values.pop().flatten() {
                Some(value) => {
                    return Read { value: decoded(UserHistory::decode(&value)), degraded: None };
                }
                None if complete => return Read::default(),
                None => Degraded::ServingStoreIncomplete,
            },
            Err(Unavailable) => Degraded::ServingStoreUnavailable,
        };
        match self.state_rows(Table::UserHistory, &[user.as_str().to_owned()]).await {
            Ok(mut rows) => {
                let history = rows
                    .pop()
                    .flatten()
                    .and_then(|row| decoded(recommender::user_row::decode_history(&row.state)));
                // Nothing anywhere is what a newcomer looks like: that alone does not make an answer worse.
                let degraded =
                    (detour != Degraded::ServingStoreIncomplete || history.is_some()).then_some(detour);
                Read { value: history, degraded }
            }
            // Without a state store there is nothing that could know more.
            Err(Unavailable) if detour == Degraded::ServingStoreIncomplete && self.stores.state.is_none() => {
                Read::default()
            }
            Err(Unavailable) => Read { value: None, degraded: Some(Degraded::StoresUnavailable) },
        }
    }

    /// Markers in the order of `keys`. There is no other place for them: they say how the serving store is doing.
    pub(crate) async fn markers(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Unavailable> {
        self.stores.serving.ask(|store| async move { store.get_markers(keys).await }).await
    }

    /// Asks the state store once without a time limit, and again until it answers. Adapters connect when first asked, which
    /// takes longer than a request may wait: a fallback that has to connect first would never be ready.
    pub(crate) async fn connect_fallback(&self) {
        let Some(state) = &self.stores.state else { return };
        let key = [names::layout_key(self.generation)];
        while let Err(error) = state.store.get_many(Table::Published, self.generation, &key).await {
            tracing::warn!(%error, "there is no fallback yet");
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
        tracing::info!("the fallback is ready");
    }

    /// The newest record of which generation is live, out of both stores: the serving store's is a copy, and may be an old one
    /// when that store was restored. `Err` when the one that knows did not answer and the other has none.
    pub(crate) async fn live_generation(&self) -> Result<Option<LiveGeneration>, Unavailable> {
        let keys = std::slice::from_ref(&self.stores.live_key);
        let copy = async {
            let values = self.stores.serving.ask(|store| async move { store.get_many(keys).await }).await?;
            Ok(values.into_iter().next().flatten())
        };
        let kept = async {
            let Some(state) = &self.stores.state else { return Ok(None) };
            let asked = state
                .ask(|store| async move { store.get_many(Table::Published, NO_GENERATION, keys).await })
                .await?;
            Ok(asked.into_iter().next().flatten().map(|row| row.state))
        };
        let (copy, kept): (Result<_, Unavailable>, Result<_, Unavailable>) = tokio::join!(copy, kept);
        let found = [&copy, &kept].into_iter().flatten().flatten();
        let newest = found
            .filter_map(|value| decoded(LiveGeneration::decode(value)))
            .max_by_key(|record| record.version);
        let knows = if self.stores.state.is_some() { kept.is_ok() } else { copy.is_ok() };
        if newest.is_none() && !knows { Err(Unavailable) } else { Ok(newest) }
    }

    async fn published_state(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Unavailable> {
        let rows = self.state_rows(Table::Published, keys).await?;
        Ok(rows.into_iter().map(|row| row.map(|row| row.state)).collect())
    }

    async fn state_rows(&self, table: Table, keys: &[String]) -> Result<Vec<Option<Row>>, Unavailable> {
        let generation = self.generation;
        let state = self.stores.state.as_ref().ok_or(Unavailable)?;
        state.ask(|store| async move { store.get_many(table, generation, keys).await }).await
    }
}

/// A value, or nothing where it cannot be read, which is counted.
pub(crate) fn decoded<T>(value: Result<T, DecodeError>) -> Option<T> {
    value
        .inspect_err(|error| {
            metrics::unreadable();
            tracing::warn!(%error, "passing over a stored value that cannot be read");
        })
        .ok()
}

/// A store that is asked within a time limit, and left alone for a while when it keeps failing.
struct Guarded<S: ?Sized> {
    name: &'static str,
    store: Arc<S>,
    timeout: Duration,
    breaker: Breaker,
}

impl<S: ?Sized> Guarded<S> {
    async fn ask<'a, T, F>(&'a self, question: impl FnOnce(&'a S) -> F) -> Result<T, Unavailable>
    where
        F: Future<Output = Result<T, StoreError>> + 'a,
    {
        let timeout = budget::left(self.timeout);
        if timeout.is_zero() {
            metrics::store_read(self.name, "no_time");
            return Err(Unavailable);
        }
        if !self.breaker.allows() {
            metrics::store_read(self.name, "open");
            return Err(Unavailable);
        }
        let begun = Instant::now();
        let answer = tokio::time::timeout(timeout, question(&self.store)).await;
        metrics::store_read_took(self.name, begun.elapsed());
        match answer {
            Ok(Ok(value)) => {
                self.breaker.succeeded();
                metrics::store_read(self.name, "ok");
                return Ok(value);
            }
            Ok(Err(error)) => {
                metrics::store_read(self.name, "error");
                tracing::debug!(store = self.name, %error, "a read failed");
            }
            Err(_) => {
                metrics::store_read(self.name, "timeout");
                tracing::debug!(store = self.name, ?timeout, "a read took too long");
                if timeout < self.timeout {
                    // Others took the time: that says nothing about this store.
                    return Err(Unavailable);
                }
            }
        }
        self.breaker.failed();
        Err(Unavailable)
    }
}

#[cfg(test)]
mod tests;
