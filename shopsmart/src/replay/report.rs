use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ledger::Outcome;

/// How many rejected rows a report names.
const NAMED: usize = 10;

/// A row that nobody will ever take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The row; 1 is the first one after the header.
    pub row: u64,
    /// Stable name of the reason.
    pub code: String,
    /// The reason in words.
    pub detail: String,
    /// The row's fields, in the order of [`COLUMNS`](super::COLUMNS).
    pub fields: Vec<String>,
}

/// The rows so far, over all runs of a resumed replay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Rows the log holds, adjusted ones included.
    pub accepted: u64,
    /// Of these, the ones whose time was put right.
    pub adjusted: u64,
    /// Rows not taken.
    pub rejected: u64,
    /// The first ten rejections.
    pub first_rejected: Vec<Rejection>,
}

impl Totals {
    /// All rows with an outcome.
    pub fn rows(&self) -> u64 {
        self.accepted + self.rejected
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Adjusted => {
                self.accepted += 1;
                self.adjusted += 1;
            }
            Outcome::Rejected(rejection) => {
                self.rejected += 1;
                if self.first_rejected.len() < NAMED {
                    self.first_rejected.push(*rejection);
                }
            }
        }
    }
}

/// How a replay ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Every row of the file has an outcome.
    Complete,
    /// It was told to stop; the next run goes on from there.
    Interrupted,
    /// It could not go on, for this reason; the next run tries from there.
    Failed(String),
}

/// What a replay did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// The rows, over all runs where this one resumed an earlier one.
    pub totals: Totals,
    /// How many of these rows earlier runs had finished.
    pub resumed_rows: u64,
    /// Requests that had to be sent again in this run.
    pub retries: u64,
    /// How long this run took.
    pub elapsed: Duration,
}

impl Report {
    /// Rows finished by this run, per second.
    pub fn rows_per_second(&self) -> f64 {
        let rows = self.totals.rows().saturating_sub(self.resumed_rows);
        rows as f64 / self.elapsed.as_secs_f64().max(1e-3)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ending, totals, resumed_rows, retries, elapsed } = self;
        match ending {
            Ending::Complete => writeln!(f, "Replayed the whole file.")?,
            Ending::Interrupted => writeln!(f, "Stopped before the end of the file.")?,
            Ending::Failed(reason) => writeln!(f, "Could not go on: {reason}")?,
        }
        write!(f, "  rows      {:>12}", totals.rows())?;
        if *resumed_rows > 0 {
            write!(f, "   ({resumed_rows} of them in an earlier run)")?;
        }
        writeln!(f, "\n  accepted  {:>12}   ({} of them adjusted)", totals.accepted, totals.adjusted)?;
        writeln!(f, "  rejected  {:>12}", totals.rejected)?;
        writeln!(f, "  retries   {retries:>12}")?;
        let rate = self.rows_per_second();
        write!(f, "  time      {:>11.1}s   ({rate:.0} events/s)", elapsed.as_secs_f64())?;
        for Rejection { row, code, detail, .. } in &totals.first_rejected {
            write!(f, "\n  row {row} rejected: {code}: {detail}")?;
        }
        let unnamed = totals.rejected - totals.first_rejected.len() as u64;
        if unnamed > 0 {
            write!(f, "\n  and {unnamed} more (all of them with --rejected FILE)")?;
        }
        Ok(())
    }
}
