//! A log that does what it is told, and a client of the router.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use event_log::{Append, AppendError, NewRecord, Producer};
use ingest::{IngestConfig, IngestDeps, routes};
use prost::Message;
use schemas::Position;
use schemas::names::Topics;
use schemas::proto::{Event, EventRecord, event_record};
use serde_json::Value;
use service_runtime::ManualClock;
use service_runtime::http::{Routes, with_fallbacks};
use service_runtime::keys::Keys;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// 2026-11-01T00:00:00Z.
pub const NOW: i64 = 1_793_491_200_000;

type Waiting = oneshot::Sender<Result<Position, AppendError>>;
type Rule = dyn Fn(&NewRecord) -> Fate + Send + Sync;

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// Acknowledged at once.
    Acknowledged,
    /// Acknowledged when the test says so, or never.
    Waits,
    /// Taken, and then not acknowledged.
    Fails(AppendError),
    /// Not even taken.
    Refused(AppendError),
}

/// A producer that treats each record by a rule.
pub struct Log {
    rule: Box<Rule>,
    pub records: Mutex<Vec<NewRecord>>,
    /// How many of them may wait for others.
    pub among_others: AtomicUsize,
    waiting: Mutex<Vec<Waiting>>,
}

impl Log {
    pub fn new(rule: impl Fn(&NewRecord) -> Fate + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            rule: Box::new(rule),
            records: Mutex::default(),
            among_others: AtomicUsize::default(),
            waiting: Mutex::default(),
        })
    }

    pub fn working() -> Arc<Self> {
        Self::new(|_| Fate::Acknowledged)
    }

    pub fn silent() -> Arc<Self> {
        Self::new(|_| Fate::Waits)
    }

    /// Acknowledges everything that waits.
    pub fn acknowledge(&self) {
        for (offset, waiting) in self.waiting.lock().unwrap().drain(..).enumerate() {
            // The caller may have given up.
            waiting.send(Ok(Position { partition: 0, offset: offset as u64 })).ok();
        }
    }

    /// The events taken so far: user key and event.
    pub fn events(&self) -> Vec<(String, Event)> {
        let records = self.records.lock().unwrap();
        records
            .iter()
            .filter_map(|record| match EventRecord::decode(record.value.clone()).unwrap().record? {
                event_record::Record::Event(event) => {
                    Some((String::from_utf8(record.key.to_vec()).unwrap(), event))
                }
                event_record::Record::ForgetUser(_) => None,
            })
            .collect()
    }
}

#[async_trait]
impl Producer for Log {
    fn append(&self, record: NewRecord) -> Result<Append, AppendError> {
        let fate = (self.rule)(&record);
        if let Fate::Refused(error) = fate {
            return Err(error);
        }
        let mut records = self.records.lock().unwrap();
        let position = Position { partition: 7, offset: records.len() as u64 };
        records.push(record);
        let (sender, append) = Append::pending();
        match fate {
            Fate::Acknowledged => drop(sender.send(Ok(position))),
            Fate::Fails(error) => drop(sender.send(Err(error))),
            _ => self.waiting.lock().unwrap().push(sender),
        }
        Ok(append)
    }

    fn append_among_others(&self, record: NewRecord) -> Result<Append, AppendError> {
        self.among_others.fetch_add(1, Ordering::Relaxed);
        self.append(record)
    }

    async fn drain(&self, _: u64) -> usize {
        self.waiting.lock().unwrap().len()
    }
}

/// The service on a log.
#[derive(Clone)]
pub struct Service {
    pub routes: Routes,
    pub producer_dead: CancellationToken,
}

impl Service {
    pub fn on(log: &Arc<Log>) -> Self {
        Self::with(log, IngestConfig::default(), Keys::open())
    }

    pub fn with(log: &Arc<Log>, config: IngestConfig, keys: Keys) -> Self {
        Self::at(NOW, log, config, keys)
    }

    pub fn at(now_ms: i64, log: &Arc<Log>, config: IngestConfig, keys: Keys) -> Self {
        let producer_dead = CancellationToken::new();
        let deps = IngestDeps {
            config,
            producer: log.clone(),
            clock: Arc::new(ManualClock::new(now_ms)),
            keys,
            topics: Topics::new("", 1),
            producer_dead: producer_dead.clone(),
        };
        let (router, events) = routes(deps);
        let routes = Routes::from(with_fallbacks(router, "test")).with(events);
        Self { routes, producer_dead }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, 16 << 20).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: head.status, headers: head.headers, body }
    }

    pub async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(post(path, &[], body)).await
    }
}

/// A POST of JSON, unless the headers say otherwise.
pub fn post(path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(path);
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

pub fn view(id: &str, user: &str) -> String {
    format!(r#"{{"event_id":"{id}","event_type":"view","user_id":"{user}","product_id":"p"}}"#)
}

/// What the service answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// `result` of each item of a batch.
    pub fn results(&self) -> Vec<&str> {
        let results = self.body["results"].as_array().unwrap_or_else(|| panic!("no results: {self:?}"));
        results.iter().map(|result| result["result"].as_str().unwrap()).collect()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }
}
