//! How answers are ranked from published values: the only maths at request time.

use hashbrown::HashMap;
use schemas::published::{HistoryEntry, NeighbourList, RepeatTable, TrendingEntry, TrendingList};
use std::cmp::Ordering;

use crate::neighbours::SCALE_EXPONENT;
use crate::user_row::SESSION_GAP_MS;

/// Events of the current session that are looked at.
pub const SESSION_EVENTS: usize = 30;

/// A distinct product of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenProduct<'a> {
    /// The product.
    pub product_id: &'a str,
    /// How many distinct products ago it was last seen; 0 = the last one.
    pub distance: u32,
    /// How often it was seen in the session.
    pub times: u32,
}

/// A ranked product.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// The product.
    pub product_id: String,
    /// The estimated chance that it is next.
    pub score: f64,
    /// Its category as the lists know it, else empty.
    pub category: String,
    /// Whether it is in the session itself.
    pub repeat: bool,
    /// Index into the session of the product that contributed most.
    pub because: u32,
    /// How often it was seen together with that product; 0 where unknown.
    pub count: u32,
}

/// The distinct products of the current session, the last one first. `entries` are the newest first; a pause of more than
/// 30 minutes ends the session.
pub fn session_of(entries: &[HistoryEntry]) -> Vec<SeenProduct<'_>> {
    let mut session: Vec<SeenProduct<'_>> = Vec::new();
    let mut later_ms = entries.first().map_or(0, |entry| entry.timestamp_ms);
    for entry in entries.iter().take(SESSION_EVENTS) {
        if later_ms.saturating_sub(entry.timestamp_ms).abs() > SESSION_GAP_MS {
            break;
        }
        later_ms = entry.timestamp_ms;
        match session.iter_mut().find(|seen| seen.product_id == entry.product_id) {
            Some(seen) => seen.times += 1,
            None => session.push(SeenProduct {
                product_id: &entry.product_id,
                distance: session.len() as u32,
                times: 1,
            }),
        }
    }
    session
}

