//! How answers are ranked from published values: the only maths at request time.

use crate::neighbours::SCALE_EXPONENT;
use crate::returns::{Chances, chances};
use crate::session::Session;
use crate::settings::{PROFILE_TOTAL_EXPONENT, PROFILE_VOTE_EXPONENT, SUM_EXPONENT, VOTE_EXPONENT};
use crate::voting::{VotingList, hash_of};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use schemas::published::{Neighbour, RepeatTable, TrendingEntry, TrendingList};
use std::cmp::Ordering;

/// Products that weigh less say nothing that shows: the 14th of a session, at a thousandth of the last one's votes.
const NEGLIGIBLE: f64 = 2e-4;

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

/// Ranks what may come next after `session`, whose products' published lists are `lists` (same order, `None` = no list yet).
///
/// A new product scores (Σ over the session of (weight · P_ij)^0.8)^1.125, in a profile Σ (weight · P'_ij / √Σ_j P_ij)^0.5,
/// where P' counts two fifths of what came by way of other products. New products share the chance that the next product is
/// new in proportion to their scores. A product of the session has its learnt chance of a return
/// ([`crate::repeats::return_chance`]), its odds against something new changed by what speaks for it
/// ([`crate::settings::RETURN_WEIGHTS`]). Only products that `keep`(product, category) accepts are ranked. Higher scores
/// first, ties by id; at most `limit`.
pub fn rank(
    session: &Session<'_>,
    lists: &[Option<&VotingList>],
    repeats: &RepeatTable,
    keep: impl Fn(&str, &str) -> bool,
    limit: usize,
) -> Vec<Ranked> {
    let mut candidates = new_products(session, lists, &keep);
    let Chances { returns, new } = chances(session, lists, repeats);
    let total: f64 = candidates.iter().map(|candidate| candidate.score).sum();
    let share = new / total.max(f64::MIN_POSITIVE);
    candidates.iter_mut().for_each(|candidate| candidate.score *= share);
    for (index, (seen, chance)) in session.products.iter().zip(returns).enumerate() {
        let list = lists.get(index).copied().flatten();
        let category = list.map_or("", |list| list.category.as_str());
        if keep(seen.product_id, category) {
            let (product_id, because) = (seen.product_id, index as u32);
            candidates.push(Candidate {
                product_id,
                category,
                score: chance,
                repeat: true,
                because,
                count: 0,
            });
        }
    }
    top(candidates, limit)
}

/// A [`Ranked`] that owns nothing yet: most never get into an answer.
struct Candidate<'a> {
    product_id: &'a str,
    category: &'a str,
    score: f64,
    repeat: bool,
    because: u32,
    count: u32,
}

fn new_products<'a>(
    session: &Session<'a>,
    lists: &[Option<&'a VotingList>],
    keep: &impl Fn(&str, &str) -> bool,
) -> Vec<Candidate<'a>> {
    let (vote_exponent, total_exponent) = if session.is_profile {
        (PROFILE_VOTE_EXPONENT, PROFILE_TOTAL_EXPONENT)
    } else {
        (VOTE_EXPONENT, 0.0)
    };
    let landmark = lists.iter().flatten().map(|list| list.landmark()).max().unwrap_or(0);
    let mut sums = Sums::with_capacity(lists.iter().flatten().map(|list| list.entries.len()).sum());
    for (index, (seen, list)) in session.products.iter().zip(lists).enumerate() {
        let Some(list) = list else { continue };
        let scale = (SCALE_EXPONENT * f64::from(list.landmark() - landmark)).exp2();
        if seen.weight < NEGLIGIBLE {
            continue;
        }
        let norm = if total_exponent == 0.0 { 1.0 } else { (scale * list.total()).powf(-total_exponent) };
        let weight = (scale * seen.weight * norm).powf(vote_exponent);
        for (entry, vote) in list.votes() {
            let part = weight * f64::from(if session.is_profile { vote.in_profile } else { vote.in_session });
            let sum = sums.of(entry, vote.hash, index as u32);
            sum.score += part;
            if part > sum.best {
                (sum.best, sum.because, sum.count) = (part, index as u32, entry.count);
            }
        }
    }
    for seen in &session.products {
        sums.leave_out(seen.product_id);
    }
    let mut candidates = Vec::with_capacity(sums.all.len() + session.products.len());
    let is_kept = |sum: &&Sum<'a>| !sum.is_left_out && keep(&sum.entry.product_id, &sum.entry.category);
    candidates.extend(sums.all.iter().filter(is_kept).map(|sum| Candidate {
        product_id: &sum.entry.product_id,
        category: &sum.entry.category,
        score: if session.is_profile { sum.score } else { session_score(sum.score) },
        repeat: false,
        because: sum.because,
        count: sum.count,
    }));
    candidates
}

