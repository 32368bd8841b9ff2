//! The program `stream-processor`: Kafka in; Redis and Scylla or Cassandra out.

use anyhow::Context;
use catalog::Catalog;
use clap::Parser;
use schemas::names::Topics;
use serde::{Deserialize, Serialize};
use service_runtime::config::{self, CqlConfig, HttpConfig, KafkaConfig, LogConfig, RedisConfig};
use service_runtime::http::{serve, with_fallbacks};
use service_runtime::{Health, Lifecycle, SystemClock, telemetry};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stream_processor::{Parts, ProcessorConfig, admin, start};
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
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    log: LogConfig,
    kafka: KafkaConfig,
    redis: RedisConfig,
    cql: CqlConfig,
    processor: ProcessorConfig,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings: Settings =
        config::load(Args::parse().config.as_deref(), "SHOPSMART", &Settings::default())?;
    let Settings { log, kafka, redis, cql, processor: config } = settings;
    log.validate("log")?;
    kafka.validate("kafka")?;
    redis.validate("redis")?;
    cql.validate("cql")?;
    config.validate("processor")?;
    telemetry::init_tracing(&log);
    let metrics = telemetry::install_metrics();
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
    let (health, pending) = (Health::new(), admin::Pending::default());
    let ready = health.component("processor");
    let router = admin::router(Arc::clone(&pending)).merge(health.routes(metrics));
    let router = with_fallbacks(router, "stream-processor");
    let mut lifecycle = Lifecycle::new(health);
    let (budget, drain) =
        (Duration::from_secs(2), Duration::from_millis(config.drain_ms) + Duration::from_secs(6));
    let (log, products, catalog) =
        (Arc::clone(&parts.log), parts.topics.products.clone(), Arc::clone(&parts.catalog));
    lifecycle.spawn("http", budget, |stop| async move { Ok(serve(listener, router, &http, stop).await?) });
    lifecycle.spawn("catalog", budget, |stop| async move {
        catalog::follow(log, products, catalog, stop).await;
        Ok(())
    });
    lifecycle.spawn("processor", drain, |stop| async move {
        let Some(processor) = stop.run_until_cancelled(start::prepare(parts, config)).await.transpose()?
        else {
            return Ok(());
        };
        drop(pending.set(processor.clone()));
        ready.ready();
        Ok(processor.run(stop).await?)
    });
    Ok(lifecycle.run().await?)
}
