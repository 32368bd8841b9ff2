use super::unusable;
use crate::StoreError;
use crate::packed::SERVING_STORE;
use ::redis::cluster::{ClusterClient, ClusterClientBuilder};
use ::redis::io::tcp::TcpSettings;
use ::redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where Redis is and how long to wait for it.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://host:port[/db]`, or `rediss://` for TLS (the crate feature `tls`). One address; several, as seeds, with
    /// `cluster`.
    pub urls: Vec<String>,
    /// Whether the addresses are nodes of a Redis Cluster.
    pub cluster: bool,
    /// User of Redis's access lists; replaces the one in the URLs.
    pub username: Option<String>,
    /// Password; replaces the one in the URLs.
    pub password: Option<String>,
    /// PEM file with the certificate authorities for `rediss://`; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// How long a read may take, in ms: after it serving falls back, so it is short.
    pub timeout_ms: u64,
    /// How long one pipeline of writes may take, in ms: nobody waits for it, so it is longer.
    pub write_timeout_ms: u64,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            urls: vec!["redis://127.0.0.1:6379".to_owned()],
            cluster: false,
            username: None,
            password: None,
            ca_file: None,
            timeout_ms: 250,
            write_timeout_ms: 2_000,
        }
    }
}

/// Without URLs and credentials: a URL may hold a password.
impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("cluster", &self.cluster)
            .field("timeout_ms", &self.timeout_ms)
            .field("write_timeout_ms", &self.write_timeout_ms)
            .finish_non_exhaustive()
    }
}

/// How long a server may leave what was sent to it unacknowledged before the connection counts as dead. Without it, a host
/// that vanished is only noticed after a quarter of an hour. Not everywhere to be had.
#[cfg(target_os = "linux")]
const DEAD_AFTER: Duration = Duration::from_secs(5);

impl RedisSettings {
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(super) fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }

    /// The longest that any operation waits: the client's own limit, which only cleans up behind ours.
    pub(super) fn longest_timeout(&self) -> Duration {
        self.timeout().max(self.write_timeout())
    }

    /// Every server as the client wants to have it.
    fn servers(&self) -> Result<Vec<ConnectionInfo>, StoreError> {
        crate::tls::require(SERVING_STORE, self.ca_file.is_some())?;
        let problem = match (self.urls.len(), self.cluster) {
            (0, _) => "no address is given",
            (2.., false) => "several addresses are only possible with a cluster",
            _ => return self.urls.iter().map(|url| self.server(url)).collect(),
        };
        Err(StoreError::Unusable { store: SERVING_STORE, reason: problem.to_owned() })
    }

    fn server(&self, url: &str) -> Result<ConnectionInfo, StoreError> {
        let info = url.into_connection_info().map_err(|error| unusable(&error))?;
        let mut redis = info.redis_settings().clone();
        if let Some(username) = &self.username {
            redis = redis.set_username(username);
        }
        if let Some(password) = &self.password {
            redis = redis.set_password(password);
        }
        Ok(info.set_redis_settings(redis).set_tcp_settings(Self::tcp()))
    }

    /// The client for a single server.
    pub(super) fn client(&self) -> Result<Client, StoreError> {
        self.client_of(self.servers()?.remove(0))
    }

    fn client_of(&self, server: ConnectionInfo) -> Result<Client, StoreError> {
        #[cfg(feature = "tls")]
        if let Some(certificates) = self.certificates()? {
            return Client::build_with_tls(server, certificates).map_err(|error| unusable(&error));
        }
        Client::open(server).map_err(|error| unusable(&error))
    }

    /// Clients whose connections take messages that the server pushes, one for each address.
    pub(super) fn tracking_clients(&self) -> Result<Vec<Client>, StoreError> {
        self.servers()?.into_iter().map(|server| self.tracking_client(server)).collect()
    }

    /// The same for a node of the cluster that was not named as an address; all else is as for those that were.
    pub(super) fn tracking_client_at(&self, host: String, port: u16) -> Result<Client, StoreError> {
        let server = self.servers()?.remove(0);
        let address = match server.addr().clone() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        self.tracking_client(server.set_addr(address))
    }

    fn tracking_client(&self, server: ConnectionInfo) -> Result<Client, StoreError> {
        let redis = server.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        self.client_of(server.set_redis_settings(redis))
    }

    /// The builder of the client for a cluster.
    pub(super) fn cluster_client(&self) -> Result<ClusterClientBuilder, StoreError> {
        let builder = ClusterClient::builder(self.servers()?).tcp_settings(Self::tcp());
        #[cfg(feature = "tls")]
        if let Some(certificates) = self.certificates()? {
            return Ok(builder.certs(certificates));
        }
        Ok(builder)
    }

    #[cfg(feature = "tls")]
    fn certificates(&self) -> Result<Option<::redis::TlsCertificates>, StoreError> {
        let file = self.ca_file.as_deref().map(|file| crate::tls::authorities(SERVING_STORE, file));
        Ok(file.transpose()?.map(|pem| ::redis::TlsCertificates { client_tls: None, root_cert: Some(pem) }))
    }

    fn tcp() -> TcpSettings {
        // Small commands must not wait for the answer to the ones before.
        let tcp = TcpSettings::default().set_nodelay(true);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(DEAD_AFTER);
        tcp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_the_settings_shows_no_password() {
        let settings = RedisSettings {
            urls: vec!["redis://me:in-the-url@host".to_owned()],
            password: Some("beside-it".to_owned()),
            ..RedisSettings::default()
        };
        let shown = format!("{settings:?}");
        assert!(!shown.contains("in-the-url") && !shown.contains("beside-it"), "{shown}");
    }

    #[test]
    fn addresses_that_cannot_be_right_are_refused() {
        let refused = |urls: &[&str], cluster| {
            let urls = urls.iter().map(|&url| url.to_owned()).collect();
            RedisSettings { urls, cluster, ..RedisSettings::default() }.servers().is_err()
        };
        assert!(refused(&[], false));
        assert!(refused(&["http://host"], false));
        assert!(refused(&["redis://a", "redis://b"], false));
        assert!(!refused(&["redis://a", "redis://b"], true));
    }
}
