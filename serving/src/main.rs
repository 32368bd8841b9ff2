//! The program `serving`: answers from Redis, with Scylla or Cassandra as the fallback.

mod settings;

use anyhow::Context;
use catalog::Catalog;
use schemas::names::Topics;
use service_runtime::http::{serve, with_fallbacks};
use service_runtime::keys::Keys;
use service_runtime::telemetry::Exposition;
use service_runtime::{Health, Lifecycle, SystemClock, telemetry};
use serving::{Serving, ServingDeps};
use settings::Settings;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Settings { log, traces, kafka, redis, cql, serving: config } = settings::load()?;
    telemetry::init_tracing(&log);
    let _export = telemetry::init_traces(&traces, "serving")?;
    let metrics = telemetry::install_metrics();
    let keys = Keys::load(config.keys.clone(), config.keys_file.clone(), "serving")?;
    keys.check_listen(config.http.listen, config.insecure, "serving.http.listen")?;
    let http = config.http.clone();
    let listener = TcpListener::bind(http.listen).await.context("cannot listen: see serving.http.listen")?;

    let topic = Topics::new(&kafka.topic_prefix, config.generation).products;
    let log = wiring::kafka(&kafka)?;
    let catalog = Arc::new(Catalog::new());
    let serving = Serving::new(ServingDeps {
        store: wiring::redis(&redis)?,
        fallback: Some(wiring::cql(&cql)?),
        catalog: Arc::clone(&catalog),
        clock: SystemClock::shared(),
        keys: keys.clone(),
        generation: config.generation,
        topic_prefix: kafka.topic_prefix.clone(),
        config,
    });

    let figures = serving.clone();
    let collect = move |exposition: &mut Exposition| figures.collect(exposition);
    let health = Health::new();
    let (ready, settled) = (health.component("catalog"), health.component("generation"));
    let router =
        serving.router().merge(serving::docs(serving::openapi())).merge(health.routes(metrics.with(collect)));
    let router = with_fallbacks(router, "serving");
    let mut lifecycle = Lifecycle::new(health);
    let brief = Duration::from_secs(2);
    lifecycle.spawn("http", http.drain() + brief, |stop| async move {
        serve(listener, router, &http, stop).await.context("cannot serve")
    });
    lifecycle.spawn("keys", brief, |stop| async move { Ok(keys.watch(stop).await?) });
    lifecycle.spawn("snapshots", brief, |stop| async move {
        // Not ready before that: answers could come from a generation that is no longer kept.
        let known = async {
            serving.settled().await;
            settled.ready();
        };
        tokio::join!(stop.run_until_cancelled(known), serving.refresh(stop.clone()));
        Ok(())
    });
    lifecycle.spawn("catalog", brief, |stop| async move {
        // Not ready before that: inactive products could be shown.
        let loaded = async {
            catalog.loaded().await;
            ready.ready();
        };
        let follow = catalog::follow(log, topic, Arc::clone(&catalog), stop.clone());
        tokio::join!(stop.run_until_cancelled(loaded), follow);
        Ok(())
    });
    Ok(lifecycle.run().await?)
}
