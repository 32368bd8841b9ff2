//! `cargo xtask instructions`: counts the instructions of the hot paths, and says which of them need more than is committed.
//!
//! Times differ from machine to machine and from minute to minute, counts hardly do: callgrind runs the program `hot-paths` on
//! a processor of its own making, without an environment, so that neither load nor addresses matter. What is left are the
//! random seeds of hash tables, which move a count by a percent, and whether the machine has AVX2, by which libc chooses how to
//! copy: [`TOLERANCE`] covers these.
//!
//! The crates with the hot paths are compiled as for release, only without optimisation at link time; what they depend on is
//! that of the tests (`opt-level` 1), so that little is built twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::services::{find, install, may_install};
use crate::steps;
use crate::workspace::{Workspace, cargo, variable};

/// By how much a count may exceed the committed one, in percent.
const TOLERANCE: f64 = 5.0;
/// What is committed.
const COMMITTED: &str = "hot-paths/instructions.toml";
const PROGRAM: &str = "hot-paths";
/// Counting is on while this function of the program runs.
const MEASURED: &str = "hot_paths::measured*";
/// Crates that are compiled as for release.
const OPTIMISED: [&str; 5] = [PROGRAM, "ingest", "recommender", "schemas", "stream-processor"];
const AS_FOR_RELEASE: [&str; 4] =
    ["opt-level=3", "debug-assertions=false", "overflow-checks=false", "codegen-units=1"];
const VALGRIND: &str = "valgrind";

/// What to do.
#[derive(Debug, Default)]
pub struct Selection {
    /// Commit what is counted instead of comparing.
    pub write: bool,
    /// Only these paths; all when empty.
    pub paths: Vec<String>,
}

/// Instructions of each path, for one of its units.
type Counts = BTreeMap<String, u64>;

/// What the file holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Committed {
    /// What `rustc --version` said: another compiler makes other instructions of the same source.
    compiler: String,
    instructions: Counts,
}

/// A path that the program knows.
#[derive(Debug, PartialEq, Eq)]
struct HotPath {
    name: String,
    /// What its instructions are told of: an event, a list.
    unit: String,
}

/// Counts, and compares with what is committed or writes it. Skips (or fails, where `CI` is set) where nothing can be counted.
///
/// # Errors
/// When a path needs more than is committed, beyond the tolerance, and when something cannot be built, run or read.
pub fn check(workspace: &Workspace, selection: &Selection) -> Result<()> {
    if let Some(reason) = obstacle()? {
        ensure!(variable("CI").is_none() && !selection.write, "instructions cannot be counted: {reason}");
        eprintln!("xtask: SKIPPED counting the instructions of the hot paths: {reason}");
        return Ok(());
    }
    let program = build(workspace)?;
    let known = known_paths(&program)?;
    let chosen = choose(&known, &selection.paths)?;
    let file = workspace.root.join(COMMITTED);
    let compiler = compiler()?;
    let counts = steps::timed("count the instructions of the hot paths", || {
        let scratch = workspace.target.join("instructions");
        fs::create_dir_all(&scratch)?;
        chosen.iter().map(|path| Ok((path.name.clone(), count(&program, path, &scratch)?))).collect()
    })?;
    if selection.write {
        ensure!(selection.paths.is_empty(), "--write writes all paths: name none");
        fs::write(&file, written(&compiler, &counts))
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("wrote {}", file.display());
        return Ok(());
    }
    let text = fs::read_to_string(&file)
        .with_context(|| format!("{} is missing: {HOW_TO_WRITE}", file.display()))?;
    let committed: Committed =
        toml::from_str(&text).with_context(|| format!("cannot understand {}", file.display()))?;
    let judged = judge(&chosen, &counts, &committed.instructions);
    judged.lines.iter().for_each(|line| println!("{line}"));
    if committed.compiler != compiler {
        println!(
            "not judged: counted with {compiler}, committed with {}; {HOW_TO_WRITE}",
            committed.compiler
        );
        return Ok(());
    }
    ensure!(judged.exceeded.is_empty(), "{}\nif it is meant: {HOW_TO_WRITE}", judged.exceeded.join("\n"));
    Ok(())
}

