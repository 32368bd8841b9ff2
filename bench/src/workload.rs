//! The events that everything is measured with: real logs where a folder with one is given, otherwise made by a seed.

use std::path::Path;

use anyhow::Result;
use bytes::Bytes;
use evaluation::data::Dataset;
use prost::Message;
use schemas::EventKind;
use schemas::proto::{Event, EventRecord, EventType, event_record};
use schemas::user::{User, UserKey};

/// One event of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Click {
    /// The shopper.
    pub user: String,
    /// The product.
    pub product: String,
    /// What was done.
    pub kind: EventKind,
    /// When, in milliseconds since 1970 UTC.
    pub timestamp_ms: i64,
}

/// Events in the order in which they are sent.
#[derive(Debug, Clone)]
pub struct Workload {
    /// What it is, for the table.
    pub name: String,
    /// The events.
    pub clicks: Vec<Click>,
}

/// Sessions that are open at the same time when a data set knows their order only.
const OPEN_SESSIONS: usize = 2_000;
/// Between two events of a made up or re-timed workload, in ms: 200 events a second.
const STEP_MS: i64 = 5;
/// When made up workloads begin: 2026-01-01.
const START_MS: i64 = 1_767_225_600_000;

impl Workload {
    /// Reads a folder in one of the two formats that `shopsmart evaluate` reads. Sessions that have no times of their own
    /// are interleaved: some thousand are open at any moment.
    ///
    /// # Errors
    /// When the folder holds neither.
    pub fn read(folder: &Path) -> Result<Self> {
        let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let clicks = match Dataset::open(folder)? {
            Dataset::Events(log) => {
                let click = |click: &evaluation::data::Click| Click {
                    user: log.users[click.user as usize].clone(),
                    product: log.items[click.item as usize].clone(),
                    kind: click.kind,
                    timestamp_ms: click.timestamp_ms,
                };
                log.events.iter().map(click).collect()
            }
            Dataset::Sessions(log) => {
                let sessions = log.train.iter().chain(&log.test).enumerate();
                let named = sessions.map(|(number, session)| {
                    let items = session.iter().map(|click| log.items[click.item as usize].clone());
                    (format!("s{number}"), items.collect())
                });
                interleaved(named)
            }
        };
        Ok(Self { name, clicks })
    }

    /// `events` events of `users` shoppers on `products` products whose popularity follows Zipf's law (exponent 1), some
    /// six of a session in a row. The same for the same numbers.
    pub fn zipf(events: usize, users: u64, products: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(0x5ee_d0f5_0ff5);
        let mut open: Vec<(u64, u64)> = Vec::new();
        let mut clicks = Vec::with_capacity(events);
        for number in 0..events {
            if open.len() < OPEN_SESSIONS.min(users as usize) || random.u8(..) < 43 {
                let shopper = (random.u64(..users), zipf(&mut random, products));
                if open.len() < OPEN_SESSIONS {
                    open.push(shopper);
                } else {
                    let place = random.usize(..OPEN_SESSIONS);
                    open[place] = shopper;
                }
            }
            let place = random.usize(..open.len());
            let (user, interest) = &mut open[place];
            // Near what the shopper looked at before, or somewhere else.
            let product = match random.u8(..4) {
                0 => zipf(&mut random, products),
                _ => (*interest + zipf(&mut random, 50.min(products))) % products,
            };
            *interest = product;
            let kind = match random.u8(..100) {
                0..=85 => EventKind::View,
                86..=95 => EventKind::AddToCart,
                _ => EventKind::Purchase,
            };
            clicks.push(Click {
                user: format!("u{user}"),
                product: format!("p{product:07}"),
                kind,
                timestamp_ms: START_MS + number as i64 * STEP_MS,
            });
        }
        Self { name: format!("zipf-{}k-products", products / 1_000), clicks }
    }

    /// The events as records of the topic `events`: key and value.
    pub fn records(&self, received_at_ms: i64) -> impl Iterator<Item = (Bytes, Bytes)> {
        self.clicks.iter().enumerate().map(move |(number, click)| click.record(number, received_at_ms))
    }
}

impl Click {
    /// The same so many ms later.
    pub fn later(&self, by_ms: i64) -> Self {
        Self { timestamp_ms: self.timestamp_ms + by_ms, ..self.clone() }
    }

    /// The event as a record of the topic `events`.
    pub fn record(&self, number: usize, received_at_ms: i64) -> (Bytes, Bytes) {
        let event = Event {
            event_id: format!("bench-{number:010}"),
            event_type: EventType::from(self.kind) as i32,
            product_id: self.product.clone(),
            timestamp_ms: self.timestamp_ms,
            received_at_ms,
            ..Event::default()
        };
        let record = EventRecord { record: Some(event_record::Record::Event(event)) };
        let key = UserKey::of(User::Known(&self.user));
        (Bytes::from(key.as_str().to_owned()), Bytes::from(record.encode_to_vec()))
    }
}

/// A number below `count` by Zipf's law with exponent 1, approximately: the inverse of its continuous form.
fn zipf(random: &mut fastrand::Rng, count: u64) -> u64 {
    (((count as f64 + 1.0).powf(random.f64()) - 1.0) as u64).min(count - 1)
}

fn interleaved(sessions: impl Iterator<Item = (String, Vec<String>)>) -> Vec<Click> {
    let mut clicks = Vec::new();
    let mut open: Vec<(String, std::vec::IntoIter<String>)> = Vec::new();
    let mut waiting = sessions;
    let mut place = 0;
    loop {
        while open.len() < OPEN_SESSIONS
            && let Some((user, products)) = waiting.next()
        {
            open.push((user, products.into_iter()));
        }
        if open.is_empty() {
            return clicks;
        }
        place = if place >= open.len() { 0 } else { place };
        match open[place].1.next() {
            Some(product) => {
                let user = open[place].0.clone();
                let timestamp_ms = START_MS + clicks.len() as i64 * STEP_MS;
                clicks.push(Click { user, product, kind: EventKind::View, timestamp_ms });
                place += 1;
            }
            None => drop(open.swap_remove(place)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_made_up_workload_is_the_same_every_time_and_has_favourites() {
        let workload = Workload::zipf(20_000, 1_000, 10_000);
        assert_eq!(workload.clicks, Workload::zipf(20_000, 1_000, 10_000).clicks);
        let mut counts: HashMap<&str, usize> = HashMap::new();
        workload.clicks.iter().for_each(|click| *counts.entry(&click.product).or_default() += 1);
        let most = counts.values().max().unwrap();
        assert!(*most > 400 && counts.len() > 2_000, "{most} of one, {} different", counts.len());
    }

    #[test]
    fn interleaved_sessions_keep_their_own_order() {
        let sessions = (0..3_000).map(|s| (format!("s{s}"), (0..4).map(|p| format!("{s}-{p}")).collect()));
        let clicks = interleaved(sessions);
        assert_eq!(clicks.len(), 12_000);
        let of = |user: &str| -> Vec<&str> {
            clicks.iter().filter(|click| click.user == user).map(|click| click.product.as_str()).collect()
        };
        assert_eq!(of("s2999"), ["2999-0", "2999-1", "2999-2", "2999-3"]);
        assert_ne!(clicks[0].user, clicks[1].user);
    }
}
