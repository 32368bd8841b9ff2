use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use super::ReplayError;
use super::report::Rejection;
use super::source::COLUMNS;

/// The file that rejected rows are written to: why, then the row's own columns, so that it can be put right and
/// replayed as it is.
pub(super) struct RejectedFile {
    path: PathBuf,
    out: csv::Writer<File>,
}

impl RejectedFile {
    /// Begins the file anew, or goes on behind what an earlier run wrote.
    pub fn open(path: &Path, resumed: bool) -> Result<Self, ReplayError> {
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(resumed).truncate(!resumed);
        let refused =
            |e: &dyn std::fmt::Display| ReplayError::Rejected { file: path.into(), reason: e.to_string() };
        let file = options.open(path).map_err(|e| refused(&e))?;
        let empty = file.metadata().map_err(|e| refused(&e))?.len() == 0;
        let mut out = csv::WriterBuilder::new().flexible(true).from_writer(file);
        if empty {
            let header = ["row", "code", "detail"].into_iter().chain(COLUMNS);
            out.write_record(header).map_err(|e| refused(&e))?;
        }
        Ok(Self { path: path.into(), out })
    }

    /// Adds a row.
    pub fn write(&mut self, rejection: &Rejection) -> Result<(), ReplayError> {
        let row = rejection.row.to_string();
        let fields = [&row, &rejection.code, &rejection.detail].into_iter().chain(&rejection.fields);
        self.out.write_record(fields).map_err(|e| self.refused(&e))
    }

    /// Hands everything to the file.
    pub fn flush(&mut self) -> Result<(), ReplayError> {
        self.out.flush().map_err(|e| self.refused(&e))
    }

    fn refused(&self, error: &dyn std::fmt::Display) -> ReplayError {
        ReplayError::Rejected { file: self.path.clone(), reason: error.to_string() }
    }
}
