//! The stores, as one copy reaches them.

use crate::broken::Broken;
use crate::coverage::Fault;
use crate::process::{Process, Step};
use crate::world::PARTITIONS;
use async_trait::async_trait;
use bytes::Bytes;
use schemas::partition::partition_of;
use schemas::published::{Marker, version_of};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stores::memory::MemoryServingStore;
use stores::{KeyRange, Row, RowStream, ServingStore, StateStore, StoreError, Table};
use tokio::sync::mpsc;

/// The state store: rows are written one by one, and anything may happen in between.
pub(crate) struct SimulatedState {
    process: Arc<Process>,
    /// Only while [`Broken::ProgressReadFirst`]: rows as they were before the progress of their partition was read.
    early: Mutex<BTreeMap<(Table, u32), BTreeMap<String, Row>>>,
}

fn unavailable(store: &'static str, action: &'static str) -> StoreError {
    StoreError::Unavailable { store, action, reason: "the simulation says so".to_owned() }
}

/// How a write fails.
#[derive(Debug, Clone, Copy)]
struct Failure {
    /// After this many rows.
    after: usize,
}

impl SimulatedState {
    pub(crate) fn new(process: Arc<Process>) -> Self {
        Self { process, early: Mutex::default() }
    }

    async fn before_read(&self, action: &'static str) -> Result<(), StoreError> {
        self.process.step(Step::Read).await;
        if self.process.calm {
            return Ok(());
        }
        let mut state = self.process.world.state();
        if state.plan.state_reads_fail == 0 {
            return Ok(());
        }
        state.plan.state_reads_fail -= 1;
        state.coverage.fault(Fault::StateReadFailed);
        Err(unavailable("state store", action))
    }

    fn failure(&self, rows: usize) -> Option<Failure> {
        let mut state = self.process.world.state();
        if self.process.calm || state.plan.state_writes_fail == 0 {
            return None;
        }
        state.plan.state_writes_fail -= 1;
        let after = if state.random.bool() { 0 } else { state.random.usize(0..=rows) };
        state.coverage.fault(if after == 0 { Fault::StateWriteFailed } else { Fault::StateWriteCutShort });
        Some(Failure { after })
    }

    /// Some rows of a write that its copy did not live to see the end of arrive later.
    fn land_late(&self, table: Table, rows: Vec<Row>) {
        let process = Arc::clone(&self.process);
        let pause = process.world.draw(|random| {
            random.bool().then(|| Duration::from_millis(if random.bool() { 0 } else { random.u64(1..4_000) }))
        });
        let Some(pause) = pause.filter(|_| !rows.is_empty()) else { return };
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            process.world.fault(Fault::RowsLandLate);
            rows.into_iter().for_each(|row| process.world.write(&process, table, row));
        });
    }

    fn remember_early(&self, key: &str) -> bool {
        let stages = [("progress:shopper:", Table::UserHistory), ("progress:product:", Table::ProductState)];
        for (prefix, table) in stages {
            let Some(partition) = key.strip_prefix(prefix) else { continue };
            let partition: u32 = partition.parse().expect("progress keys end with a partition");
            let state = self.process.world.state();
            let of_partition = state.rows.iter().filter(|((of, key), _)| {
                *of == table && partition_of(key.as_bytes(), PARTITIONS) == partition
            });
            let rows = of_partition.map(|((_, key), row)| (key.clone(), row.clone())).collect();
            self.early.lock().expect("no holder panics").insert((table, partition), rows);
            return true;
        }
        false
    }

    fn row(&self, table: Table, key: &str) -> Option<Row> {
        if self.process.world.broken == Broken::ProgressReadFirst {
            let early = self.early.lock().expect("no holder panics");
            if let Some(rows) = early.get(&(table, partition_of(key.as_bytes(), PARTITIONS))) {
                return rows.get(key).cloned();
            }
        }
        self.process.world.state().rows.get(&(table, key.to_owned())).cloned()
    }

    fn scan_where(&self, table: Table, wanted: impl Fn(&str) -> bool) -> RowStream {
        let state = self.process.world.state();
        let rows = state.rows.range((table, String::new())..).take_while(|((of, _), _)| *of == table);
        let rows: Vec<Row> = rows.filter(|((_, key), _)| wanted(key)).map(|(_, row)| row.clone()).collect();
        let (sender, receiver) = mpsc::channel(rows.len() + 1);
        rows.into_iter().for_each(|row| sender.try_send(Ok(row)).expect("there is room for all"));
        receiver
    }
}