/// The sum's power [`SUM_EXPONENT`], by roots: there are hundreds, and the general power takes several times as long.
fn session_score(sum: f64) -> f64 {
    const { assert!(SUM_EXPONENT == 1.0 + 1.0 / 8.0) };
    sum * sum.sqrt().sqrt().sqrt()
}

/// What speaks for a new product.
struct Sum<'a> {
    /// The first of its entries.
    entry: &'a Neighbour,
    hash: u64,
    score: f64,
    best: f64,
    because: u32,
    count: u32,
    is_left_out: bool,
}

/// Sums by product. The table holds places only, so that looking one up touches little memory.
struct Sums<'a> {
    all: Vec<Sum<'a>>,
    places: HashTable<u32>,
}

impl<'a> Sums<'a> {
    fn with_capacity(products: usize) -> Self {
        Self { all: Vec::with_capacity(products), places: HashTable::with_capacity(products) }
    }

    /// The sum of an entry's product, which begins with the product of the session that names it.
    fn of(&mut self, entry: &'a Neighbour, hash: u64, because: u32) -> &mut Sum<'a> {
        let all = &mut self.all;
        let is_it = |sum: &Sum<'_>| sum.hash == hash && sum.entry.product_id == entry.product_id;
        let found =
            self.places.entry(hash, |&place| is_it(&all[place as usize]), |&place| all[place as usize].hash);
        let place = match found {
            Entry::Occupied(known) => *known.get() as usize,
            Entry::Vacant(free) => {
                free.insert(all.len() as u32);
                all.push(Sum { entry, hash, score: 0.0, best: 0.0, because, count: 0, is_left_out: false });
                all.len() - 1
            }
        };
        &mut all[place]
    }

    fn leave_out(&mut self, product_id: &str) {
        let all = &mut self.all;
        let hash = hash_of(product_id);
        let is_it = |sum: &Sum<'_>| sum.hash == hash && sum.entry.product_id == product_id;
        if let Some(&place) = self.places.find(hash, |&place| is_it(&all[place as usize])) {
            all[place as usize].is_left_out = true;
        }
    }
}

/// The best `limit`, in order.
fn top(candidates: Vec<Candidate<'_>>, limit: usize) -> Vec<Ranked> {
    let order = |a: &Candidate<'_>, b: &Candidate<'_>| -> Ordering {
        b.score.total_cmp(&a.score).then_with(|| a.product_id.cmp(b.product_id))
    };
    if limit == 0 {
        return Vec::new();
    }
    // Most are worse than `limit` others that came before, which one comparison tells.
    let (mut best, mut worst) = (Vec::with_capacity(candidates.len().min(2 * limit)), f64::NEG_INFINITY);
    for candidate in candidates {
        if candidate.score < worst {
            continue;
        }
        best.push(candidate);
        if best.len() == 2 * limit {
            best.select_nth_unstable_by(limit - 1, order);
            best.truncate(limit);
            worst = best[limit - 1].score;
        }
    }
    best.sort_unstable_by(order);
    best.truncate(limit);
    let ranked = |Candidate { product_id, category, score, repeat, because, count }: Candidate<'_>| Ranked {
        product_id: product_id.to_owned(),
        score,
        category: category.to_owned(),
        repeat,
        because,
        count,
    };
    best.into_iter().map(ranked).collect()
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
    use crate::decay::SEASON;
    use crate::session::session_of;
    use schemas::EventKind;
    use schemas::published::{Course, HistoryEntry, LastStep, NeighbourList, SessionShape};

