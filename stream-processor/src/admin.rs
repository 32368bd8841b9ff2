//! The processor's HTTP endpoints for operators, and the operations page.

mod dead_letters;
mod figures;
mod lag;
mod live;
mod openapi;
mod page;
mod products;

pub use self::lag::{LagReport, Outcomes};
pub use self::openapi::openapi;

use crate::config::ProcessorConfig;
use crate::dead_letter::list_older_letters;
use crate::metrics;
use crate::redrive::Redriver;
use crate::topology::Processor;
use crate::watchdog;
use axum::Router;
use axum::extract::FromRef;
use axum::http::StatusCode;
use axum::routing::{get, post};
use live::Live;
use service_runtime::config::HttpConfig;
use service_runtime::http::instrument;
use service_runtime::keys::Keys;
use service_runtime::telemetry::{Exposition, install_metrics};
use service_runtime::{Component, Problem};
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// The endpoints and what they show. Clones share everything.
#[derive(Clone)]
pub struct Admin(Arc<Shared>);

struct Shared {
    /// The endpoints answer 503 until it is there.
    processor: OnceLock<Processor>,
    keys: Keys,
    serving_url: String,
    live: Live,
    redriver: Redriver,
}

impl FromRef<Admin> for Keys {
    fn from_ref(admin: &Admin) -> Self {
        admin.0.keys.clone()
    }
}

impl Admin {
    /// Endpoints without a processor yet; `keys` say who may call them.
    pub fn new(keys: Keys, config: &ProcessorConfig) -> Self {
        // Descriptions given before the recorder is there would be lost.
        install_metrics();
        metrics::describe_metrics();
        metrics::begin();
        event_log::describe_metrics();
        stores::describe_metrics();
        Self(Arc::new(Shared {
            processor: OnceLock::new(),
            keys,
            serving_url: config.serving_url.clone(),
            live: Live::default(),
            redriver: Redriver::default(),
        }))
    }

    /// The processor is there. Only the first one counts.
    pub fn started(&self, processor: Processor) {
        drop(self.0.processor.set(processor));
    }

    /// Everything below `/admin` and `/ops`.
    pub fn router(&self) -> Router {
        let router = Router::new()
            .route("/admin/lag", get(lag::lag))
            .route("/admin/live", get(live::live))
            .route("/admin/products/{id}", get(products::product))
            .route("/admin/dead-letters", get(dead_letters::list))
            .route("/admin/dead-letters/{partition}/{offset}", get(dead_letters::show))
            .route("/admin/dead-letters/redrive", post(dead_letters::redrive))
            .route("/admin/openapi.json", get(openapi::document))
            .merge(page::router())
            .with_state(self.clone());
        instrument(router, "stream-processor", HttpConfig::default().request_timeout())
    }

    /// Adds the figures of the partitions to an answer of `/metrics`.
    pub fn collect(&self, exposition: &mut Exposition) {
        let Some(processor) = self.0.processor.get() else { return };
        metrics::collect(processor.registry(), processor.context().parts.clock.now_ms(), exposition);
        metrics::collect_catch_up(&self.0.live.catch_up(), exposition);
    }

    /// Keeps the live figures up to date and watches over the progress of the partitions, until `stop`. The streams of
    /// those who look on end then. Also lists dead letters that an older release stored.
    pub async fn run(self, progress: Component, stop: CancellationToken) {
        progress.ready();
        let work = async {
            // Set once, within seconds of the start: not worth a signal of its own.
            let processor = loop {
                match self.0.processor.get() {
                    Some(processor) => break processor,
                    None => tokio::time::sleep(live::EVERY).await,
                }
            };
            let letters = list_older_letters(processor.context());
            tokio::join!(self.0.live.keep(processor), watchdog::run(processor, &progress), letters)
        };
        stop.run_until_cancelled(work).await;
        self.0.live.close();
    }

    fn processor(&self) -> Result<&Processor, Problem> {
        let detail = "the processor waits for its log and stores; see /health/ready";
        self.0
            .processor
            .get()
            .ok_or_else(|| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail))
    }
}

/// The state store did not answer.
fn store_problem(error: &stores::StoreError) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "state_store_unavailable", error.to_string())
}
