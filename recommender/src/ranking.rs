//! How answers are ranked from published values: the only maths at request time.

use crate::neighbours::SCALE_EXPONENT;
use crate::returns::{Chances, chances};
use crate::settings::{
    PROFILE_DECAY_PER_SESSION, PROFILE_PRODUCTS, PROFILE_TOTAL_EXPONENT, PROFILE_VOTE_EXPONENT,
    PROFILE_WEIGHTS, SESSION_DECAY, SUM_EXPONENT, VOTE_EXPONENT,
};
use crate::user_row::SESSION_GAP_MS;
use crate::voting::{VotingList, hash_of};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use schemas::published::{
    HistoryEntry, LastStep, Neighbour, RepeatTable, SessionShape, TrendingEntry, TrendingList,
};
use std::cmp::Ordering;

/// Events of the current session that are looked at.
pub const SESSION_EVENTS: usize = 30;

/// Products that weigh less say nothing that shows: the 14th of a session, at a thousandth of the last one's votes.
const NEGLIGIBLE: f64 = 2e-4;

/// A distinct product that a shopper did something with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeenProduct<'a> {
    /// The product.
    pub product_id: &'a str,
    /// How much its neighbours count.
    pub weight: f64,
}

/// What a session itself says of one of its products and its last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tie {
    /// How many of its steps before the last one led from the one to the other.
    pub steps: u8,
    /// How many of its events made a pair of them: what the lists' counts have from this session, once its events are published.
    pub pairs: u8,
}

/// What an answer is ranked from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Session<'a> {
    /// Distinct products, those of the session first, the last one first.
    pub products: Vec<SeenProduct<'a>>,
    /// What the session looks like.
    pub shape: SessionShape,
    /// Whether the session came back to one of its products after others.
    pub has_returned: bool,
    /// What ties each product of the session to the last one.
    pub ties: Vec<Tie>,
    /// Whether the shopper's whole history counts, not the session's course: nobody knows yet what this visit is about.
    pub is_profile: bool,
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

/// What is known of a shopper's interests. `entries` are the newest first; `now_ms` is the stream's time, or `None` when the
/// session goes on for certain.
///
/// Within a session (no pause of more than 30 minutes), the product seen d distinct products ago weighs e^(−d/1.5). After it,
/// the whole history counts: a product weighs .3, 1 or 4 by the strongest thing done with it, times .9 for each session since;
/// the 40 heaviest stay.
pub fn session_of(entries: &[HistoryEntry], now_ms: Option<i64>) -> Session<'_> {
    let mut session = current(entries);
    let last_ms = entries.first().map_or(0, |entry| entry.timestamp_ms);
    if now_ms.is_some_and(|now_ms| now_ms.saturating_sub(last_ms) > SESSION_GAP_MS) {
        session.products = profile(entries, session.products.len());
        session.is_profile = true;
    }
    session
}

fn current(entries: &[HistoryEntry]) -> Session<'_> {
    let mut session = Session::default();
    let mut later_ms = entries.first().map_or(0, |entry| entry.timestamp_ms);
    // How many events before the last its product was seen, too.
    let mut again_after = None;
    // Of each event, the place of its product.
    let mut places: Vec<usize> = Vec::with_capacity(entries.len().min(SESSION_EVENTS));
    for entry in entries.iter().take(SESSION_EVENTS) {
        if later_ms.saturating_sub(entry.timestamp_ms).abs() > SESSION_GAP_MS {
            break;
        }
        later_ms = entry.timestamp_ms;
        let known = session.products.iter().position(|seen| seen.product_id == entry.product_id);
        let place = known.unwrap_or(session.products.len());
        if known.is_some() {
            session.shape.times[place] = session.shape.times[place].saturating_add(1);
            session.has_returned |= places.last() != Some(&place);
            if place == 0 {
                again_after = again_after.or(Some(places.len()));
            }
        } else {
            let weight = (-(place as f64) / SESSION_DECAY).exp();
            session.products.push(SeenProduct { product_id: &entry.product_id, weight });
            session.shape.times.push(1);
        }
        places.push(place);
    }
    session.ties = ties(&places, session.products.len());
    session.shape.last_step = match again_after {
        _ if places.len() <= 1 => LastStep::First,
        Some(1) => LastStep::Same,
        Some(_) => LastStep::Return,
        None => LastStep::New,
    };
    session
}

