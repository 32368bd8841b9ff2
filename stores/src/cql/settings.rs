use super::unusable;
use crate::StoreError;
use crate::packed::STATE_STORE;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where Scylla or Cassandra is, how its keyspace is made, and how it is asked.
#[derive(Clone)]
pub struct CqlSettings {
    /// Nodes to ask for the others, as `host:port`; at least one.
    pub contact_points: Vec<String>,
    /// Keyspace of all tables: a lower-case letter, then lower-case letters, digits or `_`, at most 48.
    pub keyspace: String,
    /// Copies of every row when the keyspace is made and `replication` is empty. Three in production.
    pub replication_factor: u16,
    /// Copies per data centre when the keyspace is made (`NetworkTopologyStrategy`); overrides `replication_factor`.
    pub replication: BTreeMap<String, u16>,
    /// Data centre whose nodes are asked and whose quorum counts; any when absent.
    pub local_datacenter: Option<String>,
    /// User name; no authentication when absent.
    pub username: Option<String>,
    /// Password of `username`.
    pub password: Option<String>,
    /// Whether connections are encrypted (the crate feature `tls`). Certificates must name the nodes' addresses.
    pub tls: bool,
    /// PEM file with the certificate authorities; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// How long one statement may take, its repetitions included, in ms.
    pub timeout_ms: u64,
    /// Statements in flight at the same time.
    pub concurrency: usize,
}

impl Default for CqlSettings {
    fn default() -> Self {
        Self {
            contact_points: vec!["127.0.0.1:9042".to_owned()],
            keyspace: "shopsmart".to_owned(),
            replication_factor: 1,
            replication: BTreeMap::new(),
            local_datacenter: None,
            username: None,
            password: None,
            tls: false,
            ca_file: None,
            timeout_ms: 5_000,
            concurrency: 256,
        }
    }
}

/// Without the password.
impl fmt::Debug for CqlSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CqlSettings")
            .field("contact_points", &self.contact_points)
            .field("keyspace", &self.keyspace)
            .field("local_datacenter", &self.local_datacenter)
            .field("timeout_ms", &self.timeout_ms)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

impl CqlSettings {
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// The keyspace's name goes into statements as it is, so it must be a plain one.
    pub(super) fn validate(&self) -> Result<(), StoreError> {
        let name = self.keyspace.as_str();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > 48 || !name.chars().all(plain)
        {
            return Err(unusable(format!(
                "`{name}` is no name for a keyspace: a-z, then up to 47 of a-z, 0-9 and _"
            )));
        }
        if self.contact_points.is_empty() {
            return Err(unusable("no contact point is given".to_owned()));
        }
        crate::tls::require(STATE_STORE, self.tls)?;
        if self.concurrency == 0 || self.timeout_ms == 0 {
            return Err(unusable("concurrency and timeout_ms must be above 0".to_owned()));
        }
        Ok(())
    }

    /// The replication of a new keyspace, as a CQL map.
    pub(super) fn replication_map(&self) -> String {
        if self.replication.is_empty() {
            return format!(
                "{{'class': 'SimpleStrategy', 'replication_factor': {}}}",
                self.replication_factor
            );
        }
        let copies = self.replication.iter().map(|(datacenter, copies)| {
            // Within quotes, a quote is written twice.
            format!(", '{}': {copies}", datacenter.replace('\'', "''"))
        });
        format!("{{'class': 'NetworkTopologyStrategy'{}}}", copies.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_is_replicated_by_datacenter_when_these_are_named() {
        let mut settings = CqlSettings { replication_factor: 3, ..CqlSettings::default() };
        assert_eq!(settings.replication_map(), "{'class': 'SimpleStrategy', 'replication_factor': 3}");
        settings.replication = BTreeMap::from([("eu".to_owned(), 3), ("o'us".to_owned(), 2)]);
        assert_eq!(settings.replication_map(), "{'class': 'NetworkTopologyStrategy', 'eu': 3, 'o''us': 2}");
    }

    #[test]
    fn a_keyspace_that_is_no_plain_name_is_refused() {
        let valid = |keyspace: &str| {
            CqlSettings { keyspace: keyspace.to_owned(), ..CqlSettings::default() }.validate().is_ok()
        };
        assert!(valid("shop_2"));
        assert!(!valid("") && !valid("Shop") && !valid("2shops") && !valid("a;b") && !valid(&"a".repeat(49)));
    }

    #[test]
    fn printing_the_settings_shows_no_password() {
        let settings = CqlSettings { password: Some("secret".to_owned()), ..CqlSettings::default() };
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
