//! From candidates to the published neighbour list: popularity normalisation, momentum and the two-hop fill. Done when
//! publishing, asynchronously; never part of the deterministic state.

use crate::co_occurrence::{Candidate, CoOccurrence, MomentumAt, Popularity};
use crate::decay::power_of_two;
use crate::interner::Symbol;
use crate::sums::Sum;
use std::cmp::Ordering;

pub use crate::settings::PUBLISHED;
use crate::settings::{FILL, HOPS_OVER, MOMENTUM_EXPONENT, MOMENTUM_FLOOR, OTHER_EXPONENT, OWN_EXPONENT};
pub use crate::sums::Sums;

/// A score P_ij at landmark L is in units of 2^(L · this).
pub const SCALE_EXPONENT: f64 = 1.0 - OWN_EXPONENT - OTHER_EXPONENT;

/// One scored neighbour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The neighbour.
    pub product: Symbol,
    /// In units of 2^(landmark · [`SCALE_EXPONENT`]).
    pub score: f32,
    /// The part of the score that the direct co-occurrence gives, P_ij; the rest came by way of other products.
    pub direct: f32,
    /// How often the two were seen together; 0 = came by way of another product.
    pub count: u32,
}

/// A product's direct neighbours, normalised, the best first: what its own list and the fill of others are made from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DirectList {
    /// How often the product is seen; the landmark of its season is that of the scores.
    pub popularity: Popularity,
    /// Sum of the scores.
    pub total: f64,
    /// At most [`PUBLISHED`]; `score` and `direct` are the same.
    pub entries: Vec<Scored>,
}

impl DirectList {
    /// The landmark that the scores refer to.
    pub fn landmark(&self) -> i32 {
        self.popularity.season.landmark
    }

    /// The neighbours that [`two_hop_list`] goes over, the best first.
    pub fn hops(&self) -> impl Iterator<Item = Symbol> {
        self.entries.iter().take(HOPS_OVER).map(|entry| entry.product)
    }
}

/// Normalises a row's candidates:
///
/// P_ij = C_ij / (n_i^½ · n_j^¼) · (m_j + 0.02)^0.3
///
/// with C the pair's decayed weight, n the decayed number of events, and m_j the share of n_j that is recent
/// ([`Popularity::momentum`]) as of `now_ms`. `popularity_of` gives a candidate's popularity where it is known; where not, what the
/// pair itself tells is taken. `name_order` breaks ties by id.
pub fn direct_list(
    row: &CoOccurrence,
    now_ms: i64,
    popularity_of: impl Fn(Symbol) -> Option<Popularity>,
    name_order: impl Fn(Symbol, Symbol) -> Ordering,
) -> DirectList {
    let own = row.popularity().season.value.max(f64::MIN_POSITIVE).powf(OWN_EXPONENT);
    let momentum = MomentumAt::new(now_ms);
    let score = |candidate: Candidate| {
        let popularity = popularity_of(candidate.product);
        let number = popularity.map_or(0.0, |popularity| {
            popularity.season.value * power_of_two(popularity.season.landmark - row.landmark())
        });
        // Of a product that nobody knows more of, the pair is as recent as the row.
        let momentum = popularity.map_or(1.0, |popularity| momentum.of(&popularity));
        let normal = own * to_other_exponent(number.max(candidate.weight));
        let score = (candidate.weight / normal * (momentum + MOMENTUM_FLOOR).powf(MOMENTUM_EXPONENT)) as f32;
        Scored { product: candidate.product, score, direct: score, count: candidate.count }
    };
    let candidates = row.candidates().filter(|candidate| candidate.weight > 0.0);
    let mut entries: Vec<Scored> = candidates.map(score).collect();
    keep_best(&mut entries, &name_order);
    let total = entries.iter().map(|entry| f64::from(entry.score)).sum();
    DirectList { popularity: *row.popularity(), total, entries }
}

/// A number to the power of [`OTHER_EXPONENT`], in a fraction of the time that any other power takes.
fn to_other_exponent(number: f64) -> f64 {
    const { assert!(OTHER_EXPONENT == 0.25) };
    number.sqrt().sqrt()
}

/// The published list: P_ij + β Σ_k P_ik · P_kj / Σ_l P_kl, β = 3, k over the best 30 direct neighbours. The second hop is a
/// step of a random walk: what neighbour k passes on is its share of i, whatever the scale of its own scores. `lists` are those of
/// [`DirectList::hops`], in their order, where they are known; `sums` is what this takes to add up.
pub fn two_hop_list<'a>(
    product: Symbol,
    direct: &DirectList,
    lists: impl IntoIterator<Item = Option<&'a DirectList>>,
    name_order: impl Fn(Symbol, Symbol) -> Ordering,
    sums: &mut Sums,
) -> Vec<Scored> {
    let via = direct.entries.iter().take(HOPS_OVER).zip(lists);
    let hops: Vec<(f64, &DirectList)> = via
        .filter_map(|(via, list)| {
            let list = list.filter(|list| list.total > 0.0)?;
            Some((FILL * f64::from(via.score) / list.total, list))
        })
        .collect();
    sums.begin(direct.entries.len() + hops.iter().map(|(_, list)| list.entries.len()).sum::<usize>());
    for entry in &direct.entries {
        let sum = sums.of(entry.product);
        (sum.score, sum.direct, sum.count) = (f64::from(entry.score), entry.direct, entry.count);
    }
    for (weight, list) in hops {
        for entry in list.entries.iter().filter(|entry| entry.product != product) {
            sums.of(entry.product).score += weight * f64::from(entry.score);
        }
    }
    let scored = |sum: &Sum| Scored {
        product: sum.product,
        score: sum.score as f32,
        direct: sum.direct,
        count: sum.count,
    };
    let mut entries: Vec<Scored> = sums.entries().iter().map(scored).collect();
    keep_best(&mut entries, &name_order);
    entries
}

