//! Finding a Java runtime that the servers run on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::packages::find;
use crate::workspace::variable;

/// Best first. Cassandra 5 is released for 17; 21 is the only other one with long support that can still run it.
const VERSIONS: [u32; 2] = [17, 21];
/// Where runtimes are that need not be on the path (Debian; Homebrew on both kinds of Mac).
const PLACES: [&str; 3] = ["/usr/lib/jvm", "/opt/homebrew/opt", "/usr/local/opt"];

/// Has the heap in large pages, which only Linux knows.
pub fn large_pages() -> Option<&'static str> {
    cfg!(target_os = "linux").then_some("-XX:+UseTransparentHugePages")
}

/// A Java runtime that fits.
#[derive(Debug, Clone)]
pub struct Java {
    /// The `java` program.
    pub program: PathBuf,
}

impl Java {
    /// The best runtime of this machine: of `JAVA_HOME`, of the path, or installed elsewhere.
    pub fn find() -> Option<Self> {
        let found: Vec<_> = candidates().into_iter().map(|program| (version(&program), program)).collect();
        VERSIONS.iter().find_map(|&wanted| {
            let (_, program) = found.iter().find(|(version, _)| *version == Some(wanted))?;
            Some(Self { program: program.clone() })
        })
    }
}

fn candidates() -> Vec<PathBuf> {
    let home = variable("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let entries = PLACES.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
    let installed = entries.map(|entry| entry.path().join("bin/java")).filter(|program| program.is_file());
    home.into_iter().chain(find("java")).chain(installed).collect()
}

/// The major version: 17 of `openjdk version "17.0.15" 2025-04-15`.
fn version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("-version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.split('"').nth(1)?.split(['.', '-']).next()?.parse().ok()
}
