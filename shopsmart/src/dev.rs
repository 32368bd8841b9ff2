//! All three services in one process on embedded parts.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use event_log::ProducerMode;
use ingest::{IngestConfig, IngestDeps};
use service_runtime::config::HttpConfig;
use service_runtime::http::{Direct, Routes, serve, with_fallbacks};
use service_runtime::keys::Keys;
use service_runtime::lifecycle::LifecycleError;
use service_runtime::{Health, Lifecycle, telemetry};
use serving::{Serving, ServingConfig, ServingDeps};
use stream_processor::{Admin, Parts, Processor, ProcessorConfig};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

use crate::embedded;

/// Where and how to run.
#[derive(Debug, Clone)]
pub struct DevOptions {
    /// Address and port; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Folder of the log and the state; made when absent.
    pub data: PathBuf,
    /// Partitions of the topics; [`PARTITIONS`] when they are created and none are asked for.
    pub partitions: Option<u32>,
}

/// The running services.
#[derive(Debug)]
pub struct Dev {
    /// The address they listen on.
    pub addr: SocketAddr,
    running: JoinHandle<Result<(), LifecycleError>>,
}

/// Partitions of topics that are created.
pub const PARTITIONS: u32 = 4;

/// How long the processor may take to flush when it is told to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// What a component without work in progress may take.
const BRIEF: Duration = Duration::from_secs(2);

/// Starts the services; they run until `stop`, or until a signal.
///
/// # Errors
/// When they cannot be started.
pub async fn start(options: DevOptions, stop: CancellationToken) -> Result<Dev> {
    let keys = Keys::open();
    anyhow::ensure!(
        options.listen.ip().is_loopback(),
        "--listen is {}: allowed is a loopback address such as 127.0.0.1:8080, because there are no keys here; to be reached \
         from elsewhere, run the three services, or put a server that checks who calls in front",
        options.listen
    );
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}: choose another with --listen", options.listen))?;
    let addr = listener.local_addr()?;
    let metrics = telemetry::install_metrics();
    let parts = embedded::open(&options.data).await?;

    let partitions = options.partitions.unwrap_or(PARTITIONS);
    let config = ProcessorConfig {
        generation: embedded::GENERATION,
        events_partitions: partitions,
        activity_partitions: partitions,
        // A flush costs one fsync here: often is cheap, and shortens what a restart does again.
        flush_interval_ms: 2_000,
        fallback_interval_ms: 4_000,
        ..ProcessorConfig::default()
    };
    let admin = Admin::new(keys.clone(), &config);
    let processor = Processor::prepare(parts.clone(), config).await?;
    let existing = parts.log.describe(&parts.topics.events).await?.partitions;
    anyhow::ensure!(
        options.partitions.is_none_or(|wanted| wanted == existing),
        "--partitions is {partitions}, but {} has {existing}, which cannot be changed: leave the option out, or choose another \
         folder and replay the events into it",
        options.data.display()
    );
    admin.started(processor.clone());
    let serving = serving(&parts, &keys);
    let http = HttpConfig { listen: addr, ..HttpConfig::default() };
    let producer_dead = CancellationToken::new();
    let (ingest, events) = ingest(&parts, keys, producer_dead.clone())?;
    let health = Health::new();
    let progress = health.component("progress");
    let (processor_figures, serving_figures) = (admin.clone(), serving.clone());
    let metrics = metrics.with(move |exposition| {
        processor_figures.collect(exposition);
        serving_figures.collect(exposition);
    });
    let mut description = ingest::openapi();
    description.merge(serving::openapi());
    description.merge(stream_processor::openapi());
    describe_all(&mut description);
    let router = ingest
        .merge(serving.router())
        .merge(admin.router())
        .merge(ingest::docs(description))
        .merge(health.routes(metrics));
    let routes = Routes::from(with_fallbacks(router, "shopsmart")).with(events);

    let mut lifecycle = Lifecycle::new(health.clone());
    let shutdown = lifecycle.shutdown();
    let follow = {
        let (log, topic, catalog) =
            (Arc::clone(&parts.log), parts.topics.products.clone(), Arc::clone(&parts.catalog));
        move |token| catalog::follow(log, topic, catalog, token)
    };
    lifecycle.spawn("catalog", BRIEF, |token| async move {
        follow(token).await;
        Ok(())
    });
    lifecycle.spawn("admin", BRIEF, |token| async move {
        admin.run(progress, token).await;
        Ok(())
    });
    lifecycle.spawn("processor", DRAIN, |token| async move { Ok(processor.run(token).await?) });
    lifecycle.spawn("snapshots", BRIEF, |token| async move {
        serving.refresh(token).await;
        Ok(())
    });
    lifecycle.spawn("http", http.drain() + BRIEF, |token| async move {
        Ok(serve(listener, routes, &http, token).await?)
    });
    lifecycle.spawn("log", BRIEF, |token| async move {
        tokio::select! {
            () = token.cancelled() => Ok(()),
            () = producer_dead.cancelled() => anyhow::bail!("the log takes no more records: is the disk full?"),
        }
    });
    lifecycle.spawn("stop", BRIEF, move |token| async move {
        tokio::select! {
            () = stop.cancelled() => shutdown.trigger(),
            () = token.cancelled() => return Ok(()),
        }
        token.cancelled().await;
        Ok(())
    });
    #[allow(clippy::disallowed_methods, reason = "waited for in Dev::wait")]
    let running = tokio::spawn(lifecycle.run());
    Ok(Dev { addr, running })
}

/// What the merged documents have of the first one alone, or of several.
fn describe_all(description: &mut OpenApi) {
    description.info.title = "ShopSmart".to_owned();
    description.info.description = Some(
        "Events, the catalog, recommendations, trending products, histories, lag and dead letters."
            .to_owned(),
    );
    if let Some(tags) = &mut description.tags {
        let mut known = HashSet::new();
        tags.retain(|tag| known.insert(tag.name.clone()));
    }
}

fn serving(parts: &Parts, keys: &Keys) -> Serving {
    Serving::new(ServingDeps {
        config: ServingConfig { generation: embedded::GENERATION, ..ServingConfig::default() },
        store: Arc::clone(&parts.serving),
        fallback: Some(Arc::clone(&parts.state)),
        catalog: Arc::clone(&parts.catalog),
        clock: Arc::clone(&parts.clock),
        keys: keys.clone(),
        generation: embedded::GENERATION,
        topic_prefix: String::new(),
    })
}

fn ingest(parts: &Parts, keys: Keys, producer_dead: CancellationToken) -> Result<(axum::Router, Direct)> {
    let config = IngestConfig::default();
    let mode = ProducerMode::Bounded { ack_timeout_ms: config.ack_timeout_ms, linger_ms: config.linger_ms };
    Ok(ingest::routes(IngestDeps {
        producer: parts.log.producer(mode)?,
        clock: Arc::clone(&parts.clock),
        keys,
        topics: parts.topics.clone(),
        producer_dead,
        config,
    }))
}

impl Dev {
    /// Waits until the services have stopped.
    ///
    /// # Errors
    /// When one of them failed.
    pub async fn wait(self) -> Result<()> {
        Ok(self.running.await??)
    }
}
