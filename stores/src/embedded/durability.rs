//! When a write is on the disk.

use fjall::{Database, PersistMode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// One fsync for all that wait for one.
///
/// Every batch is appended to the one journal of the database, and an fsync makes durable all that was appended before it,
/// of every table (a journal that is full is synced before the next is begun). So whoever gets the lock syncs for everyone
/// who came before, and these find their work done.
#[derive(Debug, Default)]
pub(super) struct GroupSync {
    /// Writers that have committed and asked for durability.
    asked: AtomicU64,
    /// Of these, how many a finished sync covers.
    done: Mutex<u64>,
}

impl GroupSync {
    /// Returns when everything that the calling thread has committed is durable.
    pub(super) fn sync(&self, database: &Database) -> fjall::Result<()> {
        let mine = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        // The counter is only set after a sync succeeded: a panic in between leaves it true.
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if *done >= mine {
            return Ok(());
        }
        let covered = self.asked.load(Ordering::Acquire);
        database.persist(PersistMode::SyncAll)?;
        *done = covered;
        Ok(())
    }
}
