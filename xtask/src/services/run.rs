//! A run: a directory below `target/services` with the servers' data, logs and pid files, and a record of who owns it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::compose::{Project, probes};
use super::ports::{Ports, random};
use super::probe::Probe;
use super::process::{command_line, end_by_pid_file};
use super::server::STOP_PATIENCE;
use super::{Backend, Part};

const RECORD: &str = "run.json";
/// The file with the variables of the background run; its presence says that there is one.
const ENVIRONMENT: &str = "env";

/// How long servers live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lifetime {
    /// As long as the value that started them.
    Private,
    /// Until `services down`.
    Background,
}

/// What has to be known about a run after its owner is gone.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    owner: i32,
    lifetime: Lifetime,
    backend: Backend,
    parts: Vec<String>,
    ports: Ports,
}

/// A run of this process.
#[derive(Debug)]
pub struct Run {
    directory: PathBuf,
    lifetime: Lifetime,
    keep: bool,
}

impl Run {
    /// Makes the directory and its record.
    pub fn create(
        services: &Path,
        backend: Backend,
        parts: &[Part],
        ports: &Ports,
        lifetime: Lifetime,
    ) -> Result<Self> {
        let directory = services.join(format!("run-{:x}", random(0) & 0xff_ffff_ffff));
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let record = Record {
            owner: process::id() as i32,
            lifetime,
            backend,
            parts: parts.iter().map(|part| part.name().to_owned()).collect(),
            ports: *ports,
        };
        fs::write(directory.join(RECORD), serde_json::to_vec_pretty(&record)?)?;
        Ok(Self { directory, lifetime, keep: lifetime == Lifetime::Background })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub const fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// Leaves logs and data where they are when this value is dropped.
    pub const fn keep_for_inspection(&mut self) {
        self.keep = true;
    }

    /// Makes this the run that `services env` and `services down` speak of.
    pub fn publish(&self, variables: &[(&'static str, String)]) -> Result<()> {
        let text: String = variables.iter().map(|(name, value)| format!("export {name}={value}\n")).collect();
        fs::write(self.directory.join(ENVIRONMENT), &text)?;
        let services = self.directory.parent().context("the run has no parent directory")?;
        fs::write(services.join(ENVIRONMENT), text)?;
        Ok(())
    }

    /// Removes logs and data now, unless they were asked for.
    pub fn remove(&mut self) -> Result<()> {
        if self.keep {
            return Ok(());
        }
        self.keep = true;
        fs::remove_dir_all(&self.directory)
            .with_context(|| format!("cannot remove {}", self.directory.display()))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.keep {
            // What stays behind is swept by the next run.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// A run that lives in the background.
#[derive(Debug)]
pub struct BackgroundRun {
    directory: PathBuf,
    record: Record,
}

impl BackgroundRun {
    /// The lines that `services up` printed.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn exports(&self) -> Result<String> {
        let file = self.directory.join(ENVIRONMENT);
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    }

    /// Every part with whether it answers.
    pub fn status(&self) -> Vec<(Part, bool)> {
        let answers =
            |part: Part| probes(part, &self.record.ports).into_iter().all(|probe| probe.ask().is_ok());
        self.parts().map(|part| (part, answers(part))).collect()
    }

    /// The parts that nobody serves any more: where they should be, connections are refused. One that is only slow is not
    /// among them.
    pub fn dead(&self) -> Vec<Part> {
        let refuses =
            |probe: Probe| probe.ask().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        self.parts().filter(|&part| probes(part, &self.record.ports).into_iter().any(refuses)).collect()
    }

    fn parts(&self) -> impl Iterator<Item = Part> {
        let started = |part: &Part| self.record.parts.iter().any(|name| name == part.name());
        Part::ALL.into_iter().filter(started)
    }

    /// The directory with data and logs.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Ends the servers and removes their data.
    ///
    /// # Errors
    /// When an engine refuses or the data cannot be removed.
    pub fn down(self) -> Result<()> {
        if let Some(services) = self.directory.parent() {
            let _ = fs::remove_file(services.join(ENVIRONMENT));
        }
        end(&self.directory, &self.record)
    }
}

/// The run that `services up` left behind, if any.
pub fn background(services: &Path) -> Result<Option<BackgroundRun>> {
    let runs = runs(services)?.into_iter();
    let background = |(_, record): &(PathBuf, Record)| record.lifetime == Lifetime::Background;
    let found = runs.filter(background).find(|(directory, _)| directory.join(ENVIRONMENT).exists());
    Ok(found.map(|(directory, record)| BackgroundRun { directory, record }))
}

/// Ends servers whose owner was killed before it could, and removes their data. Runs in the background and runs of
/// living processes are left alone.
///
/// # Errors
/// When an engine refuses or data cannot be removed.
pub fn reap_abandoned(services: &Path) -> Result<()> {
    for (directory, record) in runs(services)? {
        let published = record.lifetime == Lifetime::Background && directory.join(ENVIRONMENT).exists();
        let owned = rustix::process::Pid::from_raw(record.owner).and_then(command_line).is_some();
        if !published && !owned {
            end(&directory, &record)?;
        }
    }
    Ok(())
}

fn runs(services: &Path) -> Result<Vec<(PathBuf, Record)>> {
    let Ok(entries) = fs::read_dir(services) else { return Ok(Vec::new()) };
    let mut runs = Vec::new();
    for entry in entries {
        let directory = entry?.path();
        // A directory without a readable record is still being made, or already being removed.
        let record = fs::read(directory.join(RECORD)).ok().and_then(|raw| serde_json::from_slice(&raw).ok());
        runs.extend(record.map(|record| (directory, record)));
    }
    Ok(runs)
}

fn end(directory: &Path, record: &Record) -> Result<()> {
    match record.backend {
        Backend::Compose => Project::of_run(directory)?.down()?,
        Backend::Packages => {
            let files = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
            let pids: Vec<_> =
                files.filter(|file| file.extension().is_some_and(|end| end == "pid")).collect();
            std::thread::scope(|scope| {
                for file in &pids {
                    scope.spawn(move || end_by_pid_file(file, directory, STOP_PATIENCE));
                }
            });
        }
    }
    fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))
}
