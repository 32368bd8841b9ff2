//! Which products' lists are to be ranked next.

use crate::config::ProcessorConfig;
use hashbrown::HashMap;
use recommender::Symbol;
use std::time::Duration;
use tokio::time::Instant;

/// A change of a product's row that adds less than this share to it is small: no neighbour's score moves by more.
const SMALL: f32 = 0.05;
/// Lists in one round, at most: what changes meanwhile waits until these are ranked.
const MOST: usize = 16;

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
    /// When products were ranked that may not be ranked again yet.
    ranked: HashMap<Symbol, Instant>,
    /// Lists with small changes that are still to be taken in this interval.
    small_left: usize,
    /// When it ends.
    interval_ends: Option<Instant>,
    /// How far the last round made changes visible.
    visible: u64,
}

/// Lists to be ranked together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// Those that changed most come first.
    pub(crate) products: Vec<Symbol>,
    /// How far the lists are published after it.
    pub(crate) covers: Covers,
}

impl StaleLists {
    /// A product's row changed: a share of what is in it now is new, through records from the offset `from` on.
    pub(crate) fn changed(&mut self, product: Symbol, share: f32, from: u64, now: Instant) {
        let none = || Change { share: 0.0, since: now, from };
        let unpublished = &mut self.products.entry(product).or_insert_with(none).share;
        // What was unpublished before is now a part of what this change left as it was.
        *unpublished = 1.0 - (1.0 - *unpublished) * (1.0 - share.min(1.0));
    }

    /// Takes what is to be ranked now, if anything: what changed most, of what changed much or has waited for long. Now and then
    /// also of what changed little, as long as the round is short. A product ranked a moment ago waits. When more changes than
    /// can be ranked, what changed least waits longest: the answers are then as right as they can be. All records before
    /// `offset` are among the changes.
    pub(crate) fn round(&mut self, config: &ProcessorConfig, offset: u64, now: Instant) -> Option<Round> {
        let (interval, patience) = (
            Duration::from_millis(config.publish_interval_ms),
            Duration::from_millis(config.publish_small_changes_ms),
        );
        let is_new = self.interval_ends.is_none_or(|end| now >= end);
        if is_new {
            self.interval_ends = Some(now + interval);
            self.small_left = config.publish_round_lists;
            self.ranked.retain(|_, at| now - *at < interval);
        }
        // First offsets: of all that changed much and waits for its turn, and of all that stays.
        let (mut late, mut left) = (offset, offset);
        let (mut due, mut small) = (Vec::new(), Vec::new());
        for (&product, change) in &self.products {
            let is_due = change.share >= SMALL || now - change.since >= patience;
            if self.ranked.get(&product).is_some_and(|at| now - *at < interval) {
                left = left.min(change.from);
                late = if is_due { late.min(change.from) } else { late };
            } else if is_due {
                due.push((product, *change));
            } else if self.small_left > 0 {
                small.push((product, *change));
            } else {
                left = left.min(change.from);
            }
        }
        if due.is_empty() && small.is_empty() && !is_new {
            return None;
        }
        for (_, change) in split_off(&mut due, MOST) {
            (late, left) = (late.min(change.from), left.min(change.from));
        }
        let room = self.small_left.min(MOST - due.len());
        for (_, change) in split_off(&mut small, room) {
            left = left.min(change.from);
        }
        self.small_left -= small.len();
        due.append(&mut small);
        for (product, _) in &due {
            self.products.remove(product);
            self.ranked.insert(*product, now);
        }
        // What was small before and is late now does not take anything back.
        self.visible = self.visible.max(late);
        let covers = Covers { visible: self.visible, complete: left };
        Some(Round { products: due.iter().map(|(product, _)| *product).collect(), covers })
    }
}

