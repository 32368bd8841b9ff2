//! From a configuration with TLS and passwords to real servers that want both.

use bytes::Bytes;
use event_log::{EventLog, LogError, NewRecord, ProducerMode, TopicPartition, TopicSpec};
use schemas::Version;
use service_runtime::config::{CqlConfig, KafkaConfig, RedisConfig, SaslMechanism, Secret, SecurityProtocol};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stores::{Row, ServingStore, StateStore, StoreError, Table};
use uuid::Uuid;

const USER: &str = "shopsmart";
const PASSWORD: &str = "only-for-tests";
/// User and password of the role that Cassandra makes by itself.
const CQL_USER: &str = "cassandra";
/// No test may hang for ever; none takes anywhere near this long.
const LIMIT: Duration = Duration::from_secs(120);

#[allow(clippy::disallowed_methods, reason = "tests are told by the environment where the real servers are")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A server and the certificates of the run. Without them the test is skipped, which fails where CI is set.
fn secured(name: &str) -> Option<(String, Certificates)> {
    let found = variable(name).zip(variable("SHOPSMART_TEST_TLS"));
    if found.is_none() {
        assert!(variable("CI").is_none(), "{name} and SHOPSMART_TEST_TLS have to be set where CI is");
        eprintln!("SKIPPED: {name} and SHOPSMART_TEST_TLS are not set (run `cargo xtask test`)");
    }
    found.map(|(server, directory)| (server, Certificates(directory.into())))
}

struct Certificates(PathBuf);

impl Certificates {
    /// The authority that signed the servers' certificate.
    fn authority(&self) -> Option<PathBuf> {
        Some(self.0.join("ca.pem"))
    }

    /// An authority that signed nothing.
    fn stranger(&self) -> Option<PathBuf> {
        Some(self.0.join("stranger.pem"))
    }
}

