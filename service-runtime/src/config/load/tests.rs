use super::*;
use crate::config::{KafkaConfig, LogConfig, LogFormat, RedisConfig, Secret, SecurityProtocol};
use serde::Deserialize;
use std::io::Write;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    log: LogConfig,
    kafka: KafkaConfig,
    redis: RedisConfig,
    ingest: Ingest,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ingest {
    generation: u16,
    queue: Queue,
}

impl Default for Ingest {
    fn default() -> Self {
        Self { generation: 1, queue: Queue::default() }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Queue {
    depth: u32,
}

fn read(toml: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    read_with(toml, environment, &Settings::default())
}

fn read_with(toml: &str, environment: &[(&str, &str)], defaults: &Settings) -> Result<Settings, ConfigError> {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    let environment = environment.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    load_from(Some(file.path()), overrides(environment, "SHOP"), defaults)
}

/// The message, and that every word is in it.
fn refusal(result: Result<Settings, ConfigError>, words: &[&str]) {
    let message = result.expect_err("the configuration should be refused").to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is missing in: {message}");
    }
}

#[test]
fn environment_overrides_file_overrides_defaults() {
    let mut defaults = Settings::default();
    defaults.ingest.generation = 7;
    defaults.ingest.queue.depth = 8;
    defaults.kafka.client_id = "from-defaults".to_owned();
    let file = "[ingest.queue]\ndepth = 9\n[log]\nformat = 'json'\n[kafka]\nbrokers = ['a:1']";
    let settings = read_with(file, &[("SHOP__INGEST__QUEUE__DEPTH", "10")], &defaults).unwrap();
    assert_eq!(settings.ingest.queue.depth, 10);
    assert_eq!(settings.ingest.generation, 7, "a sibling of what the file sets keeps its default");
    assert_eq!(settings.log.format, LogFormat::Json);
    assert_eq!(settings.log.filter, "info");
    assert_eq!(settings.kafka.brokers, ["a:1"], "a list replaces the default list");
    assert_eq!(settings.kafka.client_id, "from-defaults");
}

#[test]
fn defaults_alone_are_enough() {
    let settings = load_from(None, Overrides::new(), &Settings::default()).unwrap();
    assert_eq!(settings.kafka, KafkaConfig::default());
    assert_eq!(settings.redis, RedisConfig::default());
}

#[test]
fn environment_lists_are_split_at_commas() {
    let settings =
        read("", &[("SHOP__KAFKA__BROKERS", "a:1, b:2,"), ("SHOP__REDIS__CLUSTER", "true")]).unwrap();
    assert_eq!(settings.kafka.brokers, ["a:1", "b:2"]);
    assert!(settings.redis.cluster);
    assert_eq!(settings.redis.urls, RedisConfig::default().urls);
}

#[test]
fn environment_strings_stay_as_they_are() {
    let environment =
        [("SHOP__KAFKA__SASL_PASSWORD", "0012,true"), ("SHOP__KAFKA__SSL_CA_FILE", "/etc/ca.pem")];
    let kafka = read("", &environment).unwrap().kafka;
    assert_eq!(kafka.sasl_password, Secret::new("0012,true"));
    assert_eq!(kafka.ssl_ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
}

#[test]
fn environment_of_other_prefixes_is_ignored() {
    let environment = [("OTHER__KAFKA__NOPE", "1"), ("SHOP_KAFKA__NOPE", "1"), ("SHOPSMART__X", "1")];
    assert!(read("", &environment).is_ok());
}

#[test]
fn librdkafka_properties_keep_their_dots() {
    let kafka = read("[kafka.extra]\n'message.max.bytes' = '1000'\n'linger.ms' = 5", &[]).unwrap().kafka;
    assert_eq!(kafka.extra["message.max.bytes"], "1000");
    assert_eq!(kafka.extra["linger.ms"], "5");
}

#[test]
fn enums_are_read_from_file_and_environment() {
    let kafka = read("[kafka]\nsecurity_protocol = 'sasl_ssl'", &[]).unwrap().kafka;
    assert_eq!(kafka.security_protocol, SecurityProtocol::SaslSsl);
    let kafka = read("", &[("SHOP__KAFKA__SECURITY_PROTOCOL", "ssl")]).unwrap().kafka;
    assert_eq!(kafka.security_protocol, SecurityProtocol::Ssl);
}

#[test]
fn sections_of_other_services_are_ignored() {
    let toml = "[serving]\nwhatever = 1\n[cql]\nkeyspace = 3\n[ingest]\ngeneration = 2";
    let settings = read(toml, &[("SHOP__PROCESSOR__ANY", "1")]).unwrap();
    assert_eq!(settings.ingest.generation, 2);
}

#[test]
fn unknown_sections_are_refused_with_the_known_ones() {
    refusal(read("[kafak]\nbrokers = []", &[]), &["`kafak`", ".toml", "kafka, log", "serving"]);
    let environment = [("SHOP__KAFAK__BROKERS", "a")];
    refusal(read("", &environment), &["`kafak.brokers`", "variable SHOP__KAFAK__BROKERS", "kafka, log"]);
}

#[test]
fn unknown_keys_are_refused_with_the_known_ones() {
    refusal(read("[kafka]\nbroker = []", &[]), &["`kafka.broker`", ".toml", "`brokers`", "`topic_prefix`"]);
    refusal(read("[ingest.queue]\nwidth = 1", &[]), &["`ingest.queue.width`", ".toml", "`depth`"]);
    let environment = [("SHOP__INGEST__QUEUE__WIDTH", "1")];
    refusal(read("", &environment), &["`ingest.queue.width`", "SHOP__INGEST__QUEUE__WIDTH", "`depth`"]);
}

#[test]
fn wrong_values_name_key_origin_and_what_is_allowed() {
    refusal(read("[redis]\ntimeout_ms = 'soon'", &[]), &["`redis.timeout_ms`", ".toml", "soon", "integer"]);
    refusal(read("[redis]\ntimeout_ms = -5", &[]), &["`redis.timeout_ms`", "-5"]);
    refusal(read("[ingest]\ngeneration = 70000", &[]), &["`ingest.generation`", "70000", "16 bit"]);
    let protocol = ["`kafka.security_protocol`", "tls", "`plaintext`", "`sasl_ssl`"];
    refusal(read("[kafka]\nsecurity_protocol = 'tls'", &[]), &protocol);
    let environment = [("SHOP__REDIS__TIMEOUT_MS", "soon")];
    refusal(
        read("[redis]\ntimeout_ms = 5", &environment),
        &["`redis.timeout_ms`", "SHOP__REDIS__TIMEOUT_MS"],
    );
}

#[test]
fn an_absent_or_broken_file_is_named() {
    let absent = Path::new("no/such/shop.toml");
    refusal(load_from(Some(absent), Overrides::new(), &Settings::default()), &["no/such/shop.toml"]);
    refusal(read("[kafka\nbrokers", &[]), &[".toml", "line 1"]);
}

#[test]
fn an_impossible_variable_is_named() {
    refusal(read("", &[("SHOP__KAFKA__", "1")]), &["SHOP__KAFKA__"]);
    refusal(read("", &[("SHOP__KAFKA", "1")]), &["`kafka`", "SHOP__KAFKA"]);
}

#[test]
fn a_printed_configuration_shows_no_secret() {
    let settings = read("[kafka]\nsasl_password = 'hunter2'", &[]).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert!(!serde_json::to_string(&settings).unwrap().contains("hunter2"));
}
