//! What the servers beside our programs spend, and what our programs say of themselves.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use redis::aio::MultiplexedConnection;
use serde_json::Value;
use stores::cql::{CqlSettings, CqlStateStore};
use stores::{StateStore, Table};
use system_tests::given;

use crate::cpu::CpuSeconds;
use crate::report::median;

/// Variables that name the servers: Kafka, Redis and Cassandra.
const SERVERS: [&str; 3] = ["SHOPSMART_TEST_KAFKA", "SHOPSMART_TEST_REDIS", "SHOPSMART_TEST_CQL"];
/// Keys of a kind that are looked at.
const SAMPLE: usize = 500;

/// CPU time of Kafka, Redis and Cassandra together so far.
///
/// # Errors
/// When the process of one is not to be found.
pub fn cpu() -> Result<f64> {
    let mut sum = 0.0;
    for name in SERVERS {
        let address = given(name).with_context(|| format!("{name} is not set"))?;
        let port = address.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok());
        let port: u16 = port.with_context(|| format!("no port in {name}={address}"))?;
        let pid = listener(port)?.with_context(|| format!("nobody seems to listen on port {port}"))?;
        sum += CpuSeconds::of(pid)?.0;
    }
    Ok(sum)
}

/// The process that listens on a TCP port of this machine.
fn listener(port: u16) -> Result<Option<u32>> {
    const LISTEN: &str = "0A";
    let mut sockets = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, state, _, _, _, _, _, inode, ..] = fields[..] else { continue };
            let is_it =
                local.rsplit(':').next().and_then(|hex| u16::from_str_radix(hex, 16).ok()) == Some(port);
            if is_it && state == LISTEN {
                sockets.push(format!("socket:[{inode}]"));
            }
        }
    }
    for process in fs::read_dir("/proc")? {
        let Some(pid) = process?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended meanwhile, or be somebody else's.
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let mut links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        if links.any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str())) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// The sum over all series of a counter that the program at `address` exposes.
///
/// # Errors
/// When it does not answer.
pub async fn counter(address: SocketAddr, name: &str) -> Result<f64> {
    // A counter that was never increased is not there.
    Ok(sum_of(&metrics(address).await?, name).unwrap_or(0.0))
}

/// The sum over all series of a gauge that the program at `address` exposes.
///
/// # Errors
/// When it does not answer, or has no such gauge.
pub async fn gauge(address: SocketAddr, name: &str) -> Result<f64> {
    sum_of(&metrics(address).await?, name).with_context(|| format!("{address} exposes no {name}"))
}

async fn metrics(address: SocketAddr) -> Result<String> {
    Ok(reqwest::get(format!("http://{address}/metrics")).await?.error_for_status()?.text().await?)
}

fn sum_of(exposition: &str, name: &str) -> Option<f64> {
    let series = exposition.lines().filter_map(|line| line.strip_prefix(name));
    let values = series.filter(|rest| rest.starts_with(['{', ' ']));
    values.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).reduce(|sum, value| sum + value)
}

/// How many events have an outcome, as a processor's `/admin/lag` says.
pub fn outcomes(report: &Value) -> u64 {
    let by_kind = report["outcomes"].as_object().into_iter().flat_map(|outcomes| outcomes.values());
    by_kind.filter_map(Value::as_u64).sum()
}

/// Bytes of a row of a table, on average: key, version and state, without what the database adds or saves.
///
/// # Errors
/// When Cassandra does not answer, or has no row.
pub async fn cql_bytes(keyspace: &str, generation: u16, table: Table) -> Result<f64> {
    let settings = CqlSettings {
        contact_points: vec![given("SHOPSMART_TEST_CQL").context("no Cassandra")?],
        keyspace: keyspace.to_owned(),
        username: Some("cassandra".to_owned()),
        password: Some("cassandra".to_owned()),
        ..CqlSettings::default()
    };
    let mut rows = CqlStateStore::connect(settings)?.scan(table, generation).await?;
    let (mut count, mut bytes) = (0usize, 0usize);
    while let Some(row) = rows.recv().await {
        let row = row?;
        count += 1;
        bytes += row.key.len() + size_of::<u64>() + row.state.len();
    }
    anyhow::ensure!(count > 0, "no row of {table:?} in Cassandra");
    Ok(bytes as f64 / count as f64)
}

/// Bytes that a key which begins with `prefix` takes in Redis with its value, in the middle of a sample.
///
/// # Errors
/// When Redis does not answer, or has no such key.
pub async fn redis_bytes(prefix: &str) -> Result<f64> {
    let url = given("SHOPSMART_TEST_REDIS").context("no Redis")?;
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut bytes = Vec::new();
    for key in keys(&mut connection, prefix).await? {
        let size: Option<u64> =
            redis::cmd("MEMORY").arg("USAGE").arg(&key).query_async(&mut connection).await?;
        bytes.extend(size.map(|size| size as f64));
    }
    anyhow::ensure!(!bytes.is_empty(), "no key in Redis begins with {prefix}");
    Ok(median(bytes))
}

async fn keys(connection: &mut MultiplexedConnection, prefix: &str) -> Result<Vec<String>> {
    let (mut cursor, mut found) = (0u64, Vec::new());
    loop {
        let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}*"))
            .arg("COUNT")
            .arg(1_000)
            .query_async(connection)
            .await?;
        found.extend(keys);
        cursor = next;
        if cursor == 0 || found.len() >= SAMPLE {
            found.truncate(SAMPLE);
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn who_listens_is_found_by_the_port() {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(listener(port).unwrap(), Some(std::process::id()));
        drop(socket);
        assert_ne!(listener(port).unwrap(), Some(std::process::id()));
    }

    #[test]
    fn the_series_of_a_counter_are_summed_and_no_others() {
        let text = "# TYPE rows_total counter\nrows_total{stage=\"a\"} 3\nrows_total{stage=\"b\"} 4.5\nrows_total_seconds 9\n";
        assert!(sum_of(text, "rows_total").is_some_and(|sum| (sum - 7.5).abs() < 1e-9));
        assert_eq!(sum_of(text, "missing"), None);
    }
}
