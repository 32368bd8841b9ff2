//! The state store on Scylla or Cassandra: one row per key, `USING TIMESTAMP version`, so that the database itself keeps
//! the highest version, whatever order writes arrive in. No lightweight transactions, and batches only of rows that the same nodes keep.

mod attempts;
mod batches;
mod migrate;
mod scan;
mod session;
mod settings;
mod statements;

pub use settings::CqlSettings;

use crate::packed::STATE_STORE;
use crate::{KeyRange, Row, RowStream, StateStore, StoreError, Table};
use ::scylla::client::session::Session;
use ::scylla::cluster::ClusterState;
use ::scylla::serialize::SerializationError;
use ::scylla::serialize::row::{RowSerializationContext, SerializeRow};
use ::scylla::serialize::writers::RowWriter;
use ::scylla::statement::batch::{Batch, BatchType};
use ::scylla::statement::prepared::PreparedStatement;
use async_trait::async_trait;
use attempts::Attempts;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use scan::Part;
use schemas::Version;
use session::Sessions;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Batches in flight of one call that writes. A flush has seconds for its rows; with as many in flight as the database takes,
/// events would wait behind it wherever the two share processors.
const WRITES_AT_ONCE: usize = 8;

/// A [`StateStore`] on a CQL database. It connects when first needed and again whenever connections break, so that a
/// service can start while the database is away; until then every call fails as [`StoreError::Unavailable`]. Clones share
/// the connections.
///
/// Reads and writes are LOCAL_QUORUM: a row that was written is durable once a majority of its replicas in the local data
/// centre has it, and every later read sees it.
#[derive(Clone)]
pub struct CqlStateStore {
    inner: Arc<Inner>,
}

struct Inner {
    settings: CqlSettings,
    sessions: Sessions,
    attempts: Attempts,
    /// Statements in flight, of all callers together.
    in_flight: Semaphore,
}

impl CqlStateStore {
    /// Prepares a store; the database is not asked for anything yet.
    ///
    /// # Errors
    /// When the settings cannot be right: [`StoreError::Unusable`].
    pub fn connect(settings: CqlSettings) -> Result<Self, StoreError> {
        settings.validate()?;
        let attempts = Attempts::within(settings.timeout());
        let in_flight = Semaphore::new(settings.concurrency);
        Ok(Self { inner: Arc::new(Inner { settings, sessions: Sessions::default(), attempts, in_flight }) })
    }
}

impl Inner {
    async fn get(
        &self,
        session: &Session,
        statement: &PreparedStatement,
        address: Address<'_>,
    ) -> Result<Option<Row>, StoreError> {
        let _permit = self.in_flight.acquire().await.map_err(|closed| unavailable("read", &closed))?;
        let Address { generation, shard, key } = address;
        let answer = self.attempts.run("read", || async move {
            match shard {
                Some(shard) => session.execute_unpaged(statement, (generation, shard, key)).await,
                None => session.execute_unpaged(statement, (generation, key)).await,
            }
        });
        let rows = answer.await?.into_rows_result().map_err(|error| unreadable(&error))?;
        let columns = rows.maybe_first_row::<(i64, Vec<u8>)>().map_err(|error| unreadable(&error))?;
        Ok(columns.map(|(version, state)| row(key.to_owned(), version, state)))
    }

    async fn put(
        &self,
        session: &Session,
        statement: &PreparedStatement,
        values: Vec<Values<'_>>,
    ) -> Result<(), StoreError> {
        let _permit = self.in_flight.acquire().await.map_err(|closed| unavailable("write", &closed))?;
        let written = if let [values] = &values[..] {
            self.attempts.run("write", || session.execute_unpaged(statement, values)).await
        } else {
            let statements = values.iter().map(|_| statement.clone().into()).collect();
            let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
            batch.set_is_idempotent(true);
            self.attempts.run("write", || session.batch(&batch, &values)).await
        };
        written.map(drop)
    }
}

/// Where a row is within its table.
#[derive(Clone, Copy)]
struct Address<'a> {
    generation: i32,
    shard: Option<i32>,
    key: &'a str,
}

impl<'a> Address<'a> {
    fn of(table: Table, generation: u16, key: &'a str) -> Self {
        let shard = table.shard_of(key).map(u32::cast_signed);
        Self { generation: i32::from(generation), shard, key }
    }
}

/// What a row is written with.
struct Values<'a> {
    address: Address<'a>,
    row: &'a Row,
}

impl<'a> Values<'a> {
    fn of(table: Table, generation: u16, row: &'a Row) -> Self {
        Self { address: Address::of(table, generation, &row.key), row }
    }
}

