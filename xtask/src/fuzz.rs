//! `cargo xtask fuzz`: feeds the fuzz targets below `fuzz/` with damaged input until one of them breaks, or the time is up.
//!
//! The layout is that of cargo-fuzz, which works on it too; but all that it would do is call cargo with flags that a stable
//! compiler knows, so that nothing needs to be installed. libFuzzer itself is compiled by the dependency `libfuzzer-sys`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::steps;
use crate::workspace::{Workspace, cargo, variable};

/// Coverage for libFuzzer, and `cfg(fuzzing)` for the bodies of the targets.
const INSTRUMENTED: [&str; 8] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Cdebug-assertions",
];
/// An input that takes longer than this, in seconds, is a finding.
const SLOW_SECONDS: u32 = 20;
/// The largest input tried, in bytes.
const LONGEST: usize = 8_192;

/// What to run.
#[derive(Debug, Default)]
pub struct Selection {
    /// One target; all where none is named.
    pub target: Option<String>,
    /// How long each of them runs.
    pub seconds: u32,
    /// Only this input, once.
    pub input: Option<PathBuf>,
}

/// Builds the targets with instrumentation and runs them one after the other.
///
/// # Errors
/// When a target is not known or cannot be built, and when an input breaks one: libFuzzer says where it put that input.
pub fn fuzz(workspace: &Workspace, selection: &Selection) -> Result<()> {
    let known = targets(&workspace.root)?;
    let chosen = choose(&known, selection)?;
    let scratch = workspace.target.join("fuzz");
    let programs = build(workspace, &chosen, &scratch)?;
    for target in chosen {
        let (corpus, found) = (scratch.join("corpus").join(target), scratch.join("found").join(target));
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&found)?;
        let mut command = Command::new(programs.join(target));
        command.stdin(Stdio::null()).arg(format!("-timeout={SLOW_SECONDS}"));
        match &selection.input {
            Some(input) => command.arg(input),
            None => {
                command.arg(&corpus).args(seeds(&workspace.root, target));
                command.args([
                    format!("-max_total_time={}", selection.seconds),
                    format!("-max_len={LONGEST}"),
                    format!("-artifact_prefix={}/", found.display()),
                    "-print_final_stats=1".to_owned(),
                ])
            }
        };
        let outcome = steps::run(&format!("fuzz {target}"), &mut command);
        outcome.with_context(|| {
            format!(
                "{target} broke: look for the input in {}, and run it again with `cargo xtask fuzz {target} --input FILE`",
                found.display()
            )
        })?;
    }
    Ok(())
}

/// The names of the targets, as their files are called.
fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let names = files.iter().filter_map(|file| file.file_stem()?.to_str().map(str::to_owned));
    let mut names: Vec<String> = names.collect();
    names.sort();
    Ok(names)
}

fn choose<'a>(known: &'a [String], selection: &Selection) -> Result<Vec<&'a str>> {
    let Some(wanted) = &selection.target else {
        ensure!(selection.input.is_none(), "--input goes with a target: {}", known.join(", "));
        return Ok(known.iter().map(String::as_str).collect());
    };
    match known.iter().find(|target| *target == wanted) {
        Some(target) => Ok(vec![target.as_str()]),
        None => bail!("there is no fuzz target {wanted:?}; there are {}", known.join(", ")),
    }
}

/// Gives the folder with the programs.
fn build(workspace: &Workspace, chosen: &[&str], scratch: &Path) -> Result<PathBuf> {
    let fuzz = workspace.root.join("fuzz");
    copy_newer(&workspace.root.join("Cargo.lock"), &fuzz.join("Cargo.lock"))?;
    let host = host()?;
    let mut command = Command::new(cargo());
    command
        .current_dir(&fuzz)
        // With a target named, build scripts and macros are built without the flags.
        .args(["build", "--release", "--target", &host, "--target-dir"])
        .arg(scratch)
        .args(chosen.iter().flat_map(|target| ["--bin", target]))
        .env("RUSTFLAGS", INSTRUMENTED.join(" "))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stdin(Stdio::null());
    steps::run("build the fuzz targets, with instrumentation", &mut command)
        .context("the fuzz targets need what the workspace needs, with a C++ compiler, on Linux or macOS")?;
    Ok(scratch.join(host).join("release"))
}

/// Keeps the versions of the dependencies those of the workspace.
fn copy_newer(from: &Path, to: &Path) -> Result<()> {
    let changed = |file: &Path| fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    if changed(to) < changed(from) {
        fs::copy(from, to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

/// The platform that the compiler builds for by itself.
fn host() -> Result<String> {
    let rustc = variable("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("cannot run rustc")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say what it builds for")?.to_owned())
}

/// Folders with inputs to begin with.
fn seeds(root: &Path, target: &str) -> Vec<PathBuf> {
    let folders: &[&str] = match target {
        "bodies" => &["accepted", "rejected"],
        "requests" => &["rejected_reads"],
        _ => &[],
    };
    folders.iter().map(|folder| root.join("schemas/examples").join(folder)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(target: &str) -> Selection {
        Selection { target: Some(target.to_owned()), ..Selection::default() }
    }

    #[test]
    fn every_fuzz_target_is_built_and_has_its_body_in_the_tests() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        let targets = targets(root).unwrap();
        assert!(targets.len() >= 10, "{targets:?}");
        for target in &targets {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
            let text = fs::read_to_string(root.join(format!("fuzz/fuzz_targets/{target}.rs"))).unwrap();
            assert!(text.contains("hostile::"), "{target} has a body of its own");
        }
        assert!(seeds(root, "bodies").iter().chain(&seeds(root, "requests")).all(|folder| folder.is_dir()));
    }

    #[test]
    fn an_unknown_target_is_refused_with_those_that_there_are() {
        let known = ["a".to_owned(), "b".to_owned()];
        assert_eq!(choose(&known, &selection("b")).unwrap(), ["b"]);
        assert_eq!(choose(&known, &Selection::default()).unwrap(), ["a", "b"]);
        let refused = choose(&known, &selection("c")).unwrap_err().to_string();
        assert!(refused.contains("\"c\"") && refused.contains("a, b"), "{refused}");
        let input = Selection { input: Some("x".into()), ..Selection::default() };
        assert!(choose(&known, &input).unwrap_err().to_string().contains("--input"));
    }
}
