//! Times what a store is asked, and counts its failures. It wraps any store.

use crate::packed::{SERVING_STORE, STATE_STORE};
use crate::{Changes, Row, RowStream, ServingStore, StateStore, StoreError, Table, WatchingReader};
use async_trait::async_trait;
use bytes::Bytes;
use metrics::{counter, describe_counter, describe_histogram, histogram};
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

const SECONDS: &str = "store_request_seconds";
const FAILURES: &str = "store_failures_total";

/// Tells what this crate's metrics mean.
pub fn describe_metrics() {
    describe_histogram!(
        SECONDS,
        "Time of requests to a `store` (`serving store`, `state store`) by `operation`, failed ones included; those that serving gives up on are in `serving_store_reads_total` only. Alert when \
         the 99th percentile of reads stays above 50 ms, or of writes above 1 s, for 5 minutes"
    );
    describe_counter!(
        FAILURES,
        "Requests to a `store` that failed, by `operation`. Alert when it grows for 2 minutes: the store is down, or \
         refuses what it is given"
    );
}

/// A store whose requests are measured.
#[derive(Debug)]
pub struct Measured<S>(S);

impl<S> Measured<S> {
    /// Wraps a store.
    pub fn new(inner: S) -> Self {
        Self(inner)
    }
}

async fn measure<T>(
    store: &'static str,
    operation: &'static str,
    request: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let begun = Instant::now();
    let result = request.await;
    histogram!(SECONDS, "store" => store, "operation" => operation).record(begun.elapsed());
    if result.is_err() {
        counter!(FAILURES, "store" => store, "operation" => operation).increment(1);
    }
    result
}

#[async_trait]
impl<S: ServingStore> ServingStore for Measured<S> {
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        measure(SERVING_STORE, "read", self.0.get_many(keys)).await
    }

    async fn put_many(&self, values: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        measure(SERVING_STORE, "write", self.0.put_many(values)).await
    }

    async fn put_marker(&self, key: &str, value: Bytes) -> Result<(), StoreError> {
        measure(SERVING_STORE, "write_marker", self.0.put_marker(key, value)).await
    }

    async fn get_markers(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        measure(SERVING_STORE, "read_markers", self.0.get_markers(keys)).await
    }

    async fn check(&self) -> Result<Vec<String>, StoreError> {
        self.0.check().await
    }

    fn watch(&self, changes: Arc<dyn Changes>) -> Option<Arc<dyn WatchingReader>> {
        Some(Arc::new(MeasuredReader(self.0.watch(changes)?)))
    }
}

struct MeasuredReader(Arc<dyn WatchingReader>);

#[async_trait]
impl WatchingReader for MeasuredReader {
    fn is_following(&self) -> bool {
        self.0.is_following()
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        measure(SERVING_STORE, "read_watched", self.0.get_many(keys)).await
    }
}

#[async_trait]
impl<S: StateStore> StateStore for Measured<S> {
    async fn migrate(&self) -> Result<(), StoreError> {
        self.0.migrate().await
    }

    async fn get_many(
        &self,
        table: Table,
        generation: u16,
        keys: &[String],
    ) -> Result<Vec<Option<Row>>, StoreError> {
        measure(STATE_STORE, "read", self.0.get_many(table, generation, keys)).await
    }

    async fn put_many(&self, table: Table, generation: u16, rows: Vec<Row>) -> Result<(), StoreError> {
        measure(STATE_STORE, "write", self.0.put_many(table, generation, rows)).await
    }

    async fn scan(&self, table: Table, generation: u16) -> Result<RowStream, StoreError> {
        measure(STATE_STORE, "scan", self.0.scan(table, generation)).await
    }

    async fn scan_shard(&self, table: Table, generation: u16, shard: u32) -> Result<RowStream, StoreError> {
        measure(STATE_STORE, "scan", self.0.scan_shard(table, generation, shard)).await
    }
}