/// Sorts changes, the largest first, and takes those after the first `most` away.
fn split_off(changes: &mut Vec<(Symbol, Change)>, most: usize) -> Vec<(Symbol, Change)> {
    // Ties in a fixed order, so that a simulation can be replayed.
    let order = |(a, one): &(Symbol, Change), (b, other): &(Symbol, Change)| {
        other.share.total_cmp(&one.share).then(one.since.cmp(&other.since)).then(a.0.cmp(&b.0))
    };
    if most > 0 && most < changes.len() {
        changes.select_nth_unstable_by(most - 1, order);
    }
    let others = changes.split_off(most.min(changes.len()));
    changes.sort_unstable_by(order);
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    fn config(publish_round_lists: usize) -> ProcessorConfig {
        ProcessorConfig {
            publish_round_lists,
            publish_small_changes_ms: 1_000,
            publish_interval_ms: INTERVAL.as_millis() as u64,
            ..ProcessorConfig::default()
        }
    }

    /// The next round's products in their order, and what it covers.
    fn round(stale: &mut StaleLists, lists: usize, offset: u64, now: Instant) -> Option<(Vec<u32>, Covers)> {
        let round = stale.round(&config(lists), offset, now)?;
        Some((round.products.iter().map(|product| product.0).collect(), round.covers))
    }

    #[tokio::test(start_paused = true)]
    async fn what_changed_most_is_ranked_first_and_small_changes_wait() {
        let (mut stale, now) = (StaleLists::default(), Instant::now());
        for (product, share, from) in [(1, 0.001, 3), (2, 0.2, 4), (3, 0.04, 5), (4, 1.0, 6), (5, 0.002, 7)] {
            stale.changed(Symbol(product), share, from, now);
        }
        let covers = |visible, complete| Covers { visible, complete };
        assert_eq!(round(&mut stale, 1, 9, now), Some((vec![4, 2, 3], covers(9, 3))));
        assert_eq!(round(&mut stale, 1, 10, now), None, "small ones have to wait");
        let later = now + INTERVAL;
        assert_eq!(
            round(&mut stale, 0, 10, later),
            Some((vec![], covers(10, 3))),
            "and there may be no room"
        );
        let later = now + Duration::from_secs(1);
        stale.changed(Symbol(6), 0.01, 11, later);
        assert_eq!(
            round(&mut stale, 0, 12, later),
            Some((vec![5, 1], covers(12, 11))),
            "they waited for long"
        );
        let later = later + INTERVAL;
        assert_eq!(round(&mut stale, 1, 12, later), Some((vec![6], Covers::all_before(12))));
    }

    #[tokio::test(start_paused = true)]
    async fn many_small_changes_are_a_large_one() {
        let (mut stale, now) = (StaleLists::default(), Instant::now());
        (0..4).for_each(|record| stale.changed(Symbol(1), 0.02, record, now));
        assert_eq!(round(&mut stale, 0, 4, now), Some((vec![1], Covers::all_before(4))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_row_goes_before_those_that_changed_again_and_again() {
        let (mut stale, now) = (StaleLists::default(), Instant::now());
        for product in 0..MOST as u32 {
            (0..100).for_each(|record| stale.changed(Symbol(product), 0.04, record, now));
        }
        stale.changed(Symbol(100), 1.0, 100, now);
        let (products, _) = round(&mut stale, 0, 101, now).expect("much is due");
        assert_eq!((products.len(), products[0]), (MOST, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_product_is_not_ranked_again_and_again() {
        let (mut stale, now) = (StaleLists::default(), Instant::now());
        stale.changed(Symbol(1), 1.0, 0, now);
        assert_eq!(round(&mut stale, 9, 1, now), Some((vec![1], Covers::all_before(1))));
        stale.changed(Symbol(1), 0.5, 1, now);
        stale.changed(Symbol(2), 0.5, 2, now);
        let after_2 = Covers { visible: 1, complete: 1 };
        assert_eq!(round(&mut stale, 9, 3, now), Some((vec![2], after_2)), "others are");
        assert_eq!(round(&mut stale, 9, 3, now + INTERVAL), Some((vec![1], Covers::all_before(3))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_is_bounded_and_what_is_late_is_not_called_visible() {
        let (mut stale, now) = (StaleLists::default(), Instant::now());
        for product in 0..MOST as u32 + 2 {
            stale.changed(Symbol(product), 1.0 - product as f32 / 1e4, u64::from(product), now);
        }
        let first: Vec<u32> = (0..MOST as u32).collect();
        assert_eq!(round(&mut stale, 64, 5_000, now), Some((first, Covers::all_before(MOST as u64))));
        let second = vec![MOST as u32, MOST as u32 + 1];
        assert_eq!(round(&mut stale, 64, 5_000, now), Some((second, Covers::all_before(5_000))));
        assert_eq!(round(&mut stale, 64, 5_000, now), None);
    }
}
