use super::*;
use async_trait::async_trait;
use schemas::Version;
use schemas::published::NeighbourList;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use stores::memory::MemoryServingStore;
use stores::{Changes, WatchingReader};

/// A store that holds lists, but refuses the reads of those who keep them.
struct Refusing {
    held: MemoryServingStore,
    watched: Arc<Watched>,
}

/// What follows changes until it is refused, or for ever.
struct Watched {
    is_following: AtomicBool,
    goes_on: bool,
    refused: AtomicU32,
}

#[async_trait]
impl ServingStore for Refusing {
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.held.get_many(keys).await
    }

    async fn put_many(&self, values: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        self.held.put_many(values).await
    }

    async fn put_marker(&self, key: &str, value: Bytes) -> Result<(), StoreError> {
        self.held.put_marker(key, value).await
    }

    async fn get_markers(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.held.get_markers(keys).await
    }

    async fn check(&self) -> Result<Vec<String>, StoreError> {
        self.held.check().await
    }

    fn watch(&self, _: Arc<dyn Changes>) -> Option<Arc<dyn WatchingReader>> {
        Some(self.watched.clone())
    }
}

#[async_trait]
impl WatchingReader for Watched {
    fn is_following(&self) -> bool {
        self.is_following.load(Ordering::Relaxed)
    }

    async fn get_many(&self, _: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.is_following.store(self.goes_on, Ordering::Relaxed);
        let reason = "it was refused".to_owned();
        Err(StoreError::Unavailable { store: "serving store", action: "read", reason })
    }
}

/// A list is asked for as often as opens the breaker, and once more: what the last answer was worth. Following begins anew before
/// each.
async fn asked_again_and_again(goes_on: bool) -> (Option<Degraded>, u32) {
    let watched = Arc::new(Watched { is_following: true.into(), goes_on, refused: 0.into() });
    let store = Refusing { held: MemoryServingStore::new(), watched: Arc::clone(&watched) };
    let list = NeighbourList { version: Version::of(1, 1), ..NeighbourList::default() };
    let keys = ["list".to_owned()];
    store.put_many(vec![(keys[0].clone(), list.encode().into())]).await.unwrap();
    let config = ServingConfig::default();
    let reader = Reader::new(&config, ("", 1), Arc::new(store), None);
    let mut degraded = None;
    for _ in 0..=config.breaker_failures {
        watched.is_following.store(true, Ordering::Relaxed);
        degraded = reader.lists(&keys, |_| true).await.degraded;
    }
    (degraded, watched.refused.load(Ordering::Relaxed))
}

#[tokio::test]
async fn refusals_that_end_following_are_not_held_against_the_store() {
    let failures = ServingConfig::default().breaker_failures;
    assert_eq!(asked_again_and_again(false).await, (None, failures + 1));
}

#[tokio::test]
async fn other_refusals_are() {
    let (degraded, refused) = asked_again_and_again(true).await;
    assert_eq!(degraded, Some(Degraded::StoresUnavailable));
    assert!(refused <= ServingConfig::default().breaker_failures, "the breaker is open");
}
