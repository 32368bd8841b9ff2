use super::attempts::refused;
use super::{unavailable, unusable};
use crate::{StoreError, Table};
use ::scylla::client::session::Session;
use ::scylla::errors::PrepareError;
use ::scylla::statement::Statement;
use ::scylla::statement::prepared::PreparedStatement;
use futures::future::try_join_all;

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
}

/// The statements on all tables.
pub(super) struct Statements {
    /// In the order of [`Table::ALL`].
    tables: Vec<TableStatements>,
}

impl Statements {
    pub(super) async fn prepare(session: &Session, keyspace: &str) -> Result<Self, StoreError> {
        let tables = try_join_all(Table::ALL.map(async |table| {
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
            Ok(TableStatements {
                get: prepare(session, get).await?,
                put: prepare(session, put).await?,
                scan: prepare(session, scan).await?,
            })
        }))
        .await?;
        Ok(Self { tables })
    }

    pub(super) fn of(&self, table: Table) -> &TableStatements {
        let index = Table::ALL.iter().position(|other| *other == table);
        &self.tables[index.expect("every table is in Table::ALL")]
    }
}

/// What the migrations call the column of the row's key.
fn key_column(table: Table) -> &'static str {
    match table {
        Table::UserHistory => "user_id",
        Table::ProductState | Table::OpenWindows => "product_id",
        Table::Published | Table::Progress | Table::DeadLetters => "item",
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
