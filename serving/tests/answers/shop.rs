//! A shop whose published state is written by hand, and its serving.

use crate::memory_state::MemoryStateStore;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use bytes::Bytes;
use catalog::Catalog;
use event_log::Record;
use prost::Message;
use recommender::user_row::{Observation, UserRow};
use schemas::partition::partition_of;
use schemas::proto::Product;
use schemas::published::{
    HistoryEntry, Layout, Marker, Neighbour, NeighbourList, Trend, TrendingEntry, TrendingList, UserHistory,
    Window,
};
use schemas::user::{User, UserKey};
use schemas::{EventKind, Position, Version, names};
use serde_json::Value;
use service_runtime::ManualClock;
use service_runtime::http::with_fallbacks;
use service_runtime::keys::Keys;
use serving::{Serving, ServingConfig, ServingDeps};
use std::sync::Arc;
use stores::faulty::{FaultyServingStore, FaultyStateStore};
use stores::memory::MemoryServingStore;
use stores::{Row, ServingStore, StateStore, Table};
use tower::ServiceExt;

pub const GENERATION: u16 = 1;
pub const EVENTS_PARTITIONS: u32 = 3;
pub const ACTIVITY_PARTITIONS: u32 = 2;
/// Where the clock stands.
pub const NOW_MS: i64 = 1_700_000_000_000;

pub struct Shop {
    pub store: Arc<FaultyServingStore<MemoryServingStore>>,
    pub state: Arc<FaultyStateStore<MemoryStateStore>>,
    pub catalog: Arc<Catalog>,
    pub clock: Arc<ManualClock>,
    pub serving: Serving,
    pub router: Router,
    /// Where `publish` writes to.
    to_store: bool,
    to_state: bool,
}

/// Snapshots are read again only when a test says so.
pub fn config() -> ServingConfig {
    ServingConfig {
        store_timeout_ms: 10_000,
        fallback_timeout_ms: 10_000,
        answer_budget_ms: 60_000,
        snapshot_refresh_ms: 60_000,
        snapshot_max_age_ms: 3_600_000,
        marker_refresh_ms: 60_000,
        position_wait_ms: 10_000,
        ..ServingConfig::default()
    }
}

impl Shop {
    /// A shop whose processor has published its layout and complete markers.
    pub async fn open() -> Self {
        Self::with(config(), Keys::open()).await
    }

    pub async fn with(config: ServingConfig, keys: Keys) -> Self {
        let shop = Self::empty(config, keys);
        shop.publish_layout().await;
        shop.publish_markers(Marker { published_at_ms: NOW_MS, complete: true, ..Marker::default() }).await;
        shop
    }

    /// A shop without any state.
    pub fn empty(config: ServingConfig, keys: Keys) -> Self {
        let store = Arc::new(FaultyServingStore::new(MemoryServingStore::new()));
        let state = Arc::new(FaultyStateStore::new(MemoryStateStore::default()));
        let (catalog, clock) = (Arc::new(Catalog::new()), Arc::new(ManualClock::new(NOW_MS)));
        let serving = Serving::new(ServingDeps {
            config,
            store: store.clone(),
            fallback: Some(state.clone()),
            catalog: Arc::clone(&catalog),
            clock: clock.clone(),
            keys,
            generation: GENERATION,
            topic_prefix: String::new(),
        });
        let router = with_fallbacks(serving.router(), "serving");
        Self { store, state, catalog, clock, serving, router, to_store: true, to_state: true }
    }

    /// From now on only the serving store gets what is published.
    pub fn without_state(mut self) -> Self {
        self.to_state = false;
        self
    }

    pub async fn publish_layout(&self) {
        let layout = Layout {
            version: Version::of(GENERATION, 0),
            events_partitions: EVENTS_PARTITIONS,
            activity_partitions: ACTIVITY_PARTITIONS,
        };
        self.publish(names::layout_key(GENERATION), layout.version, layout.encode()).await;
    }

    pub async fn publish_markers(&self, marker: Marker) {
        let stages = [("shopper", EVENTS_PARTITIONS), ("product", ACTIVITY_PARTITIONS)];
        for (stage, partitions) in stages {
            for partition in 0..partitions {
                let key = names::marker_key(GENERATION, stage, partition);
                self.store.put_marker(&key, marker.encode().into()).await.unwrap();
            }
        }
    }

