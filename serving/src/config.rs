//! The section `[serving]`.

use serde::{Deserialize, Serialize};
use service_runtime::config::{ConfigError, HttpConfig};
use service_runtime::keys::KeyConfig;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// How answers are made. Durations are `*_ms`, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServingConfig {
    /// The listener and its limits.
    pub http: HttpConfig,
    /// API keys by hash. None here and none in `keys_file`: open to everyone who reaches it.
    pub keys: Vec<KeyConfig>,
    /// A TOML file with further `[[keys]]`, read again when it changes and on SIGHUP.
    pub keys_file: Option<PathBuf>,
    /// Listen beyond loopback though no keys are configured.
    pub insecure: bool,
    /// Origins (`https://shop.example`) whose pages may ask; `*` = all.
    pub cors_origins: Vec<String>,
    /// The generation of derived state to read (1 to 8191) as long as none was promoted; `shopsmart promote` changes it in all
    /// copies at once.
    pub generation: u16,
    /// How long a read of the serving store may take before the state store is asked (1 to 10,000). It bounds what a slow
    /// Redis adds to an answer.
    pub store_timeout_ms: u64,
    /// How long a read of the state store may take before the answer goes without (1 to 10,000).
    pub fallback_timeout_ms: u64,
    /// How long an answer may wait for the stores, all its reads together (1 to 60,000). When that is over it is made from what
    /// is at hand, and says that it is degraded. Waiting for a `min_position` comes on top.
    pub answer_budget_ms: u64,
    /// After so many failed reads in a row a store is left alone for a while (1 to 1,000), so that a dead one does not cost
    /// every request its timeout.
    pub breaker_failures: u32,
    /// For how long; then a single request tries again (1 to 60,000).
    pub breaker_open_ms: u64,
    /// How often trending lists and repeat tables are read again (10 to 60,000).
    pub snapshot_refresh_ms: u64,
    /// Up to what age such a list is used while a newer one is on its way (at least `snapshot_refresh_ms`, to 3,600,000).
    /// Older ones are used only when no store answers, and the answer says that it is degraded.
    pub snapshot_max_age_ms: u64,
    /// How often the processor's markers are read again, which tell how fresh an answer is, and which generation is live (10 to
    /// 60,000).
    pub marker_refresh_ms: u64,
    /// Categories whose trending lists are kept (1 to 100,000); about 75 KB each.
    pub category_cache: usize,
    /// Memory for the neighbour lists of hot products, in MB (0 to 100,000; 0 = none). They are kept until Redis tells that they
    /// have changed.
    pub near_cache_mb: u64,
    /// The longest a request waits for its `min_position` (0 to 10,000).
    pub position_wait_ms: u64,
}

impl Default for ServingConfig {
    fn default() -> Self {
        Self {
            http: HttpConfig { listen: (Ipv4Addr::LOCALHOST, 8081).into(), ..HttpConfig::default() },
            keys: Vec::new(),
            keys_file: None,
            insecure: false,
            cors_origins: Vec::new(),
            generation: 1,
            store_timeout_ms: 80,
            fallback_timeout_ms: 250,
            answer_budget_ms: 90,
            breaker_failures: 3,
            breaker_open_ms: 500,
            snapshot_refresh_ms: 100,
            snapshot_max_age_ms: 10_000,
            marker_refresh_ms: 500,
            category_cache: 500,
            near_cache_mb: 128,
            position_wait_ms: 200,
        }
    }
}

impl ServingConfig {
    /// Checks the ranges; `section` is the dotted path of this section.
    ///
    /// # Errors
    /// The first key that is out of its range, and what is allowed.
    pub fn validate(&self, section: &str) -> Result<(), ConfigError> {
        self.http.validate(&format!("{section}.http"))?;
        let within = |field, value: u64, least: u64, most: u64| {
            let allowed = format!("{least} to {most}");
            ConfigError::require((least..=most).contains(&value), section, field, value, &allowed)
        };
        let generations = u64::from(schemas::Version::MAX_GENERATION);
        within("generation", self.generation.into(), 1, generations)?;
        within("store_timeout_ms", self.store_timeout_ms, 1, 10_000)?;
        within("fallback_timeout_ms", self.fallback_timeout_ms, 1, 10_000)?;
        within("answer_budget_ms", self.answer_budget_ms, 1, 60_000)?;
        within("breaker_failures", self.breaker_failures.into(), 1, 1_000)?;
        within("breaker_open_ms", self.breaker_open_ms, 1, 60_000)?;
        within("snapshot_refresh_ms", self.snapshot_refresh_ms, 10, 60_000)?;
        within("snapshot_max_age_ms", self.snapshot_max_age_ms, self.snapshot_refresh_ms, 3_600_000)?;
        within("marker_refresh_ms", self.marker_refresh_ms, 10, 60_000)?;
        within("category_cache", self.category_cache as u64, 1, 100_000)?;
        within("near_cache_mb", self.near_cache_mb, 0, 100_000)?;
        within("position_wait_ms", self.position_wait_ms, 0, 10_000)?;
        for origin in &self.cors_origins {
            let scheme = origin.starts_with("http://") || origin.starts_with("https://");
            let legal = origin == "*" || (scheme && !origin.ends_with('/') && origin.is_ascii());
            let allowed = "origins like https://shop.example, or *";
            ConfigError::require(legal, section, "cors_origins", origin, allowed)?;
        }
        Ok(())
    }

    pub(crate) fn snapshot_refresh(&self) -> Duration {
        Duration::from_millis(self.snapshot_refresh_ms)
    }

    pub(crate) fn snapshot_max_age(&self) -> Duration {
        Duration::from_millis(self.snapshot_max_age_ms)
    }

    pub(crate) fn marker_refresh(&self) -> Duration {
        Duration::from_millis(self.marker_refresh_ms)
    }

    pub(crate) fn answer_budget(&self) -> Duration {
        Duration::from_millis(self.answer_budget_ms)
    }

    pub(crate) fn position_wait(&self) -> Duration {
        Duration::from_millis(self.position_wait_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed() {
        ServingConfig::default().validate("serving").unwrap();
    }

    #[test]
    fn a_value_out_of_range_names_its_key_and_what_is_allowed() {
        let config =
            ServingConfig { snapshot_refresh_ms: 200, snapshot_max_age_ms: 150, ..ServingConfig::default() };
        let refusal = config.validate("serving").unwrap_err().to_string();
        assert_eq!(refusal, "`serving.snapshot_max_age_ms` is 150: allowed is 200 to 3600000");
        assert!(ServingConfig { generation: 0, ..ServingConfig::default() }.validate("serving").is_err());
    }
}
