//! The variables through which tests find the servers.
//!
//! A test that finds its variable absent skips with one clear line, unless `CI` is set: there it fails, because a
//! promise nobody checked must not look green.

use super::Part;
use super::ports::Ports;

/// `host:port` of a Kafka broker.
pub const KAFKA: &str = "SHOPSMART_TEST_KAFKA";
/// `redis://host:port` of a single Redis.
pub const REDIS: &str = "SHOPSMART_TEST_REDIS";
/// Comma-separated `redis://host:port` of the primaries of a Redis Cluster.
pub const REDIS_CLUSTER: &str = "SHOPSMART_TEST_REDIS_CLUSTER";
/// `host:port` of a node that speaks CQL.
pub const CASSANDRA: &str = "SHOPSMART_TEST_CQL";

/// The variables of the given parts.
pub fn variables(ports: &Ports, parts: &[Part]) -> Vec<(&'static str, String)> {
    parts
        .iter()
        .map(|part| match part {
            Part::Kafka => (KAFKA, format!("127.0.0.1:{}", ports.kafka)),
            Part::Redis => (REDIS, format!("redis://127.0.0.1:{}", ports.redis)),
            Part::RedisCluster => {
                (REDIS_CLUSTER, ports.cluster.map(|port| format!("redis://127.0.0.1:{port}")).join(","))
            }
            Part::Cassandra => (CASSANDRA, format!("127.0.0.1:{}", ports.cql)),
        })
        .collect()
}
