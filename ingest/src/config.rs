//! The section `[ingest]` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use event_log::ProducerMode;
use serde::{Deserialize, Serialize};
use service_runtime::config::{ConfigError, HttpConfig};
use service_runtime::keys::KeyConfig;

/// Settings of the ingest service. Durations are `*_ms`, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// The listener and its limits.
    pub http: HttpConfig,
    /// API keys by hash. None here and none in `keys_file`: open to everyone who reaches it.
    pub keys: Vec<KeyConfig>,
    /// A TOML file with further `[[keys]]`, read again when it changes and on SIGHUP.
    pub keys_file: Option<PathBuf>,
    /// Listen beyond loopback though no keys are configured.
    pub insecure: bool,
    /// Origins (`https://shop.example`) whose pages may send events; `*` = all.
    pub cors_origins: Vec<String>,
    /// How long the log may take to acknowledge, before the caller is told to send again. At least 1, and a second less
    /// than `http.request_timeout_ms`: that answer could not say what to send again.
    pub ack_timeout_ms: u64,
    /// How long a record may wait for others to travel with, in ms (0 to 1,000). 0 answers soonest; where many
    /// come at a time, they travel together anyway, and wait 1 ms for more if more get through so; a few of batches wait 5 ms.
    pub linger_ms: u64,
    /// Bytes of records that may await acknowledgement; more are answered 503 at once (1 MiB to 4 GiB).
    pub max_in_flight_bytes: usize,
    /// Bytes of request bodies being read; more are answered 503 at once (4 MiB to 4 GiB).
    pub max_body_bytes_in_flight: usize,
    /// Events that one caller (a key, or an IPv4 address or IPv6 network where no keys are configured) may send per minute;
    /// 0 = any number.
    pub caller_events_per_minute: u32,
    /// How far a caller may run ahead of that; at least a batch (1,000).
    pub caller_burst: u32,
    /// Events that may be sent about one user per minute; 0 = any number. Imports are exempt.
    pub user_events_per_minute: u32,
    /// How far a user may run ahead of that; at least 1.
    pub user_burst: u32,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            http: HttpConfig::default(),
            keys: Vec::new(),
            keys_file: None,
            insecure: false,
            cors_origins: Vec::new(),
            ack_timeout_ms: 5_000,
            linger_ms: 0,
            max_in_flight_bytes: 64 << 20,
            max_body_bytes_in_flight: 256 << 20,
            caller_events_per_minute: 0,
            caller_burst: 10_000,
            user_events_per_minute: 0,
            user_burst: 600,
        }
    }
}

impl IngestConfig {
    /// Checks the ranges; `section` is the dotted path of this section. Keys are checked when they are loaded.
    ///
    /// # Errors
    /// The first key with a value outside its range.
    pub fn validate(&self, section: &str) -> Result<(), ConfigError> {
        let require = |holds, field, value: &dyn std::fmt::Debug, allowed| {
            ConfigError::require(holds, section, field, value, allowed)
        };
        self.http.validate(&format!("{section}.http"))?;
        let (ack, linger) = (self.ack_timeout_ms, self.linger_ms);
        let allowed = "1 or more, and a second less than http.request_timeout_ms";
        let in_time = ack.saturating_add(1_000) <= self.http.request_timeout_ms;
        require(ack >= 1 && in_time, "ack_timeout_ms", &ack, allowed)?;
        require(linger <= 1_000, "linger_ms", &linger, "0 to 1000 (milliseconds)")?;
        let bytes = self.max_in_flight_bytes;
        require(
            (1 << 20..=1 << 32).contains(&bytes),
            "max_in_flight_bytes",
            &bytes,
            "1048576 to 4294967296",
        )?;
        let bytes = self.max_body_bytes_in_flight;
        let allowed = "4194304 to 4294967296";
        require((4 << 20..=1 << 32).contains(&bytes), "max_body_bytes_in_flight", &bytes, allowed)?;
        let burst = self.caller_burst;
        require(burst >= 1_000, "caller_burst", &burst, "1000 or more: a whole batch must pass")?;
        require(self.user_burst >= 1, "user_burst", &self.user_burst, "1 or more")?;
        for origin in &self.cors_origins {
            let scheme = origin.starts_with("http://") || origin.starts_with("https://");
            let legal = origin == "*" || (scheme && !origin.ends_with('/') && origin.is_ascii());
            require(legal, "cors_origins", origin, "origins like https://shop.example, or *")?;
        }
        Ok(())
    }

    /// The longest wait for an acknowledgement.
    pub fn ack_timeout(&self) -> Duration {
        Duration::from_millis(self.ack_timeout_ms)
    }

    /// How the producer behaves that the router needs.
    pub fn producer_mode(&self) -> ProducerMode {
        ProducerMode::Bounded { ack_timeout_ms: self.ack_timeout_ms, linger_ms: self.linger_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert!(IngestConfig::default().validate("ingest").is_ok());
    }

    #[test]
    fn a_refusal_names_the_key_and_what_is_allowed() {
        let bad = IngestConfig { linger_ms: 2_000, ..IngestConfig::default() };
        let message = bad.validate("ingest").unwrap_err().to_string();
        assert!(message.contains("ingest.linger_ms") && message.contains("0 to 1000"), "{message}");
        let bad = IngestConfig { ack_timeout_ms: 9_500, ..IngestConfig::default() };
        assert!(bad.validate("ingest").unwrap_err().to_string().contains("http.request_timeout_ms"));
        let bad = IngestConfig { cors_origins: vec!["shop.example".to_owned()], ..IngestConfig::default() };
        assert!(bad.validate("ingest").unwrap_err().to_string().contains("ingest.cors_origins"));
    }
}
