//! What speaks for a return to a product of the session, and how likely that makes it beside something new.

use crate::repeats::{course_ratio, return_chance, usual_rate};
use crate::session::Session;
use crate::settings::{OWN_RATE_PRIOR, RETURN_WEIGHTS, SEEN_OFTEN};
use crate::voting::{VotingList, hash_of};
use schemas::published::{Demand, LastStep, NeighbourList, RepeatTable};

/// What may be next.
pub(crate) struct Chances {
    /// The chance of a return to each product of the session.
    pub(crate) returns: Vec<f64>,
    /// The chance of something new.
    pub(crate) new: f64,
}

/// The learnt chances, with the odds of each return against something new changed by what speaks for it.
pub(crate) fn chances(
    session: &Session<'_>,
    lists: &[Option<&VotingList>],
    repeats: &RepeatTable,
) -> Chances {
    let mut returns: Vec<f64> = (0..session.shape.length())
        .map(|distance| return_chance(repeats, &session.shape, distance))
        .collect();
    let new = (1.0 - returns.iter().sum::<f64>()).max(0.05);
    let usual = usual_rate(repeats);
    let landmark = lists.iter().flatten().map(|list| list.landmark()).max().unwrap_or(0);
    for (distance, chance) in returns.iter_mut().enumerate() {
        let course = course_ratio(repeats, &session.shape, distance, *chance).powf(RETURN_WEIGHTS.course);
        *chance *= course * log_odds(session, lists, distance, usual, landmark).exp();
    }
    let total = new + returns.iter().sum::<f64>();
    returns.iter_mut().for_each(|chance| *chance /= total);
    Chances { returns, new: new / total }
}

/// What speaks for a return to the product `distance` products ago besides the repeat tables; see [`RETURN_WEIGHTS`].
fn log_odds(
    session: &Session<'_>,
    lists: &[Option<&VotingList>],
    distance: usize,
    usual: f64,
    landmark: i32,
) -> f64 {
    let list_of = |place: usize| lists.get(place).copied().flatten();
    let tie = session.ties[distance];
    // The share that one product of the session has of another one's list, as others made it.
    let share = |list: usize, product: usize| {
        let (seen, id) = (&session.products[list], session.products[product].product_id);
        let list = list_of(list)?;
        let entry = list.entry(id, hash_of(id))?;
        // What the session added to the list itself, once its events are in it.
        let own = if list.newest_ms >= seen.seen_ms { tie.pairs } else { 0 };
        let others = match entry.count {
            0 => 1.0,
            count => 1.0 - f64::from(own) / f64::from(count),
        };
        (others > 0.0).then(|| others * f64::from(entry.score) / list.total())
    };
    let log_share = |share: Option<f64>| share.map_or(0.0, |share| (1.0 + 30.0 * share).ln());
    let given = |condition: bool, weight: f64| if condition { weight } else { 0.0 };
    let weights = &RETURN_WEIGHTS;
    let of_session = weights.constant
        + given(session.has_returned, weights.returned_before)
        + given(session.shape.last_step == LastStep::Return, weights.just_returned);
    let list = list_of(distance);
    let rate = list.map_or(0.0, |list| own_rate(list, usual).ln());
    let seen = list.map_or(0.0, |list| seen_at(list, landmark));
    let of_place = if distance == 0 {
        weights.last
    } else {
        let own = share(distance, 0);
        weights.share_of_last * log_share(share(0, distance))
            + weights.share_of_own * log_share(own)
            + given(own.is_some(), weights.lists_last)
            + weights.steps_between * f64::from(1 + tie.steps).ln()
            + weights.distance * (1.0 + distance as f64).ln()
    };
    of_session
        + of_place
        + weights.own_rate * rate
        + weights.seldom_seen * ((SEEN_OFTEN + seen) / (1.0 + seen)).ln()
}

/// How often the product was seen, in units of 2^landmark.
fn seen_at(list: &NeighbourList, landmark: i32) -> f64 {
    f64::from(list.popularity.season) * f64::from(list.landmark() - landmark).exp2()
}

/// How much more often than usual the product's events are returns.
fn own_rate(list: &NeighbourList, usual: f64) -> f64 {
    let Demand { season, returns, .. } = list.popularity;
    let (events, returns) = (f64::from(season), f64::from(returns));
    (returns + OWN_RATE_PRIOR * usual) / (events + OWN_RATE_PRIOR) / usual
}
