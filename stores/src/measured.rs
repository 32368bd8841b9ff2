//! Times what a store is asked, and counts its failures. It wraps any store.

use crate::packed::{SERVING_STORE, STATE_STORE};
use crate::{Changes, KeyRange, Row, RowStream, ServingStore, StateStore, StoreError, Table, WatchingReader};
use async_trait::async_trait;
use bytes::Bytes;
use metrics::{Histogram, counter, describe_counter, describe_histogram, histogram};
use std::future::Future;
use std::sync::{Arc, OnceLock};
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
pub struct Measured<S> {
    inner: S,
    operations: Operations,
}

impl<S> Measured<S> {
    /// Wraps a store.
    pub fn new(inner: S) -> Self {
        Self { inner, operations: Operations::default() }
    }
}

/// What may be asked of a store.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Read,
    ReadWatched,
    ReadMarkers,
    Write,
    WriteMarker,
    Scan,
    Page,
}

impl Operation {
    const COUNT: usize = Self::Page as usize + 1;

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadWatched => "read_watched",
            Self::ReadMarkers => "read_markers",
            Self::Write => "write",
            Self::WriteMarker => "write_marker",
            Self::Scan => "scan",
            Self::Page => "page",
        }
    }
}

/// The times of each operation. A series is looked up once, when the first request is done: by then there is a recorder, and
/// looking it up each time took longer than some requests.
#[derive(Debug, Default)]
struct Operations([OnceLock<Histogram>; Operation::COUNT]);

impl Operations {
    async fn measure<T>(
        &self,
        store: &'static str,
        operation: Operation,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let result = request.await;
        let name = operation.name();
        let seconds = self.0[operation as usize]
            .get_or_init(|| histogram!(SECONDS, "store" => store, "operation" => name));
        seconds.record(begun.elapsed());
        if result.is_err() {
            counter!(FAILURES, "store" => store, "operation" => name).increment(1);
        }
        result
    }
}

#[async_trait]
impl<S: ServingStore> ServingStore for Measured<S> {
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.operations.measure(SERVING_STORE, Operation::Read, self.inner.get_many(keys)).await
    }

    async fn put_many(&self, values: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        self.operations.measure(SERVING_STORE, Operation::Write, self.inner.put_many(values)).await
    }

    async fn put_marker(&self, key: &str, value: Bytes) -> Result<(), StoreError> {
        self.operations
            .measure(SERVING_STORE, Operation::WriteMarker, self.inner.put_marker(key, value))
            .await
    }

    async fn get_markers(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.operations.measure(SERVING_STORE, Operation::ReadMarkers, self.inner.get_markers(keys)).await
    }

    async fn check(&self) -> Result<Vec<String>, StoreError> {
        self.inner.check().await
    }

    fn watch(&self, changes: Arc<dyn Changes>) -> Option<Arc<dyn WatchingReader>> {
        let inner = self.inner.watch(changes)?;
        Some(Arc::new(MeasuredReader { inner, operations: Operations::default() }))
    }
}

struct MeasuredReader {
    inner: Arc<dyn WatchingReader>,
    operations: Operations,
}

#[async_trait]
impl WatchingReader for MeasuredReader {
    fn is_following(&self) -> bool {
        self.inner.is_following()
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.operations.measure(SERVING_STORE, Operation::ReadWatched, self.inner.get_many(keys)).await
    }
}

#[async_trait]
impl<S: StateStore> StateStore for Measured<S> {
    async fn migrate(&self) -> Result<(), StoreError> {
        self.inner.migrate().await
    }

    async fn get_many(
        &self,
        table: Table,
        generation: u16,
        keys: &[String],
    ) -> Result<Vec<Option<Row>>, StoreError> {
        self.operations
            .measure(STATE_STORE, Operation::Read, self.inner.get_many(table, generation, keys))
            .await
    }

    async fn put_many(&self, table: Table, generation: u16, rows: Vec<Row>) -> Result<(), StoreError> {
        self.operations
            .measure(STATE_STORE, Operation::Write, self.inner.put_many(table, generation, rows))
            .await
    }

    async fn scan(&self, table: Table, generation: u16) -> Result<RowStream, StoreError> {
        self.operations.measure(STATE_STORE, Operation::Scan, self.inner.scan(table, generation)).await
    }

    async fn scan_shard(&self, table: Table, generation: u16, shard: u32) -> Result<RowStream, StoreError> {
        self.operations
            .measure(STATE_STORE, Operation::Scan, self.inner.scan_shard(table, generation, shard))
            .await
    }

    async fn page(
        &self,
        table: Table,
        generation: u16,
        shard: u32,
        keys: KeyRange<'_>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let page = self.inner.page(table, generation, shard, keys, limit);
        self.operations.measure(STATE_STORE, Operation::Page, page).await
    }
}
