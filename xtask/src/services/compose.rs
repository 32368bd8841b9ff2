//! The servers as containers of one compose project.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::ports::Ports;
use super::probe::Probe;
use super::process::POLL;
use super::tls::{Files, PASSWORD, USER};
use super::{Options, Part};
use super::{kafka, redis_cluster};
use crate::interrupt;

/// Includes the download of the images.
const START_PATIENCE: Duration = Duration::from_secs(600);
const FILE: &str = "deploy/test-services.compose.yml";

/// A compose project with a name of its own.
#[derive(Debug)]
pub struct Compose {
    project: Project,
    ports: Ports,
    left_behind: bool,
}

impl Compose {
    /// Starts the containers and waits until each part answers.
    pub fn start(options: &Options, ports: &Ports, run: &Path) -> Result<Self> {
        let project = Project::of_run(run)?;
        fs::write(&project.environment, variables(options.cassandra_heap_mib, ports, &Files::of_run(run)))?;
        let compose = Self { project, ports: *ports, left_behind: false };
        let parts = &options.parts;
        let mut arguments = vec!["up", "--detach", "--quiet-pull"];
        arguments.extend(parts.iter().map(|part| part.name()));
        compose.project.run(&arguments)?;
        for &part in parts {
            compose.wait_until_it_answers(part)?;
        }
        if parts.contains(&Part::RedisCluster) {
            redis_cluster::form(ports)?;
        }
        if parts.contains(&Part::Kafka) {
            compose.project.run(&kafka_user(ports).iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Ok(compose)
    }

    pub fn stop(&self, part: Part) -> Result<()> {
        self.project.run(&["stop", "--timeout", "15", part.name()])
    }

    pub fn kill(&self, part: Part) -> Result<()> {
        self.project.run(&["kill", part.name()])
    }

    pub fn start_again(&self, part: Part) -> Result<()> {
        self.project.run(&["start", part.name()])?;
        self.wait_until_it_answers(part)?;
        if part == Part::RedisCluster {
            redis_cluster::wait_until_formed(&self.ports)?;
        }
        Ok(())
    }

    pub fn pause(&self, part: Part) -> Result<()> {
        self.project.run(&["pause", part.name()])
    }

    pub fn resume(&self, part: Part) -> Result<()> {
        self.project.run(&["unpause", part.name()])
    }

    /// All nodes are in one container: this one is told to end at once.
    pub fn kill_first_primary(&self) -> Result<()> {
        let port = self.ports.cluster[0].to_string();
        let container = Part::RedisCluster.name();
        self.project.run(&[
            "exec",
            "-T",
            container,
            "redis-cli",
            "-p",
            &port,
            "shutdown",
            "nosave",
            "now",
            "force",
        ])
    }

    /// Removes containers, networks and volumes.
    pub fn down(&mut self) -> Result<()> {
        self.left_behind = true;
        self.project.down()
    }

    pub fn leave(&mut self) {
        self.left_behind = true;
    }

    fn wait_until_it_answers(&self, part: Part) -> Result<()> {
        let start = Instant::now();
        for probe in probes(part, &self.ports) {
            while let Err(silence) = probe.ask() {
                if start.elapsed() > START_PATIENCE {
                    self.project.run(&["logs", "--tail", "20", part.name()])?;
                    bail!("{part} does not answer: {silence}");
                }
                interrupt::check()?;
                thread::sleep(POLL);
            }
        }
        Ok(())
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        if !self.left_behind
            && let Err(error) = self.project.down()
        {
            eprintln!("the containers of {} may still run: {error:#}", self.project.name);
        }
    }
}

/// What tells that a part is usable.
pub fn probes(part: Part, ports: &Ports) -> Vec<Probe> {
    match part {
        Part::Kafka => vec![Probe::Kafka(ports.kafka)],
        Part::Redis => vec![Probe::Redis(ports.redis)],
        Part::RedisCluster => ports.cluster.map(Probe::Redis).into(),
        Part::Cassandra => vec![Probe::Cql(ports.cql)],
    }
}

/// How to address the project of a run; needs no more than the run's directory, so `services down` can use it as well.
#[derive(Debug)]
pub struct Project {
    name: String,
    file: PathBuf,
    environment: PathBuf,
}

impl Project {
    pub fn of_run(run: &Path) -> Result<Self> {
        let name =
            run.file_name().and_then(|name| name.to_str()).context("the run's directory has no name")?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace has no root")?;
        Ok(Self {
            name: format!("shopsmart-{name}"),
            file: root.join(FILE),
            environment: run.join("compose.env"),
        })
    }

    pub fn down(&self) -> Result<()> {
        self.run(&["down", "--volumes", "--timeout", "15"])
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        let status = Command::new("docker")
            .args(["compose", "--project-name", &self.name, "--file"])
            .arg(&self.file)
            .arg("--env-file")
            .arg(&self.environment)
            .args(arguments)
            .stdin(Stdio::null())
            .status()
            .context("cannot run docker compose")?;
        ensure!(status.success(), "docker compose {} failed with {status}", arguments[0]);
        Ok(())
    }
}

/// Tells the broker in its container of the user who proves a password by SCRAM.
fn kafka_user(ports: &Ports) -> Vec<String> {
    let (broker, password) =
        (format!("localhost:{}", ports.kafka), format!("{}=[password={PASSWORD}]", kafka::SCRAM));
    let words = ["exec", "-T", "kafka", "/opt/kafka/bin/kafka-configs.sh", "--bootstrap-server", &broker];
    let change = ["--alter", "--entity-type", "users", "--entity-name", USER, "--add-config", &password];
    words.into_iter().chain(change).map(str::to_owned).collect()
}

/// The variables that the compose file asks for.
fn variables(cassandra_heap_mib: u32, ports: &Ports, tls: &Files) -> String {
    let [first, second, third, replica] = ports.cluster;
    let [first_bus, second_bus, third_bus, replica_bus] = ports.cluster_bus;
    format!(
        "TEST_KAFKA_PORT={}
TEST_KAFKA_SECURED_PORT={}
TEST_KAFKA_BEHIND_PORT={}
TEST_KAFKA_FRONT_PORT={}
TEST_REDIS_PORT={}
TEST_REDIS_SECURED_PORT={}
TEST_CLUSTER_PORT_0={first}
TEST_CLUSTER_PORT_1={second}
TEST_CLUSTER_PORT_2={third}
TEST_CLUSTER_PORT_3={replica}
TEST_CLUSTER_BUS_0={first_bus}
TEST_CLUSTER_BUS_1={second_bus}
TEST_CLUSTER_BUS_2={third_bus}
TEST_CLUSTER_BUS_3={replica_bus}
TEST_CQL_PORT={}
TEST_CASSANDRA_HEAP_MIB={cassandra_heap_mib}
TEST_USER={USER}
TEST_PASSWORD={PASSWORD}
TEST_TLS={tls}
",
        ports.kafka,
        ports.kafka_secured,
        ports.kafka_behind,
        ports.kafka_front,
        ports.redis,
        ports.redis_secured,
        ports.cql,
        tls = tls.directory().display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compose_file_asks_for_no_variable_that_is_not_given() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(FILE);
        let text = fs::read_to_string(file).unwrap();
        let given = variables(1_024, &Ports::pick().unwrap(), &Files::of_run(Path::new("/run")));
        let asked: Vec<&str> = text.split("${").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        assert!(!asked.is_empty());
        for name in asked {
            assert!(given.lines().any(|line| line.starts_with(&format!("{name}="))), "{name} is not given");
        }
    }
}