impl SerializeRow for Values<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let Address { generation, shard, key } = self.address;
        let (version, state) = (self.row.version.0.cast_signed(), &self.row.state[..]);
        match shard {
            Some(shard) => (generation, shard, key, version, state, version).serialize(context, writer),
            None => (generation, key, version, state, version).serialize(context, writer),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// Which nodes, and which of their shards, keep a row, where that is known: of a Scylla table in tablets the driver learns it from
/// answers to single statements.
fn place(
    cluster: &ClusterState,
    keyspace: &str,
    table: Table,
    statement: &PreparedStatement,
    values: &Values<'_>,
) -> Option<Vec<(u128, u32)>> {
    let token = statement.calculate_token(values).ok()??;
    let nodes = cluster.get_token_endpoints(keyspace, table.name(), token);
    let mut place: Vec<_> = nodes.iter().map(|(node, shard)| (node.host_id.as_u128(), *shard)).collect();
    place.sort_unstable();
    (!place.is_empty()).then_some(place)
}

fn row(key: String, version: i64, state: Vec<u8>) -> Row {
    Row { key, version: Version(version.cast_unsigned()), state: Bytes::from(state) }
}

#[async_trait]
impl StateStore for CqlStateStore {
    /// Makes the keyspace unless there is one (then its replication is left as it is) and brings its tables up to date.
    async fn migrate(&self) -> Result<(), StoreError> {
        let inner = &*self.inner;
        let session = inner.sessions.session(&inner.settings).await?;
        migrate::migrate(session, &inner.settings).await
    }

    async fn get_many(
        &self,
        table: Table,
        generation: u16,
        keys: &[String],
    ) -> Result<Vec<Option<Row>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let inner = &*self.inner;
        let (session, statements) = inner.sessions.ready(&inner.settings, table).await?;
        let statement = &statements.get;
        stream::iter(0..keys.len())
            .map(|index| inner.get(session, statement, Address::of(table, generation, &keys[index])))
            .buffered(inner.settings.concurrency)
            .try_collect()
            .await
    }

    async fn put_many(&self, table: Table, generation: u16, rows: Vec<Row>) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let inner = &*self.inner;
        let (session, statements) = inner.sessions.ready(&inner.settings, table).await?;
        let statement = &statements.put;
        let cluster = session.get_cluster_state();
        let keyspace = &inner.settings.keyspace;
        let place = |row: &Row| {
            let values = Values::of(table, generation, row);
            place(&cluster, keyspace, table, statement, &values)
        };
        let batches = batches::by_place(&rows, place);
        stream::iter(0..batches.len())
            .map(|index| {
                let rows = batches[index].rows.iter();
                let values = rows.map(|row| Values::of(table, generation, row)).collect();
                inner.put(session, statement, values)
            })
            .buffer_unordered(inner.settings.concurrency.min(WRITES_AT_ONCE))
            .try_collect()
            .await
    }

    async fn scan(&self, table: Table, generation: u16) -> Result<RowStream, StoreError> {
        self.inner.sessions.ready(&self.inner.settings, table).await?;
        Ok(scan::start(Arc::clone(&self.inner), table, generation, Part::all(table)))
    }

    async fn scan_shard(&self, table: Table, generation: u16, shard: u32) -> Result<RowStream, StoreError> {
        table.require_sharded()?;
        self.inner.sessions.ready(&self.inner.settings, table).await?;
        Ok(scan::start(Arc::clone(&self.inner), table, generation, vec![Part::Shard(shard)]))
    }

    async fn page(
        &self,
        table: Table,
        generation: u16,
        shard: u32,
        keys: KeyRange<'_>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        table.require_sharded()?;
        let inner = &*self.inner;
        let (session, statements) = inner.sessions.ready(&inner.settings, table).await?;
        let statement = statements.page.as_ref().expect("the table has shards");
        let _permit =
            inner.in_flight.acquire().await.map_err(|closed| unavailable("read a page", &closed))?;
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let values = (i32::from(generation), shard.cast_signed(), keys.above, keys.below, limit);
        let read = inner.attempts.run("read a page", || session.execute_unpaged(statement, values));
        let rows = read.await?.into_rows_result().map_err(|error| unreadable(&error))?;
        let rows = rows.rows::<(String, i64, Vec<u8>)>().map_err(|error| unreadable(&error))?;
        let read = rows.map(|columns| columns.map(|(key, version, state)| row(key, version, state)));
        read.map(|row| row.map_err(|error| unreadable(&error))).collect()
    }
}

fn unavailable(action: &'static str, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable { store: STATE_STORE, action, reason: reason.to_string() }
}

fn unusable(reason: String) -> StoreError {
    StoreError::Unusable { store: STATE_STORE, reason }
}

/// An answer that does not have the columns of our tables.
fn unreadable(reason: &dyn std::fmt::Display) -> StoreError {
    unusable(format!("a row is not as the migrations made its table: {reason}"))
}
