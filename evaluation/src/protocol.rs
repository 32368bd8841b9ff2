//! The protocols: what is learnt when, what is predicted, and when it counts.

mod cold_start;
mod events;
mod sessions;

pub use cold_start::cold_start;
pub use events::{heldout, prequential, prequential_tallies};
pub use sessions::{live, next_in_session};

use crate::baselines::{self, Baseline};

/// Our name in tables.
pub const OURS: &str = "shopsmart";

/// What runs, and who is told how far it is.
pub struct Settings<'a> {
    /// Names of the algorithms; all when empty.
    pub algorithms: Vec<String>,
    /// Length of the shortest prefix to predict from; from the data when `None`.
    pub first_prefix: Option<usize>,
    /// Called with (algorithm, done, of) now and then.
    pub progress: &'a dyn Fn(&str, usize, usize),
}

impl Settings<'_> {
    fn wants(&self, name: &str) -> bool {
        self.algorithms.is_empty() || self.algorithms.iter().any(|wanted| wanted == name)
    }

    fn baselines(&self) -> impl Iterator<Item = Box<dyn Baseline>> {
        baselines::all().into_iter().filter(|baseline| self.wants(baseline.name()))
    }
}

/// Names that [`Settings::algorithms`] may hold.
pub fn algorithm_names() -> Vec<&'static str> {
    std::iter::once(OURS).chain(baselines::all().iter().map(|baseline| baseline.name())).collect()
}