/// Keeps the [`PUBLISHED`] best, in order. No score is below 0.
fn keep_best(entries: &mut Vec<Scored>, name_order: &impl Fn(Symbol, Symbol) -> Ordering) {
    if entries.len() > PUBLISHED {
        // Of numbers that are not negative, the bits are in the order of the numbers, and integers are selected several times
        // faster than entries.
        let mut scores: Vec<u32> = entries.iter().map(|entry| entry.score.to_bits()).collect();
        let (_, &mut last, _) = scores.select_nth_unstable_by(PUBLISHED - 1, |a, b| b.cmp(a));
        // More than wanted only where several have the last one's score: the sort says which of them stay.
        entries.retain(|entry| entry.score.to_bits() >= last);
    }
    entries
        .sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then_with(|| name_order(a.product, b.product)));
    entries.truncate(PUBLISHED);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decay::{DecayedSum, RECENT, SEASON};

    const NOW: i64 = 1_700_000_000_000;

    fn by_number(a: Symbol, b: Symbol) -> Ordering {
        a.0.cmp(&b.0)
    }

    fn row(pairs: &[(u32, u32)]) -> CoOccurrence {
        let mut row = CoOccurrence::default();
        (0..10).for_each(|_| row.observe(NOW));
        for &(other, times) in pairs {
            (0..times).for_each(|_| row.add_pair(Symbol(other), 1 << 24, NOW));
        }
        row
    }

    fn popularity(times: u32, last_ms: i64) -> Popularity {
        let mut popularity = Popularity::default();
        for _ in 0..times {
            popularity.season.add(SEASON, last_ms);
            popularity.recent.add(RECENT, last_ms);
        }
        popularity
    }

    fn order(entries: &[Scored]) -> Vec<u32> {
        entries.iter().map(|entry| entry.product.0).collect()
    }

    #[test]
    fn a_popular_neighbour_counts_for_less() {
        let row = row(&[(1, 4), (2, 4)]);
        let known = |product: Symbol| Some(popularity(if product.0 == 1 { 1000 } else { 20 }, NOW));
        let list = direct_list(&row, NOW, known, by_number);
        assert_eq!(order(&list.entries), [2, 1]);
        assert_eq!(list.entries[0].count, 4);
    }

    #[test]
    fn a_neighbour_in_demand_now_comes_before_one_of_the_past() {
        let row = row(&[(1, 4), (2, 4)]);
        let known = |product: Symbol| {
            let days_ago = if product.0 == 1 { 30 } else { 1 };
            Some(popularity(20, NOW - days_ago * 24 * 3_600_000))
        };
        assert_eq!(order(&direct_list(&row, NOW, known, by_number).entries), [2, 1]);
    }

    #[test]
    fn scores_follow_the_formula() {
        let row = row(&[(1, 4)]);
        let number = |sum: &DecayedSum, half_life: crate::decay::HalfLife| sum.as_of(half_life, NOW);
        let list = direct_list(&row, NOW, |_| Some(popularity(20, NOW)), by_number);
        assert!((number(&list.popularity.season, SEASON) - 10.0).abs() < 1e-6);
        let scale = (SCALE_EXPONENT * SEASON.growth(NOW, row.landmark()).log2()).exp2();
        let expected = scale * 4.0 / (10f64.sqrt() * 20f64.powf(0.25)) * 1.02f64.powf(0.3);
        assert!((f64::from(list.entries[0].score) / expected - 1.0).abs() < 1e-5);
    }

    #[test]
    fn products_two_hops_away_fill_the_list_behind_direct_ones() {
        let near = direct_list(&row(&[(1, 4)]), NOW, |_| None, by_number);
        let far = direct_list(&row(&[(0, 4), (2, 1)]), NOW, |_| None, by_number);
        let list = two_hop_list(
            Symbol(0),
            &near,
            near.hops().map(|product| (product.0 == 1).then_some(&far)),
            by_number,
            &mut Sums::default(),
        );
        assert_eq!(
            list.iter().map(|entry| (entry.product.0, entry.count)).collect::<Vec<_>>(),
            [(1, 4), (2, 0)]
        );
        assert_eq!((list[0].direct, list[1].direct), (list[0].score, 0.0));
        let share = f64::from(far.entries[1].score) / far.total;
        let expected = FILL * f64::from(near.entries[0].score) * share;
        assert!((f64::from(list[1].score) / expected - 1.0).abs() < 1e-5);
    }

    #[test]
    fn a_list_is_bounded_and_ties_go_by_id() {
        let pairs: Vec<_> = (1..150).map(|other| (other, 1)).collect();
        let list = direct_list(&row(&pairs), NOW, |_| Some(popularity(30, NOW)), by_number);
        assert_eq!(list.entries.len(), PUBLISHED);
        assert!(list.entries.is_sorted_by_key(|entry| entry.product.0));
    }
}
