//! Which products' lists are to be ranked next.
//!
//! A backlog makes every product of a shop stale, and each round takes a few of them: so these are queued, by what makes one go
//! before another, and no round looks at all. A queue may hold what is no longer so: whether an entry still counts is seen
//! when it is its turn.

use crate::config::ProcessorConfig;
use hashbrown::HashMap;
use recommender::Symbol;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// A change of a product's row that adds less than this share to it is small: no neighbour's score moves by more.
const SMALL: f32 = 0.05;
/// Lists in one round, at most: what changes meanwhile waits until these are ranked.
const MOST: usize = 16;
/// A product is queued anew when it has changed by so many times as much as when it was queued.
const GROWN: f32 = 1.5;
/// A product that changed by such a share since it was ranked is not held back. It has twice as much in its row by then, so this is
/// rarely so.
const DOUBLED: f32 = 0.5;

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
    /// The share when it was queued last.
    queued: f32,
    since: Instant,
    /// No earlier record is among them.
    from: u64,
    /// Large, or long ago.
    is_due: bool,
    /// Its turn came too soon after the last time.
    is_held: bool,
}

/// A place in a queue: what changed most goes first, of equals what has waited longest, and then in a fixed order, so that a
/// simulation can be replayed.
#[derive(Debug, Clone, Copy)]
struct Queued {
    share: f32,
    since: Instant,
    product: Symbol,
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_share = self.share.total_cmp(&other.share);
        by_share.then(other.since.cmp(&self.since)).then(other.product.cmp(&self.product))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Queued {}

/// Products that changed since their lists were ranked.
#[derive(Debug, Default)]
pub(crate) struct StaleLists {
    products: HashMap<Symbol, Change>,
    /// All of them.
    queue: BinaryHeap<Queued>,
    /// Those with small changes that have waited for long.
    overdue: BinaryHeap<Queued>,
    /// Those that are not overdue yet, as they came.
    patient: VecDeque<(Instant, Symbol)>,
    /// Those that may not be ranked before a time.
    held: BinaryHeap<Reverse<(Instant, Symbol)>>,
    /// The first offsets of all, as they came, and of those that are due.
    offsets: VecDeque<(u64, Symbol)>,
    due_offsets: BinaryHeap<Reverse<(u64, Symbol)>>,
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
        let change = self.products.entry(product).or_insert_with(|| {
            self.patient.push_back((now, product));
            self.offsets.push_back((from, product));
            Change { share: 0.0, queued: 0.0, since: now, from, is_due: false, is_held: false }
        });
        // What was unpublished before is now a part of what this change left as it was.
        change.share = 1.0 - (1.0 - change.share) * (1.0 - share.min(1.0));
        let becomes_due = !change.is_due && change.share >= SMALL;
        if becomes_due {
            change.is_due = true;
            self.due_offsets.push(Reverse((change.from, product)));
        }
        let becomes_large = change.share >= SMALL && change.queued < SMALL;
        let is_let_go = change.is_held && change.share >= DOUBLED;
        if becomes_large || is_let_go || change.share >= GROWN * change.queued {
            change.is_held &= !is_let_go;
            change.queued = change.share;
            self.queue.push(Queued { share: change.share, since: change.since, product });
        }
    }

    /// Takes what is to be ranked now, if anything: what changed most, of what changed much or has waited for long. Now and then
    /// also of what changed little, as long as the round is short. A product ranked a moment ago waits, unless half of it is new.
    /// When more changes than can be ranked, what changed least waits longest: the answers are then as right as they can be. All
    /// records before `offset` are among the changes.
    pub(crate) fn round(&mut self, config: &ProcessorConfig, offset: u64, now: Instant) -> Option<Round> {
        let interval = Duration::from_millis(config.publish_interval_ms);
        let is_new = self.interval_ends.is_none_or(|end| now >= end);
        if is_new {
            self.interval_ends = Some(now + interval);
            self.small_left = config.publish_round_lists;
            self.ranked.retain(|_, at| now - *at < interval);
            self.tidy();
        }
        self.release_held(now);
        self.note_overdue(now, Duration::from_millis(config.publish_small_changes_ms));
        let mut products = Vec::new();
        while products.len() < MOST
            && let Some(product) = self.next_due(now, interval)
        {
            products.push(product);
        }
        while products.len() < MOST
            && self.small_left > 0
            && let Some(product) = self.next_of(|stale| stale.queue.pop(), now, interval)
        {
            products.push(product);
            self.small_left -= 1;
        }
        if products.is_empty() && !is_new {
            return None;
        }
        // What was small before and is late now does not take anything back.
        self.visible = self.visible.max(self.first_due_offset().unwrap_or(offset).min(offset));
        let complete = self.first_offset().unwrap_or(offset).min(offset);
        Some(Round { products, covers: Covers { visible: self.visible, complete } })
    }

