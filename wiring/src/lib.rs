//! From configuration to connections: the one place that knows both the sections of the configuration file and the
//! settings of the adapters, so that every program connects in the same way.

use event_log::LogError;
use event_log::kafka::{KafkaLog, KafkaSettings};
use service_runtime::config::{CqlConfig, KafkaConfig, RedisConfig};
use service_runtime::telemetry::traces;
use std::sync::Arc;
use stores::cql::{CqlSettings, CqlStateStore};
use stores::redis::{RedisServingStore, RedisSettings};
use stores::{Measured, StoreError};

/// The log on Kafka, as section `[kafka]` says. It looks for records whose traces are recorded if spans are exported by then.
///
/// # Errors
/// When a property is refused or unknown.
pub fn kafka(config: &KafkaConfig) -> Result<Arc<KafkaLog>, LogError> {
    let mut properties = config.extra.clone();
    let mut set = |name: &str, value: &str| properties.insert(name.to_owned(), value.to_owned());
    set("security.protocol", config.security_protocol.as_str());
    if config.security_protocol.uses_sasl() {
        set("sasl.mechanism", config.sasl_mechanism.as_str());
        set("sasl.username", &config.sasl_username);
        set("sasl.password", config.sasl_password.expose());
    }
    if let Some(file) = &config.ssl_ca_file {
        set("ssl.ca.location", &file.to_string_lossy());
    }
    let settings = KafkaSettings {
        brokers: config.brokers.join(","),
        client_id: config.client_id.clone(),
        properties,
        replication_factor: -1,
        notice_sampled: traces::is_on(),
    };
    KafkaLog::connect(settings).map(Arc::new)
}

/// The serving store on Redis, measured, as section `[redis]` says.
///
/// # Errors
/// When an address cannot be right.
pub fn redis(config: &RedisConfig) -> Result<Arc<Measured<RedisServingStore>>, StoreError> {
    let settings = RedisSettings {
        urls: config.urls.clone(),
        cluster: config.cluster,
        username: given(&config.username),
        password: given(config.password.expose()),
        ca_file: config.ca_file.clone(),
        timeout_ms: config.timeout_ms,
        ..RedisSettings::default()
    };
    RedisServingStore::connect(&settings).map(Measured::new).map(Arc::new)
}

/// The state store on Scylla or Cassandra, measured, as section `[cql]` says.
///
/// # Errors
/// When a setting cannot be right.
pub fn cql(config: &CqlConfig) -> Result<Arc<Measured<CqlStateStore>>, StoreError> {
    let settings = CqlSettings {
        contact_points: config.contact_points.clone(),
        keyspace: config.keyspace.clone(),
        replication_factor: config.replication_factor,
        replication: config.replication.clone(),
        local_datacenter: config.local_datacenter.clone(),
        username: given(&config.username),
        password: given(config.password.expose()),
        tls: config.tls,
        ca_file: config.ca_file.clone(),
        timeout_ms: config.timeout_ms,
        ..CqlSettings::default()
    };
    CqlStateStore::connect(settings).map(Measured::new).map(Arc::new)
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
