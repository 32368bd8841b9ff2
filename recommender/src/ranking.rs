//! How answers are ranked from published values: the only maths at request time.

use crate::neighbours::SCALE_EXPONENT;
use crate::returns::{Chances, chances};
use crate::session::Session;
use crate::settings::{PROFILE_TOTAL_EXPONENT, PROFILE_VOTE_EXPONENT, SUM_EXPONENT, VOTE_EXPONENT};
use crate::voting::{VotingList, hash_of};
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
    let votes = counted(session, lists);
    let mut candidates = Vec::with_capacity(votes.all.len() + session.products.len());
    for (place, sum) in (0..).zip(&votes.all) {
        if !sum.is_left_out && keep(&sum.entry.product_id, &sum.entry.category) {
            let score = if session.is_profile { sum.score } else { session_score(sum.score) };
            candidates.push(Candidate { score, place });
        }
    }
    let Chances { returns, new } = chances(session, lists, repeats);
    let total: f64 = candidates.iter().map(|candidate| candidate.score).sum();
    let share = new / total.max(f64::MIN_POSITIVE);
    candidates.iter_mut().for_each(|candidate| candidate.score *= share);
    let seen_from = votes.all.len() as u32;
    for ((place, seen), score) in (0..).zip(&session.products).zip(returns) {
        let category = lists.get(place).copied().flatten().map_or("", |list| list.category.as_str());
        if keep(seen.product_id, category) {
            candidates.push(Candidate { score, place: seen_from + place as u32 });
        }
    }
    let id_of = |place: u32| match place.checked_sub(seen_from) {
        None => votes.all[place as usize].entry.product_id.as_str(),
        Some(seen) => session.products[seen as usize].product_id,
    };
    let ranked = |Candidate { score, place }: Candidate| {
        let seen = place.checked_sub(seen_from);
        let (because, count) = match seen {
            None => (votes.all[place as usize].because, votes.all[place as usize].entry.count),
            Some(seen) => (seen, 0),
        };
        Ranked { product_id: id_of(place).to_owned(), score, repeat: seen.is_some(), because, count }
    };
    top(candidates, id_of, limit).into_iter().map(ranked).collect()
}

/// What the lists say of new products; those of the session are left out.
fn counted<'a>(session: &Session<'_>, lists: &[Option<&'a VotingList>]) -> Votes<'a> {
    let (vote_exponent, total_exponent) = if session.is_profile {
        (PROFILE_VOTE_EXPONENT, PROFILE_TOTAL_EXPONENT)
    } else {
        (VOTE_EXPONENT, 0.0)
    };
    let landmark = lists.iter().flatten().map(|list| list.landmark()).max().unwrap_or(0);
    let mut votes = Votes::with_capacity(lists.iter().flatten().map(|list| list.entries.len()).sum());
    for ((because, seen), list) in (0..).zip(&session.products).zip(lists) {
        let Some(list) = list else { continue };
        if seen.weight < NEGLIGIBLE {
            continue;
        }
        let scale = (SCALE_EXPONENT * f64::from(list.landmark() - landmark)).exp2();
        let norm = if total_exponent == 0.0 { 1.0 } else { (scale * list.total()).powf(-total_exponent) };
        let weight = (scale * seen.weight * norm).powf(vote_exponent);
        for (entry, vote) in list.votes() {
            let part = weight * f64::from(if session.is_profile { vote.in_profile } else { vote.in_session });
            votes.add(vote.hash, part, entry, because);
        }
    }
    session.products.iter().for_each(|seen| votes.leave_out(hash_of(seen.product_id)));
    votes
}

/// The sum's power [`SUM_EXPONENT`], by roots: there are hundreds, and the general power takes several times as long.
fn session_score(sum: f64) -> f64 {
    const { assert!(SUM_EXPONENT == 1.0 + 1.0 / 8.0) };
    sum * sum.sqrt().sqrt().sqrt()
}

/// What speaks for a new product.
struct Sum<'a> {
    hash: u64,
    score: f64,
    /// The largest part of it, the entry that it comes from, and the product of the session whose list that is in.
    best: f64,
    entry: &'a Neighbour,
    because: u32,
    is_left_out: bool,
}

