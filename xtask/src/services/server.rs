//! One server process: started with its log and pid file, watched until it answers, ended by its own id.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

use super::probe::Probe;
use super::process::{self, POLL};
use crate::interrupt;

/// How long a server may take from SIGTERM to its end.
pub const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// Generous: the slowest of them needs 15 s on two quiet cores, and a build machine is not quiet.
const START_PATIENCE: Duration = Duration::from_secs(180);
const LOG_LINES_SHOWN: usize = 20;

/// How to run a server.
#[derive(Debug)]
pub struct Spec {
    /// Unique within the run; names the log and the pid file.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments; one of them has to name a file of the run, so that the process can be told from others.
    pub arguments: Vec<OsString>,
    /// The directory of the run.
    pub run: PathBuf,
    /// What tells that the server is usable.
    pub probe: Probe,
}

/// A server that may be running.
#[derive(Debug)]
pub struct Server {
    spec: Spec,
    child: Option<Child>,
    left_behind: bool,
}

impl Server {
    /// Starts the process and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be run, ends early or stays silent; the message shows the end of its log.
    pub fn start(spec: Spec) -> Result<Self> {
        let mut server = Self { spec, child: None, left_behind: false };
        server.start_again()?;
        Ok(server)
    }

    /// As [`Server::start`], for a server that was stopped or killed. Does nothing while it runs.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_again(&mut self) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let name = &self.spec.name;
        let log = File::options().create(true).append(true).open(self.log())?;
        let child = Command::new(&self.spec.program)
            .args(&self.spec.arguments)
            .current_dir(&self.spec.run)
            // Its own group: a Ctrl-C at the terminal must reach the tests first, not the servers below them.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {} for {name}", self.spec.program.display()))?;
        fs::write(pid_file(&self.spec.run, name), child.id().to_string())?;
        self.child = Some(child);
        self.wait_until_it_answers()
    }

    /// Ends the process, if it runs: SIGTERM, and SIGKILL when it does not listen.
    pub fn stop(&mut self) {
        self.ask_to_stop();
        self.wait_until_gone();
    }

    /// Sends SIGTERM and does not wait, so that several servers can end at the same time. Spares a server that is
    /// meant to live on.
    pub fn ask_to_stop(&self) {
        if !self.left_behind {
            self.signal(Signal::TERM);
            // A paused process hears nothing.
            self.resume();
        }
    }

    /// Lets the process stand still (SIGSTOP): its connections stay open, and nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends the process without warning.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait_until_gone();
    }

    /// Lets the process live on when this value is dropped.
    pub fn leave(&mut self) {
        self.left_behind = true;
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.as_ref().and_then(|child| Pid::from_raw(child.id() as i32)) {
            process::signal(pid, signal);
        }
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            let Err(silence) = self.spec.probe.ask() else { return Ok(()) };
            let name = &self.spec.name;
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                self.child = None;
                bail!("{name} ended with {status} while starting\n{}", self.end_of_log());
            }
            if start.elapsed() > START_PATIENCE {
                bail!("{name} does not answer ({silence})\n{}", self.end_of_log());
            }
            interrupt::check()?;
            thread::sleep(POLL);
        }
    }

    fn wait_until_gone(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let start = Instant::now();
        while matches!(child.try_wait(), Ok(None)) {
            if start.elapsed() > STOP_PATIENCE {
                // Either fails only for a process that is gone.
                let _ = child.kill();
                let _ = child.wait();
                break;
            }
            thread::sleep(POLL);
        }
        let _ = fs::remove_file(pid_file(&self.spec.run, &self.spec.name));
    }

    fn log(&self) -> PathBuf {
        self.spec.run.join(format!("{}.log", self.spec.name))
    }

    fn end_of_log(&self) -> String {
        let path = self.log();
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        format!("the end of {}:\n{}", path.display(), shown.join("\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.left_behind {
            self.stop();
        }
    }
}

/// Where the id of a server's process is kept.
pub fn pid_file(run: &Path, name: &str) -> PathBuf {
    run.join(format!("{name}.pid"))
}