fn kafka(broker: &str, ca_file: Option<PathBuf>, mechanism: SaslMechanism, password: &str) -> KafkaConfig {
    let config = KafkaConfig {
        brokers: vec![broker.to_owned()],
        security_protocol: SecurityProtocol::SaslSsl,
        sasl_mechanism: mechanism,
        sasl_username: USER.to_owned(),
        sasl_password: Secret::new(password),
        ssl_ca_file: ca_file,
        ..KafkaConfig::default()
    };
    config.validate("kafka").expect("it is valid");
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_is_reached_over_tls_with_a_password() {
    let Some((broker, certificates)) = secured("SHOPSMART_TEST_KAFKA_SECURED") else { return };
    for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha512] {
        let config = kafka(&broker, certificates.authority(), mechanism, PASSWORD);
        let log = wiring::kafka(&config).expect("the client is made");
        let topic: Arc<str> = format!("secured-{}", Uuid::now_v7().simple()).into();
        let spec = TopicSpec { name: topic.to_string(), partitions: 1, compacted: false, retention_ms: None };
        let round_trip = async {
            log.ensure_topics(&[spec]).await.expect("the topic is created");
            let mode = ProducerMode::Bounded { ack_timeout_ms: 30_000, linger_ms: 0 };
            let producer = log.producer(mode).expect("a producer is made");
            let value = Bytes::from_static(b"value");
            let record = NewRecord {
                topic: topic.clone(),
                partition: Some(0),
                key: "key".into(),
                value: value.clone(),
                traceparent: None,
            };
            producer.append(record).expect("there is room").await.expect("it is acknowledged");
            let place = TopicPartition { topic: topic.clone(), partition: 0 };
            let mut stream = log.follow(&place, 0).await.expect("it can be followed");
            let batch = stream.next().await.expect("it goes on").expect("it can be read");
            assert_eq!(batch[0].value, value);
            log.delete_topic(&topic).await.expect("the topic is deleted");
        };
        tokio::time::timeout(LIMIT, round_trip).await.expect("Kafka answers");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_is_not_reached_with_a_wrong_password_or_an_unknown_authority() {
    let Some((broker, certificates)) = secured("SHOPSMART_TEST_KAFKA_SECURED") else { return };
    for (authority, mechanism, password) in [
        (certificates.authority(), SaslMechanism::ScramSha512, "wrong"),
        (certificates.stranger(), SaslMechanism::Plain, PASSWORD),
    ] {
        let log = wiring::kafka(&kafka(&broker, authority, mechanism, password)).expect("the client is made");
        let described = tokio::time::timeout(LIMIT, log.describe("events")).await.expect("it gives up");
        let error = described.expect_err("nobody may come in");
        assert!(matches!(error, LogError::Unavailable { .. }), "{error}");
    }
}

fn redis(url: &str, ca_file: Option<PathBuf>, password: &str) -> RedisConfig {
    let config = RedisConfig {
        urls: vec![url.to_owned()],
        username: USER.to_owned(),
        password: Secret::new(password),
        ca_file,
        timeout_ms: 30_000,
        ..RedisConfig::default()
    };
    config.validate("redis").expect("it is valid");
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_reached_over_tls_with_a_password() {
    let Some((url, certificates)) = secured("SHOPSMART_TEST_REDIS_SECURED") else { return };
    let store = wiring::redis(&redis(&url, certificates.authority(), PASSWORD)).expect("the client is made");
    let key = format!("secured:{}", Uuid::now_v7().simple());
    let value = Bytes::from(schemas::published::header(Version::of(1, 1), 0));
    store.put_many(vec![(key.clone(), value.clone())]).await.expect("it is written");
    assert_eq!(store.get_many(&[key]).await, Ok(vec![Some(value)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_not_reached_with_a_wrong_password_or_an_unknown_authority() {
    let Some((url, certificates)) = secured("SHOPSMART_TEST_REDIS_SECURED") else { return };
    for (authority, password) in [(certificates.authority(), "wrong"), (certificates.stranger(), PASSWORD)] {
        let config = RedisConfig { timeout_ms: 2_000, ..redis(&url, authority, password) };
        let store = wiring::redis(&config).expect("the client is made");
        let keys = ["key".to_owned()];
        let read = store.get_many(&keys);
        let error = tokio::time::timeout(LIMIT, read).await.expect("it gives up").expect_err("no way in");
        assert!(matches!(error, StoreError::Unavailable { .. } | StoreError::Unusable { .. }), "{error}");
    }
}

fn cql(node: &str, ca_file: Option<PathBuf>, password: &str) -> CqlConfig {
    let config = CqlConfig {
        contact_points: vec![node.to_owned()],
        keyspace: "secured".to_owned(),
        username: CQL_USER.to_owned(),
        password: Secret::new(password),
        tls: true,
        ca_file,
        timeout_ms: 30_000,
        ..CqlConfig::default()
    };
    config.validate("cql").expect("it is valid");
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cassandra_is_reached_over_tls_with_a_password() {
    let Some((node, certificates)) = secured("SHOPSMART_TEST_CQL") else { return };
    let store = wiring::cql(&cql(&node, certificates.authority(), CQL_USER)).expect("the settings are right");
    store.migrate().await.expect("the tables are made");
    let row = Row {
        key: Uuid::now_v7().simple().to_string(),
        version: Version::of(1, 1),
        state: Bytes::from_static(b"state"),
    };
    store.put_many(Table::Progress, 1, vec![row.clone()]).await.expect("it is written");
    let key = [row.key.clone()];
    assert_eq!(store.get_many(Table::Progress, 1, &key).await, Ok(vec![Some(row)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cassandra_is_not_reached_with_a_wrong_password_or_an_unknown_authority() {
    let Some((node, certificates)) = secured("SHOPSMART_TEST_CQL") else { return };
    for (authority, password) in [(certificates.authority(), "wrong"), (certificates.stranger(), CQL_USER)] {
        let config = CqlConfig { timeout_ms: 2_000, ..cql(&node, authority, password) };
        let store = wiring::cql(&config).expect("the settings are right");
        let keys = ["key".to_owned()];
        let read = store.get_many(Table::Progress, 1, &keys);
        let error = tokio::time::timeout(LIMIT, read).await.expect("it gives up").expect_err("no way in");
        assert!(matches!(error, StoreError::Unavailable { .. } | StoreError::Unusable { .. }), "{error}");
    }
}
