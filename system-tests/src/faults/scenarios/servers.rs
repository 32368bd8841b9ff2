//! Faults of the servers.

use super::super::site::Site;
use anyhow::Result;
use tokio::time::{Instant, sleep};
use xtask::services::Part;

/// The broker ends in order and starts on what it had; then it stands still.
pub async fn broker_stopped(site: &mut Site<'_>) -> Result<()> {
    site.fault_begins();
    site.servers_do(|servers| servers.stop(Part::Kafka))?;
    sleep(site.settings.outage).await;
    site.servers_do(|servers| servers.start_again(Part::Kafka))?;
    site.recovered(Instant::now()).await?;

    site.servers_do(|servers| servers.pause(Part::Kafka))?;
    sleep(site.settings.outage).await;
    site.servers_do(|servers| servers.resume(Part::Kafka))?;
    site.recovered(Instant::now()).await
}

/// Nobody tells the processor.
pub async fn redis_emptied(site: &mut Site<'_>) -> Result<()> {
    let begun = site.fault_begins();
    site.servers.redis_command("FLUSHALL")?;
    site.undegraded().await?;
    site.recovered(begun).await
}

/// It keeps nothing on disk: what comes back is empty.
pub async fn redis_stopped(site: &mut Site<'_>) -> Result<()> {
    site.fault_begins();
    site.servers_do(|servers| servers.kill(Part::Redis))?;
    sleep(site.settings.outage).await;
    site.servers_do(|servers| servers.start_again(Part::Redis))?;
    let back = Instant::now();
    site.undegraded().await?;
    site.recovered(back).await
}

/// What had not reached the replica is lost.
pub async fn redis_failover(site: &mut Site<'_>) -> Result<()> {
    let begun = site.fault_begins();
    site.servers_do(|servers| servers.kill_first_primary())?;
    site.recovered(begun).await?;
    site.undegraded().await?;
    site.servers_do(|servers| servers.start_again(Part::RedisCluster))
}

/// It stands still; then it ends in order and starts on what it had.
pub async fn cassandra_stopped(site: &mut Site<'_>) -> Result<()> {
    site.fault_begins();
    site.servers_do(|servers| servers.pause(Part::Cassandra))?;
    sleep(site.settings.outage).await;
    site.servers_do(|servers| servers.resume(Part::Cassandra))?;
    site.recovered(Instant::now()).await?;

    site.servers_do(|servers| servers.stop(Part::Cassandra))?;
    sleep(site.settings.outage).await;
    site.servers_do(|servers| servers.start_again(Part::Cassandra))?;
    site.recovered(Instant::now()).await
}
