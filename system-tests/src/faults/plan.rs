//! The events of a run: the same for the same settings, whenever and wherever they are sent.

use serde_json::{Value, json};

/// Users whose events one sender sends, so that each user's keep their order.
pub const USERS_PER_LANE: u64 = 40;
/// Senders at work at the same time.
pub const LANES: u64 = 16;
/// Event time from one event of a user to the next, in ms.
const STEP_MS: i64 = 60_000;
/// Products: few enough that users share them.
const PRODUCTS: u64 = 400;
/// Users that are forgotten on the way.
const FORGOTTEN: u64 = 8;
/// Events of each of these before, and after.
const FORGOTTEN_EVENTS: u64 = 8;

/// A known set of events: in each round, each user has one.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Events of each user.
    pub rounds: u64,
    /// When the first happened, milliseconds since 1970 UTC.
    base_ms: i64,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its own id.
    pub id: String,
    /// Whose.
    pub user: String,
    /// Of what.
    pub product: String,
    kind: &'static str,
    at_ms: i64,
}

impl Planned {
    /// As ingest takes it.
    pub fn body(&self) -> Value {
        json!({
            "event_id": self.id, "event_type": self.kind, "user_id": self.user, "product_id": self.product,
            "category_id": format!("c{}", self.product.len()), "timestamp": self.at_ms,
        })
    }
}

impl Plan {
    /// At least `events` events, of which the last are a minute old at `now_ms`.
    pub fn new(events: u64, now_ms: i64) -> Self {
        let rounds = events.div_ceil(LANES * USERS_PER_LANE).max(2 * FORGOTTEN_EVENTS);
        Self { rounds, base_ms: now_ms - (rounds as i64 + 1) * STEP_MS }
    }

    /// All events, those of forgotten users included.
    pub const fn events(&self) -> u64 {
        self.rounds * LANES * USERS_PER_LANE + 2 * FORGOTTEN * FORGOTTEN_EVENTS
    }

    /// The events of a sender in a round, one for each of its users.
    pub fn round(&self, lane: u64, round: u64) -> Vec<Planned> {
        let users = lane * USERS_PER_LANE..(lane + 1) * USERS_PER_LANE;
        users.map(|user| self.event(&format!("u{user}"), user, round)).collect()
    }

    /// Names of some users that are not forgotten.
    pub fn known_users(&self, count: u64) -> Vec<String> {
        let users = LANES * USERS_PER_LANE;
        (0..users).step_by((users / count).max(1) as usize).map(|user| format!("u{user}")).collect()
    }

    /// What the newest `k` events of a known user are about, the newest first.
    pub fn newest_of(&self, user: &str, k: usize) -> Vec<String> {
        let number = user.trim_start_matches('u').parse().expect("made by known_users");
        (0..self.rounds).rev().take(k).map(|round| self.event(user, number, round).product).collect()
    }

    /// Users that are forgotten on the way.
    pub fn forgotten_users(&self) -> Vec<String> {
        (0..FORGOTTEN).map(|user| format!("gone{user}")).collect()
    }

    /// Their events before they are forgotten, one each at a time.
    pub fn before_forgetting(&self) -> Vec<Vec<Planned>> {
        self.of_the_forgotten(0)
    }

    /// Their events afterwards.
    pub fn after_forgetting(&self) -> Vec<Vec<Planned>> {
        self.of_the_forgotten(FORGOTTEN_EVENTS)
    }

    fn of_the_forgotten(&self, first: u64) -> Vec<Vec<Planned>> {
        let one_each = |round| {
            let users = self.forgotten_users().into_iter().zip(0..);
            users.map(|(name, number)| self.event(&name, 1_000_000 + number, round)).collect()
        };
        (first..first + FORGOTTEN_EVENTS).map(one_each).collect()
    }

    fn event(&self, name: &str, number: u64, round: u64) -> Planned {
        let chance = mixed(number << 32 | round);
        // Neighbours among users look at neighbouring products, so that there is something to recommend.
        let product = (number / 8 * 5 + chance % 12) % PRODUCTS;
        let kind = match chance >> 32 & 7 {
            0 => "purchase",
            1 => "add_to_cart",
            _ => "view",
        };
        Planned {
            id: format!("{name}-{round}"),
            user: name.to_owned(),
            product: format!("p{product}"),
            kind,
            at_ms: self.base_ms + round as i64 * STEP_MS + (chance >> 40) as i64 % STEP_MS,
        }
    }
}

/// SplitMix64: numbers that look random, the same everywhere.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_event_is_planned_once_and_none_lies_ahead() {
        let now_ms = 1_760_000_000_000;
        let plan = Plan::new(20_000, now_ms);
        let mut events: Vec<Planned> = (0..LANES)
            .flat_map(|lane| (0..plan.rounds).flat_map(move |round| plan.round(lane, round)))
            .collect();
        events.extend(plan.before_forgetting().into_iter().flatten());
        events.extend(plan.after_forgetting().into_iter().flatten());
        assert_eq!(events.len() as u64, plan.events());
        let ids: HashSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(ids.len(), events.len());
        assert!(events.iter().all(|event| event.at_ms < now_ms));
        let newest = plan.round(0, plan.rounds - 1).remove(0);
        assert_eq!(plan.newest_of(&newest.user, 3)[0], newest.product);
    }
}
