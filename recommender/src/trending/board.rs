//! The few of many products that may be among the best of one list.

use hashbrown::HashSet;
use std::cmp::Ordering;

/// Candidates of a list that is made from all products, at first: as many have to fall behind, less those that are published,
/// until all are looked at again.
pub(super) const KEPT: usize = 5 * super::PUBLISHED;
/// Times as many candidates are too many: the worst are left out.
const MANY: usize = 4;

/// A product's standing in a list: the larger the better, and of equals the one whose name comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) weight: u32,
    pub(super) place: u32,
}

/// Candidates for one list: every product that stands no worse than the limit is among them.
#[derive(Debug)]
pub(super) struct Board {
    limit: Limit,
    /// Places in the index.
    candidates: HashSet<u32>,
    /// How many there are to be when the list is made from all products.
    kept: usize,
}

impl Default for Board {
    fn default() -> Self {
        Self { limit: Limit::default(), candidates: HashSet::new(), kept: KEPT }
    }
}

#[derive(Debug, Clone, Copy, Default)]
enum Limit {
    /// All products have to be looked at.
    #[default]
    Unknown,
    /// All products with a weight are candidates.
    None,
    /// A product that stood so when it became the limit.
    At(Standing),
}

impl Board {
    /// A product's weight is new.
    pub(super) fn offer(&mut self, standing: Standing) {
        let may_be_among = match self.limit {
            Limit::Unknown => false,
            Limit::None => standing.weight > 0,
            // Among equals also the one whose name comes later: names are compared when there are too many.
            Limit::At(limit) => standing.weight >= limit.weight,
        };
        if may_be_among {
            self.candidates.insert(standing.place);
        }
    }

    /// The best `most` of the candidates as they stand now (`None` = no longer), the best first.
    pub(super) fn best(
        &mut self,
        most: usize,
        standing: impl Fn(u32) -> Option<Standing>,
        order: impl Fn(&Standing, &Standing) -> Ordering,
    ) -> Vec<Standing> {
        let mut standings: Vec<Standing> =
            self.candidates.iter().filter_map(|&place| standing(place)).collect();
        let many = MANY * self.kept;
        if standings.len() > many || self.candidates.len() > 2 * many {
            self.keep(standings.clone(), &order);
        }
        cut(&mut standings, most, &order);
        standings.sort_unstable_by(order);
        standings
    }

    /// Whether nobody but a candidate can be among the published, which `best` begins with.
    pub(super) fn vouches_for(
        &self,
        best: &[Standing],
        order: impl Fn(&Standing, &Standing) -> Ordering,
    ) -> bool {
        match self.limit {
            Limit::Unknown => false,
            Limit::None => true,
            Limit::At(limit) => {
                best.get(super::PUBLISHED - 1).is_some_and(|last| order(last, &limit).is_le())
            }
        }
    }

    /// Takes the best of all products that have a weight as candidates: twice as many as the last time, when nothing was
    /// [settled](Self::settled) since. Otherwise all would be looked at too often where many bounds are far too high.
    pub(super) fn remake(
        &mut self,
        all: impl Iterator<Item = Standing>,
        order: impl Fn(&Standing, &Standing) -> Ordering,
    ) {
        self.limit = Limit::None;
        self.keep(all.collect(), order);
        self.kept *= 2;
    }

    /// The best are known.
    pub(super) fn settled(&mut self) {
        self.kept = KEPT;
    }

    /// Leaves out of candidates what stands worse than the limit, and of many what stands worse than the best.
    fn keep(&mut self, mut standings: Vec<Standing>, order: impl Fn(&Standing, &Standing) -> Ordering) {
        if let Limit::At(limit) = self.limit {
            standings.retain(|standing| order(standing, &limit).is_le());
        }
        if let Some(last) = cut(&mut standings, self.kept, order) {
            self.limit = Limit::At(last);
        }
        self.candidates = standings.iter().map(|standing| standing.place).collect();
    }
}