    /// Of those that are due, the one that changed most.
    fn next_due(&mut self, now: Instant, interval: Duration) -> Option<Symbol> {
        let large = |stale: &mut Self| {
            let is_large = stale.queue.peek().is_some_and(|queued| queued.share >= SMALL);
            if is_large { stale.queue.pop() } else { None }
        };
        self.next_of(large, now, interval)
            .or_else(|| self.next_of(|stale| stale.overdue.pop(), now, interval))
    }

    /// The first that `pop` gives and that may be ranked.
    fn next_of(
        &mut self,
        pop: impl Fn(&mut Self) -> Option<Queued>,
        now: Instant,
        interval: Duration,
    ) -> Option<Symbol> {
        loop {
            let queued = pop(self)?;
            let product = queued.product;
            let Some(change) = self.products.get_mut(&product) else { continue };
            if change.is_held || change.since != queued.since {
                continue;
            }
            let ranked = self.ranked.get(&product).filter(|at| now - **at < interval);
            if let Some(&at) = ranked.filter(|_| change.share < DOUBLED) {
                change.is_held = true;
                self.held.push(Reverse((at + interval, product)));
                continue;
            }
            self.products.remove(&product);
            self.ranked.insert(product, now);
            return Some(product);
        }
    }

    /// Queues again what was held back until now.
    fn release_held(&mut self, now: Instant) {
        while let Some(&Reverse((until, product))) = self.held.peek()
            && until <= now
        {
            self.held.pop();
            let Some(change) = self.products.get_mut(&product).filter(|change| change.is_held) else {
                continue;
            };
            (change.is_held, change.queued) = (false, change.share);
            let queued = Queued { share: change.share, since: change.since, product };
            self.queue.push(queued);
            if change.is_due {
                self.overdue.push(queued);
            }
        }
    }

    /// What has waited for long is due.
    fn note_overdue(&mut self, now: Instant, patience: Duration) {
        while let Some(&(since, product)) = self.patient.front()
            && now - since >= patience
        {
            self.patient.pop_front();
            let Some(change) = self.products.get_mut(&product) else { continue };
            if change.is_due || change.since != since {
                continue;
            }
            change.is_due = true;
            self.due_offsets.push(Reverse((change.from, product)));
            self.overdue.push(Queued { share: change.share, since, product });
        }
    }

    /// Before it, nothing waits.
    fn first_offset(&mut self) -> Option<u64> {
        while let Some(&(from, product)) = self.offsets.front() {
            if self.products.get(&product).is_some_and(|change| change.from == from) {
                return Some(from);
            }
            self.offsets.pop_front();
        }
        None
    }

    /// Before it, nothing waits that is due.
    fn first_due_offset(&mut self) -> Option<u64> {
        while let Some(&Reverse((from, product))) = self.due_offsets.peek() {
            if self.products.get(&product).is_some_and(|change| change.is_due && change.from == from) {
                return Some(from);
            }
            self.due_offsets.pop();
        }
        None
    }