#[async_trait]
impl StateStore for SimulatedState {
    async fn migrate(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn get_many(
        &self,
        table: Table,
        _generation: u16,
        keys: &[String],
    ) -> Result<Vec<Option<Row>>, StoreError> {
        self.before_read("read").await?;
        if self.process.world.broken == Broken::ProgressReadFirst
            && table == Table::Progress
            && keys.first().is_some_and(|key| self.remember_early(key))
        {
            let pause = self.process.world.draw(|random| random.u64(0..1_500));
            tokio::time::sleep(Duration::from_millis(pause)).await;
            self.process.alive().await;
        }
        let rows = keys.iter().map(|key| self.row(table, key)).collect();
        self.process.world.note("reads", self.process.number, table.name(), keys.len() as u64);
        Ok(rows)
    }

    async fn put_many(&self, table: Table, _generation: u16, mut rows: Vec<Row>) -> Result<(), StoreError> {
        let process = &self.process;
        process.step(Step::Read).await;
        // The order within a write is nobody's promise.
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        process.world.draw(|random| random.shuffle(&mut rows));
        if process.dies_at(Step::Write) {
            self.land_late(table, rows);
            return std::future::pending().await;
        }
        let failure = self.failure(rows.len());
        let mut rows = rows.into_iter();
        let mut written = 0;
        loop {
            if failure.is_some_and(|failure| failure.after == written) {
                return Err(unavailable("state store", "write"));
            }
            let Some(row) = rows.next() else { return Ok(()) };
            if written > 0 {
                if process.dies_at(Step::Row) {
                    self.land_late(table, std::iter::once(row).chain(rows).collect());
                    return std::future::pending().await;
                }
                process.step(Step::Read).await;
            }
            if let Some(rows) = self
                .early
                .lock()
                .expect("no holder panics")
                .get_mut(&(table, partition_of(row.key.as_bytes(), PARTITIONS)))
            {
                rows.insert(row.key.clone(), row.clone());
            }
            process.world.write(process, table, row);
            written += 1;
        }
    }

    async fn scan(&self, table: Table, _generation: u16) -> Result<RowStream, StoreError> {
        self.before_read("scan").await?;
        Ok(self.scan_where(table, |_| true))
    }

    async fn scan_shard(&self, table: Table, _generation: u16, shard: u32) -> Result<RowStream, StoreError> {
        if !self.process.calm && self.process.world.state().plan.state_reads_fail > 0 {
            self.before_read("scan").await?;
        }
        Ok(self.scan_where(table, |key| table.shard_of(key) == Some(shard)))
    }

    async fn page(
        &self,
        table: Table,
        _generation: u16,
        shard: u32,
        keys: KeyRange<'_>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.before_read("read a page").await?;
        if keys.above >= keys.below {
            return Ok(Vec::new());
        }
        let state = self.process.world.state();
        let rows = state.rows.range((table, keys.above.to_owned())..(table, keys.below.to_owned()));
        let rows = rows.filter(|((_, key), _)| key != keys.above && table.shard_of(key) == Some(shard));
        Ok(rows.map(|(_, row)| row.clone()).take(limit).collect())
    }
}

/// The serving store: what is published, which may be late or lost.
pub(crate) struct SimulatedServing {
    pub(crate) process: Arc<Process>,
    pub(crate) inner: Arc<MemoryServingStore>,
}

impl SimulatedServing {
    async fn before(&self, step: Step, action: &'static str) -> Result<(), StoreError> {
        self.process.step(step).await;
        let mut state = self.process.world.state();
        if self.process.calm || !state.plan.serving_down {
            return Ok(());
        }
        if !std::mem::replace(&mut state.plan.serving_missed, true) {
            state.coverage.fault(Fault::ServingDown);
        }
        Err(unavailable("serving store", action))
    }
}

#[async_trait]
impl ServingStore for SimulatedServing {
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.before(Step::Read, "read").await?;
        self.inner.get_many(keys).await
    }

    async fn put_many(&self, values: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        self.before(Step::Publish, "write").await?;
        let mut published: Vec<_> = values.iter().collect();
        published.sort();
        for (key, value) in published {
            let version = version_of(value).map_or(0, |version| version.offset());
            self.process.world.note("publishes", self.process.number, key, version);
        }
        self.inner.put_many(values).await
    }

    async fn put_marker(&self, key: &str, value: Bytes) -> Result<(), StoreError> {
        self.before(Step::Publish, "write a marker").await?;
        // What is in a witness is random.
        let marker = if key.starts_with("m:") { Marker::decode(&value).ok() } else { None };
        let said = marker.map_or(0, |marker| marker.version.offset() << 1 | u64::from(marker.complete));
        self.process.world.note("marks", self.process.number, key, said);
        self.inner.put_marker(key, value).await
    }

    async fn get_markers(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.before(Step::Read, "read markers").await?;
        self.inner.get_markers(keys).await
    }

    async fn check(&self) -> Result<Vec<String>, StoreError> {
        self.before(Step::Read, "check").await?;
        Ok(Vec::new())
    }
}