/// Leaves the best `most`, in no order; gives the last of them when others were left out.
pub(super) fn cut(
    standings: &mut Vec<Standing>,
    most: usize,
    order: impl Fn(&Standing, &Standing) -> Ordering,
) -> Option<Standing> {
    if standings.len() <= most {
        return None;
    }
    // Numbers are told apart many times faster than names, of which only those of equals at the end are needed.
    let mut weights: Vec<u32> = standings.iter().map(|standing| standing.weight).collect();
    let (_, &mut last, _) = weights.select_nth_unstable_by(most - 1, |a, b| b.cmp(a));
    standings.retain(|standing| standing.weight >= last);
    let (_, &mut last, _) = standings.select_nth_unstable_by(most - 1, order);
    standings.truncate(most);
    Some(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trending::PUBLISHED;

    /// Of equals, the one with the higher place comes first: not the order in which they lie.
    fn order(a: &Standing, b: &Standing) -> Ordering {
        b.weight.cmp(&a.weight).then(b.place.cmp(&a.place))
    }

    fn best_of<A: Iterator<Item = Standing>>(
        board: &mut Board,
        all: impl FnOnce() -> A,
        standing: impl Fn(u32) -> Option<Standing>,
    ) -> Vec<Standing> {
        let best = crate::trending::best_of(board, PUBLISHED, all, standing, order);
        board.settled();
        best
    }

    fn sorted(weights: &[u32]) -> Vec<Standing> {
        let all = weights.iter().zip(0..).map(|(&weight, place)| Standing { weight, place });
        let mut all: Vec<Standing> = all.filter(|standing| standing.weight > 0).collect();
        all.sort_unstable_by(order);
        all.truncate(PUBLISHED);
        all
    }

    #[test]
    fn the_best_are_those_of_a_sort_and_all_are_looked_at_seldom() {
        let mut random = fastrand::Rng::with_seed(11);
        // Few different weights: nearly all have equals.
        let mut weights: Vec<u32> = (0..6_000).map(|_| random.u32(0..9)).collect();
        let (mut board, mut best, mut remade) = (Board::default(), sorted(&weights), 0);
        for step in 0..3_000 {
            // Now all fall, the best most, and now all rise.
            let falls = step / 500 % 2 == 0;
            for _ in 0..20 {
                let one_of_the_best: Option<&Standing> = best.get(random.usize(0..PUBLISHED));
                let falling = one_of_the_best.filter(|_| falls).map(|standing| standing.place);
                let place = falling.unwrap_or_else(|| random.u32(0..6_000));
                let weight = &mut weights[place as usize];
                *weight =
                    if falls { weight.saturating_sub(random.u32(0..4)) } else { *weight + random.u32(0..2) };
                board.offer(Standing { weight: *weight, place });
            }
            let standing = |place: u32| {
                let weight = weights[place as usize];
                (weight > 0).then_some(Standing { weight, place })
            };
            let all = || {
                remade += 1;
                (0..6_000).filter_map(standing)
            };
            best = best_of(&mut board, all, standing);
            assert_eq!(best, sorted(&weights), "step {step}");
            assert!(board.candidates.len() <= 2 * MANY * KEPT + 20, "{} candidates", board.candidates.len());
        }
        assert!((3..100).contains(&remade), "all were looked at {remade} times");
    }

    #[test]
    fn the_few_of_a_small_list_are_all_looked_at() {
        let mut board = Board::default();
        let mut weights = vec![0; 50];
        for place in [3, 40, 7] {
            weights[place as usize] = place + 1;
            board.offer(Standing { weight: place + 1, place });
            let standing = |place: u32| Some(Standing { weight: weights[place as usize], place });
            let standing = |place| standing(place).filter(|standing| standing.weight > 0);
            assert_eq!(best_of(&mut board, || (0..50).filter_map(standing), standing), sorted(&weights));
        }
    }

    #[test]
    fn many_that_fell_behind_do_not_hide_who_was_left_out() {
        let mut weights = vec![10; 6_000];
        weights[0] = 2;
        let mut board = Board::default();
        let best = |board: &mut Board, weights: &[u32]| {
            let standing = |place: u32| Some(Standing { weight: weights[place as usize], place });
            best_of(board, || (0..6_000).filter_map(standing), standing)
        };
        assert_eq!(best(&mut board, &weights), sorted(&weights));
        for weight in [11, 1] {
            for place in 1..6_000 {
                weights[place as usize] = if place <= 200 { 11 } else { weight };
                board.offer(Standing { weight: weights[place as usize], place });
            }
        }
        assert_eq!(best(&mut board, &weights), sorted(&weights));
        for place in 1..=200 {
            weights[place as usize] = 1;
            board.offer(Standing { weight: 1, place });
        }
        assert_eq!(best(&mut board, &weights)[0], Standing { weight: 2, place: 0 });
    }
}
