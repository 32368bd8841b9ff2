//! The variables through which tests find the servers.
//!
//! A test that finds its variable absent skips with one clear line, unless `CI` is set: there it fails, because a
//! promise nobody checked must not look green.

use std::path::Path;

use super::Part;
use super::ports::Ports;
use super::tls;

/// `host:port` of a Kafka broker.
pub const KAFKA: &str = "SHOPSMART_TEST_KAFKA";
/// `host:port` of the same broker, with TLS and a password (SASL).
pub const KAFKA_SECURED: &str = "SHOPSMART_TEST_KAFKA_SECURED";
/// `host:port` of the same broker, for a proxy to pass on to. It sends clients to [`KAFKA_FRONT`].
pub const KAFKA_BEHIND: &str = "SHOPSMART_TEST_KAFKA_BEHIND";
/// `host:port` where that proxy has to listen.
pub const KAFKA_FRONT: &str = "SHOPSMART_TEST_KAFKA_FRONT";
/// `redis://host:port` of a single Redis.
pub const REDIS: &str = "SHOPSMART_TEST_REDIS";
/// `rediss://host:port` of the same Redis, with TLS.
pub const REDIS_SECURED: &str = "SHOPSMART_TEST_REDIS_SECURED";
/// Comma-separated `redis://host:port` of the primaries of a Redis Cluster. The first has a replica.
pub const REDIS_CLUSTER: &str = "SHOPSMART_TEST_REDIS_CLUSTER";
/// `host:port` of a node that speaks CQL, with TLS and without. It asks for the password of its first role.
pub const CASSANDRA: &str = "SHOPSMART_TEST_CQL";
/// A directory with `ca.pem`, the authority that signed the servers' certificate, and `stranger.pem`, which signed nothing.
pub const TLS: &str = "SHOPSMART_TEST_TLS";

/// The variables of the given parts.
pub fn variables(ports: &Ports, parts: &[Part], run: &Path) -> Vec<(&'static str, String)> {
    let cluster = || {
        let [first, second, third, _replica] = ports.cluster;
        [first, second, third].map(|port| format!("redis://127.0.0.1:{port}")).join(",")
    };
    let of_part = |part: &Part| match part {
        Part::Kafka => vec![
            (KAFKA, format!("127.0.0.1:{}", ports.kafka)),
            (KAFKA_SECURED, format!("127.0.0.1:{}", ports.kafka_secured)),
            (KAFKA_BEHIND, format!("127.0.0.1:{}", ports.kafka_behind)),
            (KAFKA_FRONT, format!("127.0.0.1:{}", ports.kafka_front)),
        ],
        Part::Redis => vec![
            (REDIS, format!("redis://127.0.0.1:{}", ports.redis)),
            (REDIS_SECURED, format!("rediss://127.0.0.1:{}", ports.redis_secured)),
        ],
        Part::RedisCluster => vec![(REDIS_CLUSTER, cluster())],
        Part::Cassandra => vec![(CASSANDRA, format!("127.0.0.1:{}", ports.cql))],
    };
    let directory = tls::Files::of_run(run).directory().display().to_string();
    parts.iter().flat_map(of_part).chain([(TLS, directory)]).collect()
}