/// What ties the products of a session to its last one. `places` has the product of each event, the last event and the last
/// product first.
fn ties(places: &[usize], products: usize) -> Vec<Tie> {
    let mut ties = vec![Tie::default(); products];
    let mut later = vec![0; products];
    // Of each product, events after the first one of the last product, and events of that one after its own first.
    let (mut of_it, mut of_last) = (vec![0; products], vec![0; products]);
    for (event, &place) in places.iter().enumerate() {
        if event > 1 && (place == 0) != (places[event - 1] == 0) {
            ties[place.max(places[event - 1])].steps += 1;
        }
        if place == 0 {
            of_it.copy_from_slice(&later);
        } else {
            of_last[place] = later[0];
        }
        later[place] += 1;
    }
    for (place, tie) in ties.iter_mut().enumerate().skip(1) {
        tie.pairs = of_it[place] + of_last[place];
    }
    ties
}

/// The heaviest products of a history, in its order; the first `kept`, which are the last session's, stay in any case.
fn profile(entries: &[HistoryEntry], kept: usize) -> Vec<SeenProduct<'_>> {
    let mut products: Vec<SeenProduct<'_>> = Vec::new();
    let mut later_ms = entries.first().map_or(0, |entry| entry.timestamp_ms);
    let mut decay = 1.0;
    for entry in entries {
        if later_ms.saturating_sub(entry.timestamp_ms).abs() > SESSION_GAP_MS {
            decay *= PROFILE_DECAY_PER_SESSION;
        }
        later_ms = entry.timestamp_ms;
        let weight = decay * PROFILE_WEIGHTS[entry.kind as usize - 1];
        match products.iter_mut().find(|seen| seen.product_id == entry.product_id) {
            Some(seen) => seen.weight = seen.weight.max(weight),
            None => products.push(SeenProduct { product_id: &entry.product_id, weight }),
        }
    }
    let room = PROFILE_PRODUCTS.saturating_sub(kept);
    if products.len() > kept + room {
        let mut older: Vec<usize> = (kept..products.len()).collect();
        // Sorted stably: the newer of equals first.
        older.sort_by(|&a, &b| products[b].weight.total_cmp(&products[a].weight));
        older.truncate(room);
        older.sort_unstable();
        let heaviest: Vec<_> = older.into_iter().map(|place| products[place]).collect();
        products.truncate(kept);
        products.extend(heaviest);
    }
    products
}

