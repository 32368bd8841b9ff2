//! The two ways of running the servers, behind one set of verbs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

use super::compose::Compose;
use super::packages::Packages;
use super::ports::Ports;
use super::server::Server;
use super::{Options, Part, cassandra, kafka, redis, redis_cluster};

/// Where servers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Containers, by docker compose.
    Compose,
    /// Processes, from packages.
    Packages,
}

impl Backend {
    /// Compose where both `docker info` and `docker compose version` answer, packages otherwise.
    pub fn detect() -> Self {
        let answers = |arguments: &[&str]| {
            let mut docker = Command::new("docker");
            docker.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            docker.status().is_ok_and(|status| status.success())
        };
        if answers(&["info"]) && answers(&["compose", "version"]) { Self::Compose } else { Self::Packages }
    }
}

/// What runs.
#[derive(Debug)]
pub enum Running {
    /// Containers of one compose project.
    Compose(Compose),
    /// Processes, each with the part it belongs to.
    Packages(Vec<(Part, Server)>),
}

impl Running {
    /// Starts all parts at the same time.
    pub fn start(backend: Backend, options: &Options, ports: &Ports, run: &Path) -> Result<Self> {
        match backend {
            Backend::Compose => Compose::start(options, ports, run).map(Self::Compose),
            Backend::Packages => start_processes(options, ports, run).map(Self::Packages),
        }
    }

    pub fn stop(&mut self, part: Part) -> Result<()> {
        match self {
            Self::Compose(compose) => compose.stop(part),
            Self::Packages(servers) => each(servers, part, |server| {
                server.stop();
                Ok(())
            }),
        }
    }

    pub fn kill(&mut self, part: Part) -> Result<()> {
        match self {
            Self::Compose(compose) => compose.kill(part),
            Self::Packages(servers) => each(servers, part, |server| {
                server.kill();
                Ok(())
            }),
        }
    }

    pub fn pause(&mut self, part: Part) -> Result<()> {
        match self {
            Self::Compose(compose) => compose.pause(part),
            Self::Packages(servers) => each(servers, part, |server| {
                server.pause();
                Ok(())
            }),
        }
    }

    pub fn resume(&mut self, part: Part) -> Result<()> {
        match self {
            Self::Compose(compose) => compose.resume(part),
            Self::Packages(servers) => each(servers, part, |server| {
                server.resume();
                Ok(())
            }),
        }
    }

    pub fn kill_first_primary(&mut self) -> Result<()> {
        match self {
            Self::Compose(compose) => compose.kill_first_primary(),
            Self::Packages(servers) => {
                let first = servers.iter_mut().find(|(part, _)| *part == Part::RedisCluster);
                first.context("the Redis Cluster was not started here")?.1.kill();
                Ok(())
            }
        }
    }

    pub fn start_again(&mut self, part: Part) -> Result<()> {
        match self {
            Self::Compose(compose) => compose.start_again(part),
            Self::Packages(servers) => each(servers, part, Server::start_again),
        }
    }

    pub fn stop_all(&mut self) -> Result<()> {
        match self {
            Self::Compose(compose) => compose.down(),
            Self::Packages(servers) => {
                servers.iter().for_each(|(_, server)| server.ask_to_stop());
                servers.clear();
                Ok(())
            }
        }
    }

    pub fn leave(&mut self) {
        match self {
            Self::Compose(compose) => compose.leave(),
            Self::Packages(servers) => servers.iter_mut().for_each(|(_, server)| server.leave()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Packages(servers) = self {
            // All at once; each server's own drop then waits for its end.
            servers.iter().for_each(|(_, server)| server.ask_to_stop());
        }
    }
}

fn start_processes(options: &Options, ports: &Ports, run: &Path) -> Result<Vec<(Part, Server)>> {
    let Options { directory, parts, cassandra_heap_mib: heap, .. } = options;
    let packages = Packages::prepare(parts, directory)?;
    let start = |part: Part| -> Result<Vec<Server>> {
        Ok(match part {
            Part::Kafka => vec![kafka::start(packages.java()?, &packages.kafka, ports, run)?],
            Part::Redis => vec![redis::start(packages.redis()?, ports, run)?],
            Part::RedisCluster => redis_cluster::start(packages.redis()?, ports, run)?,
            Part::Cassandra => {
                vec![cassandra::start(packages.java()?, &packages.cassandra, *heap, ports, run)?]
            }
        })
    };
    let start = &start;
    let results: Vec<(Part, Result<Vec<Server>>)> = thread::scope(|scope| {
        let starting: Vec<_> = parts.iter().map(|&part| (part, scope.spawn(move || start(part)))).collect();
        let join = |(part, handle): (Part, thread::ScopedJoinHandle<'_, _>)| {
            (part, handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        };
        starting.into_iter().map(join).collect()
    });
    let mut servers = Vec::new();
    for (part, result) in results {
        let started = result.with_context(|| format!("{part} cannot be started"))?;
        servers.extend(started.into_iter().map(|server| (part, server)));
    }
    Ok(servers)
}

fn each(
    servers: &mut [(Part, Server)],
    part: Part,
    mut act: impl FnMut(&mut Server) -> Result<()>,
) -> Result<()> {
    let mut found = false;
    for (_, server) in servers.iter_mut().filter(|(of, _)| *of == part) {
        found = true;
        act(server)?;
    }
    if !found {
        bail!("{part} was not started here");
    }
    Ok(())
}