    fn entry(product: &str, minute: i64) -> HistoryEntry {
        HistoryEntry { product_id: product.into(), kind: EventKind::View, timestamp_ms: minute * 60_000 }
    }

    fn list(landmark: i32, entries: &[(&str, f32)]) -> Option<VotingList> {
        let neighbour = |&(id, score): &(&str, f32)| Neighbour {
            product_id: id.into(),
            score,
            direct: score,
            count: 3,
            category: "c".into(),
        };
        let entries = entries.iter().map(neighbour).collect();
        let mut list = NeighbourList { entries, ..NeighbourList::default() };
        list.popularity.season_landmark = landmark;
        Some(VotingList::of(list))
    }

    fn by_reference(lists: &[Option<VotingList>]) -> Vec<Option<&VotingList>> {
        lists.iter().map(Option::as_ref).collect()
    }

    #[test]
    fn neighbours_of_the_last_product_come_first_and_the_session_is_a_repeat() {
        let entries = [entry("a", 2), entry("b", 1)];
        let session = session_of(&entries, None);
        let lists = [list(5, &[("x", 1.0), ("b", 1.0)]), list(5, &[("y", 1.0)])];
        let ranked = rank(&session, &by_reference(&lists), &RepeatTable::default(), |_, _| true, 10);
        let order: Vec<_> = ranked.iter().map(|item| (item.product_id.as_str(), item.repeat)).collect();
        assert_eq!(order, [("x", false), ("y", false), ("a", true), ("b", true)]);
        assert_eq!((ranked[1].because, ranked[1].count), (1, 3));
        let kept = rank(
            &session,
            &by_reference(&lists),
            &RepeatTable::default(),
            |id, category| id != "x" && category == "c",
            10,
        );
        assert_eq!(kept.iter().map(|item| item.product_id.as_str()).collect::<Vec<_>>(), ["y"]);
    }

    #[test]
    fn two_weak_votes_beat_a_strong_one() {
        let entries = [entry("a", 2), entry("b", 1)];
        let mut session = session_of(&entries, None);
        session.products[1].weight = 1.0;
        let lists = [list(5, &[("x", 1.0), ("y", 0.48)]), list(5, &[("y", 0.48)])];
        let ranked =
            rank(&session, &by_reference(&lists), &RepeatTable::default(), |id, _| id == "x" || id == "y", 2);
        assert_eq!(ranked[0].product_id, "y");
    }

    #[test]
    fn learnt_returns_overtake_when_they_happen() {
        let mut repeats = RepeatTable::default();
        let course = Course::default().after(0);
        let shape = SessionShape { times: vec![1], last_step: LastStep::First, course };
        (0..1000).for_each(|_| repeats.observe(&shape, Some(0)));
        let entries = [entry("a", 2)];
        let lists = [list(5, &[("x", 1.0)])];
        let ranked = rank(&session_of(&entries, None), &by_reference(&lists), &repeats, |_, _| true, 10);
        assert_eq!(ranked[0].product_id, "a");
    }

    #[test]
    fn what_the_lists_say_changes_the_odds_of_a_return() {
        let entries = [entry("a", 3), entry("b", 2), entry("c", 1)];
        let session = session_of(&entries, None);
        let order = |lists: [Option<VotingList>; 3]| -> Vec<String> {
            let by_reference = by_reference(&lists);
            let keep = |id: &str, _: &str| id == "b" || id == "c";
            let ranked = rank(&session, &by_reference, &RepeatTable::default(), keep, 3);
            ranked.into_iter().map(|item| item.product_id).collect()
        };
        let unrelated = || list(5, &[("x", 1.0)]);
        assert_eq!(order([unrelated(), unrelated(), unrelated()]), ["b", "c"], "the nearer one");
        assert_eq!(order([unrelated(), unrelated(), list(5, &[("a", 1.0)])]), ["c", "b"], "its list says so");
        let returned_to = |returns: f32| {
            let mut list = NeighbourList::clone(unrelated().as_ref()?);
            (list.popularity.season, list.popularity.returns) = (100.0, returns);
            Some(VotingList::of(list))
        };
        let (often, seldom) = (returned_to(90.0), returned_to(0.0));
        assert_eq!(order([unrelated(), seldom, often]), ["c", "b"], "shoppers come back to it");
    }

