use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use schemas::EventKind;

use super::Shop;
use super::random::Random;
use super::session::Session;

const PURPOSE: u64 = 2 << 40;
/// Nobody clicks faster, in ms.
const SHORTEST_PAUSE_MS: f64 = 400.0;
/// How often a shopper is looked for who is not in the shop yet.
const TRIES: usize = 8;
/// Sessions looked at to find out how many events one has.
const SAMPLE: u64 = 2_000;
const DAY_MS: f64 = 24.0 * 3600.0 * 1000.0;
/// How much busier than the mean it is at the best hour of the day, and how much quieter at the worst.
const DAILY_SWING: f64 = 0.6;

/// Something a shopper does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When, in epoch ms.
    pub timestamp_ms: i64,
    /// Who; see [`Shop::user_id`].
    pub shopper: u32,
    /// What with: its place in the catalog.
    pub product: u32,
    /// What.
    pub kind: EventKind,
}

/// When things happen.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    /// The beginning, in epoch ms.
    pub start_ms: i64,
    /// How many events come in a second, on average.
    pub events_per_second: f64,
    /// How long a shopper stays with a product, on average, in ms.
    pub pause_ms: f64,
    /// Whether nights are quieter than days.
    pub daily_rhythm: bool,
    /// The product that becomes hot.
    pub launch: Option<Launch>,
}

/// A product that is not there at first, and that many look at as soon as it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Launch {
    /// Its place in the catalog.
    pub product: u32,
    /// When it becomes available, in epoch ms.
    pub at_ms: i64,
    /// The share of views that goes to it.
    pub share: f64,
}

/// What happens in a shop: an endless sequence of events, sorted by time. A shopper has one session at a time.
#[derive(Debug)]
pub struct Traffic {
    shop: Arc<Shop>,
    pace: Pace,
    random: Random,
    /// Mean time between sessions, in ms.
    gap_ms: f64,
    next_session_ms: f64,
    session: u64,
    /// The time of each open session's next event, and its number.
    agenda: BinaryHeap<Reverse<(i64, u64)>>,
    open: HashMap<u64, Session>,
    present: HashSet<u32>,
}

impl Traffic {
    /// The traffic of a shop. The same shop and pace make the same traffic.
    pub fn new(shop: Arc<Shop>, pace: Pace) -> Self {
        let random = Random::new(shop.seed).fork(PURPOSE);
        let gap_ms = 1_000.0 * events_per_session(&shop) / pace.events_per_second;
        Self {
            next_session_ms: pace.start_ms as f64,
            random,
            gap_ms,
            session: 0,
            agenda: BinaryHeap::new(),
            open: HashMap::new(),
            present: HashSet::new(),
            shop,
            pace,
        }
    }

    /// Someone comes in, and will do something at once.
    fn begin_session(&mut self) {
        let now_ms = self.next_session_ms;
        let busy = if self.pace.daily_rhythm {
            // Busiest at 18:00, quietest at 6:00.
            let of_day = (now_ms / DAY_MS).fract() * std::f64::consts::TAU;
            1.0 - DAILY_SWING * of_day.sin()
        } else {
            1.0
        };
        self.next_session_ms += self.random.gap(self.gap_ms / busy);
        let shopper = (0..TRIES).map(|_| self.shop.shoppers.pick(&mut self.random) as u32);
        let Some(shopper) = shopper.into_iter().find(|shopper| !self.present.contains(shopper)) else {
            return;
        };
        self.session += 1;
        let session = Session::new(&self.shop, shopper, self.random.fork(self.session));
        self.present.insert(shopper);
        self.open.insert(self.session, session);
        self.agenda.push(Reverse((now_ms as i64, self.session)));
    }

    /// What happens in a session at this time; `None` = its shopper leaves.
    fn act(&mut self, timestamp_ms: i64, number: u64) -> Option<Event> {
        let session = self.open.get_mut(&number)?;
        let launch = self.pace.launch.as_ref().filter(|launch| launch.at_ms <= timestamp_ms);
        let shopper = session.shopper;
        let Some((kind, product)) = session.step(&self.shop, launch) else {
            self.open.remove(&number);
            self.present.remove(&shopper);
            return None;
        };
        let pause_ms = session.random.gap(self.pace.pause_ms).max(SHORTEST_PAUSE_MS);
        self.agenda.push(Reverse((timestamp_ms + pause_ms as i64, number)));
        Some(Event { timestamp_ms, shopper, product, kind })
    }
}

impl Iterator for Traffic {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            match self.agenda.peek() {
                Some(&Reverse((timestamp_ms, number))) if (timestamp_ms as f64) < self.next_session_ms => {
                    self.agenda.pop();
                    if let Some(event) = self.act(timestamp_ms, number) {
                        return Some(event);
                    }
                }
                _ => self.begin_session(),
            }
        }
    }
}

/// The mean, found by looking at some sessions.
fn events_per_session(shop: &Shop) -> f64 {
    let random = Random::new(shop.seed).fork(PURPOSE + 1);
    let events: usize = (0..SAMPLE)
        .map(|number| {
            let mut own = random.fork(number);
            let shopper = shop.shoppers.pick(&mut own) as u32;
            let mut session = Session::new(shop, shopper, own);
            std::iter::from_fn(|| session.step(shop, None)).count()
        })
        .sum();
    events as f64 / SAMPLE as f64
}
