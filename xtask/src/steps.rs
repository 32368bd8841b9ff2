//! Running one step after the other, with one line each that says how long it took.

use std::error::Error;
use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::interrupt;

const POLL: Duration = Duration::from_millis(20);

/// Runs a command as a step. Its output goes straight through; the closing line goes to stderr.
///
/// # Errors
/// When the command cannot be run or fails, or when this process was asked to end (the command is ended first).
pub fn run(title: &str, command: &mut Command) -> Result<()> {
    timed(title, || {
        let status = wait(command)?;
        if status.success() { Ok(()) } else { Err(StepFailed { title: title.to_owned(), status }.into()) }
    })
}

/// A command ran and was not content.
#[derive(Debug)]
pub struct StepFailed {
    title: String,
    status: ExitStatus,
}

impl StepFailed {
    /// The command's exit code, for this process to end with; none when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

impl fmt::Display for StepFailed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.title, self.status)
    }
}

impl Error for StepFailed {}

/// Does some work as a step.
///
/// # Errors
/// Those of the work.
pub fn timed<T>(title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = work();
    let verdict = if result.is_ok() { "ok" } else { "FAILED" };
    eprintln!("xtask: {title}: {verdict} ({:.1} s)", start.elapsed().as_secs_f64());
    result
}

fn wait(command: &mut Command) -> Result<ExitStatus> {
    // A group of its own, so that its whole family can be ended: cargo dies of a signal, the test it runs would not.
    let child = command.process_group(0).spawn();
    let mut child = child.with_context(|| format!("cannot run {}", command.get_program().display()))?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if let Err(interrupted) = interrupt::check() {
            end_family(&mut child);
            return Err(interrupted);
        }
        thread::sleep(POLL);
    }
}

fn end_family(child: &mut Child) {
    const PATIENCE: Duration = Duration::from_secs(5);
    let group = Pid::from_raw(child.id() as i32);
    let signal = |signal| group.map(|group| kill_process_group(group, signal));
    signal(Signal::TERM);
    let start = Instant::now();
    while matches!(child.try_wait(), Ok(None)) && start.elapsed() < PATIENCE {
        thread::sleep(POLL);
    }
    // Also for those members that outlived their parent.
    signal(Signal::KILL);
    let _ = child.wait();
}
