//! The sections that several services share. Durations are `*_ms`, in milliseconds.

mod kafka;
mod stores;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::kafka::{KafkaConfig, SaslMechanism, SecurityProtocol};
pub use self::stores::{CqlConfig, RedisConfig};
use super::ConfigError;

/// An HTTP listener and its limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port to listen on; loopback unless opened on purpose. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// How long a request may take before it is answered 503, or 408 when its body has not come by then (1 to 600,000).
    pub request_timeout_ms: u64,
    /// How long a client may take to send a request's head, or leave a connection unused (1 to 600,000).
    pub header_timeout_ms: u64,
    /// How long a client may take no more of an answer before it is hung up on (1 to 600,000).
    pub write_timeout_ms: u64,
    /// Open connections; further clients wait in the kernel's queue (1 to 1,000,000).
    pub max_connections: usize,
    /// How long running requests may go on after shutdown has begun (0 to 600,000).
    pub drain_ms: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            request_timeout_ms: 10_000,
            header_timeout_ms: 30_000,
            write_timeout_ms: 30_000,
            max_connections: 10_000,
            drain_ms: 10_000,
        }
    }
}

impl HttpConfig {
    /// Checks the ranges; `section` is the dotted path of this section.
    pub fn validate(&self, section: &str) -> Result<(), ConfigError> {
        timeout(self.request_timeout_ms, section, "request_timeout_ms")?;
        timeout(self.header_timeout_ms, section, "header_timeout_ms")?;
        timeout(self.write_timeout_ms, section, "write_timeout_ms")?;
        let max = self.max_connections;
        ConfigError::require(
            (1..=1_000_000).contains(&max),
            section,
            "max_connections",
            max,
            "1 to 1000000",
        )?;
        ConfigError::require(self.drain_ms <= 600_000, section, "drain_ms", self.drain_ms, "0 to 600000")
    }

    /// The longest a request may take.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// The time allowed for sending a request's head.
    pub fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    /// The time allowed for taking a further part of an answer.
    pub fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }

    /// The time running requests have after shutdown has begun.
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Pretty,
    /// One JSON object per line, for collectors.
    Json,
}

/// Logging, always to standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `pretty` or `json`.
    pub format: LogFormat,
    /// What is logged, as directives of `tracing`: `info`, or `warn,ingest=debug`.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Pretty, filter: "info".to_owned() }
    }
}

impl LogConfig {
    /// Checks the filter; `section` is the dotted path of this section.
    pub fn validate(&self, section: &str) -> Result<(), ConfigError> {
        let parsed = tracing_subscriber::EnvFilter::try_new(&self.filter);
        let allowed = "directives like `info` or `warn,ingest=debug`";
        ConfigError::require(parsed.is_ok(), section, "filter", &self.filter, allowed)
    }
}

/// Traces, and where their spans go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// The collector that takes spans, by OTLP over HTTP: `http://127.0.0.1:4318`. Empty = none are exported. Only for builds
    /// with the feature `otel`.
    pub endpoint: String,
    /// Of the traces that begin here, the share that is recorded (0 to 1). Where a caller sends a `traceparent`, it has decided.
    pub sampled_share: f64,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self { endpoint: String::new(), sampled_share: 0.01 }
    }
}

impl TracesConfig {
    /// Checks address and range; `section` is the dotted path of this section.
    pub fn validate(&self, section: &str) -> Result<(), ConfigError> {
        let Self { endpoint, sampled_share } = self;
        let can_export = cfg!(feature = "otel") || endpoint.is_empty();
        let allowed = "empty, because this build cannot export (one with --features shopsmart/otel can)";
        ConfigError::require(can_export, section, "endpoint", endpoint, allowed)?;
        let is_address =
            endpoint.is_empty() || endpoint.strip_prefix("http://").is_some_and(|rest| !rest.is_empty());
        let allowed = "an address like http://127.0.0.1:4318, or empty";
        ConfigError::require(is_address, section, "endpoint", endpoint, allowed)?;
        let share = (0.0..=1.0).contains(sampled_share);
        ConfigError::require(share, section, "sampled_share", sampled_share, "0 to 1")
    }
}

fn timeout(value_ms: u64, section: &str, field: &str) -> Result<(), ConfigError> {
    ConfigError::require(
        (1..=600_000).contains(&value_ms),
        section,
        field,
        value_ms,
        "1 to 600000 (milliseconds)",
    )
}

/// A non-empty list of `host:port`. A client would try one that is none again and again, and only say so in the log.
fn addresses(list: &[String], section: &str, field: &str) -> Result<(), ConfigError> {
    let is_one = |entry: &String| {
        let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        entry.trim().rsplit_once(':').is_some_and(|(host, given)| !host.is_empty() && port(given))
    };
    let are_some = !list.is_empty() && list.iter().all(is_one);
    ConfigError::require(are_some, section, field, list, "one or more host:port")
}

#[cfg(test)]
mod tests;
