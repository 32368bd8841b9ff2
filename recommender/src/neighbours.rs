//! From candidates to the published neighbour list: popularity normalisation and the two-hop fill. Done when publishing,
//! asynchronously; never part of the deterministic state.

use crate::co_occurrence::CoOccurrence;
use crate::interner::Symbol;
use hashbrown::HashMap;

/// Neighbours published for a product.
pub const PUBLISHED: usize = 50;
/// Neighbours whose own lists fill a product's list.
pub const HOPS_OVER: usize = 30;
const OWN_EXPONENT: f64 = 0.25;
const OTHER_EXPONENT: f64 = 0.2;
const FILL: f64 = 1.5;

/// A score P_ij = C_ij / (n_i^¼ · n_j^⅕) at landmark L is in units of 2^(L · this).
pub const SCALE_EXPONENT: f64 = 1.0 - OWN_EXPONENT - OTHER_EXPONENT;

/// One scored neighbour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The neighbour.
    pub product: Symbol,
    /// P_ij, in units of 2^(landmark · [`SCALE_EXPONENT`]).
    pub score: f32,
    /// How often the two were seen together; 0 = came by way of another product.
    pub count: u32,
}

/// A product's direct neighbours, normalised, the best first: what its own list and the fill of others are made from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DirectList {
    /// See [`CoOccurrence::landmark`].
    pub landmark: i32,
    /// See [`CoOccurrence::popularity`].
    pub popularity: f64,
    /// At most [`PUBLISHED`].
    pub entries: Vec<Scored>,
}

/// Normalises a row's candidates. `popularity_of` gives another product's decayed count of events and its landmark where it
/// is known; where not, what the pair itself tells is taken. `name_order` breaks ties by id.
pub fn direct_list(
    row: &CoOccurrence,
    popularity_of: impl Fn(Symbol) -> Option<(f64, i32)>,
    name_order: impl Fn(Symbol, Symbol) -> std::cmp::Ordering,
) -> DirectList {
    let own = row.popularity().max(f64::MIN_POSITIVE).powf(OWN_EXPONENT);
    let mut entries: Vec<Scored> = row
        .candidates()
        .filter(|candidate| candidate.weight > 0.0)
        .map(|candidate| {
            let popularity = popularity_of(candidate.product)
                .map_or(0.0, |(popularity, landmark)| {
                    popularity * f64::from(landmark - row.landmark()).exp2()
                })
                .max(candidate.weight);
            Scored {
                product: candidate.product,
                score: (candidate.weight / (own * popularity.powf(OTHER_EXPONENT))) as f32,
                count: candidate.count,
            }
        })
        .collect();
    keep_best(&mut entries, &name_order);
    DirectList { landmark: row.landmark(), popularity: row.popularity(), entries }
}

/// The published list: P_ij + β Σ_k P_ik P_kj / Σ_k P_ik, β = 1.5, k over the best 30 direct neighbours.
pub fn two_hop_list<'a>(
    product: Symbol,
    direct: &DirectList,
    list_of: impl Fn(Symbol) -> Option<&'a DirectList>,
    name_order: impl Fn(Symbol, Symbol) -> std::cmp::Ordering,
) -> Vec<Scored> {
    let total: f64 = direct.entries.iter().map(|entry| f64::from(entry.score)).sum();
    let mut sums: HashMap<Symbol, (f64, u32)> = HashMap::with_capacity(256);
    for entry in &direct.entries {
        sums.insert(entry.product, (f64::from(entry.score), entry.count));
    }
    for via in direct.entries.iter().take(HOPS_OVER) {
        let Some(list) = list_of(via.product) else { continue };
        let scale = (SCALE_EXPONENT * f64::from(list.landmark - direct.landmark)).exp2();
        let weight = FILL * scale * f64::from(via.score) / total;
        for entry in &list.entries {
            if entry.product != product {
                sums.entry(entry.product).or_default().0 += weight * f64::from(entry.score);
            }
        }
    }
    let mut entries: Vec<Scored> = sums
        .into_iter()
        .map(|(product, (score, count))| Scored { product, score: score as f32, count })
        .collect();
    keep_best(&mut entries, &name_order);
    entries
}

fn keep_best(entries: &mut Vec<Scored>, name_order: &impl Fn(Symbol, Symbol) -> std::cmp::Ordering) {
    let order =
        |a: &Scored, b: &Scored| b.score.total_cmp(&a.score).then_with(|| name_order(a.product, b.product));
    if entries.len() > PUBLISHED {
        entries.select_nth_unstable_by(PUBLISHED - 1, order);
        entries.truncate(PUBLISHED);
    }
    entries.sort_unstable_by(order);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn by_number(a: Symbol, b: Symbol) -> std::cmp::Ordering {
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

    #[test]
    fn a_popular_neighbour_counts_for_less() {
        let row = row(&[(1, 4), (2, 4)]);
        let popularity = |product: Symbol| Some((if product.0 == 1 { 1000.0 } else { 20.0 }, row.landmark()));
        let list = direct_list(&row, popularity, by_number);
        assert_eq!(list.entries.iter().map(|entry| entry.product.0).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(list.entries[0].count, 4);
    }

    #[test]
    fn products_two_hops_away_fill_the_list_behind_direct_ones() {
        let near = direct_list(&row(&[(1, 4)]), |_| None, by_number);
        let far = direct_list(&row(&[(0, 4), (2, 2)]), |_| None, by_number);
        let list = two_hop_list(Symbol(0), &near, |product| (product.0 == 1).then_some(&far), by_number);
        assert_eq!(
            list.iter().map(|entry| (entry.product.0, entry.count)).collect::<Vec<_>>(),
            [(1, 4), (2, 0)]
        );
    }

    #[test]
    fn a_list_is_bounded_and_ties_go_by_id() {
        let pairs: Vec<_> = (1..150).map(|other| (other, 1)).collect();
        let list = direct_list(&row(&pairs), |_| Some((30.0, crate::decay::landmark_of(NOW))), by_number);
        assert_eq!(list.entries.len(), PUBLISHED);
        assert!(list.entries.is_sorted_by_key(|entry| entry.product.0));
    }
}