/// Ranks what may come next after `session`, whose products' published lists are `lists` (same order, `None` = no list yet).
///
/// New products score Σ over the session of e^(−distance/1.5) · P_ij and share the chance that the next product is new;
/// products of the session have their learnt chance of a return, E[length][distance] · (1 + 0.7 (times − 1)). Only products
/// that `keep`(product, category) accepts are ranked. Higher scores first, ties by id; at most `limit`.
pub fn rank(
    session: &[SeenProduct<'_>],
    lists: &[Option<NeighbourList>],
    repeats: &RepeatTable,
    keep: impl Fn(&str, &str) -> bool,
    limit: usize,
) -> Vec<Ranked> {
    let mut ranked = new_products(session, lists, &keep);
    let chances = repeat_chances(session, repeats);
    let total: f64 = ranked.iter().map(|candidate| candidate.score).sum();
    let share = (1.0 - chances.iter().sum::<f64>()).max(0.05) / total.max(f64::MIN_POSITIVE);
    ranked.iter_mut().for_each(|candidate| candidate.score *= share);
    for (index, (seen, chance)) in session.iter().zip(chances).enumerate() {
        let list = lists.get(index).and_then(Option::as_ref);
        let category = list.map_or("", |list| list.category.as_str());
        if keep(seen.product_id, category) {
            ranked.push(Ranked {
                product_id: seen.product_id.to_owned(),
                score: chance,
                category: category.to_owned(),
                repeat: true,
                because: index as u32,
                count: 0,
            });
        }
    }
    top(ranked, limit)
}

fn new_products(
    session: &[SeenProduct<'_>],
    lists: &[Option<NeighbourList>],
    keep: &impl Fn(&str, &str) -> bool,
) -> Vec<Ranked> {
    struct Sum<'a> {
        score: f64,
        best: f64,
        because: u32,
        count: u32,
        category: &'a str,
    }
    let landmark = lists.iter().flatten().map(|list| list.landmark).max().unwrap_or(0);
    let mut sums: HashMap<&str, Sum<'_>> = HashMap::with_capacity(64 * session.len());
    for (index, (seen, list)) in session.iter().zip(lists).enumerate() {
        let Some(list) = list else { continue };
        let scale = (SCALE_EXPONENT * f64::from(list.landmark - landmark)).exp2();
        let weight = scale * (-f64::from(seen.distance) / 1.5).exp();
        for entry in &list.entries {
            let part = weight * f64::from(entry.score);
            let sum = sums.entry(&entry.product_id).or_insert(Sum {
                score: 0.0,
                best: 0.0,
                because: index as u32,
                count: 0,
                category: &entry.category,
            });
            sum.score += part;
            if part > sum.best {
                (sum.best, sum.because, sum.count) = (part, index as u32, entry.count);
            }
        }
    }
    let in_session = |id: &str| session.iter().any(|seen| seen.product_id == id);
    sums.into_iter()
        .filter(|(id, sum)| !in_session(id) && keep(id, sum.category))
        .map(|(id, sum)| Ranked {
            product_id: id.to_owned(),
            score: sum.score,
            category: sum.category.to_owned(),
            repeat: false,
            because: sum.because,
            count: sum.count,
        })
        .collect()
}

/// The learnt chance of a return to each product of the session. A weak prior speaks until there are observations.
fn repeat_chances(session: &[SeenProduct<'_>], repeats: &RepeatTable) -> Vec<f64> {
    const PRIOR_STRENGTH: f64 = 20.0;
    let Some(row) =
        session.len().checked_sub(1).and_then(|at| repeats.counts.get(at.min(RepeatTable::LENGTHS - 1)))
    else {
        return vec![0.0; session.len()];
    };
    session
        .iter()
        .map(|seen| {
            let observed = row.get(1 + seen.distance as usize).copied().unwrap_or(0) as f64;
            let prior = 0.1 * 0.6f64.powi(seen.distance as i32);
            let chance = (observed + PRIOR_STRENGTH * prior) / (row[0] as f64 + PRIOR_STRENGTH);
            chance * (1.0 + 0.7 * f64::from(seen.times.saturating_sub(1)))
        })
        .collect()
}

fn top(mut ranked: Vec<Ranked>, limit: usize) -> Vec<Ranked> {
    let order = |a: &Ranked, b: &Ranked| -> Ordering {
        b.score.total_cmp(&a.score).then_with(|| a.product_id.cmp(&b.product_id))
    };
    if limit == 0 {
        return Vec::new();
    }
    if ranked.len() > limit {
        ranked.select_nth_unstable_by(limit - 1, order);
        ranked.truncate(limit);
    }
    ranked.sort_unstable_by(order);
    ranked
}

/// The best products over the partitions' shares of one trending list: higher score first, ties by id.
pub fn merge_trending(
    shares: &[TrendingList],
    keep: impl Fn(&str, &str) -> bool,
    limit: usize,
) -> Vec<TrendingEntry> {
    let mut merged: Vec<&TrendingEntry> = shares
        .iter()
        .flat_map(|share| &share.entries)
        .filter(|entry| keep(&entry.product_id, &entry.category))
        .collect();
    merged.sort_unstable_by(|a, b| b.score.cmp(&a.score).then_with(|| a.product_id.cmp(&b.product_id)));
    merged.into_iter().take(limit).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::EventKind;
    use schemas::published::Neighbour;

    fn entry(product: &str, minute: i64) -> HistoryEntry {
        HistoryEntry { product_id: product.into(), kind: EventKind::View, timestamp_ms: minute * 60_000 }
    }

    fn list(landmark: i32, entries: &[(&str, f32)]) -> Option<NeighbourList> {
        let neighbour = |&(id, score): &(&str, f32)| Neighbour {
            product_id: id.into(),
            score,
            count: 3,
            category: "c".into(),
        };
        Some(NeighbourList {
            landmark,
            entries: entries.iter().map(neighbour).collect(),
            ..NeighbourList::default()
        })
    }

    #[test]
    fn a_session_ends_at_a_long_pause() {
        let entries = [entry("a", 100), entry("b", 90), entry("a", 80), entry("c", 20)];
        let session = session_of(&entries);
        assert_eq!(
            session,
            [
                SeenProduct { product_id: "a", distance: 0, times: 2 },
                SeenProduct { product_id: "b", distance: 1, times: 1 }
            ]
        );
    }

    #[test]
    fn neighbours_of_the_last_product_come_first_and_the_session_is_a_repeat() {
        let entries = [entry("a", 2), entry("b", 1)];
        let session = session_of(&entries);
        let lists = [list(5, &[("x", 1.0), ("b", 1.0)]), list(5, &[("y", 1.0)])];
        let ranked = rank(&session, &lists, &RepeatTable::default(), |_, _| true, 10);
        let order: Vec<_> = ranked.iter().map(|item| (item.product_id.as_str(), item.repeat)).collect();
        assert_eq!(order, [("x", false), ("y", false), ("a", true), ("b", true)]);
        assert_eq!((ranked[1].because, ranked[1].count), (1, 3));
        let kept =
            rank(&session, &lists, &RepeatTable::default(), |id, category| id != "x" && category == "c", 10);
        assert_eq!(kept.iter().map(|item| item.product_id.as_str()).collect::<Vec<_>>(), ["y"]);
    }

    #[test]
    fn learnt_returns_overtake_when_they_happen() {
        let mut repeats = RepeatTable::default();
        (0..1000).for_each(|_| repeats.observe(1, Some(0)));
        let entries = [entry("a", 2)];
        let lists = [list(5, &[("x", 1.0)])];
        let ranked = rank(&session_of(&entries), &lists, &repeats, |_, _| true, 10);
        assert_eq!(ranked[0].product_id, "a");
    }

    #[test]
    fn lists_ranked_in_different_half_lives_compare() {
        let entries = [entry("a", 2), entry("b", 2)];
        let aligned = (SCALE_EXPONENT).exp2() as f32;
        let lists = [list(6, &[("x", 1.0)]), list(5, &[("y", aligned * 2.0)])];
        let ranked = rank(&session_of(&entries), &lists, &RepeatTable::default(), |_, _| true, 2);
        let ratio = ranked[0].score / ranked[1].score;
        let expected = (1.0f64 / 1.5).exp() / 2.0;
        assert!((ratio.max(1.0 / ratio) - expected.max(1.0 / expected)).abs() < 1e-3);
    }

    #[test]
    fn shares_of_a_trending_list_merge_in_order() {
        let share = |entries: &[(&str, u64)]| TrendingList {
            entries: entries
                .iter()
                .map(|&(id, score)| TrendingEntry {
                    product_id: id.into(),
                    score,
                    count: 1,
                    category: String::new(),
                })
                .collect(),
            ..TrendingList::default()
        };
        let shares = [share(&[("b", 9), ("d", 1)]), share(&[("a", 9), ("c", 5)])];
        let merged = merge_trending(&shares, |id, _| id != "c", 3);
        assert_eq!(merged.iter().map(|entry| entry.product_id.as_str()).collect::<Vec<_>>(), ["a", "b", "d"]);
    }
}
