//! Whether the process lives and whether it may be given work.
//!
//! Live means "do not restart me": it is true as long as the process answers. Ready means "send me traffic": every
//! registered component is ready and shutdown has not begun.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use axum::Json;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Serialize;

use crate::telemetry::MetricsHandle;

/// The health of a process; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<RwLock<States>>);

#[derive(Debug, Default)]
struct States {
    shutting_down: bool,
    components: BTreeMap<String, State>,
}

/// The state of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "snake_case")]
pub enum State {
    /// Not ready yet, and nothing is wrong.
    Starting,
    /// Does its work.
    Ready,
    /// Cannot work at the moment, for the reason given.
    NotReady(String),
}

/// What `/health/ready` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether the process may be given work.
    pub ready: bool,
    /// Whether shutdown has begun, which alone makes it not ready.
    pub shutting_down: bool,
    /// Every component by name.
    pub components: BTreeMap<String, State>,
}

impl Health {
    /// A process without components, which is ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a component as [`State::Starting`], or returns a further handle to the one of that name.
    pub fn component(&self, name: impl Into<String>) -> Component {
        let name = name.into();
        self.with(|states| {
            states.components.entry(name.clone()).or_insert(State::Starting);
        });
        Component { health: self.clone(), name }
    }

    /// Drops readiness for good; the first step of a shutdown.
    pub fn begin_shutdown(&self) {
        self.with(|states| states.shutting_down = true);
    }

    /// Whether the process may be given work.
    pub fn is_ready(&self) -> bool {
        self.with(|states| states.ready())
    }

    /// The state of everything, as `/health/ready` shows it.
    pub fn readiness(&self) -> Readiness {
        self.with(|states| Readiness {
            ready: states.ready(),
            shutting_down: states.shutting_down,
            components: states.components.clone(),
        })
    }

    /// `GET /health/live`, `/health/ready` and `/metrics`, for any router.
    pub fn routes<S>(&self, metrics: MetricsHandle) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let health = self.clone();
        let ready = move || async move {
            let readiness = health.readiness();
            let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, Json(readiness))
        };
        let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
        Router::new()
            .route("/health/live", get(|| async { Json(serde_json::json!({ "live": true })) }))
            .route("/health/ready", get(ready))
            .route("/metrics", get(move || async move { (text, metrics.render()).into_response() }))
    }

    fn with<R>(&self, f: impl FnOnce(&mut States) -> R) -> R {
        // A panic while holding the lock cannot leave the map half changed.
        f(&mut self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl States {
    fn ready(&self) -> bool {
        !self.shutting_down && self.components.values().all(|state| *state == State::Ready)
    }
}

/// A component's hand on its own state. Dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct Component {
    health: Health,
    name: String,
}

impl Component {
    /// Does its work (again).
    pub fn ready(&self) {
        self.set(State::Ready);
    }

    /// Cannot work, for the reason given, which is shown to operators.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(State::NotReady(reason.into()));
    }

    /// Sets the state.
    pub fn set(&self, state: State) {
        let changed = self.health.with(|states| {
            let before = states.components.insert(self.name.clone(), state.clone());
            before.as_ref() != Some(&state)
        });
        if changed {
            tracing::info!(component = %self.name, ?state, "component changed its state");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::install_metrics;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    async fn get(health: &Health, path: &str) -> (StatusCode, String) {
        let router: Router = health.routes(install_metrics());
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_only_when_every_component_is() {
        let health = Health::new();
        let (log, store) = (health.component("log"), health.component("store"));
        log.ready();
        assert_eq!(get(&health, "/health/ready").await.0, StatusCode::SERVICE_UNAVAILABLE);
        store.ready();
        assert_eq!(get(&health, "/health/ready").await.0, StatusCode::OK);
        store.not_ready("connection refused");
        let (status, body) = get(&health, "/health/ready").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains(r#""store":{"state":"not_ready","reason":"connection refused"}"#), "{body}");
        assert!(body.contains(r#""log":{"state":"ready"}"#), "{body}");
    }

    #[tokio::test]
    async fn stays_live_while_shutting_down() {
        let health = Health::new();
        health.component("log").ready();
        health.begin_shutdown();
        assert!(!health.is_ready());
        assert_eq!(get(&health, "/health/ready").await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get(&health, "/health/live").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_served_as_text() {
        let metrics = install_metrics();
        metrics::counter!("health_test_total").increment(1);
        let (status, body) = get(&Health::new(), "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("health_test_total 1"), "{body}");
        drop(metrics);
    }
}
