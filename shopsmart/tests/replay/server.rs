//! A small ingest that remembers what it was sent and fails as it is told.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What the server does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Takes everything that is valid.
    Take,
    /// Takes the first half and asks for the second again.
    TakeHalf,
    /// Takes everything, but the answer breaks off.
    LoseAnswer,
    /// Takes nothing, and the answer breaks off.
    BreakOff,
    /// Takes nothing and answers with this status.
    Refuse(u16),
}

#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    pub event_id: String,
    pub event_type: String,
    pub user_id: String,
    pub product_id: String,
    pub category_id: Option<String>,
    pub timestamp: i64,
}

#[derive(Debug, Deserialize)]
struct Batch {
    events: Vec<Event>,
}

type Script = Box<dyn FnMut(&[Event]) -> Reaction + Send>;
type LagScript = Box<dyn FnMut(u64) -> Value + Send>;

/// What the server has seen, over all its restarts.
pub struct Seen {
    script: Script,
    lag: Option<LagScript>,
    /// Everything that was taken, duplicates included.
    pub taken: Vec<Event>,
    /// Headers of the last request.
    pub headers: HeaderMap,
    /// Rows whose outcome was answered, from 1.
    answered: BTreeSet<u64>,
    /// Users with a request in flight.
    in_flight: HashSet<String>,
    /// Rules that the client broke.
    pub broken: Vec<String>,
}

impl Seen {
    /// The products of each user in the order in which they count: a second event of one id does not.
    pub fn per_user(&self) -> BTreeMap<String, Vec<String>> {
        let mut ids = HashSet::new();
        let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in self.taken.iter().filter(|event| ids.insert(event.event_id.clone())) {
            users.entry(event.user_id.clone()).or_default().push(event.product_id.clone());
        }
        users
    }

    /// Row numbers, which the tests use as product ids, of all that was taken.
    pub fn rows(&self) -> Vec<u64> {
        self.taken.iter().map(|event| event.product_id.parse().unwrap()).collect()
    }

    fn begin(&mut self, events: &[Event]) -> Reaction {
        let users: BTreeSet<&String> = events.iter().map(|event| &event.user_id).collect();
        let lowest = (1..).find(|row| !self.answered.contains(row)).unwrap();
        for event in events {
            let row: u64 = event.product_id.parse().unwrap();
            if row >= lowest + shopsmart::replay::WINDOW_ROWS as u64 {
                self.broken.push(format!("row {row} was sent before row {lowest} was answered"));
            }
        }
        for user in users {
            if !self.in_flight.insert(user.clone()) {
                self.broken.push(format!("two requests of {user} at once"));
            }
        }
        (self.script)(events)
    }

    fn end(&mut self, events: &[Event], reaction: Reaction) -> Response {
        for event in events {
            self.in_flight.remove(&event.user_id);
        }
        let taken = match reaction {
            Reaction::Take | Reaction::LoseAnswer => events.len(),
            Reaction::TakeHalf => events.len() / 2,
            Reaction::BreakOff | Reaction::Refuse(_) => 0,
        };
        let is_valid = |event: &&Event| event.event_type != "wish";
        self.taken.extend(events[..taken].iter().filter(is_valid).cloned());
        match reaction {
            Reaction::Take | Reaction::TakeHalf => {
                let rows = events[..taken].iter().map(|event| event.product_id.parse::<u64>().unwrap());
                self.answered.extend(rows);
                let results: Vec<Value> =
                    events.iter().enumerate().map(|(i, event)| result(i, event, i < taken)).collect();
                Json(json!({"accepted": taken, "results": results})).into_response()
            }
            Reaction::LoseAnswer | Reaction::BreakOff => {
                let broken = futures::stream::iter([Err::<String, _>(std::io::Error::other("gone"))]);
                (StatusCode::OK, Body::from_stream(broken)).into_response()
            }
            Reaction::Refuse(status) => {
                let problem = json!({"code": "refused", "detail": "as the test wants it"});
                (StatusCode::from_u16(status).unwrap(), Json(problem)).into_response()
            }
        }
    }
}

fn result(index: usize, event: &Event, taken: bool) -> Value {
    match event.event_type.as_str() {
        _ if !taken => json!({"index": index, "event_id": event.event_id, "result": "retry"}),
        "wish" => json!({"index": index, "event_id": event.event_id, "result": "rejected",
            "code": "unknown_event_type", "detail": "wish is no event type"}),
        "add_to_cart" => json!({"index": index, "event_id": event.event_id, "result": "adjusted"}),
        _ => json!({"index": index, "event_id": event.event_id, "result": "ok"}),
    }
}

/// A running server; ends when dropped.
pub struct Server {
    pub addr: SocketAddr,
    pub seen: Arc<Mutex<Seen>>,
    _stop: DropGuard,
}

impl Server {
    /// On a free port, asking `script` what to do with each request.
    pub async fn start(script: impl FnMut(&[Event]) -> Reaction + Send + 'static) -> Self {
        let seen = Seen {
            script: Box::new(script),
            lag: None,
            taken: Vec::new(),
            headers: HeaderMap::new(),
            answered: BTreeSet::new(),
            in_flight: HashSet::new(),
            broken: Vec::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, Arc::new(Mutex::new(seen)))
    }

    /// Cuts every connection, and listens again on the same port.
    pub async fn restart(self) -> Self {
        let Self { addr, seen, _stop: stop } = self;
        drop(stop);
        // The port is free once the old task has dropped its listener.
        loop {
            match TcpListener::bind(addr).await {
                Ok(listener) => return Self::on(listener, seen),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Changes what the server does from here on.
    pub fn now(&self, script: impl FnMut(&[Event]) -> Reaction + Send + 'static) {
        self.seen.lock().unwrap().script = Box::new(script);
    }

    /// From here on it also is where the processor is, which says this when so many events were taken.
    pub fn tells(&self, lag: impl FnMut(u64) -> Value + Send + 'static) {
        self.seen.lock().unwrap().lag = Some(Box::new(lag));
    }

    fn on(listener: TcpListener, seen: Arc<Mutex<Seen>>) -> Self {
        let addr = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/events/batch", post(take))
            .route("/admin/lag", get(lag))
            .with_state(seen.clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            let server = axum::serve(listener, router).into_future();
            stopped.run_until_cancelled(server).await.transpose().unwrap();
        });
        Self { addr, seen, _stop: stop.drop_guard() }
    }
}

async fn lag(State(seen): State<Arc<Mutex<Seen>>>) -> Response {
    let seen = &mut *seen.lock().unwrap();
    let taken = seen.taken.len() as u64;
    match &mut seen.lag {
        Some(lag) => Json(lag(taken)).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn take(
    State(seen): State<Arc<Mutex<Seen>>>,
    headers: HeaderMap,
    Json(batch): Json<Batch>,
) -> Response {
    let reaction = seen.lock().unwrap().begin(&batch.events);
    // Others get a chance to break the rules.
    tokio::task::yield_now().await;
    let mut seen = seen.lock().unwrap();
    seen.headers = headers;
    seen.end(&batch.events, reaction)
}
