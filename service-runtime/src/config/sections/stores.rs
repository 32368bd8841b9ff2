use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Secret};

/// Where Redis is: a single primary, or the seeds of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://host:port[/db]`, or `rediss://` for TLS. One address, or several seeds when `cluster` is set.
    pub urls: Vec<String>,
    /// Whether the addresses are nodes of a Redis Cluster.
    pub cluster: bool,
    /// User of Redis's access lists; `default` when empty.
    pub username: String,
    /// Password; none when empty. Best given by the environment.
    pub password: Secret,
    /// PEM file with the certificate authorities for `rediss://`; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// How long one round trip may take before serving falls back (1 to 600,000).
    pub timeout_ms: u64,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            urls: vec!["redis://127.0.0.1:6379".to_owned()],
            cluster: false,
            username: String::new(),
            password: Secret::default(),
            ca_file: None,
            timeout_ms: 1_000,
        }
    }
}

impl RedisConfig {
    /// Checks what can be checked without a server; `section` is the dotted path of this section.
    pub fn validate(&self, section: &str) -> Result<(), ConfigError> {
        let allowed = "redis://host:port or rediss://host:port; several only with cluster = true";
        let schemes = self.urls.iter().all(|url| url.starts_with("redis://") || url.starts_with("rediss://"));
        let number = self.urls.len() == 1 || (self.cluster && !self.urls.is_empty());
        // A password may stand in the URL, so the value itself is not shown.
        ConfigError::require(schemes && number, section, "urls", "not of this form", allowed)?;
        super::timeout(self.timeout_ms, section, "timeout_ms")
    }

    /// The longest one round trip may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// Where Scylla or Cassandra is and how the keyspace is laid out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CqlConfig {
    /// Nodes to ask for the others, as `host:port`; at least one.
    pub contact_points: Vec<String>,
    /// Keyspace of all tables: a lower-case letter, then lower-case letters, digits or `_`, at most 48.
    pub keyspace: String,
    /// Copies of every row when the keyspace is made and `replication` is empty (1 to 10). Three in production.
    pub replication_factor: u16,
    /// Copies per data centre, for `NetworkTopologyStrategy`; overrides `replication_factor`.
    pub replication: BTreeMap<String, u16>,
    /// Data centre whose nodes are preferred, and whose quorum counts; any when absent.
    pub local_datacenter: Option<String>,
    /// User name; no authentication when empty.
    pub username: String,
    /// Password of `username`; best given by the environment.
    pub password: Secret,
    /// Whether connections are encrypted. Certificates must name the nodes' addresses.
    pub tls: bool,
    /// PEM file with the certificate authorities; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take (1 to 600,000).
    pub timeout_ms: u64,
}

impl Default for CqlConfig {
    fn default() -> Self {
        Self {
            contact_points: vec!["127.0.0.1:9042".to_owned()],
            keyspace: "shopsmart".to_owned(),
            replication_factor: 1,
            replication: BTreeMap::new(),
            local_datacenter: None,
            username: String::new(),
            password: Secret::default(),
            tls: false,
            ca_file: None,
            timeout_ms: 5_000,
        }
    }
}

impl CqlConfig {
    /// Checks what can be checked without a server; `section` is the dotted path of this section.
    pub fn validate(&self, section: &str) -> Result<(), ConfigError> {
        super::addresses(&self.contact_points, section, "contact_points")?;
        let name = &self.keyspace;
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let legal =
            name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= 48 && name.chars().all(legal);
        ConfigError::require(legal, section, "keyspace", name, "a-z, then up to 47 of a-z 0-9 _")?;
        let factor = self.replication_factor;
        ConfigError::require((1..=10).contains(&factor), section, "replication_factor", factor, "1 to 10")?;
        let copies = self.replication.values().all(|copies| (1..=10).contains(copies));
        ConfigError::require(copies, section, "replication", &self.replication, "1 to 10 per data centre")?;
        super::timeout(self.timeout_ms, section, "timeout_ms")
    }

    /// The longest one request may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}