    /// Leaves out what no longer counts, where that is most of it.
    fn tidy(&mut self) {
        let Self { products, queue, overdue, offsets, due_offsets, .. } = self;
        let many = 2 * products.len() + 1_024;
        let is_waiting = |queued: &Queued| {
            products.get(&queued.product).is_some_and(|change| change.since == queued.since)
        };
        let is_first =
            |from: u64, product: Symbol| products.get(&product).is_some_and(|change| change.from == from);
        if queue.len() > many {
            // Of several of one product, the last.
            queue.retain(|queued| is_waiting(queued) && products[&queued.product].queued <= queued.share);
        }
        if overdue.len() > many {
            overdue.retain(is_waiting);
        }
        if offsets.len() > many {
            offsets.retain(|&(from, product)| is_first(from, product));
        }
        if due_offsets.len() > many {
            due_offsets.retain(|&Reverse((from, product))| is_first(from, product));
        }
    }
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
        stale.changed(Symbol(1), 0.4, 1, now);
        stale.changed(Symbol(2), 0.4, 2, now);
        let after_2 = Covers { visible: 1, complete: 1 };
        assert_eq!(round(&mut stale, 9, 3, now), Some((vec![2], after_2)), "others are");
        assert_eq!(round(&mut stale, 9, 3, now + INTERVAL), Some((vec![1], Covers::all_before(3))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_product_of_which_half_is_new_is_ranked_again_at_once() {
        let (mut stale, now) = (StaleLists::default(), Instant::now());
        for from in 0..2 {
            stale.changed(Symbol(1), 1.0, from, now);
            assert_eq!(round(&mut stale, 9, from + 1, now), Some((vec![1], Covers::all_before(from + 1))));
        }
        stale.changed(Symbol(1), 0.4, 2, now);
        assert_eq!(round(&mut stale, 9, 3, now), None);
        stale.changed(Symbol(1), 0.4, 3, now); // .64 by now
        assert_eq!(round(&mut stale, 9, 4, now), Some((vec![1], Covers::all_before(4))));
        let later = now + INTERVAL;
        assert_eq!(
            round(&mut stale, 9, 4, later),
            Some((vec![], Covers::all_before(4))),
            "it was let go once"
        );
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

    /// What is pending, kept in the plainest way.
    #[derive(Default)]
    struct Pending(HashMap<Symbol, (f32, Instant, u64)>);

    impl Pending {
        fn is_due(&self, product: Symbol, now: Instant, patience: Duration) -> bool {
            let (share, since, _) = self.0[&product];
            share >= SMALL || now - since >= patience
        }

        fn first(&self, of: impl Fn(Symbol) -> bool) -> Option<u64> {
            self.0.iter().filter(|(product, _)| of(**product)).map(|(_, change)| change.2).min()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_changes_rounds_keep_their_promises() {
        let (config, mut random) = (config(4), fastrand::Rng::with_seed(5));
        let patience = Duration::from_millis(config.publish_small_changes_ms);
        let (mut stale, mut pending, mut now) = (StaleLists::default(), Pending::default(), Instant::now());
        let (mut ranked, mut offset, mut visible) = (HashMap::<Symbol, Instant>::new(), 0, 0);
        for step in 0..20_000 {
            now += Duration::from_millis(random.u64(0..4));
            // Now and then far more than can be ranked, and at the end nothing new.
            let changes =
                if step >= 15_000 { 0 } else { random.usize(0..if step / 1_000 % 3 == 0 { 40 } else { 4 }) };
            for _ in 0..changes {
                let product = Symbol(random.u32(0..3_000).min(random.u32(0..3_000)));
                let share = if random.u8(..4) == 0 { random.f32() } else { random.f32() * SMALL };
                stale.changed(product, share, offset, now);
                let change = pending.0.entry(product).or_insert((0.0, now, offset));
                change.0 = 1.0 - (1.0 - change.0) * (1.0 - share);
            }
            offset += 1;
            let Some(round) = stale.round(&config, offset, now) else {
                let waits = |product: &Symbol| {
                    let may_go = ranked.get(product).is_none_or(|at| now - *at >= INTERVAL)
                        || pending.0[product].0 >= DOUBLED;
                    pending.is_due(*product, now, patience) && may_go
                };
                assert!(!pending.0.keys().any(waits), "step {step}: something is due");
                continue;
            };
            assert!(round.products.len() <= MOST);
            for product in &round.products {
                let change = pending.0.remove(product);
                let (share, ..) = change.unwrap_or_else(|| panic!("step {step}: {product:?} did not change"));
                let may_again = |at| now - at >= INTERVAL || share >= DOUBLED;
                assert!(ranked.insert(*product, now).is_none_or(may_again), "step {step}: {product:?} again");
            }
            let due = pending.first(|product| pending.is_due(product, now, patience));
            visible = due.unwrap_or(offset).max(visible);
            assert_eq!(round.covers.visible, visible, "step {step}");
            assert_eq!(round.covers.complete, pending.first(|_| true).unwrap_or(offset), "step {step}");
            let queued =
                stale.queue.len() + stale.offsets.len() + stale.due_offsets.len() + stale.overdue.len();
            assert!(queued <= 9 * pending.0.len() + 12_000, "step {step}: {queued} for {}", pending.0.len());
        }
        assert!(pending.0.is_empty(), "{} are never ranked", pending.0.len());
    }
}
