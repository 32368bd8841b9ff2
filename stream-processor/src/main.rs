//! The program `stream-processor`: Kafka in; Redis and Scylla or Cassandra out.

use anyhow::Context;
use catalog::Catalog;
use clap::Parser;
use schemas::names::Topics;
use serde::{Deserialize, Serialize};
use service_runtime::config::{
    self, CqlConfig, HttpConfig, KafkaConfig, LogConfig, RedisConfig, TracesConfig,
};
use service_runtime::http::{serve, with_fallbacks};
use service_runtime::keys::Keys;
use service_runtime::{Health, Lifecycle, SystemClock, telemetry};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stream_processor::{Admin, Parts, ProcessorConfig, start};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps histories, trends and similarities up to date from the event log
#[derive(Debug, Parser)]
#[command(name = "stream-processor", version)]
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
    redis: RedisConfig,
    cql: CqlConfig,
    processor: ProcessorConfig,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let settings: Settings = config::load(args.config.as_deref(), "SHOPSMART", &Settings::default())?;
    let Settings { log, traces, kafka, redis, cql, processor: config } = settings;
    log.validate("log")?;
    traces.validate("traces")?;
    kafka.validate("kafka")?;
    redis.validate("redis")?;
    cql.validate("cql")?;
    config.validate("processor")?;
    telemetry::init_tracing(&log);
    let _export = telemetry::init_traces(&traces, "stream-processor")?;
    let metrics = telemetry::install_metrics();
    let keys = Keys::load(config.keys.clone(), config.keys_file.clone(), "processor")?;
    keys.check_listen(config.listen, args.insecure || config.insecure, "processor.listen")?;
    let http = HttpConfig { listen: config.listen, ..HttpConfig::default() };
    let listener = TcpListener::bind(http.listen).await.context("cannot listen: see processor.listen")?;

    let topics = Topics::new(&kafka.topic_prefix, config.generation);
    let parts = Parts {
        log: wiring::kafka(&kafka)?,
        state: wiring::cql(&cql)?,
        serving: wiring::redis(&redis)?,
        catalog: Arc::new(Catalog::new()),
        clock: SystemClock::shared(),
        topics,
    };
    let (health, admin) = (Health::new(), Admin::new(keys.clone(), &config));
    let (ready, progress) = (health.component("processor"), health.component("progress"));
    let figures = admin.clone();
    let metrics = metrics.with(move |exposition| figures.collect(exposition));
    let router = admin.router().merge(health.routes(metrics));
    let router = with_fallbacks(router, "stream-processor");
    let mut lifecycle = Lifecycle::new(health);
    let (budget, drain) =
        (Duration::from_secs(2), Duration::from_millis(config.drain_ms) + Duration::from_secs(6));
    let (log, products, catalog) =
        (Arc::clone(&parts.log), parts.topics.products.clone(), Arc::clone(&parts.catalog));
    lifecycle.spawn("http", budget, |stop| async move { Ok(serve(listener, router, &http, stop).await?) });
    let started = admin.clone();
    lifecycle.spawn("keys", budget, |stop| async move { Ok(keys.watch(stop).await?) });
    lifecycle.spawn("admin", budget, |stop| async move {
        admin.run(progress, stop).await;
        Ok(())
    });
    lifecycle.spawn("catalog", budget, |stop| async move {
        catalog::follow(log, products, catalog, stop).await;
        Ok(())
    });
    lifecycle.spawn("processor", drain, |stop| async move {
        let Some(processor) = stop.run_until_cancelled(start::prepare(parts, config)).await.transpose()?
        else {
            return Ok(());
        };
        started.started(processor.clone());
        ready.ready();
        Ok(processor.run(stop).await?)
    });
    Ok(lifecycle.run().await?)
}
