//! The promises while real programs and servers break: the short form of `cargo xtask faults`, on servers of its own.

use anyhow::Result;
use std::path::Path;
use std::time::Duration;
use system_tests::faults::{Scenario, Settings, full_disk, print_table, run};
use system_tests::have;
use system_tests::servers::NEEDED;
use xtask::services::{Options, Services};
use xtask::workspace::Workspace;

/// What fits into some minutes.
const SMOKE: [Scenario; 9] = [
    Scenario::Undisturbed,
    Scenario::ProcessorKilled,
    Scenario::ProcessorFrozen,
    Scenario::IngestKilled,
    Scenario::RedisEmptied,
    Scenario::RedisStopped,
    Scenario::RedisFailover,
    Scenario::Network,
    Scenario::UserForgotten,
];
const RATE: u64 = 1_000;
const SECONDS: u64 = 10;
const OUTAGE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_loses_an_event_or_counts_one_twice() -> Result<()> {
    if !have(&NEEDED) {
        return Ok(());
    }
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
    let settings = Settings::new(RATE, SECONDS, OUTAGE, scratch);
    // Others use the servers that the environment names.
    let options = Options::private(Workspace::find()?.services_dir());
    let mut services = tokio::task::block_in_place(|| Services::start(&options))?;
    let (mut rows, mut reference) = (Vec::new(), None);
    for scenario in SMOKE {
        rows.push(run(&mut services, scenario, &settings, &mut reference).await);
    }
    rows.push(full_disk(&settings, reference.as_ref()).await);
    print_table(&rows);
    tokio::task::block_in_place(|| services.close())?;
    for row in &rows {
        if let Some(why) = &row.skipped {
            eprintln!("SKIPPED: {}: {why}", row.scenario);
        }
        assert!(row.is_kept(), "{}: {}", row.scenario, row.broken.join("; "));
    }
    Ok(())
}
