use crate::config::ServingConfig;
use crate::engine::Engine;
use crate::http::{App, routes};
use crate::live::Live;
use crate::metrics;
use crate::reader::Reader;
use crate::snapshots::Snapshots;
use axum::Router;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use axum::http::{Method, StatusCode};
use axum::routing::options;
use catalog::Catalog;
use service_runtime::SharedClock;
use service_runtime::http::{TRACEPARENT, instrument};
use service_runtime::keys::Keys;
use service_runtime::telemetry::{Exposition, install_metrics};
use std::sync::Arc;
use std::time::Duration;
use stores::{ServingStore, StateStore};
use tokio_util::sync::CancellationToken;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// What serving is built from.
pub struct ServingDeps {
    /// The section `[serving]`.
    pub config: ServingConfig,
    /// Where answers are made from.
    pub store: Arc<dyn ServingStore>,
    /// Asked when the serving store is late, gone or incomplete; without one, the last good lists are all there is.
    pub fallback: Option<Arc<dyn StateStore>>,
    /// Kept up to date by whoever builds this, with [`catalog::follow`].
    pub catalog: Arc<Catalog>,
    /// Tells how old a marker is.
    pub clock: SharedClock,
    /// Who may ask; the scope is `read`.
    pub keys: Keys,
    /// The generation of derived state to read as long as none was promoted.
    pub generation: u16,
    /// What the names of the shop's topics begin with: it tells shops apart that share stores.
    pub topic_prefix: String,
}

/// The service: a router, and the task that keeps its snapshots fresh. Clones share everything.
#[derive(Clone)]
pub struct Serving {
    app: App,
}

impl Serving {
    /// Puts the parts together; nothing is read yet.
    pub fn new(deps: ServingDeps) -> Self {
        install_metrics();
        metrics::describe_metrics();
        stores::describe_metrics();
        let ServingDeps { config, store, fallback, catalog, clock, keys, generation, topic_prefix } = deps;
        let reader = Reader::new(&config, (&topic_prefix, generation), store, fallback);
        let snapshots = Snapshots::new(&config, reader.clone());
        let engine = Engine { config: Arc::new(config), reader, snapshots, catalog, clock };
        Self { app: App { live: Arc::new(Live::new(engine)), keys } }
    }

    /// The routes, instrumented; ready to be merged with those of other services.
    pub fn router(&self) -> Router {
        let config = Arc::clone(&self.app.live.engine().config);
        let (mut router, description) = routes().split_for_parts();
        if !config.cors_origins.is_empty() {
            // A preflight needs a route of its own: the process's fallback for other methods would come before the layer.
            for path in description.paths.paths.keys() {
                router = router.route(path, options(|| async { StatusCode::NO_CONTENT }));
            }
        }
        let router = router.with_state(self.app.clone());
        instrument(router.layer(cors(&config.cors_origins)), "serving", config.http.request_timeout())
    }

    /// Adds what is read at the moment of asking to an answer of `/metrics`.
    pub fn collect(&self, exposition: &mut Exposition) {
        let engine = self.app.live.engine();
        exposition.add(&metrics::GENERATION, [([], f64::from(engine.reader.generation()))]);
        if let Some(age) = engine.snapshots.data_age(engine.clock.now_ms()) {
            exposition.add(&metrics::DATA_AGE, [([], age.as_secs_f64())]);
        }
    }

    /// Reads the snapshots once, so that the first requests do not have to.
    pub async fn warm_up(&self) {
        self.app.live.engine().snapshots.reload().await;
    }

    /// Done once it is known which generation is live; while no store answers, after some seconds all the same. Needs
    /// [`Serving::refresh`].
    pub async fn settled(&self) {
        self.app.live.settled().await;
    }

    /// Reads the snapshots again and again until `token` is cancelled, and follows the live generation. Answers are right
    /// without it, but wait for lists that it would have read before.
    pub async fn refresh(&self, token: CancellationToken) {
        let live = &self.app.live;
        let reader = live.engine().reader.clone();
        tokio::join!(live.follow(&token), token.run_until_cancelled(reader.connect_fallback()));
    }
}

/// Lets pages of these origins ask. Answers are never cached by origin, so `*` needs no more than that.
fn cors(origins: &[String]) -> CorsLayer {
    let origins = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| origin.parse().ok()))
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, HeaderName::from_static("x-api-key"), TRACEPARENT])
        .expose_headers([TRACEPARENT])
        .max_age(Duration::from_secs(3600))
}
