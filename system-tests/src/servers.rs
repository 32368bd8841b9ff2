//! The three programs on real servers, in a name space of their own.

use crate::given;
use crate::program::{Program, free_address, until};
use anyhow::Result;
use event_log::kafka::{KafkaLog, KafkaSettings};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Variables that name the servers.
pub const NEEDED: [&str; 4] =
    ["SHOPSMART_TEST_BIN", "SHOPSMART_TEST_KAFKA", "SHOPSMART_TEST_REDIS", "SHOPSMART_TEST_CQL"];

/// Variables that name the servers, with a Redis Cluster in the place of the single Redis.
pub const NEEDED_WITH_CLUSTER: [&str; 4] =
    ["SHOPSMART_TEST_BIN", "SHOPSMART_TEST_KAFKA", "SHOPSMART_TEST_REDIS_CLUSTER", "SHOPSMART_TEST_CQL"];

/// A configuration file and the addresses in it.
#[derive(Debug)]
pub struct Installation {
    /// The file.
    pub config: PathBuf,
    /// Where `ingest` listens.
    pub ingest: SocketAddr,
    /// Where `serving` listens.
    pub serving: SocketAddr,
    /// Where `stream-processor` listens.
    pub processor: SocketAddr,
    topics: String,
    scratch: PathBuf,
}

/// The serving store of an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redis {
    /// A single server.
    Single,
    /// A Redis Cluster.
    Cluster,
}

impl Installation {
    /// Writes a configuration with topics `topics-…` and keyspace `keyspace`; `generation` keeps installations apart in Redis.
    ///
    /// # Errors
    /// When there is no free port or the file cannot be written.
    pub fn new(scratch: &Path, topics: &str, keyspace: &str, generation: u16, redis: Redis) -> Result<Self> {
        let (redis, is_cluster) = match redis {
            Redis::Single => ("SHOPSMART_TEST_REDIS", false),
            Redis::Cluster => ("SHOPSMART_TEST_REDIS_CLUSTER", true),
        };
        let [kafka, redis, cql] = ["SHOPSMART_TEST_KAFKA", redis, "SHOPSMART_TEST_CQL"]
            .map(|name| given(name).expect("checked by the test"));
        let redis: Vec<&str> = redis.split(',').collect();
        let (ingest, serving, processor) = (free_address()?, free_address()?, free_address()?);
        let config = scratch.join(format!("{topics}.toml"));
        let text = format!(
            r#"[kafka]
brokers = ["{kafka}"]
topic_prefix = "{topics}-"
[redis]
urls = {redis:?}
cluster = {is_cluster}
[cql]
contact_points = ["{cql}"]
keyspace = "{keyspace}"
username = "cassandra"
password = "cassandra"
[processor]
listen = "{processor}"
generation = {generation}
events_partitions = 4
activity_partitions = 4
instance_id = "{topics}"
flush_interval_ms = 1000
[ingest.http]
listen = "{ingest}"
[serving]
generation = {generation}
[serving.http]
listen = "{serving}"
"#
        );
        std::fs::write(&config, text)?;
        let (topics, scratch) = (topics.to_owned(), scratch.to_owned());
        Ok(Self { config, ingest, serving, processor, topics, scratch })
    }

    /// The configuration file, as an argument.
    pub fn config_argument(&self) -> String {
        self.config.to_string_lossy().into_owned()
    }

    /// The full name of the topic with the events.
    pub fn events_topic(&self) -> String {
        format!("{}-events", self.topics)
    }

    /// Starts a program and does not wait for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, name: &str) -> Result<Program> {
        Program::start(name, &["--config", &self.config_argument()], &self.scratch)
    }

    /// Starts a program and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_ready(&self, name: &str) -> Result<Program> {
        let program = self.start(name)?;
        let address = match name {
            "ingest" => self.ingest,
            "serving" => self.serving,
            _ => self.processor,
        };
        until(name, &format!("http://{address}/health/ready"), |answer| {
            answer["ready"].as_bool().filter(|ready| *ready)
        })
        .await?;
        Ok(program)
    }
}

/// The Kafka that the programs use, for doing with it what they never do.
///
/// # Errors
/// When its client cannot be made.
pub fn kafka() -> Result<KafkaLog> {
    Ok(KafkaLog::connect(KafkaSettings {
        brokers: given("SHOPSMART_TEST_KAFKA").expect("checked by the test"),
        client_id: "system-test".to_owned(),
        properties: BTreeMap::new(),
        replication_factor: -1,
    })?)
}
