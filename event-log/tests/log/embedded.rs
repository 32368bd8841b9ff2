//! The embedded log: the contract, and what it promises about its disk.

use crate::subject::Subject;
use event_log::embedded::{EmbeddedLog, open_database};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

crate::contract_suite!(in_a_new_directory);

async fn in_a_new_directory() -> Option<Subject> {
    let directory = tempfile::tempdir().expect("a directory for the test");
    let log = open(directory.path(), &Arc::default());
    Some(Subject { _directory: Some(directory), ..Subject::new(Arc::new(log)) })
}

/// Opens the log of a directory as soon as whoever had it has let go of it.
fn open(directory: &Path, clock: &Arc<AtomicI64>) -> EmbeddedLog {
    let clock = Arc::clone(clock);
    let database = loop {
        match open_database(directory) {
            Err(error) if error.to_string().contains("in use") => std::thread::yield_now(),
            outcome => break outcome.expect("the database opens"),
        }
    };
    EmbeddedLog::open(database, Arc::new(move || clock.load(Ordering::Relaxed))).expect("the log opens")
}
