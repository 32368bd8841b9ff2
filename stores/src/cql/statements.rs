use super::attempts::refused;
use super::{unavailable, unusable};
use crate::{StoreError, Table};
use ::scylla::client::session::Session;
use ::scylla::errors::PrepareError;
use ::scylla::statement::Statement;
use ::scylla::statement::prepared::PreparedStatement;

/// Rows in a page of a scan.
const PAGE_ROWS: i32 = 500;

/// The statements on one table.
pub(super) struct TableStatements {
    /// Row by its whole address: `version, state`.
    pub(super) get: PreparedStatement,
    /// Whole address, `version, state`, then the timestamp.
    pub(super) put: PreparedStatement,
    /// In sharded tables a shard, else a range of tokens: `generation, key, version, state`.
    pub(super) scan: PreparedStatement,
    /// In sharded tables: shard, a key below and one above those wanted, how many: `key, version, state`, ordered by key.
    pub(super) page: Option<PreparedStatement>,
}

impl TableStatements {
    pub(super) async fn prepare(session: &Session, keyspace: &str, table: Table) -> Result<Self, StoreError> {
        let name = format!("{keyspace}.{}", table.name());
        let key = key_column(table);
        let columns =
            if table.is_sharded() { vec!["generation", "shard", key] } else { vec!["generation", key] };
        let address = columns.join(" = ? AND ");
        let get = format!("SELECT version, state FROM {name} WHERE {address} = ?");
        let put = format!(
            "INSERT INTO {name} ({}, version, state) VALUES ({}?, ?) USING TIMESTAMP ?",
            columns.join(", "),
            "?, ".repeat(columns.len())
        );
        let part = if table.is_sharded() {
            "generation = ? AND shard = ?".to_owned()
        } else {
            format!("token(generation, {key}) > ? AND token(generation, {key}) <= ?")
        };
        let scan = format!("SELECT generation, {key}, version, state FROM {name} WHERE {part}");
        let range = format!("{part} AND {key} > ? AND {key} < ? LIMIT ?");
        let page = format!("SELECT {key}, version, state FROM {name} WHERE {range}");
        Ok(Self {
            get: prepare(session, get).await?,
            put: prepare(session, put).await?,
            scan: prepare(session, scan).await?,
            page: if table.is_sharded() { Some(prepare(session, page).await?) } else { None },
        })
    }
}

/// What the migrations call the column of the row's key.
fn key_column(table: Table) -> &'static str {
    match table {
        Table::UserHistory => "user_id",
        Table::ProductState | Table::OpenWindows => "product_id",
        Table::Published
        | Table::Progress
        | Table::DeadLetters
        | Table::DeadLettersByTime
        | Table::KnownKeys => "item",
    }
}

async fn prepare(session: &Session, text: String) -> Result<PreparedStatement, StoreError> {
    let statement = Statement::new(text).with_page_size(PAGE_ROWS);
    let mut prepared = session.prepare(statement).await.map_err(|error| {
        let refusal = match &error {
            PrepareError::AllAttemptsFailed { first_attempt } => refused(first_attempt),
            _ => None,
        };
        match refusal {
            Some(refusal) => unusable(format!("{refusal} (are the migrations applied?)")),
            None => unavailable("prepare", &error),
        }
    })?;
    prepared.set_is_idempotent(true);
    Ok(prepared)
}
