//! Cassandra or Scylla, when the environment names one.

use crate::Subject;
use crate::support::{Scope, servers};
use futures::future::join_all;
use scylla::client::session_builder::SessionBuilder;
use std::sync::Arc;
use stores::cql::{CqlSettings, CqlStateStore};
use stores::{StateStore, StoreError, Table};

/// Shared by all runs: tests tell their rows apart by scope, and making tables takes seconds.
const KEYSPACE: &str = "stores_contract";

/// User and password of the role that Cassandra makes by itself. A server that asks nobody lets it in as well.
const USER: &str = "cassandra";

fn settings(keyspace: &str) -> Option<CqlSettings> {
    let contact_points = servers("SHOPSMART_TEST_CQL")?;
    Some(CqlSettings {
        contact_points,
        keyspace: keyspace.to_owned(),
        username: Some(USER.to_owned()),
        password: Some(USER.to_owned()),
        // Generous: test machines are slow, and no promise here is about time.
        timeout_ms: 30_000,
        ..CqlSettings::default()
    })
}

async fn open() -> Option<Subject> {
    let store = CqlStateStore::connect(settings(KEYSPACE)?).unwrap();
    store.migrate().await.unwrap();
    Some(Subject { store: Arc::new(store), _directory: None })
}

keeps_every_promise!();

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_migrate_an_empty_database() {
    let scope = Scope::new();
    let keyspace = format!("stores_{}", scope.key("").trim_end_matches('/'));
    let Some(settings) = settings(&keyspace) else { return };
    let stores: Vec<_> = (0..4).map(|_| CqlStateStore::connect(settings.clone()).unwrap()).collect();
    let migrated = join_all(stores.iter().map(|store| store.migrate())).await;
    let key = [scope.key("a")];
    let usable = join_all(stores.iter().map(|store| store.get_many(Table::Progress, 1, &key))).await;

    let session = SessionBuilder::new().known_nodes(&settings.contact_points).user(USER, USER);
    let session = session.build().await.unwrap();
    session.query_unpaged(format!("DROP KEYSPACE {keyspace}"), ()).await.unwrap();
    assert_eq!(migrated, [Ok(()), Ok(()), Ok(()), Ok(())]);
    assert!(usable.iter().all(|rows| *rows == Ok(vec![None])), "{usable:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_nobody_has_made_yet_is_missed_only_by_who_asks_for_it() {
    let scope = Scope::new();
    let keyspace = format!("stores_{}", scope.key("").trim_end_matches('/'));
    let Some(settings) = settings(&keyspace) else { return };
    CqlStateStore::connect(settings.clone()).unwrap().migrate().await.unwrap();
    let session = SessionBuilder::new().known_nodes(&settings.contact_points).user(USER, USER);
    let session = session.build().await.unwrap();
    session.query_unpaged(format!("DROP TABLE {keyspace}.dead_letters_by_time"), ()).await.unwrap();
    // As serving is, when it is updated before the processor.
    let store = CqlStateStore::connect(settings).unwrap();
    let key = [scope.key("a")];
    let there = store.get_many(Table::Published, 1, &key).await;
    let missing = store.get_many(Table::DeadLettersByTime, 1, &key).await;
    session.query_unpaged(format!("DROP KEYSPACE {keyspace}"), ()).await.unwrap();
    assert_eq!(there, Ok(vec![None]));
    assert!(matches!(missing, Err(StoreError::Unusable { .. })), "{missing:?}");
}

#[tokio::test]
async fn tables_that_are_missing_are_an_error_that_names_the_migrations() {
    let Some(settings) = settings("stores_that_nobody_made") else { return };
    let store = CqlStateStore::connect(settings).unwrap();
    let error = store.get_many(Table::Progress, 1, &["a".to_owned()]).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Unusable { reason, .. } if reason.contains("migrations")),
        "{error}"
    );
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_unavailable() {
    // A listener that accepts and says nothing: worse than one that refuses.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let contact_points = vec![silent.local_addr().unwrap().to_string()];
    let settings = CqlSettings { contact_points, timeout_ms: 200, ..CqlSettings::default() };
    let store = CqlStateStore::connect(settings).unwrap();
    let error = store.get_many(Table::Progress, 1, &["a".to_owned()]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}
