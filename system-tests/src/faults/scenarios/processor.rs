//! Faults of our own programs.

use super::super::site::Site;
use anyhow::{Result, ensure};

/// How often ingest is killed.
const KILLS: u64 = 3;

/// Only measures.
pub async fn undisturbed(site: &mut Site<'_>) -> Result<()> {
    let begun = site.fault_begins();
    site.recovered(begun).await
}

/// The others take over from a copy that is dead for good; then one dies that comes back at once, under its own name.
pub async fn killed(site: &mut Site<'_>) -> Result<()> {
    let begun = site.fault_begins();
    site.kill_copy(0)?;
    site.recovered(begun).await?;
    site.start_copy(0).await?;
    site.all_owned().await?;

    let begun = site.fault_begins();
    site.kill_copy(1)?;
    site.start_copy(1).await?;
    site.recovered(begun).await
}

/// A copy stands still for so long that others take its partitions. It goes on with rows and updates in its hands that are
/// not its own any more.
pub async fn frozen(site: &mut Site<'_>) -> Result<()> {
    let begun = site.fault_begins();
    site.freeze_copy(0)?;
    site.all_owned().await?;
    site.recovered(begun).await?;
    site.thaw_copy(0)?;
    site.all_owned().await
}

/// Two more copies, and the first two leave.
pub async fn changed(site: &mut Site<'_>) -> Result<()> {
    for (comes, goes) in [(2, 0), (3, 1)] {
        let begun = site.fault_begins();
        site.start_copy(comes).await?;
        site.all_owned().await?;
        site.stop_copy(goes)?;
        site.recovered(begun).await?;
    }
    Ok(())
}

/// Whoever sends goes on until each event is acknowledged.
pub async fn ingest_killed(site: &mut Site<'_>) -> Result<()> {
    for kill in 0..KILLS {
        if !site.sender.waiting(site.plan().events()).await? {
            // Where the machine is slow, all are sent before it has come back so often.
            ensure!(kill > 0, "all events were sent before ingest was killed once");
            break;
        }
        let begun = site.fault_begins();
        site.ingest.kill()?;
        site.ingest = site.installation.start_ready("ingest").await?;
        let more = site.sender.acknowledged() + site.plan().events() / 20;
        site.sender.reached(more.min(site.plan().events())).await?;
        site.recovered(begun).await?;
    }
    Ok(())
}
