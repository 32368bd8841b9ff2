//! What ours is compared with: trivial and published methods, each as its authors describe it.

mod counting;
mod first_system;
mod neighbours;

pub use counting::{AssociationRules, Echo, Popularity, SequentialRules};
pub use first_system::FirstSystem;
pub use neighbours::{Sknn, Vstan};

use crate::data::{Click, Id};
use crate::metrics::K;
use std::cmp::Ordering;

/// A method that learns from whole sessions.
pub trait Baseline {
    /// Short name for tables.
    fn name(&self) -> &'static str;

    /// Learns from sessions in the order of their start. Called once.
    fn train(&mut self, sessions: &[Vec<Click>], items: usize);

    /// Items with scores, in no particular order, for what comes after `history` (the oldest event first), whose current
    /// session begins at `session`.
    fn score(&self, history: &[Click], session: usize) -> Vec<(f64, Id)>;
}

/// All of them, in the order of the tables.
pub fn all() -> Vec<Box<dyn Baseline>> {
    vec![
        Box::new(Echo),
        Box::new(Popularity::default()),
        Box::new(FirstSystem::default()),
        Box::new(AssociationRules::default()),
        Box::new(SequentialRules::default()),
        Box::new(Sknn::default()),
        Box::new(Vstan::default()),
    ]
}

/// The best 20 that `keep` accepts: higher scores first, ties by item.
pub fn best(mut scored: Vec<(f64, Id)>, keep: impl Fn(Id) -> bool) -> Vec<Id> {
    scored.retain(|&(score, item)| score > 0.0 && keep(item));
    let order = |a: &(f64, Id), b: &(f64, Id)| -> Ordering { b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)) };
    if scored.len() > K {
        scored.select_nth_unstable_by(K - 1, order);
        scored.truncate(K);
    }
    scored.sort_unstable_by(order);
    scored.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::EventKind;

    /// Sessions of views, given by their items.
    pub(super) fn sessions(items: &[&[Id]]) -> Vec<Vec<Click>> {
        let click =
            |user: usize, item: Id| Click { user: user as Id, item, kind: EventKind::View, timestamp_ms: 0 };
        items
            .iter()
            .enumerate()
            .map(|(user, items)| items.iter().map(|&item| click(user, item)).collect())
            .collect()
    }

    /// What a method recommends after a session.
    pub(super) fn recommended(method: &mut dyn Baseline, train: &[&[Id]], session: &[Id]) -> Vec<Id> {
        method.train(&sessions(train), 100);
        best(method.score(&sessions(&[session])[0], 0), |_| true)
    }

    #[test]
    fn the_best_are_cut_at_20_with_ties_by_item() {
        let scored = (0..50).rev().map(|item| (if item == 30 { 2.0 } else { 1.0 }, item)).collect();
        let list = best(scored, |item| item != 3);
        assert_eq!(list[..4], [30, 0, 1, 2]);
        assert_eq!((list.len(), list.contains(&3)), (20, false));
    }
}
