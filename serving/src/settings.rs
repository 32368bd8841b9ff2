//! What the program `serving` is told: its options and its configuration.

use clap::Parser;
use serde::{Deserialize, Serialize};
use service_runtime::config::{
    self, ConfigError, CqlConfig, KafkaConfig, LogConfig, RedisConfig, TracesConfig,
};
use serving::ServingConfig;
use std::path::PathBuf;

/// Answers with recommendations, similar products, trends and histories
#[derive(Debug, Parser)]
#[command(name = "serving", version)]
pub struct Args {
    /// Configuration file (TOML); environment variables SHOPSMART__SECTION__KEY override it
    #[arg(long, env = "SHOPSMART_CONFIG")]
    config: Option<PathBuf>,
    /// Listen beyond loopback though no API keys are configured
    #[arg(long)]
    insecure: bool,
}

/// The sections of the configuration that this program reads.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Logging.
    pub log: LogConfig,
    /// Where spans go.
    pub traces: TracesConfig,
    /// Where the catalog comes from.
    pub kafka: KafkaConfig,
    /// The serving store.
    pub redis: RedisConfig,
    /// The state store.
    pub cql: CqlConfig,
    /// The answers.
    pub serving: ServingConfig,
}

/// Reads and checks options and configuration. Ends the program where only help was asked for.
///
/// # Errors
/// The first key that is wrong, and what is allowed.
pub fn load() -> Result<Settings, ConfigError> {
    let args = Args::parse();
    let mut settings: Settings = config::load(args.config.as_deref(), "SHOPSMART", &Settings::default())?;
    settings.log.validate("log")?;
    settings.traces.validate("traces")?;
    settings.kafka.validate("kafka")?;
    settings.redis.validate("redis")?;
    settings.cql.validate("cql")?;
    settings.serving.validate("serving")?;
    settings.serving.insecure |= args.insecure;
    Ok(settings)
}
