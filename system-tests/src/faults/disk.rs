//! A full disk under the embedded log, on a file system of its own.

use super::account::{Account, Contents};
use super::lag::Outcomes;
use super::load::{Load, Sender};
use super::report::Row;
use super::run::Settings;
use super::scenarios::Scenario;
use crate::program::{Program, digest, free_address, until, verify};
use crate::servers::{PARTITIONS, ready};
use anyhow::{Context, Result, ensure};
use event_log::embedded::{EmbeddedLog, open_database};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// How large the file system is.
const SIZE: &str = "256m";
/// When it becomes full, in hundredths of the events.
const FULL_AT: [u64; 2] = [25, 60];

/// A tmpfs that is unmounted when dropped.
#[derive(Debug)]
struct Disk(PathBuf);

impl Disk {
    /// `None` where mounting is not allowed, or unknown.
    fn mount(at: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).ok()?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs"]).arg(&at);
        let is_mounted =
            mount.stdin(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        is_mounted.then_some(Self(at))
    }

    /// Takes all the space that is left.
    fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.ballast())?;
        for size in [1 << 20, 1 << 12, 1] {
            let chunk = vec![0; size];
            while ballast.write_all(&chunk).is_ok() {}
        }
        Ok(())
    }

    /// Gives the space back.
    fn make_room(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What stays mounted shows in the next run, which cannot remove the folder.
        drop(Command::new("umount").arg(&self.0).status());
    }
}

/// Runs `shopsmart dev` until its disk is full, gives it space and starts it again, twice. Everything that was acknowledged has
/// to be there, and nothing twice.
pub async fn full_disk(settings: &Settings, reference: Option<&String>) -> Row {
    let name = Scenario::DiskFull.name();
    let prepared = settings.scratch_of(&name);
    let disk = prepared.as_ref().ok().and_then(|scratch| Disk::mount(scratch.join("disk")));
    let (Ok(scratch), Some(disk)) = (prepared, disk) else {
        return Row::skipped(&name, "a tmpfs cannot be mounted here");
    };
    let mut row = Row { scenario: name, ..Row::default() };
    match fill(&mut row, settings, &scratch, &disk).await {
        Ok(digest) => row.digest_equal = reference.map(|reference| *reference == digest),
        Err(error) => row.broken.push(format!("did not come to its end: {error:#}")),
    }
    row.judge();
    row
}

async fn fill(row: &mut Row, settings: &Settings, scratch: &Path, disk: &Disk) -> Result<String> {
    let (address, plan) = (free_address()?, settings.plan);
    let data = disk.0.join("data").to_string_lossy().into_owned();
    let (listen, partitions) = (address.to_string(), PARTITIONS.to_string());
    let arguments = ["dev", "--listen", &listen, "--data", &data, "--partitions", &partitions];
    let start = || Program::start("shopsmart", &arguments, scratch);
    let mut server = start()?;
    ready("the server", address).await?;
    let sender = Sender::new(address)?;
    let load = Load::start(plan, settings.rate, &sender, true);
    for share in FULL_AT {
        sender.reached(plan.events() * share / 100).await?;
        disk.fill()?;
        let status = server.wait().context("with a full disk")?;
        ensure!(!status.success(), "a full disk is no reason to end in order");
        disk.make_room()?;
        server = start()?;
        ready("the server", address).await?;
    }
    load.finish().await?;
    let acknowledged = sender.all_acknowledged();
    let url = format!("http://{address}/admin/lag");
    let outcomes = until("every event to have an outcome", &url, |report| {
        let counts = report["outcomes"].as_object()?;
        let counts = counts.iter().map(|(name, count)| (name.clone(), count.as_u64().unwrap_or_default()));
        let outcomes = Outcomes { counts: counts.collect() };
        (report["lag_records"] == 0 && outcomes.of("applied") >= acknowledged.len() as u64)
            .then_some(outcomes)
    })
    .await?;
    server.stop()?;

    let log = EmbeddedLog::open(open_database(Path::new(&data))?, Arc::new(|| 0))?;
    let contents = Contents::read(&log, "events").await?;
    drop(log);
    (row.acknowledged, row.records) = (acknowledged.len() as u64, contents.records);
    let account = Account::of(&acknowledged, &contents, &outcomes);
    (row.lost, row.counted_twice) = (account.lost, account.counted_twice);
    let target = ["--data", data.as_str()];
    match verify(&target) {
        Ok(()) => row.verified = true,
        Err(error) => row.broken.push(format!("{error:#}")),
    }
    digest(&target)
}