    #[test]
    fn what_a_session_added_to_a_count_itself_is_no_reason_to_return() {
        let entries = [entry("a", 4), entry("b", 3), entry("a", 2), entry("b", 1)];
        let session = session_of(&entries, None);
        let chance_of_b = |count: u32, minute: i64| {
            let mut listed = NeighbourList::clone(list(5, &[("b", 1.0), ("x", 1.0)]).as_ref().unwrap());
            (listed.entries[0].count, listed.newest_ms) = (count, minute * 60_000);
            let lists = [Some(VotingList::of(listed)), None];
            let ranked = rank(&session, &by_reference(&lists), &RepeatTable::default(), |id, _| id == "b", 1);
            ranked[0].score
        };
        assert_eq!(session.ties[1].pairs, 3);
        assert_eq!(chance_of_b(3, 4), chance_of_b(2, 4), "nobody else was there");
        assert!(chance_of_b(6, 4) > chance_of_b(3, 4));
        assert!(chance_of_b(3, 3) > chance_of_b(6, 4), "the list does not know of the session yet");
    }

    #[test]
    fn what_few_others_have_seen_is_returned_to_sooner() {
        let entries = [entry("a", 5), entry("b", 4), entry("b", 3), entry("b", 2)];
        let session = session_of(&entries, None);
        // At its beginning an event weighs 1.
        let landmark = SEASON.landmark_of(entries[1].timestamp_ms);
        let chance_of_b = |events: f32, minute: i64| {
            let mut listed = NeighbourList::clone(list(landmark, &[("x", 1.0)]).as_ref().unwrap());
            (listed.popularity.season, listed.popularity.returns) = (events, 0.3 * events);
            listed.newest_ms = minute * 60_000;
            let lists = [list(landmark, &[("x", 1.0)]), Some(VotingList::of(listed))];
            let ranked = rank(&session, &by_reference(&lists), &RepeatTable::default(), |id, _| id == "b", 1);
            ranked[0].score
        };
        assert!(chance_of_b(1.0, 3) > chance_of_b(10.0, 3) && chance_of_b(10.0, 3) > chance_of_b(300.0, 3));
        assert!(chance_of_b(1e4, 3) / chance_of_b(1e6, 3) < 1.001, "from some number on it does not matter");
        assert!((chance_of_b(3.0, 4) / chance_of_b(0.0, 3) - 1.0).abs() < 1e-6, "these were its own events");
        assert!(chance_of_b(3.0, 4) > chance_of_b(3.0, 3), "these were not");
    }

    #[test]
    fn lists_ranked_in_different_half_lives_compare() {
        let entries = [entry("a", 2), entry("b", 2)];
        let mut session = session_of(&entries, None);
        session.products[1].weight = 1.0;
        let lists = [list(6, &[("x", SCALE_EXPONENT.exp2() as f32)]), list(5, &[("y", 1.0)])];
        let scale = (SCALE_EXPONENT * 2.0).exp2();
        let ranked =
            rank(&session, &by_reference(&lists), &RepeatTable::default(), |id, _| id == "x" || id == "y", 2);
        let expected = scale.powf(VOTE_EXPONENT * SUM_EXPONENT);
        assert!((ranked[0].score / ranked[1].score / expected - 1.0).abs() < 1e-3);
    }

    #[test]
    fn the_best_are_found_among_many_with_ties_by_id() {
        let mut random = 7u32;
        let ids: Vec<String> = (0..500).map(|number| format!("{number:03}")).collect();
        let mut scored: Vec<(f64, &str)> = Vec::new();
        for id in &ids {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            scored.push((f64::from(random >> 28), id));
        }
        let candidates = scored.iter().map(|&(score, product_id)| Candidate {
            product_id,
            category: "",
            score,
            repeat: false,
            because: 0,
            count: 0,
        });
        let found: Vec<String> =
            top(candidates.collect(), 20).into_iter().map(|ranked| ranked.product_id).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        assert_eq!(found, scored[..20].iter().map(|scored| scored.1).collect::<Vec<_>>());
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
