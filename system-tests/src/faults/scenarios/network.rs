//! Faults between programs and servers.

use super::super::site::Site;
use crate::proxy::Proxy;
use anyhow::{Context, Result};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How late everything is, in each direction.
const DELAY: Duration = Duration::from_millis(30);
/// What a connection carries, in each direction. The slowest link has to carry the load still.
const BYTES_PER_SECOND: u32 = 400_000;
const CUTS: u32 = 5;

/// Late, slow, cut, and silent.
pub async fn bad(site: &mut Site<'_>) -> Result<()> {
    let network = site.network.take().context("there are no proxies")?;
    let outage = site.settings.outage;
    site.fault_begins();
    network.each(|proxy| proxy.delay(DELAY));
    sleep(outage).await;
    network.each(|proxy| proxy.throttle(BYTES_PER_SECOND));
    sleep(outage).await;
    network.each(Proxy::resume);
    for _ in 0..CUTS {
        network.each(Proxy::cut);
        sleep(outage / CUTS).await;
    }
    network.kafka.silence();
    sleep(outage).await;
    network.kafka.resume();
    let recovered = site.recovered(Instant::now()).await;
    site.network = Some(network);
    recovered
}
