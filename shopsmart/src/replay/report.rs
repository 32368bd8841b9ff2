use std::fmt;
use std::time::Duration;

use schemas::event::MAX_LATE_MS;
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

/// What the processor made of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Outcomes {
    /// Applied events.
    pub applied: u64,
    /// Events whose id the user's last ones have.
    pub duplicate: u64,
    /// Events too far behind the newest one of their partition.
    pub too_late: u64,
    /// Events that could not be applied.
    pub dead_lettered: u64,
}

impl Outcomes {
    /// All events with an outcome.
    pub fn sum(&self) -> u64 {
        self.applied + self.duplicate + self.too_late + self.dead_lettered
    }

    /// What was added to `before`; `None` when the counts are of something else.
    pub(super) fn since(&self, before: &Self) -> Option<Self> {
        Some(Self {
            applied: self.applied.checked_sub(before.applied)?,
            duplicate: self.duplicate.checked_sub(before.duplicate)?,
            too_late: self.too_late.checked_sub(before.too_late)?,
            dead_lettered: self.dead_lettered.checked_sub(before.dead_lettered)?,
        })
    }
}

/// What became of the events of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processed {
    /// How many this run sent.
    pub sent: u64,
    /// The outcomes of all events meanwhile, also of those that others sent.
    pub outcomes: Outcomes,
}

/// How a replay ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Every row of the file has an outcome.
    Complete,
    /// An earlier run has sent the whole file; nothing was sent.
    SentBefore,
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
    /// What became of what this run sent, where the whole file is sent and the server tells.
    pub processed: Option<Processed>,
}

impl Report {
    /// Of a file that earlier runs have sent, with these results.
    pub(super) fn sent_before(totals: Totals) -> Self {
        let (resumed_rows, retries, elapsed) = (totals.rows(), 0, Duration::ZERO);
        Self { ending: Ending::SentBefore, totals, resumed_rows, retries, elapsed, processed: None }
    }

    /// Rows finished by this run, per second.
    pub fn rows_per_second(&self) -> f64 {
        let rows = self.totals.rows().saturating_sub(self.resumed_rows);
        rows as f64 / self.elapsed.as_secs_f64().max(1e-3)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ending, totals, resumed_rows, retries, elapsed, processed } = self;
        match ending {
            Ending::Complete => writeln!(f, "Replayed the whole file.")?,
            Ending::SentBefore => writeln!(f, "Already sent completely; --from-start sends it again.")?,
            Ending::Interrupted => writeln!(f, "Stopped before the end of the file.")?,
            Ending::Failed(reason) => writeln!(f, "Could not go on: {reason}")?,
        }
        write!(f, "  rows      {:>12}", totals.rows())?;
        if *resumed_rows > 0 {
            write!(f, "   ({resumed_rows} of them in an earlier run)")?;
        }
        writeln!(f, "\n  accepted  {:>12}   ({} of them adjusted)", totals.accepted, totals.adjusted)?;
        write!(f, "  rejected  {:>12}", totals.rejected)?;
        if *ending != Ending::SentBefore {
            let rate = self.rows_per_second();
            writeln!(f, "\n  retries   {retries:>12}")?;
            write!(f, "  time      {:>11.1}s   ({rate:.0} events/s)", elapsed.as_secs_f64())?;
        }
        for Rejection { row, code, detail, .. } in &totals.first_rejected {
            write!(f, "\n  row {row} rejected: {code}: {detail}")?;
        }
        let unnamed = totals.rejected - totals.first_rejected.len() as u64;
        if unnamed > 0 {
            write!(f, "\n  and {unnamed} more (all of them with --rejected FILE)")?;
        }
        processed.map_or(Ok(()), |processed| write!(f, "\n{processed}"))
    }
}

impl fmt::Display for Processed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, outcomes } = self;
        let Outcomes { applied, duplicate, too_late, dead_lettered } = outcomes;
        match (outcomes.sum(), *sent) {
            (sum, sent) if sum > sent => {
                let further = sum - sent;
                writeln!(
                    f,
                    "Of all events meanwhile ({sent} sent by this run, {further} further ones or repeats):"
                )?;
            }
            (sum, sent) if sum < sent => {
                let open = sent - sum;
                writeln!(
                    f,
                    "Of the {sent} events sent, as far as they have outcomes ({open} or more have none yet):"
                )?;
            }
            (_, sent) => writeln!(f, "Of the {sent} events sent:")?,
        }
        writeln!(f, "  applied   {applied:>12}")?;
        writeln!(f, "  duplicate {duplicate:>12}")?;
        write!(f, "  too late  {too_late:>12}")?;
        if *too_late > 0 {
            let days = MAX_LATE_MS / (24 * 3600 * 1000);
            write!(f, "   (not applied: more than {days} days behind the newest event of their partition)")?;
        }
        if *dead_lettered > 0 {
            write!(f, "\n  dead      {dead_lettered:>12}   (shopsmart dead-letters says why)")?;
        }
        Ok(())
    }
}
