//! What can be broken on purpose, to show that the simulation notices.

use stream_processor::rules::Rule;

/// A rule that does not hold in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Broken {
    /// All hold.
    #[default]
    Nothing,
    /// One of the pipeline's own: whoever runs the simulation has told [`stream_processor::rules`] so.
    Rule(Rule),
    /// The state store takes writes with a lower version than the stored one.
    StaleWritesDropped,
    /// The state store deletes the row of a forgotten user instead of keeping it, empty, with its version.
    ForgottenRowsStay,
    /// Rows are read before the progress.
    ProgressReadFirst,
    /// Reading begins where the group's reading had come, not at the stored progress.
    ReadFromProgress,
    /// A producer goes on after a failed append.
    Gapless,
    /// An append is acknowledged before the log holds it.
    DurableAcknowledgement,
}

impl Broken {
    /// Everything that can be broken.
    pub fn all() -> impl Iterator<Item = Self> {
        let parts = [
            Self::StaleWritesDropped,
            Self::ForgottenRowsStay,
            Self::ProgressReadFirst,
            Self::ReadFromProgress,
            Self::Gapless,
            Self::DurableAcknowledgement,
        ];
        Rule::ALL.into_iter().map(Self::Rule).chain(parts)
    }

    /// The rule's name.
    pub fn name(self) -> String {
        match self {
            Self::Rule(rule) => format!("{rule:?}"),
            other => format!("{other:?}"),
        }
    }
}