const HOW_TO_WRITE: &str = "cargo xtask instructions --write";

/// Why nothing can be counted here. Installs what can be installed.
fn obstacle() -> Result<Option<String>> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(Some("those that are committed are of x86-64 on Linux".to_owned()));
    }
    if find(VALGRIND).is_none() && may_install() {
        install(&[VALGRIND])?;
    }
    let is_missing = find(VALGRIND).is_none();
    Ok(is_missing.then(|| format!("please install {VALGRIND} (as Debian calls it)")))
}

/// Gives the program's file.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = Command::new(cargo());
    // All packages, so that their dependencies have the features that they have in the tests' build.
    command.current_dir(&workspace.root).args(["build", "--workspace", "--bin", PROGRAM]);
    for package in OPTIMISED {
        for setting in AS_FOR_RELEASE {
            command.args(["--config", &format!("profile.dev.package.{package}.{setting}")]);
        }
    }
    command.env("CARGO_INCREMENTAL", "0").stdin(Stdio::null());
    steps::run("build the hot paths", &mut command)?;
    Ok(workspace.target.join("debug").join(PROGRAM))
}

fn known_paths(program: &Path) -> Result<Vec<HotPath>> {
    let said = output_of(&mut Command::new(program))?;
    let lines = said.lines().map(|line| {
        let (name, unit) = line.split_once('\t').with_context(|| format!("{PROGRAM} said {line:?}"))?;
        Ok(HotPath { name: name.to_owned(), unit: unit.to_owned() })
    });
    lines.collect()
}

fn choose<'a>(known: &'a [HotPath], wanted: &[String]) -> Result<Vec<&'a HotPath>> {
    if let Some(unknown) = wanted.iter().find(|name| known.iter().all(|path| path.name != **name)) {
        let names: Vec<&str> = known.iter().map(|path| path.name.as_str()).collect();
        bail!("there is no hot path {unknown:?}; there are {}", names.join(", "));
    }
    Ok(known.iter().filter(|path| wanted.is_empty() || wanted.contains(&path.name)).collect())
}

/// Instructions of one unit.
fn count(program: &Path, path: &HotPath, scratch: &Path) -> Result<u64> {
    let profile = scratch.join(format!("{}.callgrind", path.name));
    let mut command = Command::new(VALGRIND);
    command.args(["--quiet", "--tool=callgrind", &format!("--toggle-collect={MEASURED}")]);
    command.arg(format!("--callgrind-out-file={}", profile.display())).arg(program).arg(&path.name);
    // Nothing of the environment, whose size moves the stack.
    if let Some(search) = variable("PATH") {
        command.env_clear().env("PATH", search);
    }
    let units: u64 = output_of(&mut command)?.trim().parse().context("the number of units")?;
    let text = fs::read_to_string(&profile).with_context(|| format!("cannot read {}", profile.display()))?;
    let total = total_of(&text).filter(|&total| total > 0 && units > 0);
    let total = total.with_context(|| format!("callgrind counted nothing of {MEASURED}"))?;
    Ok(total / units)
}

/// The sum in a profile of callgrind.
fn total_of(profile: &str) -> Option<u64> {
    let line = profile.lines().rev().find_map(|line| line.strip_prefix("totals: "))?;
    line.trim().parse().ok()
}

/// How the paths stand.
#[derive(Debug, Default)]
struct Judged {
    /// One for each path.
    lines: Vec<String>,
    /// What is wrong.
    exceeded: Vec<String>,
}

fn judge(paths: &[&HotPath], counts: &Counts, committed: &Counts) -> Judged {
    let mut judged = Judged::default();
    for HotPath { name, unit } in paths {
        let counted = counts[name];
        let Some(&before) = committed.get(name) else {
            judged
                .exceeded
                .push(format!("hot path {name}: {counted} instructions per {unit}, none committed"));
            continue;
        };
        let percent = (counted as f64 / before as f64 - 1.0) * 100.0;
        let line = format!(
            "hot path {name}: {counted} instructions per {unit}, committed {before} ({percent:+.1} %)"
        );
        if percent > TOLERANCE {
            judged.exceeded.push(line.clone());
        }
        let is_better = percent < -TOLERANCE;
        judged.lines.push(if is_better { format!("{line}: better, worth committing") } else { line });
    }
    judged
}

