//! Which products' lists are to be ranked next.

use crate::config::ProcessorConfig;
use hashbrown::HashMap;
use recommender::Symbol;
use std::time::Duration;
use tokio::time::Instant;

/// A change of a product's row that adds less than this share to it is small: no neighbour's score moves by more.
const SMALL: f32 = 0.05;
/// Lists ranked in one round, at most: what changes meanwhile waits that long.
const MOST: usize = 1_024;

/// How far the lists are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Covers {
    /// The effects of all records before this offset are visible, but for small changes of lists.
    pub(crate) visible: u64,
    /// The effects of all records before this offset are visible.
    pub(crate) complete: u64,
}

impl Covers {
    /// Nothing before an offset waits.
    pub(crate) fn all_before(offset: u64) -> Self {
        Self { visible: offset, complete: offset }
    }
}

/// A row's changes that are not published yet.
#[derive(Debug, Clone, Copy)]
struct Change {
    /// The share of the row that they are.
    share: f32,
    since: Instant,
    /// No earlier record is among them.
    from: u64,
}

/// Products that changed since their lists were ranked.
#[derive(Debug, Default)]
pub(crate) struct StaleLists {
    products: HashMap<Symbol, Change>,
    /// How far the last round made changes visible.
    visible: u64,
}

/// Lists to be ranked together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// The last one is to be ranked first.
    pub(crate) products: Vec<Symbol>,
    /// How far the lists are published after it.
    pub(crate) covers: Covers,
}

impl StaleLists {
    pub(crate) fn is_empty(&self) -> bool {
        self.products.is_empty()
    }

    /// A product's row changed by a share of itself, through records from the offset `from` on.
    pub(crate) fn changed(&mut self, product: Symbol, share: f32, from: u64, now: Instant) {
        let none = || Change { share: 0.0, since: now, from };
        self.products.entry(product).or_insert_with(none).share += share;
    }

    /// Takes what is to be ranked now: what changed much, what has waited for long, and then, as long as the round is short, what
    /// changed most. When that is more than can be ranked, what changed least waits longest: the answers are then as right as
    /// they can be. All records before `offset` are among the changes.
    pub(crate) fn round(&mut self, config: &ProcessorConfig, offset: u64, now: Instant) -> Round {
        let patience = Duration::from_millis(config.publish_small_changes_ms);
        let is_due = |change: &Change| change.share >= SMALL || now - change.since >= patience;
        let (mut due, mut small): (Vec<_>, Vec<_>) =
            self.products.drain().partition(|(_, change)| is_due(change));
        // Ties in a fixed order, so that a simulation can be replayed.
        let order = |(a, one): &(Symbol, Change), (b, other): &(Symbol, Change)| {
            other.share.total_cmp(&one.share).then(one.since.cmp(&other.since)).then(a.0.cmp(&b.0))
        };
        due.sort_unstable_by(order);
        let late = due.split_off(due.len().min(MOST));
        let room = config.publish_round_lists.saturating_sub(due.len()).min(small.len());
        if room > 0 && room < small.len() {
            small.select_nth_unstable_by(room - 1, order);
        }
        let left = small.split_off(room);
        small.sort_unstable_by(order);
        let first = |changes: &[(Symbol, Change)]| {
            changes.iter().map(|(_, change)| change.from).fold(offset, u64::min)
        };
        let complete = first(&left).min(first(&late));
        // What was small before and is late now does not take anything back.
        self.visible = self.visible.max(first(&late));
        let covers = Covers { visible: self.visible, complete };
        let products = due.iter().chain(&small).rev().map(|(product, _)| *product).collect();
        self.products.extend(late.into_iter().chain(left));
        Round { products, covers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(publish_round_lists: usize) -> ProcessorConfig {
        ProcessorConfig { publish_round_lists, publish_small_changes_ms: 1_000, ..ProcessorConfig::default() }
    }

    fn order(round: &Round) -> Vec<u32> {
        round.products.iter().rev().map(|product| product.0).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_changed_most_is_ranked_first_and_small_changes_wait() {
        let (mut stale, now) = (StaleLists::default(), Instant::now());
        for (product, share, from) in [(1, 0.001, 3), (2, 0.2, 4), (3, 0.04, 5), (4, 1.0, 6), (5, 0.002, 7)] {
            stale.changed(Symbol(product), share, from, now);
        }
        let round = stale.round(&config(3), 9, now);
        assert_eq!(order(&round), [4, 2, 3]);
        assert_eq!(round.covers, Covers { visible: 9, complete: 3 });
        let round = stale.round(&config(0), 10, now);
        assert_eq!((order(&round), round.covers), (vec![], Covers { visible: 10, complete: 3 }));
        let later = now + Duration::from_secs(1);
        stale.changed(Symbol(6), 0.01, 11, later);
        let round = stale.round(&config(0), 12, later);
        assert_eq!((order(&round), round.covers), (vec![5, 1], Covers { visible: 12, complete: 11 }));
        let round = stale.round(&config(1), 12, later);
        assert_eq!((order(&round), round.covers), (vec![6], Covers::all_before(12)));
        assert!(stale.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn many_small_changes_are_a_large_one() {
        let (mut stale, now) = (StaleLists::default(), Instant::now());
        (0..4).for_each(|record| stale.changed(Symbol(1), 0.02, record, now));
        assert_eq!(order(&stale.round(&config(0), 4, now)), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_is_bounded_and_what_is_late_is_not_called_visible() {
        let (mut stale, now) = (StaleLists::default(), Instant::now());
        for product in 0..MOST as u32 + 2 {
            stale.changed(Symbol(product), 2.0 - product as f32 / 1e4, u64::from(product), now);
        }
        let round = stale.round(&config(64), 5_000, now);
        assert_eq!(order(&round), (0..MOST as u32).collect::<Vec<_>>());
        assert_eq!(round.covers, Covers::all_before(MOST as u64));
        let round = stale.round(&config(64), 5_000, now);
        assert_eq!(order(&round), [MOST as u32, MOST as u32 + 1]);
        assert_eq!(round.covers, Covers::all_before(5_000));
    }
}
