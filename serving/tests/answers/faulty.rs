//! Stores that can be told to fail, and that count how often they are asked.

use async_trait::async_trait;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use stores::memory::MemoryServingStore;
use stores::{Row, RowStream, ServingStore, StateStore, StoreError, Table};
use tokio::sync::watch;

/// How a store answers.
#[derive(Debug, Default)]
pub struct Faults {
    pub down: AtomicBool,
    pub hangs: AtomicBool,
    asked: watch::Sender<u32>,
}

impl Faults {
    async fn ask(&self) -> Result<(), StoreError> {
        self.asked.send_modify(|asked| *asked += 1);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.down.load(Ordering::SeqCst) {
            let reason = "told to fail".to_owned();
            return Err(StoreError::Unavailable { store: "test store", action: "read", reason });
        }
        Ok(())
    }

    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Reads so far.
    pub fn asked(&self) -> u32 {
        *self.asked.borrow()
    }

    /// Waits for a further read.
    pub async fn asked_more_than(&self, count: u32) {
        self.asked.subscribe().wait_for(|asked| *asked > count).await.unwrap();
    }
}

#[derive(Debug, Default)]
pub struct TestServingStore {
    pub values: MemoryServingStore,
    pub faults: Faults,
}

#[async_trait]
impl ServingStore for TestServingStore {
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.faults.ask().await?;
        self.values.get_many(keys).await
    }

    async fn put_many(&self, values: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        self.values.put_many(values).await
    }

    async fn put_marker(&self, key: &str, value: Bytes) -> Result<(), StoreError> {
        self.values.put_marker(key, value).await
    }

    async fn get_markers(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.faults.ask().await?;
        self.values.get_markers(keys).await
    }

    async fn check(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}

#[derive(Debug, Default)]
pub struct TestStateStore {
    rows: Mutex<HashMap<(Table, String), Row>>,
    pub faults: Faults,
}

#[async_trait]
impl StateStore for TestStateStore {
    async fn migrate(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn get_many(&self, table: Table, _: u16, keys: &[String]) -> Result<Vec<Option<Row>>, StoreError> {
        self.faults.ask().await?;
        let rows = self.rows.lock().unwrap();
        Ok(keys.iter().map(|key| rows.get(&(table, key.clone())).cloned()).collect())
    }

    async fn put_many(&self, table: Table, _: u16, rows: Vec<Row>) -> Result<(), StoreError> {
        self.rows.lock().unwrap().extend(rows.into_iter().map(|row| ((table, row.key.clone()), row)));
        Ok(())
    }

    async fn scan(&self, _: Table, _: u16) -> Result<RowStream, StoreError> {
        unreachable!("serving scans nothing")
    }

    async fn scan_shard(&self, _: Table, _: u16, _: u32) -> Result<RowStream, StoreError> {
        unreachable!("serving scans nothing")
    }
}
