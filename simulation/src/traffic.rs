//! Makes events: shoppers, bots, and whatever else may write to the topic.

use crate::coverage::Seen;
use crate::world::World;
use bytes::Bytes;
use prost::Message;
use schemas::proto::{Event, EventRecord, ForgetUser, event_record};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

pub(crate) struct Traffic {
    users: u32,
    products: u32,
    made: u64,
    /// Records that may be sent again.
    recent: Vec<(Bytes, Bytes)>,
    /// When everyone is away for 91 days: after this many records.
    long_break_at: Option<u64>,
}

impl Traffic {
    pub(crate) fn new(world: &World) -> Self {
        world.draw(|random| Self {
            users: random.u32(4..40),
            products: random.u32(4..45),
            made: 0,
            recent: Vec::new(),
            long_break_at: (random.u32(0..8) == 0).then(|| random.u64(20..180)),
        })
    }

    /// How many records were made.
    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    /// Appends the next records: one, or several that belong together.
    pub(crate) async fn next(&mut self, world: &World) {
        let pause_ms = world.draw(|random| match random.u32(0..100) {
            0..65 => random.i64(0..3 * MINUTE_MS),
            65..90 => random.i64(0..HOUR_MS),
            90..98 => random.i64(0..12 * HOUR_MS),
            _ => random.i64(0..3 * DAY_MS),
        });
        let long_break = self.long_break_at.take_if(|at| self.made >= *at).map_or(0, |_| 91 * DAY_MS);
        let now_ms = world.advance(pause_ms + long_break);
        match world.draw(|random| random.u32(0..100)) {
            0..4 => self.malformed(world, now_ms).await,
            4..7 => {
                let forget = ForgetUser { received_at_ms: now_ms };
                let key = self.user(world);
                self.send(world, key, EventRecord { record: Some(event_record::Record::ForgetUser(forget)) })
                    .await;
            }
            7..16 if !self.recent.is_empty() => {
                let recent = self.recent.len();
                let again = world.draw(|random| random.usize(recent.saturating_sub(30)..recent));
                let (key, value) = self.recent[again].clone();
                world.saw(Seen::Resent, 1);
                self.append(world, key, value).await;
            }
            16..18 => {
                let (key, event) = (self.user(world), self.event(world, now_ms));
                for _ in 0..world.draw(|random| random.u32(5..14)) {
                    let event = Event { event_id: self.id(), ..event.clone() };
                    self.send(world, key.clone(), wrap(event)).await;
                }
            }
            _ => {
                let (key, event) = (self.user(world), self.event(world, now_ms));
                self.send(world, key, wrap(event)).await;
            }
        }
    }

    fn user(&self, world: &World) -> Bytes {
        // The lower numbers come more often.
        let number = world.draw(|random| random.u32(0..self.users).min(random.u32(0..self.users)));
        Bytes::from(match number % 7 {
            0 => format!("~a:visitor-{number}"),
            1 => format!("~u:~user-{number}"),
            _ => format!("user-{number}"),
        })
    }

    fn id(&self) -> String {
        format!("event-{}", self.made)
    }

    fn event(&self, world: &World, now_ms: i64) -> Event {
        let event_id = self.id();
        world.draw(|random| {
            let product = random.u32(0..self.products).min(random.u32(0..self.products));
            let ago_ms = match random.u32(0..100) {
                0..70 => random.i64(0..30_000),
                70..80 => random.i64(0..2 * HOUR_MS),
                80..88 => random.i64(0..4 * DAY_MS),
                88..91 => random.i64(29 * DAY_MS..40 * DAY_MS),
                91..97 => -random.i64(0..=5 * MINUTE_MS),
                97..99 => -random.i64(5 * MINUTE_MS..DAY_MS),
                _ => now_ms + random.i64(1..1_000),
            };
            let category = random.u32(0..8);
            Event {
                event_id,
                event_type: [1, 1, 1, 2, 3][random.usize(0..5)],
                product_id: format!("product-{product}"),
                timestamp_ms: now_ms - ago_ms,
                category_id: if category < 5 { format!("category-{category}") } else { String::new() },
                ..Event::default()
            }
        })
    }

    /// Records that ingest would never have written.
    async fn malformed(&mut self, world: &World, now_ms: i64) {
        let good = self.event(world, now_ms);
        let (mut key, mut record) = (self.user(world), wrap(good.clone()));
        match world.draw(|random| random.u32(0..10)) {
            0 => return self.append(world, key, Bytes::from_static(b"\xff\xff\xff")).await,
            1 => return self.append(world, key, Bytes::new()).await,
            2 => key = Bytes::new(),
            3 => {
                key = Bytes::from_static(
                    world.draw(|random| if random.bool() { b"~nobody".as_slice() } else { b"~u:ada" }),
                )
            }
            4 => key = Bytes::from_static(b"\xf0\x28"),
            5 => record = wrap(Event { event_id: String::new(), ..good }),
            6 => record = wrap(Event { product_id: "x".repeat(257), ..good }),
            7 => record = wrap(Event { event_type: 77, ..good }),
            8 => record = wrap(Event { category_id: "c".repeat(300), ..good }),
            _ => record = wrap(Event { timestamp_ms: i64::MAX, ..good }),
        }
        self.send(world, key, record).await;
    }

    async fn send(&mut self, world: &World, key: Bytes, record: EventRecord) {
        let value = Bytes::from(record.encode_to_vec());
        self.recent.push((key.clone(), value.clone()));
        self.append(world, key, value).await;
    }

    async fn append(&mut self, world: &World, key: Bytes, value: Bytes) {
        self.made += 1;
        world.event(key, value).await;
    }
}

fn wrap(event: Event) -> EventRecord {
    EventRecord { record: Some(event_record::Record::Event(event)) }
}
