//! A Redis Cluster of three primaries without replicas.

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

/// Starts three servers and makes a cluster of them.
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
"
        );
        servers.push(start_node(program, &format!("redis-cluster-{index}"), port, &extra, run)?);
    }
    form(ports)?;
    Ok(servers)
}

/// Gives each of three empty servers its slots, introduces them, and waits until all three agree that all is well.
///
/// # Errors
/// When a server refuses or they do not agree in time.
pub fn form(ports: &Ports) -> Result<()> {
    for (index, (&port, (first, last))) in ports.cluster.iter().zip(SLOTS).enumerate() {
        // Without an epoch of its own each, nodes that meet have to argue about it first.
        command(port, &format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1))?;
        command(port, &format!("CLUSTER ADDSLOTSRANGE {first} {last}"))?;
    }
    for (&port, &bus) in ports.cluster.iter().zip(&ports.cluster_bus).skip(1) {
        command(ports.cluster[0], &format!("CLUSTER MEET 127.0.0.1 {port} {bus}"))?;
    }
    wait_until_formed(ports)
}

/// Waits until every node knows of all three and of all slots.
///
/// # Errors
/// When they do not agree in time.
pub fn wait_until_formed(ports: &Ports) -> Result<()> {
    let start = Instant::now();
    for port in ports.cluster {
        loop {
            let info = command(port, "CLUSTER INFO").unwrap_or_else(|error| error.to_string());
            let holds = |line: &str| info.lines().any(|other| other == line);
            if holds("cluster_state:ok") && holds("cluster_known_nodes:3") && holds("cluster_size:3") {
                break;
            }
            if start.elapsed() > PATIENCE {
                bail!("the Redis Cluster does not form; the node at port {port} says:\n{info}");
            }
            interrupt::check()?;
            thread::sleep(POLL);
        }
    }
    Ok(())
}

fn command(port: u16, command: &str) -> Result<String> {
    redis_command(port, command).with_context(|| format!("the Redis Cluster node at port {port} refuses"))
}
