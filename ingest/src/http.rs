//! The HTTP side: who may call, what they sent, and what they are told.

mod answers;
mod app;
mod batch;
mod body;
mod call;
mod cors;
mod docs;
mod events;
#[cfg(any(test, fuzzing))]
pub mod hostile;
mod items;
mod params;
mod products;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::routing::{options, post};
use event_log::Producer;
use schemas::names::Topics;
use service_runtime::SharedClock;
use service_runtime::http::Direct;
use service_runtime::keys::Keys;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::app::App;
use crate::config::IngestConfig;

pub use self::docs::{docs, openapi};

/// The name of the service in metrics.
const SERVICE: &str = "ingest";
/// Where single events go.
const EVENTS: &str = "/events";

/// What the router needs of the rest of the process.
pub struct IngestDeps {
    /// The section `[ingest]`, validated.
    pub config: IngestConfig,
    /// Appends to the log; made with [`IngestConfig::producer_mode`].
    pub producer: Arc<dyn Producer>,
    /// Tells when events were received.
    pub clock: SharedClock,
    /// Who may call.
    pub keys: Keys,
    /// Where records go.
    pub topics: Topics,
    /// Cancelled when the producer is of no more use: the process should end and be started again.
    pub producer_dead: CancellationToken,
}

/// Every address of the service, without health, metrics and documentation: those belong to the process. After merging,
/// add [`service_runtime::http::with_fallbacks`], and then, by [`service_runtime::http::Routes::with`], the route of single
/// events, which the router has, too.
pub fn routes(deps: IngestDeps) -> (Router, Direct) {
    let cors = cors::layer(&deps.config.cors_origins);
    let request_timeout = deps.config.http.request_timeout();
    let mut events: Router<App> = Router::from(event_routes()).route("/events/", post(events::post_event));
    if let Some(cors) = cors {
        // A preflight needs a route of its own: the process's fallback for other methods would come before the layer.
        for path in [EVENTS, "/events/", "/events/batch"] {
            events = events.route(path, options(|| async { StatusCode::NO_CONTENT }));
        }
        events = events.layer(cors);
    }
    let app = App::new(deps);
    let router = events.merge(Router::from(admin_routes())).with_state(app.clone());
    let router = service_runtime::http::instrument(router, SERVICE, request_timeout);
    let direct = Direct::new(SERVICE, request_timeout, Method::POST, EVENTS, move |request, connection| {
        events::post_event(State(app.clone()), connection, request)
    });
    (router, direct)
}

/// What pages may call.
fn event_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events::post_event)).routes(routes!(events::post_events))
}

/// What the shop's own systems call.
fn admin_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(products::post_products))
        .routes(routes!(products::put_product, products::delete_product))
        .routes(routes!(users::delete_user))
}