/// Ranks what may come next after `session`, whose products' published lists are `lists` (same order, `None` = no list yet).
///
/// A new product scores (Σ over the session of (weight · P_ij)^0.8)^1.125, in a profile Σ (weight · P'_ij / √Σ_j P_ij)^0.5,
/// where P' counts a fifth of what came by way of other products. New products share the chance that the next product is new in
/// proportion to their scores. A product of the session has its learnt chance of a return
/// ([`crate::repeats::return_chance`]), its odds against something new changed by what speaks for it
/// ([`crate::settings::RETURN_WEIGHTS`]). Only products that `keep`(product, category) accepts are ranked. Higher scores first,
/// ties by id; at most `limit`.
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
    use schemas::EventKind;
    use schemas::published::NeighbourList;

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
    fn a_session_ends_at_a_long_pause() {
        let entries = [entry("a", 100), entry("b", 90), entry("a", 80), entry("c", 20)];
        let session = session_of(&entries, None);
        assert_eq!(session.products.iter().map(|seen| seen.product_id).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(session.shape, SessionShape { times: vec![2, 1], last_step: LastStep::Return });
        assert!((session.products[1].weight - (-1.0f64 / 1.5).exp()).abs() < 1e-12);
    }

    #[test]
    fn serving_sees_a_session_as_the_user_row_does() {
        use crate::user_row::Observation;
        use crate::{Symbol, UserRow};
        for products in [&[1u32][..], &[1, 1], &[2, 1, 2, 2], &[1, 2, 1], &[3, 1, 2, 3, 1, 1], &[1, 1, 2]] {
            let mut row = UserRow::default();
            let mut observe = |product: u32, minute: usize| {
                let timestamp_ms = minute as i64 * 60_000;
                row.apply(&Observation {
                    product: Symbol(product),
                    kind: EventKind::View,
                    timestamp_ms,
                    append_time_ms: timestamp_ms,
                    fingerprint: minute as u64,
                })
            };
            for (minute, &product) in products.iter().enumerate() {
                observe(product, minute);
            }
            let learnt = observe(99, products.len()).session.unwrap();
            let seen = products.iter().enumerate().rev();
            let entries: Vec<_> =
                seen.map(|(minute, product)| entry(&product.to_string(), minute as i64)).collect();
            assert_eq!(session_of(&entries, None).shape, learnt, "{products:?}");
        }
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
    fn after_a_pause_the_whole_history_counts() {
        let mut entries =
            vec![entry("viewed", 200), entry("bought", 100), entry("viewed", 90), entry("bought", 10)];
        entries[1].kind = EventKind::Purchase;
        let within = session_of(&entries, Some(205 * 60_000));
        assert_eq!((within.products.len(), within.is_profile), (1, false));
        let after = session_of(&entries, Some(300 * 60_000));
        let weights: Vec<_> = after.products.iter().map(|seen| (seen.product_id, seen.weight)).collect();
        assert_eq!(weights, [("viewed", 0.3), ("bought", 4.0 * 0.9)]);
        assert_eq!((after.shape.length(), after.is_profile), (1, true));
    }

    #[test]
    fn a_profile_keeps_the_heaviest_and_the_last_session() {
        let ids: Vec<String> = (0..45).map(|i| format!("p{i}")).collect();
        let mut entries: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(i, id)| entry(id, 10_000 - 5 * i as i64 - 100 * (i / 5) as i64))
            .collect();
        entries[44].kind = EventKind::Purchase;
        let profile = session_of(&entries, Some(i64::MAX)).products;
        assert_eq!(profile.len(), PROFILE_PRODUCTS);
        assert!(profile.iter().take(5).zip(&ids).all(|(seen, id)| seen.product_id == id));
        assert_eq!(profile.last().unwrap().product_id, "p44", "bought, if long ago");
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
        let shape = SessionShape { times: vec![1], last_step: LastStep::First };
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
    fn a_session_knows_whether_it_came_back_to_a_product() {
        let has_returned = |products: &[&str]| {
            let entries: Vec<_> = products.iter().map(|product| entry(product, 1)).collect();
            session_of(&entries, None).has_returned
        };
        assert!(!has_returned(&["a"]) && !has_returned(&["a", "a", "b"]) && !has_returned(&["c", "b", "a"]));
        assert!(has_returned(&["a", "b", "a"]) && has_returned(&["c", "a", "b", "a"]));
    }

    #[test]
    fn a_session_ties_its_products_to_the_last_one_as_its_events_did() {
        let mut random = fastrand::Rng::with_seed(7);
        for events in 1..30 {
            let course: Vec<u32> = (0..events).map(|_| random.u32(0..4)).collect();
            let names: Vec<String> = course.iter().map(u32::to_string).collect();
            let entries: Vec<_> = names.iter().rev().map(|name| entry(name, 1)).collect();
            let session = session_of(&entries, None);
            let last = *course.last().unwrap();
            for (seen, tie) in session.products.iter().zip(&session.ties) {
                let product: u32 = seen.product_id.parse().unwrap();
                let is_between = |step: &&[u32]| {
                    product != last && (**step == [last, product] || **step == [product, last])
                };
                let steps = course[..course.len() - 1].windows(2).filter(is_between);
                assert_eq!(usize::from(tie.steps), steps.count(), "{course:?} {product}");
                let makes_a_pair = |&at: &usize| {
                    let other = if course[at] == last { product } else { last };
                    let is_one = course[at] == last || course[at] == product;
                    is_one && product != last && course[..at].contains(&other)
                };
                let pairs = (0..course.len()).filter(makes_a_pair).count();
                assert_eq!(usize::from(tie.pairs), pairs, "{course:?} {product}");
            }
        }
    }

    #[test]
    fn what_a_session_added_to_a_count_itself_is_no_reason_to_return() {
        let entries = [entry("a", 4), entry("b", 3), entry("a", 2), entry("b", 1)];
        let session = session_of(&entries, None);
        let chance_of_b = |count: u32| {
            let mut listed = NeighbourList::clone(list(5, &[("b", 1.0), ("x", 1.0)]).as_ref().unwrap());
            listed.entries[0].count = count;
            let lists = [Some(VotingList::of(listed)), None];
            let ranked = rank(&session, &by_reference(&lists), &RepeatTable::default(), |id, _| id == "b", 1);
            ranked[0].score
        };
        assert_eq!(session.ties[1].pairs, 3);
        assert_eq!(chance_of_b(3), chance_of_b(2), "nobody else was there");
        assert!(chance_of_b(6) > chance_of_b(3));
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
