use super::*;
use crate::config::Secret;

fn key(result: Result<(), ConfigError>) -> String {
    match result {
        Err(ConfigError::Invalid { key, .. }) => key,
        other => panic!("expected an invalid value, got {other:?}"),
    }
}

#[test]
fn defaults_are_valid() {
    HttpConfig::default().validate("http").unwrap();
    LogConfig::default().validate("log").unwrap();
    TracesConfig::default().validate("traces").unwrap();
    KafkaConfig::default().validate("kafka").unwrap();
    RedisConfig::default().validate("redis").unwrap();
    CqlConfig::default().validate("cql").unwrap();
}

#[test]
fn values_out_of_range_name_their_key() {
    let http = HttpConfig { request_timeout_ms: 0, ..HttpConfig::default() };
    assert_eq!(key(http.validate("ingest.http")), "ingest.http.request_timeout_ms");
    let http = HttpConfig { max_connections: 0, ..HttpConfig::default() };
    assert_eq!(key(http.validate("ingest.http")), "ingest.http.max_connections");
    let log = LogConfig { filter: "ingest=loud".to_owned(), ..LogConfig::default() };
    assert_eq!(key(log.validate("log")), "log.filter");
    let brokers = |given: &[&str]| {
        let brokers = given.iter().map(|&broker| broker.to_owned()).collect();
        KafkaConfig { brokers, ..KafkaConfig::default() }.validate("kafka")
    };
    for bad in
        [&[][..], &[""], &["a"], &["a:"], &["a:b"], &["a:0"], &["a:65536"], &[":9092"], &["a:9092", "b"]]
    {
        assert_eq!(key(brokers(bad)), "kafka.brokers", "{bad:?}");
    }
    brokers(&["a:9092", "127.0.0.1:1", "[::1]:9092", "SSL://a.example:9093"]).unwrap();
    let cql = CqlConfig { contact_points: vec!["a".to_owned()], ..CqlConfig::default() };
    assert_eq!(key(cql.validate("cql")), "cql.contact_points");
    let kafka = KafkaConfig { topic_prefix: "a b".to_owned(), ..KafkaConfig::default() };
    assert_eq!(key(kafka.validate("kafka")), "kafka.topic_prefix");
    let redis = RedisConfig { urls: vec!["http://a".to_owned()], ..RedisConfig::default() };
    assert_eq!(key(redis.validate("redis")), "redis.urls");
    let cql = CqlConfig { keyspace: "Shop".to_owned(), ..CqlConfig::default() };
    assert_eq!(key(cql.validate("cql")), "cql.keyspace");
    let cql = CqlConfig { replication: [("dc1".to_owned(), 0)].into(), ..CqlConfig::default() };
    assert_eq!(key(cql.validate("cql")), "cql.replication");
}

#[test]
fn traces_need_a_build_that_can_export_and_an_address() {
    let to = |endpoint: &str| TracesConfig { endpoint: endpoint.to_owned(), ..TracesConfig::default() };
    let message = |config: TracesConfig| config.validate("traces").unwrap_err().to_string();
    if cfg!(feature = "otel") {
        to("http://127.0.0.1:4318").validate("traces").unwrap();
        assert!(message(to("127.0.0.1:4318")).contains("an address like http://"));
        assert!(message(to("https://a")).contains("an address like http://"));
    } else {
        assert!(message(to("http://127.0.0.1:4318")).contains("--features shopsmart/otel"));
    }
    for share in [-0.1, 1.1, f64::NAN] {
        let config = TracesConfig { sampled_share: share, ..TracesConfig::default() };
        assert_eq!(key(config.validate("traces")), "traces.sampled_share");
    }
}

#[test]
fn a_message_says_value_and_range() {
    let http = HttpConfig { max_connections: 0, ..HttpConfig::default() };
    let message = http.validate("serving.http").unwrap_err().to_string();
    assert_eq!(message, "`serving.http.max_connections` is 0: allowed is 1 to 1000000");
}

#[test]
fn sasl_needs_user_and_password() {
    let mut kafka = KafkaConfig { security_protocol: SecurityProtocol::SaslSsl, ..KafkaConfig::default() };
    assert_eq!(key(kafka.validate("kafka")), "kafka.sasl_username");
    kafka.sasl_username = "shop".to_owned();
    assert_eq!(key(kafka.validate("kafka")), "kafka.sasl_password");
    kafka.sasl_password = Secret::new("p");
    kafka.validate("kafka").unwrap();
}

#[test]
fn several_redis_addresses_need_cluster() {
    let two = vec!["redis://a:1".to_owned(), "redis://b:1".to_owned()];
    let mut redis = RedisConfig { urls: two, ..RedisConfig::default() };
    assert_eq!(key(redis.validate("redis")), "redis.urls");
    redis.cluster = true;
    redis.validate("redis").unwrap();
}

#[test]
fn a_password_in_a_redis_address_is_not_shown() {
    for urls in
        [&["http://:hunter2@a"][..], &["", "redis://:hunter2@a"], &["redis://:hunter2@a", "redis://b"]]
    {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        let redis = RedisConfig { urls, ..RedisConfig::default() };
        assert!(!redis.validate("redis").unwrap_err().to_string().contains("hunter2"));
    }
}
