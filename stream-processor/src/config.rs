//! The processor's settings.

use serde::{Deserialize, Serialize};
use service_runtime::config::ConfigError;
use service_runtime::keys::KeyConfig;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Section `[processor]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessorConfig {
    /// Address and port of health, metrics, the admin endpoints and the operations page.
    pub listen: SocketAddr,
    /// API keys by hash, for the admin endpoints: `read` looks, `admin` also redrives dead letters. None here and none in
    /// `keys_file`: open to everyone who reaches it.
    pub keys: Vec<KeyConfig>,
    /// A TOML file with further `[[keys]]`, read again when it changes and on SIGHUP.
    pub keys_file: Option<PathBuf>,
    /// Listen beyond loopback though no keys are configured.
    pub insecure: bool,
    /// Where the operations page finds serving, as a browser reaches it (`https://shop.example/api`). Empty = on the port
    /// of the page itself. Elsewhere, `serving.cors_origins` has to name the page's origin.
    pub serving_url: String,
    /// Generation of the derived state that this processor builds, 1 to 8191. All copies and serving use the same one.
    pub generation: u16,
    /// Partitions of `events`, used when the topic is created. Fixed for the life of a generation.
    pub events_partitions: u32,
    /// Partitions of `product-activity`, used when the topic is created. Fixed for the life of a generation.
    pub activity_partitions: u32,
    /// Name of the consumer group; the generation is appended.
    pub group_id: String,
    /// Static membership: give each copy a name that it keeps over restarts, and it gets its partitions back at once.
    /// Empty = none.
    pub instance_id: String,
    /// After how many ms without a sign of life a copy's partitions go to others, 1000 to 300000.
    pub session_timeout_ms: u64,
    /// How often changed rows of users are written to the state store, in ms; those of products, of which an event changes many,
    /// every fourth time. Longer = fewer writes and more to repeat after a crash.
    pub flush_interval_ms: u64,
    /// Changed rows per partition that start a flush early, and at twice as many reading stops until they are written.
    pub flush_rows: usize,
    /// Users kept in memory per partition.
    pub cached_users: usize,
    /// Products kept in memory per partition.
    pub cached_products: usize,
    /// Between two rankings of a product's neighbours at least, in ms, unless half of what is known of it is new.
    pub publish_interval_ms: u64,
    /// How much longer a change may wait that is less than a 20th of what is known of a product, while many products change,
    /// in ms.
    pub publish_small_changes_ms: u64,
    /// Lists published each time however little they changed, per partition; more where they changed much.
    pub publish_round_lists: usize,
    /// How often trending lists and repeat tables are looked at, in ms.
    pub trending_interval_ms: u64,
    /// How often lag is measured and markers are written, in ms.
    pub marker_interval_ms: u64,
    /// How often published lists are copied to the state store, for serving without Redis, in ms.
    pub fallback_interval_ms: u64,
    /// After how many ms without progress, while records wait, a partition counts as stalled and readiness turns red.
    pub stall_after_ms: u64,
    /// Budget of a graceful stop, in ms.
    pub drain_ms: u64,
}

impl Default for ProcessorConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8082).into(),
            keys: Vec::new(),
            keys_file: None,
            insecure: false,
            serving_url: String::new(),
            generation: 1,
            events_partitions: 8,
            activity_partitions: 8,
            group_id: "shopsmart-processor".to_owned(),
            instance_id: String::new(),
            session_timeout_ms: 6_000,
            flush_interval_ms: 5_000,
            flush_rows: 20_000,
            cached_users: 200_000,
            cached_products: 100_000,
            publish_interval_ms: 200,
            publish_small_changes_ms: 5_000,
            publish_round_lists: 64,
            trending_interval_ms: 100,
            marker_interval_ms: 500,
            fallback_interval_ms: 15_000,
            stall_after_ms: 30_000,
            drain_ms: 20_000,
        }
    }
}

impl ProcessorConfig {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the key and what is allowed.
    pub fn validate(&self, section: &str) -> Result<(), ConfigError> {
        let positive =
            |field: &str, value: u64| ConfigError::require(value > 0, section, field, value, "1 or more");
        ConfigError::require(
            (1..=schemas::Version::MAX_GENERATION).contains(&self.generation),
            section,
            "generation",
            self.generation,
            "1 to 8191",
        )?;
        let partitions = 1..=1024;
        for (field, value) in
            [("events_partitions", self.events_partitions), ("activity_partitions", self.activity_partitions)]
        {
            ConfigError::require(partitions.contains(&value), section, field, value, "1 to 1024")?;
        }
        ConfigError::require(
            (1_000..=300_000).contains(&self.session_timeout_ms),
            section,
            "session_timeout_ms",
            self.session_timeout_ms,
            "1000 to 300000",
        )?;
        let url = &self.serving_url;
        let is_url = url.is_empty() || url.starts_with("http://") || url.starts_with("https://");
        ConfigError::require(is_url, section, "serving_url", url, "empty, or an address like https://host")?;
        ConfigError::require(!self.group_id.is_empty(), section, "group_id", &self.group_id, "a name")?;
        positive("flush_interval_ms", self.flush_interval_ms)?;
        positive("flush_rows", self.flush_rows as u64)?;
        positive("cached_users", self.cached_users as u64)?;
        positive("cached_products", self.cached_products as u64)?;
        positive("publish_interval_ms", self.publish_interval_ms)?;
        positive("trending_interval_ms", self.trending_interval_ms)?;
        positive("marker_interval_ms", self.marker_interval_ms)?;
        positive("fallback_interval_ms", self.fallback_interval_ms)?;
        positive("stall_after_ms", self.stall_after_ms)?;
        positive("drain_ms", self.drain_ms)
    }
}
