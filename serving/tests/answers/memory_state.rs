//! A state store in memory.

use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::Mutex;
use stores::{KeyRange, Row, RowStream, StateStore, StoreError, Table};

#[derive(Debug, Default)]
pub struct MemoryStateStore {
    rows: Mutex<HashMap<(Table, u16, String), Row>>,
}

#[async_trait]
impl StateStore for MemoryStateStore {
    async fn migrate(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn get_many(
        &self,
        table: Table,
        generation: u16,
        keys: &[String],
    ) -> Result<Vec<Option<Row>>, StoreError> {
        let rows = self.rows.lock().unwrap();
        Ok(keys.iter().map(|key| rows.get(&(table, generation, key.clone())).cloned()).collect())
    }

    async fn put_many(&self, table: Table, generation: u16, rows: Vec<Row>) -> Result<(), StoreError> {
        self.rows
            .lock()
            .unwrap()
            .extend(rows.into_iter().map(|row| ((table, generation, row.key.clone()), row)));
        Ok(())
    }

    async fn scan(&self, _: Table, _: u16) -> Result<RowStream, StoreError> {
        unreachable!("serving scans nothing")
    }

    async fn scan_shard(&self, _: Table, _: u16, _: u32) -> Result<RowStream, StoreError> {
        unreachable!("serving scans nothing")
    }

    async fn page(
        &self,
        _: Table,
        _: u16,
        _: u32,
        _: KeyRange<'_>,
        _: usize,
    ) -> Result<Vec<Row>, StoreError> {
        unreachable!("serving reads by key only")
    }
}
