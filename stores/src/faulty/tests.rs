use super::*;
use crate::memory::MemoryServingStore;

fn store() -> FaultyServingStore<MemoryServingStore> {
    FaultyServingStore::new(MemoryServingStore::new())
}

async fn put(store: &impl ServingStore) -> Result<(), StoreError> {
    store.put_many(vec![("a".to_owned(), Bytes::from_static(&[1; 9]))]).await
}

async fn get(store: &impl ServingStore) -> Result<Vec<Option<Bytes>>, StoreError> {
    store.get_many(&["a".to_owned()]).await
}

#[tokio::test]
async fn the_next_calls_fail_and_do_not_reach_the_store() {
    let store = store();
    store.faults().fail_next(2);
    assert!(put(&store).await.is_err());
    assert!(get(&store).await.is_err());
    assert_eq!(get(&store).await, Ok(vec![None]));
    assert_eq!((store.faults().writes(), store.faults().reads(), store.faults().failures()), (1, 2, 2));
}

#[tokio::test]
async fn a_store_fails_until_it_is_told_to_recover() {
    let store = store();
    store.faults().fail_until_told();
    for _ in 0..3 {
        assert!(matches!(put(&store).await, Err(StoreError::Unavailable { .. })));
    }
    store.faults().recover();
    assert_eq!(put(&store).await, Ok(()));
}

#[tokio::test]
async fn writes_can_fail_while_reads_go_on() {
    let store = store();
    store.faults().fail_writes_until_told();
    assert!(put(&store).await.is_err());
    assert_eq!(get(&store).await, Ok(vec![None]));
}
