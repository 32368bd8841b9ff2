//! What became of each record of `events`: exactly one of these.

use schemas::proto::Outcome;

/// Why a record could not be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// The value is not an `EventRecord`.
    Undecodable,
    /// The record has no key, or one that names no user.
    BadKey,
    /// The event lacks a product or an id, or names an unknown kind.
    Incomplete,
    /// The event's time is more than 5 minutes ahead of its append time, before 1970, or after the year 9999.
    BadTime,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Undecodable, Self::BadKey, Self::Incomplete, Self::BadTime];

    /// The name in tables and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::BadKey => "bad_key",
            Self::Incomplete => "incomplete",
            Self::BadTime => "bad_time",
        }
    }

    /// The reason of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// How often each outcome was counted, by the numbers of the Protobuf enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutcomeCounts(pub [u64; 6]);

impl OutcomeCounts {
    /// Outcomes of events; `Forgotten` is not an event.
    pub const NAMED: [(Outcome, &'static str); 5] = [
        (Outcome::Applied, "applied"),
        (Outcome::Duplicate, "duplicate"),
        (Outcome::TooLate, "too_late"),
        (Outcome::DeadLettered, "dead_lettered"),
        (Outcome::Forgotten, "forgotten"),
    ];

    /// Counts one.
    pub fn add(&mut self, outcome: Outcome) {
        self.0[outcome as usize] += 1;
    }

    /// The count of one outcome.
    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    /// Adds another partition's counts.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }
}
