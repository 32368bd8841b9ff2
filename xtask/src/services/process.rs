//! Processes by their id: is it alive, is it ours, end it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How often a waiting loop looks again.
pub const POLL: Duration = Duration::from_millis(50);

/// Ends the process of a pid file, if it still runs and its command line names `mark`. The mark keeps a recycled id
/// from hitting a stranger. SIGTERM first, SIGKILL when `patience` is over.
pub fn end_by_pid_file(file: &Path, mark: &Path, patience: Duration) {
    if let Some(pid) = running(file, mark) {
        signal(pid, Signal::TERM);
        let start = Instant::now();
        while running(file, mark).is_some() {
            if start.elapsed() > patience {
                signal(pid, Signal::KILL);
                break;
            }
            thread::sleep(POLL);
        }
    }
    // A file that stays behind is harmless: its mark no longer matches.
    let _ = fs::remove_file(file);
}

/// The process of a pid file, if it is alive and its command line names `mark`.
pub fn running(file: &Path, mark: &Path) -> Option<Pid> {
    let pid = fs::read_to_string(file).ok()?.trim().parse().ok().and_then(Pid::from_raw)?;
    let mark = mark.to_str()?;
    command_line(pid)?.contains(mark).then_some(pid)
}

/// Sends a signal; a process that is gone already is what the caller wanted.
pub fn signal(pid: Pid, signal: Signal) {
    let _ = kill_process(pid, signal);
}

/// The command line of a process; `None` when it is gone, empty when it is a zombie.
pub fn command_line(pid: Pid) -> Option<String> {
    let pid = pid.as_raw_nonzero();
    if Path::new("/proc/self/cmdline").exists() {
        let raw = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&raw).replace('\0', " "));
    }
    let output = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
