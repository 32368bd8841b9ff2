//! Opening the one database of a data directory.

use crate::LogError;
use fjall::Database;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Opens (or creates) the database in `directory`, which the embedded log and the embedded state store share.
///
/// # Errors
/// [`LogError::Unusable`], in words for the person who started the program: another process uses the directory, it
/// cannot be written to, or what it holds is damaged.
pub fn open_database(directory: &Path) -> Result<Database, LogError> {
    let shown = directory.display();
    std::fs::create_dir_all(directory)
        .map_err(|e| LogError::Unusable(format!("the data directory {shown} cannot be created: {e}")))?;
    // The journal holds what was written last, each byte once more: packing it costs more than it saves.
    let builder = Database::builder(directory)
        .journal_compression(fjall::CompressionType::None)
        .cache_size(CACHE_BYTES);
    let opened = unwound(|| builder.open());
    opened
        .ok_or_else(|| {
            LogError::Unusable(format!("the data directory {shown} {DAMAGED}: it does not add up"))
        })?
        .map_err(|error| LogError::Unusable(explain(&shown, &error)))
}

/// Blocks of files that are kept in memory, at most: enough for the rows of a small shop.
const CACHE_BYTES: u64 = 128 * 1024 * 1024;

const DAMAGED: &str = "is damaged, restore it from a copy";

/// What comes of `work`; `None` when it panicked, as the database does over some damages of its files.
pub(super) fn unwound<T>(work: impl FnOnce() -> T) -> Option<T> {
    // Nothing of what was half done is used afterwards.
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn explain(directory: &dyn std::fmt::Display, error: &fjall::Error) -> String {
    match error {
        fjall::Error::Locked => {
            format!(
                "the data directory {directory} is in use by another process: end it, or choose another directory"
            )
        }
        fjall::Error::Io(e) => match e.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                format!("the data directory {directory} is not writable: {e}")
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                format!("the disk of the data directory {directory} is full: {e}")
            }
            _ => format!("the data directory {directory} cannot be opened: {e}"),
        },
        other => format!("the data directory {directory} {DAMAGED}: {other}"),
    }
}
