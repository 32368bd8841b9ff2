//! A Redis Cluster of three primaries, of which the first has a replica.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::ports::Ports;
use super::probe::redis_command;
use super::process::POLL;
use super::redis::start_node;
use super::server::Server;
use crate::interrupt;

/// The ranges of the 16,384 hash slots, one for each primary.
const SLOTS: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the servers and makes a cluster of them.
///
/// # Errors
/// When a server does not come up or the cluster does not form.
pub fn start(program: &Path, ports: &Ports, run: &Path) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for (index, (&port, &bus)) in ports.cluster.iter().zip(&ports.cluster_bus).enumerate() {
        let extra = format!(
            "cluster-enabled yes
cluster-config-file nodes.conf
cluster-port {bus}
cluster-announce-ip 127.0.0.1
cluster-node-timeout 2000
repl-diskless-sync-delay 0
"
        );
        servers.push(start_node(program, &format!("redis-cluster-{index}"), port, &extra, run)?);
    }
    form(ports)?;
    Ok(servers)
}

/// Gives each of three empty servers its slots, introduces all four, makes the last one a replica of the first, and waits
/// until all agree that all is well.
///
/// # Errors
/// When a server refuses or they do not agree in time.
pub fn form(ports: &Ports) -> Result<()> {
    for (index, (&port, (first, last))) in ports.cluster.iter().zip(SLOTS).enumerate() {
        // Without an epoch of its own each, nodes that meet have to argue about it first.
        command(port, &format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1))?;
        command(port, &format!("CLUSTER ADDSLOTSRANGE {first} {last}"))?;
    }
    let [first, .., replica] = ports.cluster;
    for (&port, &bus) in ports.cluster.iter().zip(&ports.cluster_bus).skip(1) {
        command(first, &format!("CLUSTER MEET 127.0.0.1 {port} {bus}"))?;
    }
    wait_until_formed(ports)?;
    command(replica, &format!("CLUSTER REPLICATE {}", command(first, "CLUSTER MYID")?.trim()))?;
    wait_for(replica, "INFO replication", &["role:slave", "master_link_status:up"])
}

/// Waits until every node knows of all four and of all slots.
///
/// # Errors
/// When they do not agree in time.
pub fn wait_until_formed(ports: &Ports) -> Result<()> {
    let formed = ["cluster_state:ok", "cluster_known_nodes:4", "cluster_size:3"];
    ports.cluster.into_iter().try_for_each(|port| wait_for(port, "CLUSTER INFO", &formed))
}

fn wait_for(port: u16, question: &str, wanted: &[&str]) -> Result<()> {
    let start = Instant::now();
    loop {
        let info = command(port, question).unwrap_or_else(|error| error.to_string());
        if wanted.iter().all(|wanted| info.lines().any(|line| line == *wanted)) {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            bail!("the Redis Cluster does not form; the node at port {port} says:\n{info}");
        }
        interrupt::check()?;
        thread::sleep(POLL);
    }
}

fn command(port: u16, command: &str) -> Result<String> {
    redis_command(port, command).with_context(|| format!("the Redis Cluster node at port {port} refuses"))
}
