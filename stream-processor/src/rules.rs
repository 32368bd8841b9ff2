//! The rules that "each event counts once" rests on, where a test can break one of them.
//!
//! The simulation has to notice each broken rule; else it proves nothing. Without the feature `broken-rules`, which only the
//! simulation's tests turn on, [`is_broken`] is the constant `false` and nothing of this is left in the program.

/// A rule of the pipeline, by what holds while it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A flush says first how far rows may be ahead of the progress.
    IntentBeforeRows,
    /// Rows are written once all that was emitted for the records before them is in the log.
    AcknowledgedBeforeRows,
    /// The progress is written after everything that it says is stored.
    ProgressAfterRows,
    /// The keys of the rows that are stored are written before the progress.
    KnownKeysBeforeProgress,
    /// A user's record at or below the row's version changes nothing.
    UserVersionChecked,
    /// A record of updates at or below a product row's version changes nothing.
    ProductVersionChecked,
    /// A row gets a record's version when all updates of the record are applied.
    VersionSetLast,
    /// Updates below the mark of their source partition are dropped.
    MarksChecked,
    /// A forgotten user's row keeps the version of the record that forgot it.
    ForgettingSetsVersion,
    /// A row that changed since its copy was made stays changed when the copy is stored.
    ChangedSinceCopyStaysChanged,
    /// Rows that are not stored yet are never evicted.
    ChangedRowsStay,
    /// A failed append ends the task.
    FailedAppendEndsTask,
    /// A task appends by one producer from its beginning to its end.
    OneProducerForATask,
    /// A log that is not the one that the state was made from is refused.
    LogChecked,
    /// A product that changed is ranked anew, also when it was ranked before.
    ChangedProductsRanked,
    /// A product that changed is ranked and trends, also when its row has left memory since.
    GoneRowsReadAgain,
    /// A trending list that changed is published, also when it was published before.
    ChangedTrendsPublished,
    /// A trending list is published after a start, also when nothing is in it any more.
    EmptyTrendsPublished,
    /// Trending lists are published again once no earlier owner of the partition can be ahead.
    TrendsPublishedAgain,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 19] = [
        Self::IntentBeforeRows,
        Self::AcknowledgedBeforeRows,
        Self::ProgressAfterRows,
        Self::KnownKeysBeforeProgress,
        Self::UserVersionChecked,
        Self::ProductVersionChecked,
        Self::VersionSetLast,
        Self::MarksChecked,
        Self::ForgettingSetsVersion,
        Self::ChangedSinceCopyStaysChanged,
        Self::ChangedRowsStay,
        Self::FailedAppendEndsTask,
        Self::OneProducerForATask,
        Self::LogChecked,
        Self::ChangedProductsRanked,
        Self::GoneRowsReadAgain,
        Self::ChangedTrendsPublished,
        Self::EmptyTrendsPublished,
        Self::TrendsPublishedAgain,
    ];
}

#[cfg(feature = "broken-rules")]
mod breaking {
    use super::Rule;
    use std::cell::Cell;

    thread_local! {
        static BROKEN: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    /// Breaks a rule, or none, for everything that runs on this thread from now on.
    pub fn break_rule(rule: Option<Rule>) {
        BROKEN.set(rule);
    }

    pub(crate) fn is_broken(rule: Rule) -> bool {
        BROKEN.get() == Some(rule)
    }
}

#[cfg(feature = "broken-rules")]
pub use breaking::break_rule;
#[cfg(feature = "broken-rules")]
pub(crate) use breaking::is_broken;

#[cfg(not(feature = "broken-rules"))]
pub(crate) const fn is_broken(_: Rule) -> bool {
    false
}
