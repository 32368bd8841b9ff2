//! What all handlers share.

use std::sync::Arc;

use service_runtime::SharedClock;
use service_runtime::keys::Keys;
use tokio::sync::Semaphore;

use super::IngestDeps;
use crate::limits::Limit;
use crate::metrics::Metrics;
use crate::publisher::Publisher;

/// The state of the router; clones share it.
#[derive(Clone)]
pub(super) struct App(Arc<Shared>);

pub(super) struct Shared {
    pub(super) publisher: Publisher,
    pub(super) clock: SharedClock,
    pub(super) events: Arc<str>,
    pub(super) products: Arc<str>,
    /// Bytes of bodies that may be held at the same time.
    pub(super) bodies: Arc<Semaphore>,
    pub(super) caller_limit: Option<Limit>,
    pub(super) user_limit: Option<Limit>,
    pub(super) metrics: Metrics,
    pub(super) keys: Keys,
}

impl App {
    pub(super) fn new(deps: IngestDeps) -> Self {
        let IngestDeps { config, producer, clock, keys, topics, producer_dead, .. } = deps;
        let metrics = Metrics::new();
        let (bytes, patience) = (config.max_in_flight_bytes, config.ack_timeout());
        Self(Arc::new(Shared {
            publisher: Publisher::new(producer, bytes, patience, producer_dead, &metrics),
            clock,
            events: topics.events.into(),
            products: topics.products.into(),
            bodies: Arc::new(Semaphore::new(config.max_body_bytes_in_flight)),
            caller_limit: Limit::new(config.caller_events_per_minute, config.caller_burst),
            user_limit: Limit::new(config.user_events_per_minute, config.user_burst),
            metrics,
            keys,
        }))
    }
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
