//! Which installation a command works on.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use catalog::Catalog;
use schemas::names::Topics;
use serde::{Deserialize, Serialize};
use service_runtime::SystemClock;
use service_runtime::config::{self, CqlConfig, KafkaConfig, LogConfig, RedisConfig};
use serving::ServingConfig;
use stores::StateStore;
use stream_processor::{Parts, ProcessorConfig};

use crate::embedded;

/// An installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The embedded parts in this folder, as `shopsmart dev` uses it.
    Data(PathBuf),
    /// The servers that this configuration file names; the defaults and the environment alone when absent.
    Config(Option<PathBuf>),
}

/// The sections that name the servers and what is in them.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How to log.
    pub log: LogConfig,
    /// The log's servers.
    pub kafka: KafkaConfig,
    /// The serving store's.
    pub redis: RedisConfig,
    /// The state store's.
    pub cql: CqlConfig,
    /// Which generation, and how topics are made.
    pub processor: ProcessorConfig,
    /// Which generation answers come from as long as none was promoted.
    pub serving: ServingConfig,
}

impl Settings {
    /// Reads the file and the environment.
    ///
    /// # Errors
    /// Names the key that is wrong and what is allowed.
    pub fn load(file: Option<&std::path::Path>) -> Result<Self> {
        let settings: Self = config::load(file, "SHOPSMART", &Self::default())?;
        settings.log.validate("log")?;
        settings.kafka.validate("kafka")?;
        settings.redis.validate("redis")?;
        settings.cql.validate("cql")?;
        settings.processor.validate("processor")?;
        settings.serving.validate("serving")?;
        Ok(settings)
    }
}

impl Target {
    /// Connects to the parts; and the generation to work on.
    ///
    /// # Errors
    /// When the folder or the configuration cannot be used, or the state store does not answer.
    pub async fn open(&self) -> Result<(Parts, u16)> {
        match self {
            Self::Data(data) => Ok((embedded::open_existing(data).await?, embedded::GENERATION)),
            Self::Config(file) => {
                let settings = Settings::load(file.as_deref())?;
                let generation = settings.processor.generation;
                let state = wiring::cql(&settings.cql)?;
                state.migrate().await.with_context(|| {
                    let servers = settings.cql.contact_points.join(", ");
                    format!(
                        "the state store is looked for at {servers} (see cql.contact_points and --config; for a folder of \
                         `shopsmart dev`, give --data)"
                    )
                })?;
                let parts = Parts {
                    log: wiring::kafka(&settings.kafka)?,
                    state,
                    serving: wiring::redis(&settings.redis)?,
                    catalog: Arc::new(Catalog::new()),
                    clock: SystemClock::shared(),
                    topics: Topics::new(&settings.kafka.topic_prefix, generation),
                };
                Ok((parts, generation))
            }
        }
    }
}
