//! Between ranked lists, which know products by symbol, and published ones, which know them by id.

use crate::co_occurrence::Popularity;
use crate::decay::DecayedSum;
use crate::interner::{Interner, Symbol};
use crate::neighbours::{DirectList, Scored};
use schemas::Version;
use schemas::published::{Demand, Neighbour, NeighbourList};
use smol_str::SmolStr;

/// The list as serving reads it. `newest_ms` is when the newest event of the row happened. `category_of` gives a neighbour's
/// category (empty where unknown), or `None` for one that must not be published.
pub fn published_list(
    version: Version,
    newest_ms: i64,
    category: SmolStr,
    direct: &DirectList,
    scored: &[Scored],
    names: &Interner,
    category_of: impl Fn(Symbol, &str) -> Option<SmolStr>,
) -> NeighbourList {
    let Popularity { season, recent, .. } = direct.popularity;
    let returns = direct.popularity.season_returns();
    let neighbour = |entry: &Scored| {
        let id = names.id(entry.product);
        let category = category_of(entry.product, id)?;
        Some(Neighbour {
            product_id: id.clone(),
            score: entry.score,
            direct: entry.direct,
            count: entry.count,
            category,
        })
    };
    NeighbourList {
        version,
        popularity: Demand {
            season: season.value as f32,
            season_landmark: season.landmark,
            recent: recent.value as f32,
            recent_landmark: recent.landmark,
            returns: returns as f32,
        },
        direct_total: direct.total as f32,
        newest_ms,
        category,
        entries: scored.iter().filter_map(neighbour).collect(),
    }
}

/// The direct neighbours in a list that another process published, as far as they can be had back: those that others pushed
/// off the list are missing.
pub fn direct_of(list: &NeighbourList, names: &Interner) -> DirectList {
    let Demand { season, season_landmark, recent, recent_landmark, returns } = list.popularity;
    let mut entries: Vec<Scored> = list
        .entries
        .iter()
        .filter(|entry| entry.direct > 0.0)
        .map(|entry| Scored {
            product: names.intern(&entry.product_id),
            score: entry.direct,
            direct: entry.direct,
            count: entry.count,
        })
        .collect();
    // Sorted stably, so that ties stay in the order of ids.
    entries.sort_by(|a, b| b.score.total_cmp(&a.score));
    DirectList {
        popularity: Popularity {
            season: DecayedSum { landmark: season_landmark, value: f64::from(season) },
            recent: DecayedSum { landmark: recent_landmark, value: f64::from(recent) },
            returns: DecayedSum { landmark: season_landmark, value: f64::from(returns) },
        },
        total: f64::from(list.direct_total),
        entries,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::co_occurrence::CoOccurrence;
    use crate::neighbours::{Sums, direct_list, two_hop_list};

    #[test]
    fn another_process_learns_the_direct_neighbours_from_a_published_list() {
        const NOW: i64 = 1_700_000_000_000;
        let names = Interner::default();
        let symbols: Vec<Symbol> = (0..20).map(|i| names.intern(&format!("p{i:02}"))).collect();
        let by_id = |a: Symbol, b: Symbol| names.name(a).cmp(names.name(b));
        let row = |pairs: &[(usize, u32)]| {
            let mut row = CoOccurrence::default();
            (0..9).for_each(|_| row.observe(NOW));
            for &(other, times) in pairs {
                (0..times).for_each(|_| row.add_pair(symbols[other], 1 << 24, NOW));
            }
            row
        };
        let direct = direct_list(&row(&[(1, 5), (2, 3), (3, 1)]), NOW, |_| None, by_id);
        let other = direct_list(&row(&[(0, 2), (7, 40), (8, 30)]), NOW, |_| None, by_id);
        let list_of = |product: Symbol| (product == symbols[1]).then_some(&other);
        let scored =
            two_hop_list(symbols[0], &direct, direct.hops().map(list_of), by_id, &mut Sums::default());
        assert_eq!(scored.len(), 5);
        let list =
            published_list(Version::of(1, 3), NOW, SmolStr::default(), &direct, &scored, &names, |_, id| {
                (id != "p03").then(SmolStr::default)
            });
        assert_eq!(list.entries.len(), 4, "one must not be published");
        let back = direct_of(&NeighbourList::decode(&list.encode()).unwrap(), &names);
        assert_eq!(back.entries.iter().map(|entry| entry.product).collect::<Vec<_>>(), symbols[1..3]);
        assert!((back.total / direct.total - 1.0).abs() < 1e-6);
        assert!((back.entries[0].score / direct.entries[0].score - 1.0).abs() < 0.01);
        assert_eq!(back.popularity.season.landmark, direct.popularity.season.landmark);
    }
}
