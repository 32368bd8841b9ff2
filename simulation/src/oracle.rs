//! What the events should lead to, worked out in the most naive way from the words of the design. Nothing here is shared with
//! the pipeline: no rows, no folds, no buckets. Only the schema of the records is the same.

use crate::coverage::{Coverage, Seen};
use event_log::Record;
use prost::Message;
use schemas::proto::{Event, EventRecord, Outcome, event_record};
use std::collections::{BTreeMap, BTreeSet};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// What became of one record of `events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) outcome: Outcome,
    /// Why it is dead.
    pub(crate) reason: Option<&'static str>,
    /// The user whose row it changes.
    pub(crate) changes: Option<String>,
    /// What an applied event counts: product, kind, weight.
    pub(crate) counts: Option<(String, i32, u32)>,
}

/// A user, with everything that happened since they were last forgotten.
#[derive(Debug, Default)]
pub(crate) struct User {
    /// Product, kind and time of each applied event, the oldest first.
    pub(crate) events: Vec<(String, i32, i64)>,
    ids: Vec<String>,
    last_append_ms: i64,
    /// Offsets of the records that changed the user.
    pub(crate) changed_at: Vec<u64>,
}

/// A product, with every event that was ever applied to it.
#[derive(Debug, Default)]
pub(crate) struct Product {
    /// Kind, time and weight.
    pub(crate) events: Vec<(i32, i64, u32)>,
    /// How often it was seen together with other products.
    pub(crate) together: BTreeMap<String, Together>,
}

/// How often two products were seen together. Where the pair weighs next to nothing, rounding decides whether it counts.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Together {
    pub(crate) at_least: u64,
    pub(crate) at_most: u64,
}

/// The naive model.
#[derive(Debug)]
pub(crate) struct Oracle {
    /// For each partition of `events`, what became of each record.
    pub(crate) judged: Vec<Vec<Judgement>>,
    highest_ms: Vec<i64>,
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) products: BTreeMap<String, Product>,
}

impl Oracle {
    pub(crate) fn new(partitions: u32) -> Self {
        Self {
            judged: vec![Vec::new(); partitions as usize],
            highest_ms: vec![i64::MIN; partitions as usize],
            users: BTreeMap::new(),
            products: BTreeMap::new(),
        }
    }

    /// Judges the next record of a partition.
    pub(crate) fn judge(&mut self, partition: u32, record: &Record, coverage: &mut Coverage) {
        coverage.saw(Seen::Events, 1);
        let judgement = self.judgement(partition as usize, record, coverage);
        coverage.saw(
            match judgement.outcome {
                Outcome::Applied => Seen::Applied,
                Outcome::Duplicate => Seen::Duplicate,
                Outcome::TooLate => Seen::TooLate,
                Outcome::Forgotten => Seen::Forgotten,
                Outcome::DeadLettered | Outcome::Unspecified => Seen::DeadLettered,
            },
            1,
        );
        self.judged[partition as usize].push(judgement);
    }

    fn judgement(&mut self, partition: usize, record: &Record, coverage: &mut Coverage) -> Judgement {
        let dead = |reason| Judgement {
            outcome: Outcome::DeadLettered,
            reason: Some(reason),
            changes: None,
            counts: None,
        };
        let event = match EventRecord::decode(&*record.value) {
            Err(_) => return dead("undecodable"),
            Ok(content) => content.record,
        };
        let Some(user) = user_of(&record.key) else { return dead("bad_key") };
        match event {
            None => dead("undecodable"),
            Some(event_record::Record::ForgetUser(_)) => {
                let user_row = self.users.entry(user.clone()).or_default();
                let mut changed_at = std::mem::take(&mut user_row.changed_at);
                changed_at.push(record.offset);
                *user_row = User { changed_at, ..User::default() };
                Judgement { outcome: Outcome::Forgotten, reason: None, changes: Some(user), counts: None }
            }
            Some(event_record::Record::Event(event)) => {
                let is_id = |id: &str| (1..=256).contains(&id.len());
                let complete = is_id(&event.event_id) && is_id(&event.product_id);
                if !(1..=3).contains(&event.event_type) || !complete || event.category_id.len() > 256 {
                    return dead("incomplete");
                }
                let at = event.timestamp_ms;
                if at < 0 || at - record.append_time_ms > 5 * MINUTE_MS {
                    return dead("bad_time");
                }
                let highest = self.highest_ms[partition];
                self.highest_ms[partition] = highest.max(at);
                coverage.saw(Seen::OutOfOrder, u64::from(at < highest));
                if highest != i64::MIN && at < highest - 30 * DAY_MS {
                    return Judgement {
                        outcome: Outcome::TooLate,
                        reason: None,
                        changes: None,
                        counts: None,
                    };
                }
                self.applied(user, &event, record, coverage)
            }
        }
    }

