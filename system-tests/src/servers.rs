//! The three programs on real servers, in a name space of their own.

use crate::given;
use crate::program::{Program, free_address, until};
use anyhow::{Context, Result, bail};
use event_log::kafka::{KafkaLog, KafkaSettings};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use xtask::services::redis_command;

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

/// Partitions of each topic.
pub const PARTITIONS: u32 = 4;

/// The serving store of an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redis {
    /// A single server.
    Single,
    /// A Redis Cluster.
    Cluster,
}

/// Where programs find their servers.
#[derive(Debug, Clone)]
pub struct Servers {
    /// `host:port` of a broker.
    pub kafka: String,
    /// `redis://host:port` of the single Redis, or of the primaries of a Redis Cluster.
    pub redis: Vec<String>,
    /// Whether it is a Redis Cluster.
    pub is_cluster: bool,
    /// `host:port` of a Cassandra node.
    pub cql: String,
}

impl Servers {
    /// Those that `variable` gives by the names of the environment.
    ///
    /// # Panics
    /// When one is missing.
    pub fn of(variable: impl Fn(&str) -> Option<String>, redis: Redis) -> Self {
        let value =
            |name: &str| variable(name).unwrap_or_else(|| panic!("{name} was not checked to be there"));
        let is_cluster = redis == Redis::Cluster;
        let redis = value(if is_cluster { "SHOPSMART_TEST_REDIS_CLUSTER" } else { "SHOPSMART_TEST_REDIS" });
        Self {
            kafka: value("SHOPSMART_TEST_KAFKA"),
            redis: redis.split(',').map(str::to_owned).collect(),
            is_cluster,
            cql: value("SHOPSMART_TEST_CQL"),
        }
    }

    /// Sends one inline command to the single Redis, or to the first primary.
    ///
    /// # Errors
    /// When it cannot be reached or answers with an error.
    pub fn redis_command(&self, command: &str) -> Result<String> {
        let port = self.redis[0].trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
        Ok(redis_command(port.context("an address of Redis without a port")?, command)?)
    }
}

impl Installation {
    /// As [`Installation::on`], on the servers that the environment names.
    ///
    /// # Errors
    /// When there is no free port or the file cannot be written.
    pub fn new(scratch: &Path, topics: &str, keyspace: &str, generation: u16, redis: Redis) -> Result<Self> {
        Self::on(&Servers::of(given, redis), scratch, topics, keyspace, generation)
    }

    /// Writes a configuration with topics `topics-…` and keyspace `keyspace`; `generation` keeps installations apart in Redis.
    ///
    /// # Errors
    /// When there is no free port or the file cannot be written.
    pub fn on(
        servers: &Servers,
        scratch: &Path,
        topics: &str,
        keyspace: &str,
        generation: u16,
    ) -> Result<Self> {
        let Servers { kafka, redis, is_cluster, cql } = servers;
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
events_partitions = {PARTITIONS}
activity_partitions = {PARTITIONS}
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
        self.start_with(name, &[])
    }

    /// As [`Self::start`], with settings in its environment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_with(&self, name: &str, settings: &[(&str, &str)]) -> Result<Program> {
        let settings: Vec<(&str, String)> =
            settings.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        let arguments = ["--config", &self.config_argument()];
        Program::start_as(name, name, &arguments, &settings, &self.scratch)
    }

    /// Starts copy `number` of the processor, which listens on `address` and keeps its name in the group over restarts.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_copy(&self, number: usize, address: SocketAddr) -> Result<Program> {
        let name = format!("copy-{number}");
        let environment = [
            ("SHOPSMART__PROCESSOR__LISTEN", address.to_string()),
            ("SHOPSMART__PROCESSOR__INSTANCE_ID", name.clone()),
        ];
        let arguments = ["--config", &self.config_argument()];
        Program::start_as(&name, "stream-processor", &arguments, &environment, &self.scratch)
    }

    /// Starts a program and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_ready(&self, name: &str) -> Result<Program> {
        let mut program = self.start(name)?;
        let address = match name {
            "ingest" => self.ingest,
            "serving" => self.serving,
            _ => self.processor,
        };
        let ended = async {
            loop {
                if let Some(status) = program.ended()? {
                    bail!("{name} ended with {status}");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let is_ready = tokio::select! {
            ready = ready(name, address) => ready,
            ended = ended => ended,
        };
        is_ready.with_context(|| format!("it said: {}", program.said()))?;
        Ok(program)
    }
}

/// Waits until the program at `address` is ready.
///
/// # Errors
/// When it does not become ready.
pub async fn ready(name: &str, address: SocketAddr) -> Result<()> {
    until(name, &format!("http://{address}/health/ready"), |answer| {
        answer["ready"].as_bool().filter(|ready| *ready)
    })
    .await
    .map(drop)
}

/// The Kafka that the programs use, for doing with it what they never do.
///
/// # Errors
/// When its client cannot be made.
pub fn kafka() -> Result<KafkaLog> {
    kafka_at(given("SHOPSMART_TEST_KAFKA").expect("checked by the test"))
}

/// A client of the broker at `host:port`.
///
/// # Errors
/// When it cannot be made.
pub fn kafka_at(broker: String) -> Result<KafkaLog> {
    Ok(KafkaLog::connect(KafkaSettings {
        brokers: broker,
        client_id: "system-test".to_owned(),
        properties: BTreeMap::new(),
        replication_factor: -1,
        notice_sampled: false,
    })?)
}
