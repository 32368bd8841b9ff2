//! Where things are: the workspace, its target directory, and what `cargo metadata` knows of its packages.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The workspace that this program was built from.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The directory of the root `Cargo.toml`.
    pub root: PathBuf,
    /// Cargo's target directory, wherever configuration put it.
    pub target: PathBuf,
}

impl Workspace {
    /// Asks cargo for the directories.
    ///
    /// # Errors
    /// When `cargo metadata` cannot be run or does not answer as documented.
    pub fn find() -> Result<Self> {
        let metadata = metadata(&["--no-deps"])?;
        let directory = |key: &str| {
            let path = metadata[key].as_str().with_context(|| format!("cargo metadata names no {key}"))?;
            anyhow::Ok(PathBuf::from(path))
        };
        Ok(Self { root: directory("workspace_root")?, target: directory("target_directory")? })
    }

    /// Where servers, their jars and their data live.
    pub fn services_dir(&self) -> PathBuf {
        self.target.join("services")
    }
}

/// The answer of `cargo metadata`, with the lock file as it is.
///
/// # Errors
/// When cargo fails or prints something other than JSON.
pub fn metadata(flags: &[&str]) -> Result<Value> {
    let output = Command::new(cargo())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["metadata", "--format-version", "1"])
        .args(flags)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed with {}", output.status);
    serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")
}

/// The cargo to call: the one that runs this program, otherwise the one on the path.
pub fn cargo() -> OsString {
    variable("CARGO").unwrap_or_else(|| "cargo".into())
}

/// One variable of the environment. The services take settings through their configuration; a build tool has none.
#[expect(clippy::disallowed_methods, reason = "the build tool reads its surroundings here and nowhere else")]
pub fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}
