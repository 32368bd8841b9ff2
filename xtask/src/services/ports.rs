//! Free ports on loopback.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// Below what operating systems hand out to outgoing connections (Linux from 32768, macOS from 49152). A client that
/// keeps trying to reach a stopped server would otherwise be given the server's own port one day, connect to itself,
/// and keep the server from coming back.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
const ATTEMPTS: u32 = 1_000;

/// Every port that a full set of servers listens on.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ports {
    /// Kafka's listener for clients.
    pub kafka: u16,
    /// Kafka's listener for clients with TLS and a password.
    pub kafka_secured: u16,
    /// Kafka's listener for what stands before it: clients that ask here are sent to `kafka_front`.
    pub kafka_behind: u16,
    /// Where nobody listens, until a test puts a proxy there.
    pub kafka_front: u16,
    /// Kafka's listener for its own controller.
    pub kafka_controller: u16,
    /// The single Redis.
    pub redis: u16,
    /// The same with TLS.
    pub redis_secured: u16,
    /// The Redis Cluster's listeners for clients: three primaries, then the replica of the first.
    pub cluster: [u16; 4],
    /// The Redis Cluster's listeners for its own nodes.
    pub cluster_bus: [u16; 4],
    /// Cassandra's CQL listener.
    pub cql: u16,
    /// Cassandra's listener for other nodes.
    pub cassandra_storage: u16,
}

impl Ports {
    /// Picks ports that nobody listens on at this moment.
    ///
    /// # Errors
    /// When the range is exhausted.
    pub fn pick() -> Result<Self> {
        let mut taken = BTreeSet::new();
        Ok(Self {
            kafka: free(&mut taken)?,
            kafka_secured: free(&mut taken)?,
            kafka_behind: free(&mut taken)?,
            kafka_front: free(&mut taken)?,
            kafka_controller: free(&mut taken)?,
            redis: free(&mut taken)?,
            redis_secured: free(&mut taken)?,
            cluster: four_free(&mut taken)?,
            cluster_bus: four_free(&mut taken)?,
            cql: free(&mut taken)?,
            cassandra_storage: free(&mut taken)?,
        })
    }
}

fn four_free(taken: &mut BTreeSet<u16>) -> Result<[u16; 4]> {
    Ok([free(taken)?, free(taken)?, free(taken)?, free(taken)?])
}

fn free(taken: &mut BTreeSet<u16>) -> Result<u16> {
    for attempt in 0..ATTEMPTS {
        let port = RANGE.start + (random(attempt) % u64::from(RANGE.end - RANGE.start)) as u16;
        if !taken.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            taken.insert(port);
            return Ok(port);
        }
    }
    bail!("no free port between {} and {}", RANGE.start, RANGE.end)
}

/// Differs between processes and calls: the standard library seeds every `RandomState` anew.
pub fn random(salt: u32) -> u64 {
    RandomState::new().hash_one(salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_below_the_range_of_outgoing_connections() {
        let ports = Ports::pick().unwrap();
        let Ports { kafka, kafka_secured, kafka_controller, redis, redis_secured, cql, .. } = ports;
        let one_each = [kafka, kafka_secured, kafka_controller, redis, redis_secured, cql];
        let around_a_proxy = [ports.kafka_behind, ports.kafka_front];
        let all: Vec<u16> = one_each
            .into_iter()
            .chain([ports.cassandra_storage])
            .chain(around_a_proxy)
            .chain(ports.cluster)
            .chain(ports.cluster_bus)
            .collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert!(all.iter().all(|port| RANGE.contains(port)));
    }
}