    fn applied(&mut self, key: String, event: &Event, record: &Record, coverage: &mut Coverage) -> Judgement {
        let (kind, at) = (event.event_type, event.timestamp_ms);
        let user = self.users.entry(key.clone()).or_default();
        let is_new = user.ids.is_empty();
        if record.append_time_ms - user.last_append_ms > 90 * DAY_MS {
            coverage.saw(Seen::StartedAnew, u64::from(!is_new));
            user.events.clear();
            user.ids.clear();
        }
        if user.ids.contains(&event.event_id) {
            return Judgement { outcome: Outcome::Duplicate, reason: None, changes: None, counts: None };
        }
        user.ids.push(event.event_id.clone());
        user.last_append_ms = record.append_time_ms;
        user.changed_at.push(record.offset);
        let history = history_of(user);
        let alike = history.filter(|(product, of_kind, when)| {
            *product == event.product_id && *of_kind == kind && (at - when).abs() <= HOUR_MS
        });
        let capped = alike.count() >= 10;
        coverage.saw(Seen::Capped, u64::from(capped));
        let weight = if capped { 0 } else { [1, 3, 5][kind as usize - 1] };
        let pairs = if capped { BTreeMap::new() } else { pairs_of(user, &event.product_id, at) };
        user.events.push((event.product_id.clone(), kind, at));
        let product = self.products.entry(event.product_id.clone()).or_default();
        product.events.push((kind, at, weight));
        for (earlier, [forward, backward]) in pairs {
            let of_earlier = self.products.entry(earlier.clone()).or_default();
            count(of_earlier.together.entry(event.product_id.clone()).or_default(), forward);
            let own = self.products.entry(event.product_id.clone()).or_default();
            count(own.together.entry(earlier).or_default(), backward);
        }
        Judgement {
            outcome: Outcome::Applied,
            reason: None,
            changes: Some(key),
            counts: Some((event.product_id.clone(), kind, weight)),
        }
    }

    /// How many records had each outcome, by its number.
    pub(crate) fn outcomes(&self) -> [u64; 6] {
        let mut counts = [0; 6];
        self.judged.iter().flatten().for_each(|judgement| counts[judgement.outcome as usize] += 1);
        counts
    }

    /// Where dead letters should be, with their reasons.
    pub(crate) fn dead(&self) -> BTreeSet<(u32, u64, &'static str)> {
        let mut dead = BTreeSet::new();
        for (partition, judged) in self.judged.iter().enumerate() {
            for (offset, judgement) in judged.iter().enumerate() {
                dead.extend(judgement.reason.map(|reason| (partition as u32, offset as u64, reason)));
            }
        }
        dead
    }

    /// The time of the newest event of any product; 0 without events.
    pub(crate) fn newest_ms(&self) -> i64 {
        let times = self.products.values().flat_map(|product| product.events.iter().map(|(_, at, _)| *at));
        times.max().unwrap_or(0)
    }
}

/// What an event at `at` on a product means for the earlier products of its session: the weights of the pair for the earlier
/// one and for the event's own, in units of 2^-24, each as much as it is at the very least. Those of an event that comes back to a
/// product of the session are a third.
fn pairs_of(user: &User, own: &str, at: i64) -> BTreeMap<String, [f64; 2]> {
    let mut pairs: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    let (mut later, mut comes_back) = (at, false);
    for (steps, (product, _, when)) in history_of(user).rev().take(30).enumerate() {
        if (later - when).abs() > 30 * MINUTE_MS {
            break;
        }
        later = *when;
        if product != own {
            let close = (-(steps as f64) / 1.7).exp() / (1.0 + (at - when).abs() as f64 / 35_000.0);
            let pair = pairs.entry(product.clone()).or_default();
            for (weight, share) in pair.iter_mut().zip([1.0, 0.8]) {
                *weight += (share * close * f64::from(1 << 24) - 2.0).max(0.0);
            }
        } else {
            comes_back = true;
        }
    }
    if comes_back {
        pairs.values_mut().flatten().for_each(|weight| *weight = (*weight / 3.0 - 1.0).max(0.0));
    }
    pairs
}

fn count(together: &mut Together, weight: f64) {
    together.at_least += u64::from(weight > 0.0);
    together.at_most += 1;
}

/// The last 50 events of a user, the oldest first.
pub(crate) fn history_of(user: &User) -> impl DoubleEndedIterator<Item = &(String, i32, i64)> {
    user.events.iter().skip(user.events.len().saturating_sub(50))
}

impl Product {
    /// Number and weight of the events in each of the windows 1 h (by the minute), 24 h, 7 d and 30 d (by the hour).
    pub(crate) fn windows(&self, now_ms: i64) -> [(u64, u64); 4] {
        [(MINUTE_MS, 60), (HOUR_MS, 24), (HOUR_MS, 7 * 24), (HOUR_MS, 30 * 24)].map(|(width, kept)| {
            let inside = |at: i64| at / width > now_ms / width - kept;
            let events = self.events.iter().filter(|(_, at, _)| inside(*at));
            events.fold((0, 0), |(count, weight), (_, _, more)| (count + 1, weight + u64::from(*more)))
        })
    }

    /// How many thousandths of its usual demand it has; 0 where it is not above, or too little happened.
    pub(crate) fn rise(&self, now_ms: i64) -> u64 {
        let now_ms = now_ms / MINUTE_MS * MINUTE_MS;
        let demand = |half_life_ms: i64| -> f64 {
            // Time goes in steps of 1/1024 of a half-life.
            let step = |at: i64| (at * 1024).div_euclid(half_life_ms) as f64 / 1024.0;
            let counted = self.events.iter().filter(|(_, _, weight)| *weight > 0);
            counted.map(|(_, at, _)| (step(*at) - step(now_ms)).exp2()).sum()
        };
        let season = demand(90 * DAY_MS);
        let recent = demand(5 * DAY_MS).min(season);
        let rise = (recent * 18.0 + 20.0) / (season + 20.0);
        if recent < 5.0 || rise <= 1.0 { 0 } else { (rise * 1000.0) as u64 }
    }

    /// Number of events of each kind.
    pub(crate) fn totals(&self) -> [u64; 3] {
        [1, 2, 3].map(|kind| self.events.iter().filter(|(of_kind, _, _)| *of_kind == kind).count() as u64)
    }
}

/// The user that a record's key names.
fn user_of(key: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(key).ok()?;
    let escaped = text.strip_prefix("~u:").filter(|id| id.starts_with('~'));
    let id = match text.strip_prefix("~a:").or(escaped) {
        Some(id) => id,
        None if text.starts_with('~') => return None,
        None => text,
    };
    (1..=256).contains(&id.len()).then(|| text.to_owned())
}
