//! The three programs on real servers, in a name space of their own.

use crate::given;
use crate::program::{Program, free_address, until};
use anyhow::Result;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Variables that name the servers.
pub const NEEDED: [&str; 4] =
    ["SHOPSMART_TEST_BIN", "SHOPSMART_TEST_KAFKA", "SHOPSMART_TEST_REDIS", "SHOPSMART_TEST_CQL"];

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
    scratch: PathBuf,
}

impl Installation {
    /// Writes a configuration with topics `topics-…` and keyspace `keyspace`; `generation` keeps installations apart in Redis.
    ///
    /// # Errors
    /// When there is no free port or the file cannot be written.
    pub fn new(scratch: &Path, topics: &str, keyspace: &str, generation: u16) -> Result<Self> {
        let [kafka, redis, cql] = ["SHOPSMART_TEST_KAFKA", "SHOPSMART_TEST_REDIS", "SHOPSMART_TEST_CQL"]
            .map(|name| given(name).expect("checked by the test"));
        let (ingest, serving, processor) = (free_address()?, free_address()?, free_address()?);
        let config = scratch.join(format!("{topics}.toml"));
        let text = format!(
            r#"[kafka]
brokers = ["{kafka}"]
topic_prefix = "{topics}-"
[redis]
urls = ["{redis}"]
[cql]
contact_points = ["{cql}"]
keyspace = "{keyspace}"
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
        Ok(Self { config, ingest, serving, processor, scratch: scratch.to_owned() })
    }

    /// Starts a program and does not wait for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, name: &str) -> Result<Program> {
        Program::start(name, &["--config", &self.config.to_string_lossy()], &self.scratch)
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
