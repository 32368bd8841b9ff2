//! What speaks for a return to a product of the session, and how likely that makes it beside something new.

use crate::decay::{SEASON, power_of_two};
use crate::repeats::{course_ratio, return_chance, usual_rate};
use crate::session::{SeenProduct, Session};
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
    let landmark = lists.iter().flatten().map(|list| list.landmark()).max().unwrap_or(0);
    let evidence = Evidence { session, lists, usual: usual_rate(repeats), landmark };
    for (distance, chance) in returns.iter_mut().enumerate() {
        let course = RETURN_WEIGHTS.course * course_ratio(repeats, &session.shape, distance, *chance).ln();
        *chance *= (course + evidence.log_odds(distance)).exp();
    }
    let total = new + returns.iter().sum::<f64>();
    returns.iter_mut().for_each(|chance| *chance /= total);
    Chances { returns, new: new / total }
}

/// What returns are judged by besides the repeat table; see [`RETURN_WEIGHTS`].
struct Evidence<'a> {
    session: &'a Session<'a>,
    lists: &'a [Option<&'a VotingList>],
    /// What part of events are returns.
    usual: f64,
    /// The newest of the lists' landmarks.
    landmark: i32,
}

impl Evidence<'_> {
    /// What speaks for a return to the product `distance` products ago.
    fn log_odds(&self, distance: usize) -> f64 {
        let (session, weights) = (self.session, &RETURN_WEIGHTS);
        let given = |condition: bool, weight: f64| if condition { weight } else { 0.0 };
        let of_session = weights.constant
            + given(session.has_returned, weights.returned_before)
            + given(session.shape.last_step == LastStep::Return, weights.just_returned);
        let others = self.others(distance);
        let of_product = weights.own_rate * others.rate(self.usual).ln()
            + weights.seldom_seen * ((SEEN_OFTEN + others.events) / (1.0 + others.events)).ln();
        let of_place = if distance == 0 {
            weights.last
        } else {
            let (of_last, of_own) = (self.share(0, distance), self.share(distance, 0));
            let log_share = |share: Option<f64>| share.map_or(0.0, |share| (1.0 + 30.0 * share).ln());
            weights.share_of_last * log_share(of_last)
                + weights.share_of_own * log_share(of_own)
                + given(of_own.is_some(), weights.lists_last)
                + weights.steps_between * f64::from(1 + session.ties[distance].steps).ln()
                + weights.distance * (1.0 + distance as f64).ln()
        };
        of_session + of_product + of_place
    }

    fn list_of(&self, place: usize) -> Option<&VotingList> {
        self.lists.get(place).copied().flatten()
    }

    /// The share that one product of the session, the last one or another one, has of the other's list, as others made it;
    /// `None` where nobody else did.
    fn share(&self, of_list: usize, product: usize) -> Option<f64> {
        let products = &self.session.products;
        let (list, id) = (self.list_of(of_list)?, products[product].product_id);
        let entry = list.entry(id, hash_of(id))?;
        let tie = self.session.ties[of_list.max(product)];
        let own = if knows_of(list, &products[of_list]) { tie.pairs } else { 0 };
        let others = match entry.count {
            0 => 1.0,
            count => 1.0 - f64::from(own) / f64::from(count),
        };
        (others > 0.0).then(|| others * f64::from(entry.score) / list.total())
    }

    /// What others did with a product of the session.
    fn others(&self, place: usize) -> Others {
        let Some(list) = self.list_of(place) else { return Others::default() };
        let (seen, times) = (&self.session.products[place], self.session.shape.times[place]);
        let Demand { season, season_landmark, returns, .. } = list.popularity;
        let own = if knows_of(list, seen) { SEASON.growth(seen.seen_ms, season_landmark) } else { 0.0 };
        let events = (f64::from(season) - own * f64::from(times)).max(0.0);
        // All of the session's events on it but the first were returns.
        let returns = (f64::from(returns) - own * f64::from(times.saturating_sub(1))).clamp(0.0, events);
        let unit = power_of_two(season_landmark - self.landmark);
        Others { events: unit * events, returns: unit * returns }
    }
}

/// Whether the session's events on the product are in its list: what the session added itself is no reason to return.
fn knows_of(list: &NeighbourList, seen: &SeenProduct<'_>) -> bool {
    list.newest_ms >= seen.seen_ms
}

/// What others did with a product, in decayed numbers of events at the landmark of the evidence.
#[derive(Default)]
struct Others {
    events: f64,
    /// Those that came back to it.
    returns: f64,
}

impl Others {
    /// How much more often than usual the events are returns.
    fn rate(&self, usual: f64) -> f64 {
        (self.returns + OWN_RATE_PRIOR * usual) / (self.events + OWN_RATE_PRIOR) / usual
    }
}
