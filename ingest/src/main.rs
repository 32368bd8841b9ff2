//! The program `ingest`: HTTP in, Kafka out.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use event_log::EventLog;
use ingest::{IngestConfig, IngestDeps};
use schemas::names::Topics;
use serde::{Deserialize, Serialize};
use service_runtime::config::{self, KafkaConfig, LogConfig, TracesConfig};
use service_runtime::http::{Routes, serve, with_fallbacks};
use service_runtime::keys::Keys;
use service_runtime::{Health, Lifecycle, SystemClock, telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes events and the catalog over HTTP, and answers once the log holds them
#[derive(Debug, Parser)]
#[command(name = "ingest", version)]
struct Args {
    /// Configuration file (TOML); environment variables SHOPSMART__SECTION__KEY override it
    #[arg(long, env = "SHOPSMART_CONFIG")]
    config: Option<PathBuf>,
    /// Listen beyond loopback though no API keys are configured
    #[arg(long)]
    insecure: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    log: LogConfig,
    traces: TracesConfig,
    kafka: KafkaConfig,
    ingest: IngestConfig,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let settings: Settings = config::load(args.config.as_deref(), "SHOPSMART", &Settings::default())?;
    let Settings { log, traces, kafka, ingest: config } = settings;
    log.validate("log")?;
    traces.validate("traces")?;
    kafka.validate("kafka")?;
    config.validate("ingest")?;
    telemetry::init_tracing(&log);
    let _export = telemetry::init_traces(&traces, "ingest")?;
    let metrics = telemetry::install_metrics();
    let keys = Keys::load(config.keys.clone(), config.keys_file.clone(), "ingest")?;
    keys.check_listen(config.http.listen, args.insecure || config.insecure, "ingest.http.listen")?;

    // Events and catalog are sources: their names carry no generation, so any will do.
    let (log, topics) = (wiring::kafka(&kafka)?, Topics::new(&kafka.topic_prefix, 1));
    let (http, dead, health) = (config.http.clone(), CancellationToken::new(), Health::new());
    let (ready, mut lifecycle) = (health.component("log"), Lifecycle::new(health.clone()));
    let listener = TcpListener::bind(http.listen).await.context("cannot listen: see ingest.http.listen")?;
    let (router, events) = ingest::routes(IngestDeps {
        producer: log.producer(config.producer_mode())?,
        config,
        clock: SystemClock::shared(),
        keys: keys.clone(),
        topics: topics.clone(),
        producer_dead: dead.clone(),
    });
    let router = router.merge(ingest::docs(ingest::openapi())).merge(health.routes(metrics));
    let (routes, drain) = (Routes::from(with_fallbacks(router, "ingest")).with(events), http.drain());

    let budget = Duration::from_secs(1);
    lifecycle.spawn(
        "http",
        drain + budget,
        |stop| async move { Ok(serve(listener, routes, &http, stop).await?) },
    );
    lifecycle.spawn("keys", budget, |stop| async move { Ok(keys.watch(stop).await?) });
    lifecycle.spawn("log", budget, |stop| ingest::watch_log(log, topics, ready, dead, stop));
    Ok(lifecycle.run().await?)
}