    /// The newest first: product, kind, minutes before now.
    pub async fn shopper(&self, user: &str, offset: u64, events: &[(&str, EventKind, i64)]) {
        let key = UserKey::of(User::Known(user));
        let version = Version::of(GENERATION, offset);
        let entry = |&(product, kind, minutes): &(&str, EventKind, i64)| HistoryEntry {
            product_id: product.to_owned(),
            kind,
            timestamp_ms: NOW_MS - minutes * 60_000,
        };
        let history = UserHistory { version, entries: events.iter().map(entry).collect() };
        if self.to_store {
            let key = names::user_key(GENERATION, key.as_str());
            self.store.put_many(vec![(key, history.encode().into())]).await.unwrap();
        }
        if self.to_state {
            let row = Row { key: key.as_str().to_owned(), version, state: user_row(&history) };
            self.state.put_many(Table::UserHistory, GENERATION, vec![row]).await.unwrap();
        }
    }

    /// Neighbours with their scores and counts, all of category `of` like the product itself.
    pub async fn neighbours(&self, product: &str, of: &str, neighbours: &[(&str, f32, u32)]) {
        let neighbour = |&(id, score, count): &(&str, f32, u32)| Neighbour {
            product_id: id.into(),
            score,
            direct: if count > 0 { score } else { 0.0 },
            count,
            category: of.into(),
        };
        let list = NeighbourList {
            version: Version::of(GENERATION, 1),
            category: of.into(),
            entries: neighbours.iter().map(neighbour).collect(),
            ..NeighbourList::default()
        };
        self.publish(names::neighbours_key(GENERATION, product), list.version, list.encode()).await;
    }

    /// As [`Self::trending`], of the last 24 hours, and so within 7 and 30 days, too.
    pub async fn popular(&self, category: &str, products: &[(&str, &str)]) {
        for window in [Window::Day, Window::Week, Window::Month] {
            self.trending(window, category, products).await;
        }
    }

    /// Products with their categories, the best first; shared out over the partitions.
    pub async fn trending(&self, trend: impl Into<Trend>, category: &str, products: &[(&str, &str)]) {
        let trend = trend.into();
        for partition in 0..ACTIVITY_PARTITIONS {
            let entry = |(rank, &(id, category)): (usize, &(&str, &str))| TrendingEntry {
                product_id: id.to_owned(),
                score: 1000 - rank as u64,
                count: 10,
                category: category.to_owned(),
            };
            let own = |(id, _): &(&str, &str)| partition_of(id.as_bytes(), ACTIVITY_PARTITIONS) == partition;
            let entries = products.iter().enumerate().filter(|(_, product)| own(product)).map(entry);
            let list = TrendingList {
                version: Version::of(GENERATION, 1),
                as_of_ms: NOW_MS,
                entries: entries.collect(),
            };
            let key = names::trending_key(GENERATION, trend, category, partition);
            self.publish(key, list.version, list.encode()).await;
        }
    }

    pub fn product(&self, id: &str, category_path: &[&str], active: bool) {
        let category_path = category_path.iter().map(|name| (*name).to_owned()).collect();
        let value = Product { category_path, active, ..Product::default() }.encode_to_vec();
        let key = Bytes::copy_from_slice(id.as_bytes());
        self.catalog.apply(&Record { offset: 0, append_time_ms: 0, key, value: value.into() });
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// The body of an answer that has to be 200.
    pub async fn ok(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub async fn send(&self, request: Request<Body>) -> (u16, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn publish(&self, key: String, version: Version, value: Vec<u8>) {
        let value = Bytes::from(value);
        if self.to_store {
            self.store.put_many(vec![(key.clone(), value.clone())]).await.unwrap();
        }
        if self.to_state {
            let row = Row { key, version, state: value };
            self.state.put_many(Table::Published, GENERATION, vec![row]).await.unwrap();
        }
    }
}

/// Waits for a further read of the serving store.
pub async fn read_after(shop: &Shop, reads: u64) {
    while shop.store.faults().reads() <= reads {
        tokio::task::yield_now().await;
    }
}

/// The position of a user's event.
pub fn position(user: &str, offset: u64) -> Position {
    let key = UserKey::of(User::Known(user));
    Position { partition: partition_of(key.as_str().as_bytes(), EVENTS_PARTITIONS), offset }
}

/// The product ids of an answer, in their order.
pub fn ids(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|item| item["product_id"].as_str().unwrap()).collect()
}

/// The sources of an answer's items, in their order.
pub fn sources(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|item| item["source"].as_str().unwrap()).collect()
}

fn user_row(history: &UserHistory) -> Bytes {
    let names = recommender::Interner::default();
    let mut row = UserRow::default();
    row.version = history.version;
    for (number, entry) in history.entries.iter().rev().enumerate() {
        row.apply(&Observation {
            product: names.intern(&entry.product_id),
            kind: entry.kind,
            timestamp_ms: entry.timestamp_ms,
            append_time_ms: entry.timestamp_ms,
            fingerprint: number as u64,
        });
    }
    row.encode(&names).into()
}
