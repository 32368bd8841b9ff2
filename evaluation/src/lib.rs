//! What the recommendations are worth: offline protocols over logs of real shoppers, with the published baselines beside ours.
//!
//! Ours is the product's own code ([`model`]): the same rows, lists and ranking that the services run. `docs/quality.md` says
//! how the figures come about.

pub mod baselines;
pub mod bootstrap;
pub mod data;
pub mod metrics;
pub mod model;
pub mod protocol;
pub mod report;

pub use data::{DataError, Dataset};

// A fixed hash, so that sums over a map come out the same in every run.
type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;
type Set<T> = hashbrown::HashSet<T, foldhash::fast::FixedState>;

pub use report::Report;
