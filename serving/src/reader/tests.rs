use super::*;
use async_trait::async_trait;
use futures::future::join_all;
use schemas::Version;
use schemas::published::NeighbourList;
use std::sync::atomic::{AtomicBool, Ordering};
use stores::memory::MemoryServingStore;
use stores::{Changes, WatchingReader};
use tokio::sync::Barrier;

/// A store that holds lists, but refuses the reads of those who keep them.
struct Refusing {
    held: MemoryServingStore,
    watched: Arc<Watched>,
}

/// What follows changes until it refuses, or for ever, and refuses all at once.
struct Watched {
    is_following: AtomicBool,
    goes_on: bool,
    all_there: Barrier,
}

#[async_trait]
impl ServingStore for Refusing {
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        // Whoever else was refused hears of it before this answers.
        tokio::task::yield_now().await;
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
        self.all_there.wait().await;
        self.is_following.store(self.goes_on, Ordering::Relaxed);
        let reason = "it was refused".to_owned();
        Err(StoreError::Unavailable { store: "serving store", action: "read", reason })
    }
}

/// As many lists as failures open the breaker are asked for at the same time: what the worst answer was worth.
async fn asked_at_once(goes_on: bool) -> Option<Degraded> {
    let config = ServingConfig::default();
    let count = config.breaker_failures as usize;
    let watched = Arc::new(Watched { is_following: true.into(), goes_on, all_there: Barrier::new(count) });
    let store = Refusing { held: MemoryServingStore::new(), watched };
    let products: Vec<String> = (0..count).map(|number| format!("product-{number}")).collect();
    let list = NeighbourList { version: Version::of(1, 1), ..NeighbourList::default() };
    let value: Bytes = list.encode().into();
    let published = |product: &String| (names::neighbours_key(1, product), value.clone());
    store.put_many(products.iter().map(published).collect()).await.unwrap();
    let reader = Reader::new(&config, ("", 1), Arc::new(store), None);
    let asked: Vec<[&str; 1]> = products.iter().map(|product| [product.as_str()]).collect();
    let reads = join_all(asked.iter().map(|one| reader.lists(one, |_| true))).await;
    reads.into_iter().filter_map(|read| read.degraded).max()
}

#[tokio::test]
async fn refusals_that_end_following_are_not_held_against_the_store() {
    assert_eq!(asked_at_once(false).await, None);
}

#[tokio::test]
async fn other_refusals_are() {
    assert_eq!(asked_at_once(true).await, Some(Degraded::StoresUnavailable));
}
