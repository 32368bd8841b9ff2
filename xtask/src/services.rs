//! Real Kafka, Redis, a Redis Cluster and Cassandra for tests: by docker compose where an engine answers,
//! otherwise the same servers from packages.
//!
//! Ports are picked free at every start, data lives below `target/services/run-<id>`, and what was started is ended
//! by its own process id. A test finds the servers through the variables that [`Services::env`] lists.

mod backend;
mod cassandra;
mod compose;
mod environment;
mod java;
mod kafka;
mod maven;
mod packages;
mod ports;
mod probe;
mod process;
mod redis;
mod redis_cluster;
mod run;
mod server;
mod tls;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;

pub use backend::Backend;
pub use environment::{
    CASSANDRA, KAFKA, KAFKA_BEHIND, KAFKA_FRONT, KAFKA_SECURED, REDIS, REDIS_CLUSTER, REDIS_SECURED, TLS,
};
pub(crate) use packages::{find, install, may_install};
pub use probe::redis_command;
pub use run::{Lifetime, reap_abandoned};

use backend::Running;
use ports::Ports;
use run::Run;

/// One of the things that can be started and stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// One Kafka broker (KRaft, replication factor 1).
    Kafka,
    /// One Redis server without persistence.
    Redis,
    /// A Redis Cluster of three primaries, the first with a replica.
    RedisCluster,
    /// One Cassandra node.
    Cassandra,
}

impl Part {
    /// Everything there is.
    pub const ALL: [Self; 4] = [Self::Kafka, Self::Redis, Self::RedisCluster, Self::Cassandra];

    /// The name in process listings, log files and the compose file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Redis => "redis",
            Self::RedisCluster => "redis-cluster",
            Self::Cassandra => "cassandra",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What to start, and for how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory for jars and runs, usually [`crate::workspace::Workspace::services_dir`].
    pub directory: PathBuf,
    /// Which servers to start.
    pub parts: Vec<Part>,
    /// Where they come from; `None` looks for an engine first.
    pub backend: Option<Backend>,
    /// Whether the servers end with the value that started them.
    pub lifetime: Lifetime,
    /// Cassandra's heap in MiB.
    pub cassandra_heap_mib: u32,
}

/// What tests get by with.
const SMALL_CASSANDRA_HEAP_MIB: u32 = 1_024;

impl Options {
    /// All servers, for as long as the value lives.
    pub fn private(directory: PathBuf) -> Self {
        Self {
            directory,
            parts: Part::ALL.to_vec(),
            backend: None,
            lifetime: Lifetime::Private,
            cassandra_heap_mib: SMALL_CASSANDRA_HEAP_MIB,
        }
    }
}

/// Running servers. Dropping the value stops them, unless they were started with [`Lifetime::Background`].
#[derive(Debug)]
pub struct Services {
    ports: Ports,
    parts: Vec<Part>,
    running: Running,
    run: Run,
}

impl Services {
    /// Starts the servers in parallel and returns when each of them answers its own protocol.
    ///
    /// # Errors
    /// When something needed is missing (the message names what to install), or a server ends or stays silent
    /// (the message shows the end of its log). Whatever had been started is stopped again.
    pub fn start(options: &Options) -> Result<Self> {
        reap_abandoned(&options.directory)?;
        let backend = options.backend.unwrap_or_else(Backend::detect);
        let ports = Ports::pick()?;
        let mut run = Run::create(&options.directory, backend, &options.parts, &ports, options.lifetime)?;
        tls::Files::make(run.directory())?;
        let running = match Running::start(backend, options, &ports, run.directory()) {
            Ok(running) => running,
            Err(error) => {
                run.keep_for_inspection();
                return Err(error);
            }
        };
        if options.lifetime == Lifetime::Background {
            run.publish(&environment::variables(&ports, &options.parts, run.directory()))?;
        }
        Ok(Self { ports, parts: options.parts.clone(), running, run })
    }

    /// The variables through which tests find the servers, with their values.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        environment::variables(&self.ports, &self.parts, self.run.directory())
    }

    /// Stops one part as an operator would (SIGTERM, after a deadline SIGKILL); it keeps its ports and data.
    ///
    /// # Errors
    /// When the part was not started here, or its engine refuses.
    pub fn stop(&mut self, part: Part) -> Result<()> {
        self.running.stop(part)
    }

    /// Ends one part without warning (SIGKILL); it keeps its ports and data.
    ///
    /// # Errors
    /// When the part was not started here, or its engine refuses.
    pub fn kill(&mut self, part: Part) -> Result<()> {
        self.running.kill(part)
    }

    /// Lets one part stand still: its connections stay open, and nothing is answered.
    ///
    /// # Errors
    /// When the part was not started here, or its engine refuses.
    pub fn pause(&mut self, part: Part) -> Result<()> {
        self.running.pause(part)
    }

    /// Lets a paused part go on.
    ///
    /// # Errors
    /// When the part was not started here, or its engine refuses.
    pub fn resume(&mut self, part: Part) -> Result<()> {
        self.running.resume(part)
    }

    /// Ends without warning the one primary of the Redis Cluster that has a replica. [`Services::start_again`] brings it back,
    /// empty, as the replica of its successor.
    ///
    /// # Errors
    /// When the cluster was not started here, or its engine refuses.
    pub fn kill_first_primary(&mut self) -> Result<()> {
        self.running.kill_first_primary()
    }

    /// Starts one part again on the same ports and data, and returns when it answers.
    ///
    /// # Errors
    /// When the part was not started here, ends at once or stays silent.
    pub fn start_again(&mut self, part: Part) -> Result<()> {
        self.running.start_again(part)
    }

    /// Lets logs and data outlive the servers, until the next start sweeps them; returns where they are.
    pub fn keep_for_inspection(&mut self) -> &Path {
        self.run.keep_for_inspection();
        self.run.directory()
    }

    /// Stops everything and removes its data. Dropping does the same but cannot say what went wrong.
    ///
    /// # Errors
    /// When an engine refuses or the data cannot be removed.
    pub fn close(mut self) -> Result<()> {
        self.running.stop_all()?;
        self.run.remove()
    }

    /// Lets servers of [`Lifetime::Background`] live on; for others this does nothing but drop them.
    pub fn leave(mut self) {
        if self.run.lifetime() == Lifetime::Background {
            self.running.leave();
        }
    }
}

/// The run that `services up` left behind, if its servers were not stopped since.
///
/// # Errors
/// When the record of the run cannot be read.
pub fn background(directory: &Path) -> Result<Option<BackgroundRun>> {
    run::background(directory)
}

/// The run that `services up` left behind, if all its servers still run. A set of which one is dead (the machine was
/// started anew, somebody ended it) is of no use to anyone: it is ended and its data removed, and a line says so.
///
/// # Errors
/// When the record cannot be read, or what is left of the set cannot be removed.
pub fn living_background(directory: &Path) -> Result<Option<BackgroundRun>> {
    let Some(running) = background(directory)? else { return Ok(None) };
    let dead = running.dead();
    if dead.is_empty() {
        return Ok(Some(running));
    }
    let names: Vec<&str> = dead.into_iter().map(Part::name).collect();
    eprintln!(
        "xtask: dead since the last `services up`: {}. Removing what is left of that set",
        names.join(", ")
    );
    running.down()?;
    Ok(None)
}

pub use run::BackgroundRun;
