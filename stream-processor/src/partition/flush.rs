//! Writes a snapshot to the state store, in the order that makes a crash at any step harmless.

use super::TaskError;
use crate::context::Context;
use crate::metrics;
use crate::progress::{Checkpoint, StageName, intent_key, progress_key};
use crate::rules::{Rule, is_broken};
use crate::stage::Snapshot;
use bytes::Bytes;
use event_log::Append;
use std::sync::Arc;
use std::time::Duration;
use stores::{Row, StoreError, Table};
use tokio::time::Instant;

/// Rows written at a time.
const CHUNK: usize = 2_000;

/// What one flush does.
pub(crate) struct Flush<K> {
    pub(crate) context: Arc<Context>,
    pub(crate) stage: StageName,
    pub(crate) partition: u32,
    pub(crate) snapshot: Snapshot<K>,
    /// Appends made since the last flush began: all of them are for offsets before the snapshot's.
    pub(crate) appends: Vec<Append>,
    /// Published lists to be copied along; they are no part of the state.
    pub(crate) published: Vec<Row>,
}

impl<K> Flush<K> {
    /// Intent, acknowledgements, known keys, rows, progress: in this order. Gives the snapshot's keys and place.
    ///
    /// The intent says how far rows may be ahead of the progress. Rows are written only once everything emitted for the
    /// records before them is in the log, because a restart skips records that a row already reflects and so would never
    /// emit for them. The progress comes last: what it says is stored, is stored.
    pub(crate) async fn run(self) -> Result<(K, Checkpoint), TaskError> {
        let Self { context, stage, partition, snapshot, appends, published } = self;
        let begun = Instant::now();
        let at = snapshot.at;
        let version = at.version(context.config.generation);
        let row = |key: String, state: Bytes| vec![Row { key, version, state }];
        let intent = row(intent_key(stage, partition), at.encode_intent(context.config.generation));
        let progress = row(progress_key(stage, partition), snapshot.progress);
        if !is_broken(Rule::IntentBeforeRows) {
            put(&context, Table::Progress, intent).await?;
        }
        for append in appends {
            if is_broken(Rule::AcknowledgedBeforeRows) {
                break;
            }
            match append.await {
                Err(_) if is_broken(Rule::FailedAppendEndsTask) => {}
                appended => drop(appended?),
            }
        }
        if is_broken(Rule::ProgressAfterRows) {
            put(&context, Table::Progress, progress.clone()).await?;
        }
        let mut too_late = Vec::new();
        for (table, rows) in snapshot.rows {
            if table == Table::KnownKeys && is_broken(Rule::KnownKeysBeforeProgress) {
                too_late.extend(rows);
                continue;
            }
            put_counted(&context, table, rows, |count| metrics::flushed_rows(stage, count)).await?;
        }
        put(&context, Table::Progress, progress).await?;
        put(&context, Table::KnownKeys, too_late).await?;
        put(&context, Table::Published, published).await?;
        metrics::flushed(stage, begun.elapsed());
        Ok((snapshot.keys, at))
    }
}

/// Writes rows, and again until the store answers.
async fn put(context: &Context, table: Table, rows: Vec<Row>) -> Result<(), TaskError> {
    put_counted(context, table, rows, |_| ()).await
}

/// Tells after each chunk how many rows are written.
async fn put_counted(
    context: &Context,
    table: Table,
    mut rows: Vec<Row>,
    written: impl Fn(usize),
) -> Result<(), TaskError> {
    while !rows.is_empty() {
        let chunk = rows.split_off(rows.len().saturating_sub(CHUNK));
        let count = chunk.len();
        retrying("write", || context.parts.state.put_many(table, context.config.generation, chunk.clone()))
            .await?;
        written(count);
    }
    Ok(())
}

/// Repeats a store operation while the store is unavailable. Whoever waits for it can drop it at any point.
pub(crate) async fn retrying<T, F: Future<Output = Result<T, StoreError>>>(
    action: &'static str,
    mut operation: impl FnMut() -> F,
) -> Result<T, TaskError> {
    let mut pause = Duration::from_millis(50);
    loop {
        match operation().await {
            Ok(value) => return Ok(value),
            Err(error @ StoreError::Unusable { .. }) => return Err(error.into()),
            Err(error) => {
                metrics::store_retry(action);
                tracing::warn!(%error, action, "trying again in {} ms", pause.as_millis());
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
        }
    }
}