fn written(compiler: &str, counts: &Counts) -> String {
    let lines: String = counts.iter().map(|(name, count)| format!("{name} = {count}\n")).collect();
    format!(
        "# Instructions of one unit (event, row, list, answer) of each hot path, counted by callgrind on x86-64. Written by\n\
         # `{HOW_TO_WRITE}`; `cargo xtask test` fails when a path needs {TOLERANCE} % more.\n\
         compiler = {compiler:?}\n\n[instructions]\n{lines}"
    )
}

fn compiler() -> Result<String> {
    let rustc = variable("RUSTC").unwrap_or_else(|| "rustc".into());
    Ok(output_of(Command::new(rustc).arg("--version"))?.trim().to_owned())
}

/// What a command writes; its complaints go through.
fn output_of(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot run {name}"))?;
    ensure!(output.status.success(), "{name} ended with {}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{name} wrote what is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> HotPath {
        HotPath { name: name.to_owned(), unit: "event".to_owned() }
    }

    fn counts(of: &[(&str, u64)]) -> Counts {
        of.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
    }

    #[test]
    fn a_path_that_needs_more_than_the_tolerance_is_named_with_both_counts() {
        let (fold, rank) = (path("fold"), path("rank"));
        let committed = counts(&[("fold", 1_000), ("rank", 1_000)]);
        let judged = judge(&[&fold, &rank], &counts(&[("fold", 1_061), ("rank", 1_049)]), &committed);
        assert_eq!(judged.exceeded, ["hot path fold: 1061 instructions per event, committed 1000 (+6.1 %)"]);
        assert_eq!(judged.lines.len(), 2);
    }

    #[test]
    fn a_path_that_needs_much_less_says_so_and_is_no_failure() {
        let judged = judge(&[&path("fold")], &counts(&[("fold", 900)]), &counts(&[("fold", 1_000)]));
        assert!(judged.exceeded.is_empty());
        assert!(judged.lines[0].contains("(-10.0 %): better"), "{}", judged.lines[0]);
    }

    #[test]
    fn a_path_without_a_committed_count_is_a_failure() {
        assert_eq!(judge(&[&path("new")], &counts(&[("new", 5)]), &counts(&[])).exceeded.len(), 1);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let counts = counts(&[("a-b", 7), ("c", 1_234_567)]);
        let back: Committed = toml::from_str(&written("rustc 1.95.0 (5 2026-04-14)", &counts)).unwrap();
        assert_eq!((back.compiler.as_str(), back.instructions), ("rustc 1.95.0 (5 2026-04-14)", counts));
    }

    #[test]
    fn the_sum_is_found_in_a_profile() {
        assert_eq!(total_of("events: Ir\nfn=(1) x\n1 2\n\ntotals: 41465556\n"), Some(41_465_556));
        assert_eq!(total_of("events: Ir\n"), None);
    }

    #[test]
    fn an_unknown_path_is_refused_with_those_that_there_are() {
        let known = [path("fold"), path("rank")];
        let refused = choose(&known, &["fold".to_owned(), "fly".to_owned()]).unwrap_err().to_string();
        assert!(refused.contains("\"fly\"") && refused.contains("fold, rank"), "{refused}");
        assert_eq!(choose(&known, &["rank".to_owned()]).unwrap(), [&known[1]]);
        assert_eq!(choose(&known, &[]).unwrap().len(), 2);
    }

    #[test]
    fn what_is_committed_names_every_hot_path() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let text = fs::read_to_string(root.join(COMMITTED)).unwrap();
        let committed: Committed = toml::from_str(&text).unwrap();
        for source in ["ingest", "processor", "published", "ranking"] {
            let text = fs::read_to_string(root.join(format!("hot-paths/src/{source}.rs"))).unwrap();
            let names = text.split("Path { name: \"").skip(1).filter_map(|rest| rest.split('"').next());
            for name in names {
                assert!(committed.instructions.contains_key(name), "{name}: {HOW_TO_WRITE}");
            }
        }
    }
}
