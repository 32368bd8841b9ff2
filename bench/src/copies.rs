//! Two copies of the stream processor beside one, on real servers: what sharing the work costs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use system_tests::program::{Program, free_address, get};

use crate::cpu::CpuSeconds;
use crate::real::{Bench, Effort, PARTITIONS};
use crate::report::Figure;
use crate::servers;
use crate::workload::Workload;

/// Partitions of both stages.
const ALL_PARTITIONS: usize = 2 * PARTITIONS as usize;
/// For how long copies may take to share the partitions, and then to work.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(50);

/// What it cost to process the events as they came.
struct Spent {
    micros_per_event: f64,
    events_per_second: f64,
}

/// CPU time per event of two copies together beside one. On a machine with cores for both, two work through
/// 2 × one ÷ two of that as much in the same time.
///
/// # Errors
/// When a copy fails.
pub async fn measure(workload: &Workload, effort: Effort) -> Result<Vec<Figure>> {
    let one = with_copies(1, workload, effort).await?;
    let two = with_copies(2, workload, effort).await?;
    Ok(vec![
        Figure::beside(
            "copies: CPU per event of two processors, beside that of one",
            two.micros_per_event,
            one.micros_per_event,
            "µs",
            "1.25 × one",
        ),
        Figure::beside(
            "copies: events per second of two on this machine, beside one",
            two.events_per_second,
            one.events_per_second,
            "1/s",
            "",
        ),
    ])
}

async fn with_copies(copies: usize, workload: &Workload, effort: Effort) -> Result<Spent> {
    let bench = Bench::new(effort).await?;
    let mut running: Vec<(Program, SocketAddr)> = Vec::new();
    for number in 0..copies {
        let address = free_address()?;
        running.push((bench.installation().start_copy(number, address)?, address));
    }
    // Each has its share.
    until(&running, |reports| {
        let owned: Vec<usize> =
            reports.iter().map(|report| report["partitions"].as_array().map_or(0, Vec::len)).collect();
        owned.iter().sum::<usize>() == ALL_PARTITIONS && owned.iter().all(|&owned| owned > 0)
    })
    .await?;
    let events = workload.clicks.len() as u64;
    let (begun, before) = (Instant::now(), cpu(&running)?);
    bench.fill(workload).await?;
    until(&running, |reports| reports.iter().map(servers::outcomes).sum::<u64>() >= events).await?;
    Ok(Spent {
        micros_per_event: (cpu(&running)? - before) * 1e6 / events as f64,
        events_per_second: events as f64 / begun.elapsed().as_secs_f64(),
    })
}

/// Waits until what `/admin/lag` of all copies says is enough.
async fn until(
    running: &[(Program, SocketAddr)],
    enough: impl Fn(&[serde_json::Value]) -> bool,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        let mut reports = Vec::new();
        for (_, address) in running {
            reports.extend(get(&format!("http://{address}/admin/lag")).await);
        }
        if reports.len() == running.len() && enough(&reports) {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "waited in vain for {} copies: {reports:?}", running.len());
        tokio::time::sleep(LOOK).await;
    }
}

fn cpu(running: &[(Program, SocketAddr)]) -> Result<f64> {
    running.iter().map(|(program, _)| Ok(CpuSeconds::of(program.id())?.0)).sum()
}
