//! The embedded parts: one folder with the log and the state, and a serving store in memory.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use catalog::Catalog;
use event_log::EventLog;
use event_log::embedded::{EmbeddedLog, open_database};
use schemas::names::Topics;
use service_runtime::{SharedClock, SystemClock};
use stores::embedded::EmbeddedStateStore;
use stores::memory::MemoryServingStore;
use stores::{Measured, StateStore};
use stream_processor::Parts;

/// The generation that embedded parts build.
pub const GENERATION: u16 = 1;

/// Opens the parts in `data`, which is made when absent.
///
/// # Errors
/// When another process has it open, it cannot be written, or it is damaged.
pub async fn open(data: &Path) -> Result<Parts> {
    let clock: SharedClock = SystemClock::shared();
    let database = open_database(data)?;
    let append_clock = Arc::clone(&clock);
    let log: Arc<dyn EventLog> =
        Arc::new(EmbeddedLog::open(database.clone(), Arc::new(move || append_clock.now_ms()))?);
    let state: Arc<dyn StateStore> = Arc::new(Measured::new(EmbeddedStateStore::open(database)?));
    state.migrate().await.context("cannot prepare the state store")?;
    Ok(Parts {
        log,
        state,
        serving: Arc::new(Measured::new(MemoryServingStore::new())),
        catalog: Arc::new(Catalog::new()),
        clock,
        topics: Topics::new("", GENERATION),
    })
}

/// As [`open`], for reading what `dev` has built: a folder without it is an error.
///
/// # Errors
/// As [`open`].
pub async fn open_existing(data: &Path) -> Result<Parts> {
    anyhow::ensure!(
        data.is_dir(),
        "{} does not exist: give the folder of `shopsmart dev --data`",
        data.display()
    );
    open(data).await
}
