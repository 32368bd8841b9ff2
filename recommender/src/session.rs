//! What answers are ranked from: a shopper's session, or the whole history when there is none.

use crate::settings::{PROFILE_DECAY_PER_SESSION, PROFILE_PRODUCTS, PROFILE_WEIGHTS, SESSION_DECAY};
use crate::user_row::SESSION_GAP_MS;
use schemas::published::{Course, HistoryEntry, LastStep, SessionShape};

/// Events of the current session that are looked at.
pub const SESSION_EVENTS: usize = 30;

/// A distinct product that a shopper did something with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeenProduct<'a> {
    /// The product.
    pub product_id: &'a str,
    /// How much its neighbours count.
    pub weight: f64,
    /// When it was seen last.
    pub seen_ms: i64,
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
            let seen_ms = entry.timestamp_ms;
            session.products.push(SeenProduct { product_id: &entry.product_id, weight, seen_ms });
            session.shape.times.push(1);
        }
        places.push(place);
    }
    session.ties = ties(&places, session.products.len());
    session.shape.course = places.iter().fold(Course::default(), |course, &place| course.after(place));
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
            None => {
                let (product_id, seen_ms) = (entry.product_id.as_str(), entry.timestamp_ms);
                products.push(SeenProduct { product_id, weight, seen_ms });
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::EventKind;

    fn entry(product: &str, minute: i64) -> HistoryEntry {
        HistoryEntry { product_id: product.into(), kind: EventKind::View, timestamp_ms: minute * 60_000 }
    }

    #[test]
    fn a_session_ends_at_a_long_pause() {
        let entries = [entry("a", 100), entry("b", 90), entry("a", 80), entry("c", 20)];
        let session = session_of(&entries, None);
        assert_eq!(session.products.iter().map(|seen| seen.product_id).collect::<Vec<_>>(), ["a", "b"]);
        let course = Course::default().after(0).after(1).after(0);
        let expected = SessionShape { times: vec![2, 1], last_step: LastStep::Return, course };
        assert_eq!((session.shape, session.products[1].seen_ms), (expected, 90 * 60_000));
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
}
