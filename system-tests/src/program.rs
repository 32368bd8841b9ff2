//! One of our programs as a child process.

use crate::given;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A running program, killed when dropped. What it says goes to a file.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

/// A command of ours with arguments.
pub fn command(name: &str, arguments: &[&str]) -> Command {
    let folder = given("SHOPSMART_TEST_BIN").expect("checked by the test");
    let mut command = Command::new(Path::new(&folder).join(name));
    // A backtrace would drown the message that a test looks for.
    command.args(arguments).env("RUST_BACKTRACE", "0");
    command
}

impl Program {
    /// Starts it; `scratch` takes its log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, arguments: &[&str], scratch: &Path) -> Result<Self> {
        Self::start_as(name, name, arguments, &[], scratch)
    }

    /// As [`Program::start`], with variables for its environment and a name of its own for its log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_as(
        label: &str,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, String)],
        scratch: &Path,
    ) -> Result<Self> {
        let log = scratch.join(format!("{label}.log"));
        let out = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let child = command(name, arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// As `kill -9` does.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end in order, and waits for it.
    ///
    /// # Errors
    /// When it does not end, or not in order.
    pub fn stop(&mut self) -> Result<()> {
        self.signal("-TERM")?;
        self.end_in_order()
    }

    fn end_in_order(&mut self) -> Result<()> {
        let status = self.wait()?;
        ensure!(status.success(), "{} ended with {status}: {}", self.name, self.said());
        Ok(())
    }

    /// As Ctrl-C does, and waits for it to end in order.
    ///
    /// # Errors
    /// When it does not end, or not in order.
    pub fn interrupt(&mut self) -> Result<()> {
        self.signal("-INT")?;
        self.end_in_order()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When its state cannot be known.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Lets it stand still, as a machine that is out of memory or cut off does.
    ///
    /// # Errors
    /// When it is gone.
    pub fn freeze(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn thaw(&self) -> Result<()> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "kill {signal} failed");
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("{} does not end: {}", self.name, self.said())
    }

    /// The end of what it said.
    pub fn said(&self) -> String {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let from = said.len().saturating_sub(4_000);
        said[said.ceil_char_boundary(from)..].to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a program to its end and gives what it printed.
///
/// # Errors
/// When it cannot be started.
pub fn run(name: &str, arguments: &[&str]) -> Result<Output> {
    command(name, arguments).stdin(Stdio::null()).output().with_context(|| format!("cannot run {name}"))
}

/// What `shopsmart state digest` prints, and that `state verify` finds everything equal.
///
/// # Errors
/// When the digest cannot be had or the state is not proven.
pub fn proven_digest(target: &[&str]) -> Result<String> {
    let digest = digest(target)?;
    verify(target)?;
    Ok(digest)
}

/// What `shopsmart state digest` prints.
///
/// # Errors
/// When it fails.
pub fn digest(target: &[&str]) -> Result<String> {
    let digest = run("shopsmart", &[&["state", "digest"], target].concat())?;
    ensure!(digest.status.success(), "no digest: {}", String::from_utf8_lossy(&digest.stderr));
    Ok(String::from_utf8(digest.stdout)?.trim().to_owned())
}

/// Runs `shopsmart state verify`.
///
/// # Errors
/// When the state is not proven; what was said is in the message.
pub fn verify(target: &[&str]) -> Result<()> {
    let verify = run("shopsmart", &[&["state", "verify"], target].concat())?;
    let said = String::from_utf8_lossy(&verify.stdout);
    ensure!(verify.status.success(), "not proven: {said}{}", String::from_utf8_lossy(&verify.stderr));
    ensure!(said.lines().any(|line| line == "equal"), "not proven: {said}");
    Ok(())
}

/// A loopback address that nobody listens on, and that no outgoing connection will take meanwhile: its port is below the
/// range that systems give to these.
///
/// # Errors
/// When there is none.
pub fn free_address() -> Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 10_000) as u16;
    for _ in 0..2_000 {
        let port = 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("no free port between 10000 and 20000")
}

/// Asks for JSON; `None` while nobody answers 200.
pub async fn get(url: &str) -> Option<Value> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().ok()?;
    let answer = client.get(url).send().await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    answer.json().await.ok()
}

/// Asks until `wanted` gives something.
///
/// # Errors
/// When it never does.
pub async fn until<T>(what: &str, url: &str, mut wanted: impl FnMut(&Value) -> Option<T>) -> Result<T> {
    let begun = Instant::now();
    let mut last = None;
    while begun.elapsed() < PATIENCE {
        last = get(url).await;
        if let Some(found) = last.as_ref().and_then(&mut wanted) {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("waited in vain for {what}; the last answer of {url} was {last:?}")
}
