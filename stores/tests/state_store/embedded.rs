use crate::Subject;
use crate::support::Scope;
use bytes::Bytes;
use fjall::Database;
use schemas::Version;
use std::path::Path;
use std::sync::Arc;
use stores::embedded::EmbeddedStateStore;
use stores::{Row, StateStore, Table};

fn open_in(directory: &Path) -> EmbeddedStateStore {
    EmbeddedStateStore::open(Database::builder(directory).open().unwrap()).unwrap()
}

async fn open() -> Option<Subject> {
    let directory = tempfile::tempdir().unwrap();
    Some(Subject { store: Arc::new(open_in(directory.path())), _directory: Some(directory) })
}

keeps_every_promise!();

#[tokio::test]
async fn rows_survive_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let scope = Scope::new();
    let row = Row { key: scope.key("a"), version: Version::of(1, 7), state: Bytes::from_static(b"kept") };
    for table in Table::ALL {
        let store = open_in(directory.path());
        store.put_many(table, 1, vec![row.clone()]).await.unwrap();
        drop(store);
        let stored =
            open_in(directory.path()).get_many(table, 1, std::slice::from_ref(&row.key)).await.unwrap();
        assert_eq!(stored, [Some(row.clone())], "{table:?}");
    }
}
