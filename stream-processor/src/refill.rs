//! Fills the serving store from the state store: after it lost its data, and for `shopsmart rebuild`.

use crate::context::{Context, Parts};
use crate::partition::{TaskError, retrying};
use crate::progress::StageName;
use crate::publish::{RankJob, Ranker};
use crate::{ProcessorConfig, ProcessorError, layout, topology::Processor};
use bytes::Bytes;
use recommender::ProductRow;
use recommender::user_row::decode_history;
use schemas::names::{neighbours_key, user_key};
use schemas::partition::partition_of;
use schemas::published::version_of;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use stores::{Row, RowStream, Table};

/// Stage and partition of what is to be filled.
pub(crate) type Partitions = HashSet<(StageName, u32)>;

/// How much was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refilled {
    /// Histories of users.
    pub users: u64,
    /// Neighbour lists of products.
    pub products: u64,
    /// Trending lists, repeat tables and the layout.
    pub lists: u64,
}

const CHUNK: usize = 512;
/// A pause after each chunk leaves the stores to those who ask.
const PACE: Duration = Duration::from_millis(2);

/// Fills the serving store whole from the state store, while no processor needs to run.
///
/// # Errors
/// When the log, or a store, does not answer.
pub async fn rebuild(parts: Parts, config: ProcessorConfig) -> Result<Refilled, ProcessorError> {
    let processor = Processor::prepare(parts, config).await?;
    let context = processor.context();
    let shoppers = (0..context.events_partitions).map(|partition| (StageName::Shopper, partition));
    let products = (0..context.activity_partitions).map(|partition| (StageName::Product, partition));
    let refused = |error: TaskError| ProcessorError::Refused(error.to_string());
    layout::publish(context).await;
    refill(context, &shoppers.chain(products).collect()).await.map_err(refused)
}

/// Fills the given partitions' share. Values carry their versions, so that newer ones that arrive meanwhile stay.
pub(crate) async fn refill(context: &Arc<Context>, partitions: &Partitions) -> Result<Refilled, TaskError> {
    let mut filled = Refilled::default();
    if partitions.iter().any(|(stage, _)| *stage == StageName::Shopper) {
        filled.users = fill_users(context, partitions).await?;
    }
    if partitions.iter().any(|(stage, _)| *stage == StageName::Product) {
        filled.lists = fill_lists(context).await?;
        filled.products = fill_products(context, partitions).await?;
    }
    Ok(filled)
}

/// The rows of a table in chunks.
struct Chunks {
    rows: RowStream,
}

impl Chunks {
    async fn of(context: &Context, table: Table) -> Result<Self, TaskError> {
        Ok(Self { rows: context.parts.state.scan(table, context.config.generation).await? })
    }

    /// The next chunk; empty at the end.
    async fn next(&mut self) -> Result<Vec<Row>, TaskError> {
        tokio::time::sleep(PACE).await;
        let mut chunk = Vec::with_capacity(CHUNK);
        while chunk.len() < CHUNK {
            let Some(row) = self.rows.recv().await else { break };
            chunk.push(row?);
        }
        Ok(chunk)
    }
}

async fn fill_users(context: &Context, partitions: &Partitions) -> Result<u64, TaskError> {
    let (generation, count) = (context.config.generation, context.events_partitions);
    let mut users = 0;
    let mut chunks = Chunks::of(context, Table::UserHistory).await?;
    loop {
        let rows = chunks.next().await?;
        if rows.is_empty() {
            return Ok(users);
        }
        let mut values = Vec::with_capacity(rows.len());
        for row in rows {
            if !partitions.contains(&(StageName::Shopper, partition_of(row.key.as_bytes(), count))) {
                continue;
            }
            match decode_history(&row.state) {
                Ok(history) => values.push((user_key(generation, &row.key), Bytes::from(history.encode()))),
                Err(error) => tracing::error!(user = row.key, %error, "a stored user row cannot be read"),
            }
        }
        users += values.len() as u64;
        put(context, values).await?;
    }
}

/// Everything published but users and neighbour lists: small, so it is written whatever its partition.
async fn fill_lists(context: &Context) -> Result<u64, TaskError> {
    let neighbours = neighbours_key(context.config.generation, "");
    let mut lists = 0;
    let mut chunks = Chunks::of(context, Table::Published).await?;
    loop {
        let rows = chunks.next().await?;
        if rows.is_empty() {
            return Ok(lists);
        }
        let others = rows.into_iter().filter(|row| !row.key.starts_with(&neighbours));
        let values: Vec<_> = others.map(|row| (row.key, row.state)).collect();
        lists += values.len() as u64;
        put(context, values).await?;
    }
}

/// Neighbour lists: as they were published where they are up to date, else ranked anew.
async fn fill_products(context: &Arc<Context>, partitions: &Partitions) -> Result<u64, TaskError> {
    let (generation, count) = (context.config.generation, context.activity_partitions);
    let mut ranker = Ranker::new(Arc::clone(context));
    let mut products = 0;
    let mut chunks = Chunks::of(context, Table::ProductState).await?;
    loop {
        let mut rows = chunks.next().await?;
        if rows.is_empty() {
            return Ok(products);
        }
        rows.retain(|row| {
            partitions.contains(&(StageName::Product, partition_of(row.key.as_bytes(), count)))
        });
        let keys: Vec<String> = rows.iter().map(|row| neighbours_key(generation, &row.key)).collect();
        let state = &context.parts.state;
        let published =
            retrying("read published lists", || state.get_many(Table::Published, generation, &keys)).await?;
        let (mut values, mut jobs) = (Vec::new(), Vec::new());
        for (row, published) in rows.iter().zip(published) {
            match published {
                Some(published) if published.version >= row.version => {
                    values.push((published.key, published.state));
                }
                _ => jobs.extend(job(context, row)),
            }
        }
        let ranked = ranker.rank_all(&jobs).await;
        let kept: Vec<Row> = ranked
            .iter()
            .map(|(key, value)| Row {
                key: key.clone(),
                version: version_of(value).expect("published values have a header"),
                state: value.clone(),
            })
            .collect();
        retrying("write published lists", || state.put_many(Table::Published, generation, kept.clone()))
            .await?;
        values.extend(ranked);
        products += values.len() as u64;
        put(context, values).await?;
    }
}

fn job(context: &Context, row: &Row) -> Option<RankJob> {
    let decoded = match ProductRow::decode(&row.state, &context.names) {
        Ok(decoded) => decoded,
        Err(error) => {
            tracing::error!(product = row.key, %error, "a stored product row cannot be read");
            return None;
        }
    };
    Some(RankJob {
        product: context.names.intern(&row.key),
        version: decoded.version,
        category: context.category_of(&row.key, &decoded.category),
        newest_ms: decoded.buckets.newest_ms(),
        co: decoded.co,
    })
}

async fn put(context: &Context, values: Vec<(String, Bytes)>) -> Result<(), TaskError> {
    if values.is_empty() {
        return Ok(());
    }
    Ok(context.parts.serving.put_many(values).await?)
}
