use super::*;
use async_trait::async_trait;
use bytes::Bytes;
use schemas::Version;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use stores::Changes;
use stores::memory::MemoryServingStore;
use tokio::sync::Semaphore;

/// Reads that take place, and return, when the test says so.
struct Gated {
    values: Mutex<HashMap<String, u64>>,
    reads: AtomicU64,
    returns: Semaphore,
}

#[async_trait]
impl WatchingReader for Gated {
    fn is_following(&self) -> bool {
        true
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.reads.fetch_add(keys.len() as u64, Ordering::Relaxed);
        let values: Vec<_> = keys
            .iter()
            .map(|key| self.values.lock().unwrap().get(key).map(|&offset| value(offset)))
            .collect();
        self.returns.acquire().await.unwrap().forget();
        Ok(values)
    }
}

fn value(offset: u64) -> Bytes {
    let list = NeighbourList { version: Version::of(1, offset), ..NeighbourList::default() };
    list.encode().into()
}

fn offset(list: &Published) -> u64 {
    list.as_ref().map_or(0, |list| list.version.offset())
}

fn gated(returns: usize) -> (Arc<Gated>, Arc<NearCache>) {
    let reader = Arc::new(Gated {
        values: Mutex::new(HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 1)])),
        reads: AtomicU64::new(0),
        returns: Semaphore::new(returns),
    });
    let near = NearCache { lists: Arc::new(Lists::new(1_000_000)), reader: reader.clone() };
    (reader, Arc::new(near))
}

async fn get(near: &NearCache, keys: &[&str]) -> Vec<u64> {
    let lists = match near.held("", keys).complete() {
        Ok(lists) => lists,
        Err(found) => {
            let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
            near.read(&keys, found).await.unwrap()
        }
    };
    lists.iter().map(offset).collect()
}

#[tokio::test]
async fn a_list_is_read_once_until_it_changes() {
    let (reader, near) = gated(100);
    assert_eq!(get(&near, &["a", "none", "a"]).await, [1, 0, 1]);
    assert_eq!(get(&near, &["none", "a"]).await, [0, 1]);
    assert_eq!(reader.reads.load(Ordering::Relaxed), 2, "that there is none is kept, too");
    reader.values.lock().unwrap().insert("a".to_owned(), 2);
    near.lists.changed("a");
    assert_eq!(get(&near, &["a", "none"]).await, [2, 0]);
    near.lists.all_changed();
    assert_eq!(get(&near, &["a", "none"]).await, [2, 0]);
    assert_eq!(reader.reads.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn a_list_that_changed_on_its_way_is_read_again() {
    let (reader, near) = gated(0);
    let asked = tokio::spawn({
        let near = Arc::clone(&near);
        async move { get(&near, &["a", "b"]).await }
    });
    while reader.reads.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    // The read has its answer, and only then is told that it is an old one.
    reader.values.lock().unwrap().insert("a".to_owned(), 2);
    near.lists.changed("a");
    reader.returns.add_permits(2);
    assert_eq!(asked.await.unwrap(), [2, 1]);
    assert_eq!(get(&near, &["a", "b"]).await, [2, 1], "and that is what is kept");
    assert_eq!(reader.reads.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn however_many_ask_one_reads() {
    let (reader, near) = gated(0);
    let ask = || {
        let near = Arc::clone(&near);
        async move { get(&near, &["b", "a"]).await }
    };
    let asked: Vec<_> = (0..50).map(|_| tokio::spawn(ask())).collect();
    while reader.reads.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    reader.returns.add_permits(1);
    for asked in asked {
        assert_eq!(asked.await.unwrap(), [1, 1]);
    }
    assert_eq!(reader.reads.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn who_waits_for_a_caller_that_gave_up_reads_for_itself() {
    let (reader, near) = gated(0);
    let ask = || {
        let near = Arc::clone(&near);
        tokio::spawn(async move { get(&near, &["a"]).await })
    };
    let first = ask();
    while reader.reads.load(Ordering::Relaxed) < 1 {
        tokio::task::yield_now().await;
    }
    let second = ask();
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    reader.returns.add_permits(1);
    assert_eq!(second.await.unwrap(), [1]);
    assert_eq!(reader.reads.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_key_that_changes_with_every_read_is_read_past_the_cache() {
    let (reader, near) = gated(100);
    let lists = Arc::clone(&near.lists);
    struct Restless(Arc<Gated>, Arc<Lists>);
    #[async_trait]
    impl WatchingReader for Restless {
        fn is_following(&self) -> bool {
            true
        }
        async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
            let values = self.0.get_many(keys).await;
            keys.iter().for_each(|key| self.1.changed(key));
            values
        }
    }
    let restless = NearCache { lists: Arc::clone(&lists), reader: Arc::new(Restless(reader.clone(), lists)) };
    assert_eq!(get(&restless, &["a"]).await, [1]);
    assert_eq!(reader.reads.load(Ordering::Relaxed), ATTEMPTS as u64 + 1);
}

/// Whoever asks after a change was told gets it, or a later one: with writers and readers at full speed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_gets_a_list_older_than_the_last_change_told() {
    const KEYS: usize = 4;
    const CHANGES: u64 = 5_000;
    let store = Arc::new(MemoryServingStore::new());
    let near = Arc::new(NearCache::new(&*store, 1_000_000).unwrap());
    let told: Arc<Vec<AtomicU64>> = Arc::new((0..KEYS).map(|_| AtomicU64::new(0)).collect());
    let writers = (0..KEYS).map(|key| {
        let (store, told) = (Arc::clone(&store), Arc::clone(&told));
        tokio::spawn(async move {
            for offset in 1..=CHANGES {
                store.put_many(vec![(key.to_string(), value(offset))]).await.unwrap();
                told[key].store(offset, Ordering::Release);
                tokio::task::yield_now().await;
            }
        })
    });
    let readers = (0..4).map(|_| {
        let (near, told) = (Arc::clone(&near), Arc::clone(&told));
        tokio::spawn(async move {
            let keys: Vec<String> = (0..KEYS).map(|key| key.to_string()).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            loop {
                let before: Vec<u64> = told.iter().map(|offset| offset.load(Ordering::Acquire)).collect();
                let got = get(&near, &keys).await;
                for (key, (got, before)) in got.iter().zip(&before).enumerate() {
                    assert!(got >= before, "key {key}: {got} after {before} was told");
                }
                if before.iter().all(|&offset| offset == CHANGES) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
    });
    for task in writers.chain(readers).collect::<Vec<_>>() {
        task.await.unwrap();
    }
}