/// Sums by product: a hash table with open addressing, in which nothing is ever deleted. It holds places only, so that looking
/// one up touches little memory. For the same reason products are told apart by their hashes alone: these have 64 bits and a key
/// of their own in each process, so that two of a thousand products have the same one in one of some 10^13 answers, which then
/// has one of them with the votes of both.
struct Votes<'a> {
    all: Vec<Sum<'a>>,
    /// From 1; 0 = free. At most half of them are taken, so that a search is short.
    places: Vec<u32>,
}

impl<'a> Votes<'a> {
    /// For no more than so many products.
    fn with_capacity(products: usize) -> Self {
        let places = vec![0; (2 * products).next_power_of_two().max(2)];
        Self { all: Vec::with_capacity(products), places }
    }

    fn add(&mut self, hash: u64, part: f64, entry: &'a Neighbour, because: u32) {
        match self.find(hash) {
            Ok(place) => {
                let sum = &mut self.all[place];
                sum.score += part;
                if part > sum.best {
                    (sum.best, sum.entry, sum.because) = (part, entry, because);
                }
            }
            Err(free) => {
                self.all.push(Sum { hash, score: part, best: part, entry, because, is_left_out: false });
                self.places[free] = self.all.len() as u32;
            }
        }
    }

    fn leave_out(&mut self, hash: u64) {
        if let Ok(place) = self.find(hash) {
            self.all[place].is_left_out = true;
        }
    }

    /// Where a product's sum is, or else the free place of the table where it belongs.
    fn find(&self, hash: u64) -> Result<usize, usize> {
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.places[at] {
                0 => return Err(at),
                place if self.all[place as usize - 1].hash == hash => return Ok(place as usize - 1),
                _ => at = (at + 1) & mask,
            }
        }
    }
}

/// A product that may be in the answer: most never get there.
#[derive(Clone, Copy)]
struct Candidate {
    score: f64,
    /// Among the votes, and after these among the products of the session.
    place: u32,
}

/// The best `limit`, in order.
fn top<'a>(candidates: Vec<Candidate>, id_of: impl Fn(u32) -> &'a str, limit: usize) -> Vec<Candidate> {
    let order = |a: &Candidate, b: &Candidate| -> Ordering {
        b.score.total_cmp(&a.score).then_with(|| id_of(a.place).cmp(id_of(b.place)))
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
    best
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
    use std::collections::HashMap;

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
    fn votes_of_many_products_are_those_of_a_map() {
        let entries: Vec<Neighbour> = (0..300u32)
            .map(|count| Neighbour { count, ..list(5, &[("x", 1.0)]).unwrap().entries[0].clone() })
            .collect();
        let mut votes = Votes::with_capacity(entries.len());
        let mut expected: HashMap<u64, (f64, f64, u32)> = HashMap::new();
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..3_000 {
            // All belong at the first or the last place of the table, and some differ in their highest bits only.
            let number = random.u64(0..entries.len() as u64);
            let hash = ((number % 3) << 60) | ((number / 3) << 10) | (1_023 * (number % 2));
            let (part, because) = (f64::from(random.u32(1..100)), random.u32(0..300));
            votes.add(hash, part, &entries[because as usize], because);
            let (score, best, of_best) = expected.entry(hash).or_default();
            *score += part;
            if part > *best {
                (*best, *of_best) = (part, because);
            }
        }
        let found: HashMap<u64, (f64, f64, u32)> =
            votes.all.iter().map(|sum| (sum.hash, (sum.score, sum.best, sum.because))).collect();
        assert_eq!(votes.all.len(), found.len(), "each product once");
        assert_eq!(found, expected);
        assert!(votes.all.iter().all(|sum| sum.entry.count == sum.because), "the entry of the largest part");
        votes.leave_out(votes.all[7].hash);
        votes.leave_out(77);
        let left_out: Vec<usize> =
            (0..votes.all.len()).filter(|&place| votes.all[place].is_left_out).collect();
        assert_eq!(left_out, [7]);
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
        let candidates = (0..).zip(&scored).map(|(place, &(score, _))| Candidate { score, place });
        let id_of = |place: u32| ids[place as usize].as_str();
        let found = top(candidates.collect(), id_of, 20).into_iter().map(|best| id_of(best.place));
        let found: Vec<&str> = found.collect();
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
