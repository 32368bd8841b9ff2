//! Brings a keyspace up to date. Several processes may do this at the same time: each statement says IF NOT EXISTS, what
//! already stands is not touched, and a migration is noted only after its statements have reached every node. (Without
//! lightweight transactions: not every Scylla keyspace has them.)

use super::attempts::Attempts;
use super::{CqlSettings, unavailable, unreadable};
use crate::StoreError;
use ::scylla::client::session::Session;
use ::scylla::response::query_result::{QueryResult, QueryRowsResult};
use ::scylla::serialize::row::SerializeRow;
use ::scylla::statement::Statement;
use schemas::cql::{MIGRATIONS, statements};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;

/// How long a change of the schema may take: it has to reach every node, whatever a single read may take.
const SCHEMA_LIMIT: Duration = Duration::from_secs(60);
const ACTION: &str = "migrate";

/// Where several processes change the schema in the same moment, one may be refused although its statement is right: what
/// another has just made is listed a moment before it can be used. Then all is looked at again.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(500);

const NOTES: &str =
    "CREATE TABLE IF NOT EXISTS schema_migrations (migration int PRIMARY KEY, statements int)";

pub(super) async fn migrate(session: &Session, settings: &CqlSettings) -> Result<(), StoreError> {
    let database = Database { session, attempts: Attempts::within(SCHEMA_LIMIT) };
    let deadline = Instant::now() + SCHEMA_LIMIT;
    for _ in 1..TRIES {
        match database.bring_up_to_date(settings).await {
            Err(error) if Instant::now() + PAUSE < deadline => {
                tracing::info!(%error, "trying to migrate again");
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
    database.bring_up_to_date(settings).await
}

struct Database<'a> {
    session: &'a Session,
    attempts: Attempts,
}

impl Database<'_> {
    async fn bring_up_to_date(&self, settings: &CqlSettings) -> Result<(), StoreError> {
        let keyspace = settings.keyspace.as_str();
        // Asked first: who may only use the keyspace, and not make one, is then not refused.
        let exists = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
        if self.ask(exists, (keyspace,)).await?.rows_num() == 0 {
            let replication = settings.replication_map();
            let create = format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}");
            self.change(&create).await?;
            tracing::info!(keyspace, replication, "made the keyspace");
        }
        self.enter(keyspace).await?;

        let exists = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
        if self.ask(exists, (keyspace, "schema_migrations")).await?.rows_num() == 0 {
            self.change(NOTES).await?;
        }
        let done = self.done().await?;
        for (number, text) in MIGRATIONS {
            let number = number.cast_signed();
            if done.contains(&number) {
                continue;
            }
            let statements = statements(text);
            for statement in &statements {
                self.change(statement).await?;
            }
            let count = i32::try_from(statements.len()).unwrap_or(i32::MAX);
            let note = "INSERT INTO schema_migrations (migration, statements) VALUES (?, ?)";
            self.run(note, (number, count)).await?;
            tracing::info!(keyspace, number, "applied a migration");
        }
        Ok(())
    }

    async fn enter(&self, keyspace: &str) -> Result<(), StoreError> {
        let entered = async {
            self.session.use_keyspace(keyspace, false).await.map_err(|error| unavailable(ACTION, &error))
        };
        self.attempts.once(ACTION, entered).await
    }

    /// Changes the schema, and returns when all nodes agree on it: the driver waits for that.
    async fn change(&self, statement: &str) -> Result<(), StoreError> {
        self.run(statement, ()).await.map(drop)
    }

    /// The numbers of the migrations that are in place.
    async fn done(&self) -> Result<HashSet<i32>, StoreError> {
        let rows = self.ask("SELECT migration FROM schema_migrations", ()).await?;
        let numbers = rows.rows::<(i32,)>().map_err(|error| unreadable(&error))?;
        numbers.map(|number| number.map(|(number,)| number).map_err(|error| unreadable(&error))).collect()
    }

    async fn ask(&self, statement: &str, values: impl SerializeRow) -> Result<QueryRowsResult, StoreError> {
        self.run(statement, values).await?.into_rows_result().map_err(|error| unreadable(&error))
    }

    async fn run(&self, statement: &str, values: impl SerializeRow) -> Result<QueryResult, StoreError> {
        let mut statement = Statement::new(statement);
        statement.set_is_idempotent(true);
        statement.set_request_timeout(Some(SCHEMA_LIMIT));
        self.attempts.run(ACTION, || self.session.query_unpaged(statement.clone(), &values)).await
    }
}
