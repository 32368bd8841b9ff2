//! What a run really met: a fault that was planned but had no occasion counts for nothing.

use std::collections::BTreeMap;
use std::fmt;

/// Faults, by what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A copy died between two rows of one write.
    CrashBetweenRows,
    /// A copy died before a write, or between two writes.
    CrashBetweenWrites,
    /// A copy died while it handed updates to the log.
    CrashAtAppend,
    /// A copy died at any other time.
    CrashElsewhere,
    /// All copies died at once.
    CrashOfAll,
    /// Rows of a dead copy reached the store after its death.
    RowsLandLate,
    /// Updates of a dead copy reached the log after its death.
    UpdatesLandLate,
    /// A partition went to another copy while the old owner went on.
    Takeover,
    /// A copy stood still until its partitions had moved, and then went on.
    Freeze,
    /// Partitions moved in order.
    Rebalance,
    /// A copy left in order.
    CopyLeft,
    /// A copy joined.
    CopyJoined,
    /// An update did not reach the log.
    DeliveryFailed,
    /// An update reached the log, but its acknowledgement was lost.
    AcknowledgementLost,
    /// The producer's queue was full.
    QueueFull,
    /// A write to the state store failed before any row was written.
    StateWriteFailed,
    /// A write to the state store failed when some or all rows were written.
    StateWriteCutShort,
    /// A read of the state store failed.
    StateReadFailed,
    /// Reading the log failed.
    LogReadFailed,
    /// The state store was slow for a while.
    StateSlow,
    /// The log was slow to acknowledge for a while.
    LogSlow,
    /// The serving store did not answer for a while.
    ServingDown,
    /// The serving store lost all data.
    ServingCleared,
    /// Records were deleted before they were processed.
    DeletedUnread,
    /// A topic was made anew, empty.
    TopicEmptied,
    /// A topic was made anew, with as many other records.
    TopicExchanged,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 26] = [
        Self::CrashBetweenRows,
        Self::CrashBetweenWrites,
        Self::CrashAtAppend,
        Self::CrashElsewhere,
        Self::CrashOfAll,
        Self::RowsLandLate,
        Self::UpdatesLandLate,
        Self::Takeover,
        Self::Freeze,
        Self::Rebalance,
        Self::CopyLeft,
        Self::CopyJoined,
        Self::DeliveryFailed,
        Self::AcknowledgementLost,
        Self::QueueFull,
        Self::StateWriteFailed,
        Self::StateWriteCutShort,
        Self::StateReadFailed,
        Self::LogReadFailed,
        Self::StateSlow,
        Self::LogSlow,
        Self::ServingDown,
        Self::ServingCleared,
        Self::DeletedUnread,
        Self::TopicEmptied,
        Self::TopicExchanged,
    ];
}

/// What else is worth knowing about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// Records of `events`.
    Events,
    /// Events sent twice.
    Resent,
    /// Events applied.
    Applied,
    /// Events dropped as duplicates.
    Duplicate,
    /// Events that came too late.
    TooLate,
    /// Records that could not be applied.
    DeadLettered,
    /// Users forgotten.
    Forgotten,
    /// Events of a user who had reached the cap.
    Capped,
    /// Users who came back after 90 days.
    StartedAnew,
    /// Events older than one before them in their partition.
    OutOfOrder,
    /// Batches read.
    Batches,
    /// Records of `product-activity`.
    Updates,
    /// Updates that were in the log before.
    UpdatesRepeated,
    /// Rows written.
    RowsWritten,
    /// Writes dropped because a higher version was stored.
    StaleWritesDropped,
    /// Rows written by a copy that did not own their partition any more.
    OldOwnerWrites,
    /// Progress rows written, and checked.
    ProgressChecked,
    /// Copies started.
    CopiesStarted,
    /// States proven in the middle, after all copies had died.
    ProvenMidway,
}

/// Counts of one schedule, or of many.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    faults: BTreeMap<Fault, u64>,
    seen: BTreeMap<Seen, u64>,
}

impl Coverage {
    /// A fault took effect.
    pub fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    /// Counts something.
    pub fn saw(&mut self, what: Seen, times: u64) {
        *self.seen.entry(what).or_default() += times;
    }

    /// How often a fault took effect.
    pub fn of(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or(0)
    }

    /// How often something was seen.
    pub fn count(&self, what: Seen) -> u64 {
        self.seen.get(&what).copied().unwrap_or(0)
    }

    /// Faults that took effect.
    pub fn faults(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Adds another schedule's counts.
    pub fn merge(&mut self, other: &Self) {
        other.faults.iter().for_each(|(&fault, count)| *self.faults.entry(fault).or_default() += count);
        other.seen.iter().for_each(|(&what, count)| *self.seen.entry(what).or_default() += count);
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults that took effect: {}", self.faults())?;
        for fault in Fault::ALL {
            writeln!(f, "  {:<22}{:>12}", format!("{fault:?}"), self.of(fault))?;
        }
        writeln!(f, "met on the way:")?;
        self.seen.iter().try_for_each(|(what, count)| writeln!(f, "  {:<22}{count:>12}", format!("{what:?}")))
    }
}
